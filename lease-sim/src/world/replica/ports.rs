//! Where a replica runs, and how it reaches the others.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::BoxFuture;
use lease_core::probe;
use lease_raft::{MemberId, PeerAnswer, PeerError, Peers, Runtime};
use madsim::time::{sleep, timeout};

use super::{Around, lock, node_of};
use crate::plan::End;
use crate::wire::{HttpAnswer, Message};

/// A member's executor: one thread, virtual time as its clock counts it.
pub(super) struct WorldRuntime {
    pub(super) around: Arc<Around>,
    pub(super) of: Of,
}

/// Whose runtime it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// Nothing of it blocks but the drive of the lessor.
    Replica,
    Openraft,
}

impl Runtime for WorldRuntime {
    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        let span = self.around.member().clock.true_span(span);
        Box::pin(sleep(span))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        madsim::task::spawn(task);
    }

    fn block(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let (around, of) = (Arc::clone(&self.around), self.of);
        Box::pin(async move {
            around.wait_for_disk().await;
            let uneven_ms = around.world.parameters.raft.uneven_ms;
            // What is applied again at a start is in the log: nobody drives the lessor yet to write it.
            let has_started = around.member().has_mailbox();
            if of == Of::Openraft && uneven_ms > 0 && has_started && !around.world.is_healed() {
                let span = around.world.span(0, uneven_ms);
                around.note_held_up(span);
                sleep(span).await;
            }
            if of == Of::Replica {
                around.ticks.fetch_add(1, Ordering::Relaxed);
            }
            work();
        })
    }
}

/// When it is noticed at the latest that no answer will come: after this time, and this time after the network was
/// healed in which the question or its answer was lost.
const NOTICED: Duration = Duration::from_secs(10);
const NOTICED_HEALED: Duration = Duration::from_secs(2);

/// The other members, over the simulated network.
pub(super) struct WorldPeers {
    around: Arc<Around>,
    waiting: Arc<Mutex<BTreeMap<u64, oneshot::Sender<HttpAnswer>>>>,
}

impl WorldPeers {
    pub(super) fn new(around: &Arc<Around>) -> Self {
        Self {
            around: Arc::clone(around),
            waiting: Arc::default(),
        }
    }

    /// Another member has answered.
    pub(super) fn hear(&self, call: u64, answer: HttpAnswer) {
        match lock(&self.waiting).remove(&call) {
            // Whoever has given up does not need to know.
            Some(waiting) => drop(waiting.send(answer)),
            None => probe::mark("raft: an answer comes that nobody waits for"),
        }
    }
}

impl Peers for WorldPeers {
    fn ask(
        &self,
        member: MemberId,
        path: &'static str,
        body: Vec<u8>,
        limit: Duration,
    ) -> BoxFuture<'static, Result<PeerAnswer, PeerError>> {
        let (around, waiting) = (Arc::clone(&self.around), Arc::clone(&self.waiting));
        Box::pin(async move {
            let call = around.world.number_call();
            let (tell, told) = oneshot::channel();
            lock(&waiting).insert(call, tell);
            let path = path.to_owned();
            let request = Message::HttpRequest { call, path, body };
            around.send(End::Node(node_of(member)), &request);
            // As a connection notices that the other end is gone.
            let healed = around.world.until_healed();
            let noticed = healed.map_or(NOTICED, |span| NOTICED.min(span + NOTICED_HEALED));
            let answer = timeout(limit.min(noticed), told).await;
            lock(&waiting).remove(&call);
            match answer {
                Ok(Ok(HttpAnswer { status, body })) => Ok(PeerAnswer { status, body }),
                Ok(Err(_)) | Err(_) => {
                    probe::mark("raft: another member does not answer");
                    Err(PeerError {
                        member,
                        reason: "nothing has come".to_owned(),
                    })
                }
            }
        })
    }
}
