use std::collections::{BTreeMap, VecDeque};

use super::Driver;
use super::job::{Decided, Job};
use crate::sync::thread::{ThreadId, current};
use crate::{ExpiryFence, LeaseId, Revocation};

/// The commands that a lessor gives itself: revokes of what has expired, checkpoints, and resets that
/// renewals wait for.
///
/// They wait in a queue, until the thread of their kind takes one of them. Only then it takes its place
/// in the line of commands; if it can be decided, the thread carries it out. If not, it keeps its place,
/// and the thread goes on with the next one.
///
/// When its turn has come it is decided if its thread is there, that is, asleep. A thread that is away may
/// be in code of the host's that waits for the very lease: then the command stands aside, first in
/// the queue, and nobody waits for it. One that has stood aside before is carried out by the thread whose
/// command was the last in its way, unless the host's range deleter is called for it: for such a one the
/// thread of range deleters rests. By hand it is carried out by the thread that lets it be decided. The
/// thread of tasks passes on what is left to it.
#[derive(Default)]
pub(super) struct OwnCommands {
    lanes: [Lane; 3],
    // The leases whose revoke is on its way: one that is delivered again is not revoked twice.
    revoking: BTreeMap<LeaseId, Option<ExpiryFence>>,
    // The threads that carry out such commands.
    helpers: Vec<ThreadId>,
    // Of which kind somebody looks for one, to carry it out at once.
    sought: Option<Kind>,
    // Counts recoveries: what was meant for the old state is not done to the new one.
    generation: u64,
}

/// The commands of one kind.
#[derive(Default)]
struct Lane {
    // Not decided, and in nobody's way.
    queue: VecDeque<Job>,
    // At most one, which keeps others from its leases, and which thread carries it out: `None` for that
    // of the kind.
    decided: Option<(Box<Decided>, Option<ThreadId>)>,
    // Whether its thread is awake, or somebody carries one out.
    is_away: bool,
    // The one in the line that its thread rests for, and begins no other.
    awaited: Option<u64>,
}

/// Which of a lessor's own commands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Revokes of leases that have expired and that the host has nothing to delete for.
    Expiries,
    /// Revokes for which the host's range deleter is called.
    Deletions,
    /// Checkpoints and resets.
    Checkpoints,
}

/// Who carries out one of a lessor's own commands that was decided when its turn came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LeftTo {
    /// The thread of its kind, which is there.
    ThreadOfItsKind,
    /// The thread that has let it be decided, before it waits for anything.
    ThisThread,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Expiries, Self::Deletions, Self::Checkpoints];
}

impl OwnCommands {
    const fn lane(&self, kind: Kind) -> &Lane {
        &self.lanes[kind as usize]
    }

    const fn lane_mut(&mut self, kind: Kind) -> &mut Lane {
        &mut self.lanes[kind as usize]
    }

    /// Whether there is nothing of a kind to carry out, or to line up.
    pub(super) fn is_empty(&self, kind: Kind) -> bool {
        let lane = self.lane(kind);
        lane.decided.is_none() && lane.queue.is_empty()
    }

    /// Whether the thread of a kind has something to do.
    pub(super) fn has_work(&self, kind: Kind, driver: Driver) -> bool {
        // Who drives by hand does not wait for another one who does.
        let is_others = driver == Driver::Manual && self.lane(kind).is_away;
        let is_there = match self.lane(kind).awaited {
            Some(_) => self.lane(kind).decided.is_some(),
            None => !self.is_empty(kind),
        };
        is_there && !is_others
    }

    /// Adds one behind the others.
    pub(super) fn push(&mut self, kind: Kind, job: Job) {
        self.lane_mut(kind).queue.push_back(job);
    }

    /// One that had its turn while its thread was away goes before the others.
    pub(super) fn put_aside(&mut self, kind: Kind, job: Job) {
        self.lane_mut(kind).queue.push_front(job);
    }

    /// The thread of a kind rests for this one, which has stood aside often enough, until it is decided.
    pub(super) const fn rest_for(&mut self, kind: Kind, number: u64) {
        let lane = self.lane_mut(kind);
        lane.awaited = Some(number);
        lane.is_away = false;
    }

    /// Whether the thread of a kind rests for one.
    pub(super) const fn is_resting(&self, kind: Kind) -> bool {
        self.lane(kind).awaited.is_some()
    }

    /// The thread of a kind rests no longer.
    pub(super) const fn stop_resting(&mut self, kind: Kind) {
        self.lane_mut(kind).awaited = None;
    }

    /// This one has left the line. Returns the kind whose thread has rested for it.
    pub(super) fn end_rest(&mut self, number: u64) -> Option<Kind> {
        let is_for_it = |kind: &Kind| self.lane(*kind).awaited == Some(number);
        let kind = Kind::ALL.into_iter().find(is_for_it)?;
        self.stop_resting(kind);
        Some(kind)
    }

    /// The first of a kind, to be lined up.
    pub(super) fn pop(&mut self, kind: Kind) -> Option<Job> {
        self.lane_mut(kind).queue.pop_front()
    }

    /// Leaves a decided one for whoever carries it out: this thread, or that of the kind.
    pub(super) fn leave(&mut self, kind: Kind, decided: Box<Decided>, left_to: LeftTo) {
        let who = match left_to {
            LeftTo::ThreadOfItsKind => None,
            LeftTo::ThisThread => Some(current().id()),
        };
        self.lane_mut(kind).decided = Some((decided, who));
    }

    /// Takes the decided one of a kind, whoever it is left to.
    pub(super) fn take(&mut self, kind: Kind) -> Option<Box<Decided>> {
        let (decided, _) = self.lane_mut(kind).decided.take()?;
        Some(decided)
    }

    /// Takes the decided one of a kind if it is left to this thread.
    pub(super) fn take_left_to(&mut self, kind: Kind, who: ThreadId) -> Option<Box<Decided>> {
        let is_its = |(_, left_to): &mut (_, Option<ThreadId>)| *left_to == Some(who);
        let (decided, _) = self.lane_mut(kind).decided.take_if(is_its)?;
        Some(decided)
    }

    /// Whether one that a thread has let be decided is left to it.
    pub(super) fn is_left_to(&self, who: ThreadId) -> bool {
        let mut decided = self.lanes.iter().flat_map(|lane| &lane.decided);
        decided.any(|(_, left_to)| *left_to == Some(who))
    }

    /// Whether one of a kind may be decided now.
    pub(super) fn may_decide(&self, kind: Kind) -> bool {
        let lane = self.lane(kind);
        lane.decided.is_none() && !lane.is_away
    }

    /// Whether this thread carries one out: it may be in code that waits for another one.
    pub(super) fn is_helper(&self, who: ThreadId) -> bool {
        self.helpers.contains(&who)
    }

    /// Whether somebody looks for one of this kind, and has none.
    pub(super) fn is_sought(&self, kind: Kind) -> bool {
        self.sought == Some(kind) && self.lane(kind).decided.is_none()
    }

    /// Whether a decided one of any kind is left for somebody.
    pub(super) fn is_any_left(&self) -> bool {
        self.lanes.iter().any(|lane| lane.decided.is_some())
    }

    /// Notes that somebody looks for one of this kind, or has looked.
    pub(super) const fn seek(&mut self, kind: Option<Kind>) {
        self.sought = kind;
    }

    /// Whether the thread of a kind may be in code of the host's.
    pub(super) const fn is_away(&self, kind: Kind) -> bool {
        self.lane(kind).is_away
    }

    pub(super) const fn set_away(&mut self, kind: Kind, is_away: bool) {
        self.lane_mut(kind).is_away = is_away;
    }

    /// A thread begins to carry one out: it is not there for others.
    pub(super) fn begin_help(&mut self) {
        self.helpers.push(current().id());
    }

    /// It has ended.
    pub(super) fn end_help(&mut self) {
        let me = current().id();
        if let Some(at) = self.helpers.iter().rposition(|who| *who == me) {
            self.helpers.swap_remove(at);
        }
    }

    /// Notes that the lease of a revocation is going to be revoked. Returns whether it was not.
    pub(super) fn begin_revoke(&mut self, one: &Revocation) -> bool {
        self.revoking.insert(one.id, one.fence) != Some(one.fence)
    }

    /// Whether the revoke of a lease is on its way.
    pub(super) fn is_revoking(&self, id: LeaseId) -> bool {
        self.revoking.contains_key(&id)
    }

    /// The revokes of these leases are over, whatever came of them.
    pub(super) fn end_revokes(&mut self, revocations: &[Revocation]) {
        for one in revocations {
            if self.revoking.get(&one.id) == Some(&one.fence) {
                self.revoking.remove(&one.id);
            }
        }
    }

    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Forgets all of them. Returns them, to be dropped without the lock.
    #[must_use]
    pub(super) fn clear(&mut self) -> Self {
        self.generation += 1;
        let mut cleared = Self {
            revoking: std::mem::take(&mut self.revoking),
            ..Self::default()
        };
        for (lane, cleared) in self.lanes.iter_mut().zip(&mut cleared.lanes) {
            cleared.queue = std::mem::take(&mut lane.queue);
            cleared.decided = lane.decided.take();
            lane.awaited = None;
        }
        cleared
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Command;
    use crate::lessor::job::Purpose;

    #[test]
    fn the_thread_that_rests_for_one_is_there_when_its_turn_comes() {
        let (mut own, kind) = (OwnCommands::default(), Kind::Deletions);
        let has_work = |own: &OwnCommands| own.has_work(kind, Driver::Threads);
        own.set_away(kind, true);
        own.push(
            kind,
            Job::own(Command::Revoke(Vec::new()), Purpose::Expiry, 0),
        );
        assert!(has_work(&own) && !own.may_decide(kind));
        own.rest_for(kind, 7);
        assert!(own.is_resting(kind) && own.may_decide(kind));
        assert!(!has_work(&own), "it begins no other");
        assert_eq!(own.end_rest(6), None);
        assert_eq!(own.end_rest(7), Some(kind));
        assert!(has_work(&own) && !own.is_resting(kind));
    }
}
