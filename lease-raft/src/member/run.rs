use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, select};
use futures::{FutureExt, StreamExt};
use lease_core::LeaseError;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time;

use super::answers::Dispatch;
use super::{Core, MemberOptions};
use crate::grpc::serve;
use crate::raft::blocking;
use crate::{RedbStore, TokioRuntime};

/// A member from its start to its end.
pub(super) struct Running {
    pub(super) core: Arc<Core>,
    pub(super) store: Arc<RedbStore>,
    /// How many have the store, but for the engine.
    pub(super) owners: usize,
}

impl Running {
    /// Runs the member until it is stopped or cannot go on, and then stops what belongs to it, in order.
    ///
    /// # Errors
    ///
    /// If its state could not be written in the end.
    pub(super) async fn run(
        self,
        listener: TcpListener,
        options: &MemberOptions,
        stop: oneshot::Receiver<()>,
    ) -> Result<(), LeaseError> {
        let (closes, closed) = oneshot::channel::<()>();
        let server = self.serve(listener, options, closed);
        let follower = tokio::spawn(follow_members(Arc::clone(&self.core)));
        let mover = tokio::spawn(keep_address(Arc::clone(&self.core)));
        #[cfg(feature = "metrics")]
        let recorder = tokio::spawn(record(Arc::clone(&self.core)));
        let engine = Arc::new(self.core.engine.clone());
        let runs = Box::pin(self.core.replica.run(engine));
        let mut runs = match select(runs, stop).await {
            Either::Left(((), _)) => {
                self.note_failure();
                None
            }
            Either::Right((_, runs)) => Some(runs),
        };
        if let Some(runs) = &mut runs {
            // The member does all that a member does until another one leads.
            let hands_over = Box::pin(self.core.engine.hand_over(HAND_OVER_TIMEOUT));
            select(runs, hands_over).await;
        }
        drop(runs);
        self.core.engine.shutdown().await;
        end_now(follower).await;
        end_now(mover).await;
        #[cfg(feature = "metrics")]
        end_now(recorder).await;
        drop(closes);
        end(server).await;
        let replica = self.core.replica.clone();
        let stopped = blocking(&TokioRuntime, move || replica.stop()).await;
        self.free_file().await;
        stopped.unwrap_or(Err(LeaseError::Stopped))
    }

    fn serve(
        &self,
        listener: TcpListener,
        options: &MemberOptions,
        closed: oneshot::Receiver<()>,
    ) -> JoinHandle<()> {
        let answers = Arc::new(Dispatch(Arc::clone(&self.core)));
        let (cluster, tls) = (options.cluster.clone(), options.tls.clone());
        let serves = serve(
            listener,
            cluster,
            options.member,
            tls,
            answers,
            closed.map(drop),
        );
        let member = options.member;
        tokio::spawn(async move {
            if let Err(error) = serves.await {
                tracing::error!(member, %error, "the member is not reached any more");
            }
        })
    }

    /// It has stopped by itself.
    fn note_failure(&self) {
        let core = &self.core;
        let failure = core.replica.failure().or_else(|| core.engine.failure());
        let failure = failure.unwrap_or_else(|| "its engine has stopped".to_owned());
        tracing::error!(
            member = core.engine.member(),
            reason = failure,
            "the member has stopped: it cannot go on"
        );
        // It is noted once.
        let _ = core.failure.set(failure);
    }

    /// Waits until the engine has let go of the file.
    async fn free_file(&self) {
        for _ in 0..FREE_TRIES {
            if Arc::strong_count(&self.store) <= self.owners {
                return;
            }
            time::sleep(FREE_PAUSE).await;
        }
        tracing::warn!("the engine still has the file of the member open");
    }
}

/// The others are where the members of the cluster are.
async fn follow_members(core: Arc<Core>) {
    let mut changes = core.engine.members_changes();
    let mut known = crate::Members::default();
    while let Some(members) = changes.next().await {
        for (member, address) in &members.addresses {
            core.peers.set_address(*member, address);
        }
        for gone in known.addresses.keys() {
            if !members.addresses.contains_key(gone) {
                core.peers.forget(*gone);
            }
        }
        known = members;
    }
}

/// The others look for the member where it is.
async fn keep_address(core: Arc<Core>) {
    let mut changes = core.engine.members_changes();
    while changes.next().await.is_some() {
        while core.has_moved() {
            match core.tell_address(TELL_TIMEOUT).await {
                Ok(()) => tracing::info!(address = core.address, "the others know where it is"),
                Err(error) => tracing::warn!(%error, "the others do not know where it is"),
            }
            time::sleep(TELL_PAUSE).await;
        }
    }
}

/// Tells each second how the member is.
#[cfg(feature = "metrics")]
async fn record(core: Arc<Core>) {
    let metrics = super::MemberMetrics::new(core.engine.member());
    loop {
        metrics.record(&core.status());
        time::sleep(Duration::from_secs(1)).await;
    }
}

/// Ends a task, and waits until it has let go of what it has.
async fn end_now(task: JoinHandle<()>) {
    task.abort();
    // It was told to end.
    let _ = task.await;
}

/// Waits for what is under way, but not for long: others have their own deadlines.
async fn end(mut server: JoinHandle<()>) {
    if time::timeout(SERVER_TIMEOUT, &mut server).await.is_err() {
        end_now(server).await;
    }
}

const TELL_TIMEOUT: Duration = Duration::from_secs(10);
const TELL_PAUSE: Duration = Duration::from_millis(100);
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(1);
const SERVER_TIMEOUT: Duration = Duration::from_millis(200);
const FREE_TRIES: u32 = 500;
const FREE_PAUSE: Duration = Duration::from_millis(10);
