use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::channel::oneshot;
use lease_core::Epoch;
use madsim::time::sleep;

use super::node::Message;
use super::{World, lock};
use crate::wire::{Entry, Request};

/// A hostile but legal model of consensus: one sequence of entries, in which proposals are delayed,
/// lost or duplicated, come in after their proposer has lost its leadership, and end with an
/// outcome that the proposer may never learn.
#[derive(Default)]
pub(crate) struct Log {
    entries: Vec<Arc<[u8]>>,
    term: u64,
    leader: usize,
    proposals: u64,
}

/// What a proposer learns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// The entry has this index.
    Committed(u64),
    /// The entry may be in the log, or come into it later.
    Unknown,
}

/// How long a proposer waits.
const PROPOSAL_TIMEOUT: Duration = Duration::from_secs(2);

impl Log {
    pub(crate) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The entry at an index, counted from 1.
    pub(crate) fn get(&self, index: u64) -> Option<Arc<[u8]>> {
        self.entries
            .get(usize::try_from(index).ok()?.checked_sub(1)?)
            .cloned()
    }

    pub(crate) fn leader(&self) -> usize {
        self.leader
    }

    fn number_proposal(&mut self) -> u64 {
        self.proposals += 1;
        self.proposals
    }
}

impl World {
    /// Makes a member the leader of a new term, in which its first entry says so.
    pub(super) fn elect(self: &Arc<Self>, node: usize) {
        if !self.members[node].is_up.load(Ordering::Relaxed) {
            return;
        }
        let entry = {
            let mut log = lock(&self.log);
            log.term += 1;
            log.leader = node;
            Entry {
                proposal: log.number_proposal(),
                request: Request::BeginEpoch {
                    epoch: Epoch::new(log.term),
                    node,
                },
            }
        };
        if let Request::BeginEpoch { epoch, .. } = entry.request {
            *lock(&self.members[node].leads) = Some(epoch.get());
        }
        self.append(entry.encode());
    }

    /// Proposes a request. The proposal goes on when its proposer does not.
    pub(super) fn propose(
        self: &Arc<Self>,
        node: usize,
        request: Request,
    ) -> (u64, oneshot::Receiver<Outcome>) {
        let proposal = lock(&self.log).number_proposal();
        let bytes = Entry { proposal, request }.encode();
        let (tell, outcome) = oneshot::channel();
        let world = Arc::clone(self);
        self.outside.spawn(async move {
            // A proposer that is gone does not wait for the outcome.
            let _ = tell.send(world.carry(node, bytes).await);
        });
        (proposal, outcome)
    }

    async fn carry(self: &Arc<Self>, node: usize, bytes: Vec<u8>) -> Outcome {
        let is_lost = self.happens(self.parameters.lost_per_mille);
        if !self.travel(node).await || is_lost {
            sleep(PROPOSAL_TIMEOUT).await;
            return Outcome::Unknown;
        }
        let index = self.append(bytes.clone());
        if self.happens(self.parameters.duplicated_per_mille) {
            let world = Arc::clone(self);
            self.outside.spawn(async move {
                sleep(world.span(10, 10_000)).await;
                world.sometimes("a proposal comes in twice");
                world.append(bytes);
            });
        }
        if self.travel(node).await {
            Outcome::Committed(index)
        } else {
            sleep(PROPOSAL_TIMEOUT).await;
            Outcome::Unknown
        }
    }

    /// Whether a member still leads its term; answers no if it cannot be found out.
    pub(super) async fn confirm(&self, node: usize, epoch: Epoch) -> bool {
        if !self.travel(node).await {
            return false;
        }
        let leads = lock(&self.log).term == epoch.get();
        self.travel(node).await && leads
    }

    fn append(self: &Arc<Self>, bytes: Vec<u8>) -> u64 {
        let index = {
            let mut log = lock(&self.log);
            log.entries.push(bytes.into());
            log.len()
        };
        for node in 0..self.members.len() {
            let world = Arc::clone(self);
            self.outside.spawn(async move {
                sleep(world.span(0, world.parameters.apply_lag_ms)).await;
                if world.travel(node).await {
                    world.announce(node);
                }
            });
        }
        index
    }

    /// Tells a member how long the log is.
    pub(super) fn announce(&self, node: usize) {
        let length = lock(&self.log).len();
        if let Some(mailbox) = &*lock(&self.members[node].mailbox) {
            // A member that is gone asks when it comes back.
            let _ = mailbox.unbounded_send(Message::LogGrew(length));
        }
    }
}
