use std::collections::BTreeMap;

use super::job::{Job, Seat};
use crate::machine::Obstacle;
use crate::sync::Arc;
use crate::{LeaseId, LessorCore};

/// The jobs that are not decided yet, by numbers that rise in the order in which they came.
///
/// Each is looked at again when what kept it is gone, and not before: a command of very many leases
/// that waits costs the others no more than one of a single lease.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) jobs: BTreeMap<u64, Waiter>,
    next: u64,
}

pub(super) struct Waiter {
    pub(super) job: Job,
    // Where somebody waits; nobody does for what the lessor gives itself.
    pub(super) seat: Option<Arc<Seat>>,
    // `None` until it is looked at.
    pub(super) behind: Option<Behind>,
    // The leases that it touches, sorted; as of the last look.
    pub(super) touched: Vec<LeaseId>,
}

/// What a job waits for.
pub(super) enum Behind {
    /// What is claimed.
    Claim(Obstacle),
    /// A job that came before and touches a lease that it touches.
    Job(u64),
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether one of them begins an epoch.
    pub(super) fn has_epoch(&self) -> bool {
        self.jobs.values().any(|waiter| waiter.job.begins_epoch())
    }

    /// Adds a job that nobody has looked at. Returns its number.
    pub(super) fn push(&mut self, job: Job, seat: Option<Arc<Seat>>) -> u64 {
        let number = self.next;
        self.next += 1;
        let waiter = Waiter {
            job,
            seat,
            behind: None,
            touched: Vec::new(),
        };
        self.jobs.insert(number, waiter);
        number
    }

    /// Takes those that nobody waits for: the lessor's own.
    pub(super) fn take_own(&mut self) -> Vec<Job> {
        let own = self.jobs.extract_if(.., |_, waiter| waiter.seat.is_none());
        own.map(|(_, waiter)| waiter.job).collect()
    }

    /// Takes all of them. Returns who waits for them.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = Arc<Seat>> + use<> {
        let jobs = std::mem::take(&mut self.jobs);
        jobs.into_values().filter_map(|waiter| waiter.seat)
    }

    /// The first job before `number` that touches one of these leases, which are sorted.
    pub(super) fn before(&self, number: u64, touched: &[LeaseId]) -> Option<u64> {
        let mut before = self.jobs.range(..number);
        let first = before.find(|(_, earlier)| meet(&earlier.touched, touched));
        first.map(|(number, _)| *number)
    }

    /// Whether any job touches the lease.
    pub(super) fn is_touched(&self, id: LeaseId) -> bool {
        let touches = |waiter: &Waiter| waiter.touched.binary_search(&id).is_ok();
        self.jobs.values().any(touches)
    }

    pub(super) fn is_still_behind(&self, waiter: &Waiter, core: &LessorCore) -> bool {
        match &waiter.behind {
            Some(Behind::Job(earlier)) => self.jobs.contains_key(earlier),
            Some(Behind::Claim(obstacle)) => core.is_in_the_way(obstacle),
            None => false,
        }
    }
}

/// Whether two sorted lists have a lease in common. O(of the shorter, times log of the longer).
fn meet(one: &[LeaseId], other: &[LeaseId]) -> bool {
    let (short, long) = if one.len() < other.len() {
        (one, other)
    } else {
        (other, one)
    };
    short.iter().any(|id| long.binary_search(id).is_ok())
}
