//! The hostile log as an engine of lease-raft.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::channel::{mpsc, oneshot};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use lease_core::probe;
use lease_raft::{Engine, Leadership, ProposeError, Unconfirmed};
use madsim::time::{sleep, timeout};

use super::{Around, lock, member_id};
use crate::event::{Event, Name};
use crate::plan::End;
use crate::wire::{Entry, Message, Request};
use crate::world::World;
use crate::world::clock::Round;

/// What becomes of a proposal of checkpoints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Sent,
    Lost,
    /// It comes in so much later, when nobody waits for it any more, or seems to have been lost.
    Late(Duration),
}

/// How many of those that seem to be lost come in late, and how late.
const LATE_PER_MILLE: u32 = 700;
const MOST_LATE_MS: u64 = 6_000;

/// What a member knows of the log.
pub(super) struct LogEngine {
    around: Arc<Around>,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    /// The newest term that it has heard of, and its leader.
    leadership: Leadership,
    /// The log was heard of then.
    heard_ms: u64,
    /// Since when it has told that this member does not lead.
    deposed_ms: Option<u64>,
    watchers: Vec<mpsc::UnboundedSender<Leadership>>,
    told: Leadership,
    proposals: BTreeMap<u64, oneshot::Sender<bool>>,
    confirmations: BTreeMap<u64, oneshot::Sender<Result<u64, Unconfirmed>>>,
    is_over: bool,
}

/// A leader that hears nothing of the log for so long takes itself for none.
const QUORUM_TIMEOUT_MS: u64 = 2_000;

/// How long the outcome of a proposal is waited for.
const PROPOSAL_TIMEOUT: Duration = Duration::from_millis(2_500);

/// How long the log is waited for that is to confirm the leadership.
const CONFIRMATION_TIMEOUT: Duration = Duration::from_millis(1_000);

impl LogEngine {
    pub(super) fn new(around: &Arc<Around>) -> Self {
        let known = Known {
            heard_ms: around.world.now_ms(),
            ..Known::default()
        };
        Self {
            around: Arc::clone(around),
            known: Arc::new(Mutex::new(known)),
        }
    }

    /// The log has made this member the leader of a term.
    pub(super) fn leads(&self, term: u64) {
        self.note_heard();
        self.hear_of(term, self.around.node);
    }

    /// The log says who leads.
    pub(super) fn hear_of(&self, term: u64, node: usize) {
        let mut known = lock(&self.known);
        if term > known.leadership.term {
            let leader = Some(member_id(node));
            known.leadership = Leadership { term, leader };
        }
        self.tell(known);
    }

    /// The leader gives up its leadership.
    pub(super) fn step_down(&self) {
        let mut known = lock(&self.known);
        if known.leadership.is_led_by(member_id(self.around.node)) {
            probe::mark("raft: a leader steps down");
            known.leadership.leader = None;
        }
        self.tell(known);
    }

    /// Since when it is known here that this member does not lead.
    pub(super) fn deposed_ms(&self) -> Option<u64> {
        lock(&self.known).deposed_ms
    }

    pub(super) fn note_heard(&self) {
        lock(&self.known).heard_ms = self.around.world.now_ms();
    }

    /// Looks whether the log has been silent for too long.
    pub(super) fn look_at_time(&self) {
        self.tell(lock(&self.known));
    }

    fn tell(&self, mut known: std::sync::MutexGuard<'_, Known>) {
        let mut leadership = known.leadership;
        let is_silent = known.heard_ms + QUORUM_TIMEOUT_MS < self.around.world.now_ms();
        if is_silent && leadership.is_led_by(member_id(self.around.node)) {
            probe::mark("raft: a leader hears of no quorum");
            leadership.leader = None;
        }
        if !leadership.is_led_by(member_id(self.around.node)) {
            known.deposed_ms.get_or_insert(self.around.world.now_ms());
        } else {
            known.deposed_ms = None;
        }
        if known.told != leadership {
            known.told = leadership;
            known
                .watchers
                .retain(|watcher| watcher.unbounded_send(leadership).is_ok());
        }
    }

    pub(super) fn decided(&self, proposal: u64, is_in: bool) {
        let waiting = lock(&self.known).proposals.remove(&proposal);
        if let Some(waiting) = waiting {
            // Whoever has given up does not need to know.
            let _ = waiting.send(is_in);
        }
    }

    pub(super) fn confirmed(&self, call: u64, leads: bool, length: u64) {
        if !leads {
            probe::mark("raft: the leadership is not confirmed");
        }
        let waiting = lock(&self.known).confirmations.remove(&call);
        if let Some(waiting) = waiting {
            let confirmed = leads.then_some(length).ok_or(Unconfirmed);
            // Whoever has given up does not need to know.
            let _ = waiting.send(confirmed);
        }
    }

    /// Ends everything that waits for it.
    pub(super) fn end(&self) {
        let mut known = lock(&self.known);
        known.is_over = true;
        known.watchers.clear();
        known.proposals.clear();
        known.confirmations.clear();
    }

    /// The term that this member leads, as far as it knows.
    fn leading(known: &Mutex<Known>, around: &Around) -> Option<u64> {
        let known = lock(known);
        let leads = known.told.is_led_by(member_id(around.node)) && !known.is_over;
        leads.then_some(known.told.term)
    }
}

impl Engine for LogEngine {
    fn leadership(&self) -> BoxStream<'static, Leadership> {
        let (tell, told) = mpsc::unbounded();
        let mut known = lock(&self.known);
        // It is not full.
        let _ = tell.unbounded_send(known.told);
        known.watchers.push(tell);
        told_late(Arc::clone(&self.around), told.boxed())
    }

    fn propose(&self, bytes: Vec<u8>) -> BoxFuture<'static, Result<(), ProposeError>> {
        let (around, known) = (Arc::clone(&self.around), Arc::clone(&self.known));
        Box::pin(async move {
            let entry = Entry::decode(&bytes);
            if Self::leading(&known, &around).is_none() {
                around.note_refused(&entry);
                return Err(ProposeError::NotLeader);
            }
            let proposal = around.world.number_attempt(&entry);
            around.note_expiry(&entry);
            let message = Message::Propose {
                proposal,
                entry: bytes,
            };
            let fate = around.note_checkpoints(&entry);
            if let Fate::Late(by) = fate {
                let from = End::Node(around.node);
                let late = move |world: &Arc<World>| world.send(from, End::Log, &message);
                around.world.later(by, late);
                sleep(PROPOSAL_TIMEOUT).await;
                return Err(ProposeError::Unknown);
            }
            let (tell, told) = oneshot::channel();
            lock(&known).proposals.insert(proposal, tell);
            if fate == Fate::Sent {
                around.send(End::Log, &message);
            }
            match timeout(PROPOSAL_TIMEOUT, told).await {
                Ok(Ok(true)) => Ok(()),
                Ok(Ok(false)) => {
                    probe::mark("raft: a proposal is refused");
                    around.note_refused(&entry);
                    Err(ProposeError::NotLeader)
                }
                Ok(Err(_)) | Err(_) => {
                    probe::mark("raft: the outcome of a proposal is not known");
                    Err(ProposeError::Unknown)
                }
            }
        })
    }

    fn confirm(&self) -> BoxFuture<'static, Result<u64, Unconfirmed>> {
        let (around, known) = (Arc::clone(&self.around), Arc::clone(&self.known));
        Box::pin(async move {
            let epoch = Self::leading(&known, &around).ok_or(Unconfirmed)?;
            let call = around.world.number_call();
            let (tell, told) = oneshot::channel();
            lock(&known).confirmations.insert(call, tell);
            around.send(End::Log, &Message::Confirm { call, epoch });
            match timeout(CONFIRMATION_TIMEOUT, told).await {
                Ok(Ok(confirmed)) => confirmed,
                Ok(Err(_)) | Err(_) => Err(Unconfirmed),
            }
        })
    }
}

/// A member learns late who leads; what has been replaced meanwhile it does not learn at all.
pub(super) fn told_late(
    around: Arc<Around>,
    told: BoxStream<'static, Leadership>,
) -> BoxStream<'static, Leadership> {
    let lag_ms = around.world.parameters.promotion_lag_ms;
    if lag_ms == 0 {
        return told;
    }
    let late = futures::stream::unfold((around, told), move |(around, mut told)| async move {
        let mut news = told.next().await?;
        sleep(around.world.span(0, lag_ms)).await;
        while let Some(Some(newer)) = told.next().now_or_never() {
            probe::mark("raft: a change of the leader is told late, and another one before");
            news = newer;
        }
        Some((news, (around, told)))
    });
    late.boxed()
}

impl Around {
    /// Tells the checkers that the lessor is going to be told that an attempt to revoke has failed.
    pub(super) fn note_refused(&self, entry: &Entry) {
        let Request::Revoke(revocations) = &entry.request else {
            return;
        };
        for fence in revocations.iter().map(|one| (one.id, one.fence)) {
            let (id, Some(fence)) = fence else { continue };
            probe::mark("raft: an attempt to revoke is known to have failed");
            self.tell_time();
            self.world.hear(Event::AttemptFailed {
                node: self.node,
                epoch: fence.epoch.get(),
                name: Name::new(id, fence.incarnation),
            });
        }
    }

    /// Tells the checkers of a proposal to revoke what has expired.
    pub(super) fn note_expiry(&self, entry: &Entry) {
        let Request::Revoke(revocations) = &entry.request else {
            return;
        };
        for revocation in revocations {
            if let Some(fence) = revocation.fence {
                self.world.hear(Event::ExpiryProposed {
                    node: self.node,
                    epoch: fence.epoch.get(),
                    name: Name::new(revocation.id, fence.incarnation),
                });
            }
        }
    }

    /// Tells the checkers of a proposal of checkpoints, and what becomes of it.
    pub(super) fn note_checkpoints(&self, entry: &Entry) -> Fate {
        let Request::Checkpoint(checkpoints) = &entry.request else {
            return Fate::Sent;
        };
        let mut proposed = Vec::new();
        for checkpoint in checkpoints {
            if let (Some(fence), Some(remaining)) = (checkpoint.fence, checkpoint.remaining) {
                let name = Name::new(checkpoint.id, fence.incarnation);
                proposed.push(name);
                self.world.hear(Event::CheckpointProposed {
                    node: self.node,
                    epoch: fence.epoch.get(),
                    name,
                    remaining_ms: remaining.as_secs() * 1000,
                });
            }
        }
        if proposed.is_empty() {
            probe::mark("raft: a renewal resets a checkpoint");
            return Fate::Sent;
        }
        if !self.world.loses_checkpoints() {
            return Fate::Sent;
        }
        for name in proposed {
            self.world.hear(Event::CheckpointLost { name });
        }
        match self.world.happens(LATE_PER_MILLE) {
            true => {
                probe::mark("world: a proposal of checkpoints comes in late");
                Fate::Late(self.world.span(0, MOST_LATE_MS))
            }
            false => {
                probe::mark("world: a proposal of checkpoints is lost");
                Fate::Lost
            }
        }
    }

    /// Tells the checkers what the lessor takes for the time.
    pub(super) fn tell_time(&self) {
        let event = Event::Read {
            node: self.node,
            clock: self.member().clock.own_time(Round::Down),
            is_punctual: self.is_calm() && !self.is_full.load(Ordering::Relaxed),
        };
        self.world.hear(event);
    }
}
