use std::collections::{BTreeMap, BTreeSet};

use super::job::{Job, Seat};
use crate::machine::Obstacle;
use crate::sync::Arc;
use crate::{LeaseId, LessorCore};

/// The jobs that are not decided yet, by numbers that rise in the order in which they came.
///
/// Each is looked at again when what kept it is gone, and not before: neither a command of very many leases
/// nor very many commands of one lease that wait cost the others anything.
#[derive(Default)]
pub(super) struct Waiting {
    jobs: BTreeMap<u64, Waiter>,
    next: u64,
    // Which leases the jobs touch, as of the last look at each, and which job does.
    touched: BTreeSet<(LeaseId, u64)>,
    // Those that stand behind no job that is in the line.
    heads: BTreeSet<u64>,
    // The others: a job, and one that stands behind it.
    followers: BTreeSet<(u64, u64)>,
    // How many of them begin an epoch.
    epochs: usize,
}

pub(super) struct Waiter {
    pub(super) job: Job,
    // Where somebody waits; nobody does for what the lessor gives itself.
    pub(super) seat: Option<Arc<Seat>>,
    // `None` until it is looked at.
    pub(super) behind: Option<Behind>,
    // The leases that it touches, each once; as of the last look.
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

    /// Whether one of them begins an epoch. O(1).
    pub(super) const fn has_epoch(&self) -> bool {
        self.epochs > 0
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        self.jobs.contains_key(&number)
    }

    /// Whether there is a job before `number`.
    pub(super) fn has_before(&self, number: u64) -> bool {
        self.jobs.range(..number).next().is_some()
    }

    /// The first job from `number` on that stands behind no other one.
    pub(super) fn head_from(&self, number: u64) -> Option<(u64, &Waiter)> {
        let head = self.heads.range(number..).next()?;
        Some((*head, &self.jobs[head]))
    }

    pub(super) fn begins_epoch(&self, number: u64) -> bool {
        let waiter = self.jobs.get(&number);
        waiter.is_some_and(|waiter| waiter.job.begins_epoch())
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
        self.put(number, waiter);
        number
    }

    /// Takes a job out of the line, to be looked at: it is [put](Self::put) there again, or has
    /// [left](Self::left). O(what it touches).
    pub(super) fn take(&mut self, number: u64) -> Option<Waiter> {
        let waiter = self.jobs.remove(&number)?;
        for id in &waiter.touched {
            self.touched.remove(&(*id, number));
        }
        if let Some(Behind::Job(earlier)) = waiter.behind {
            self.followers.remove(&(earlier, number));
        }
        self.heads.remove(&number);
        self.epochs -= usize::from(waiter.job.begins_epoch());
        Some(waiter)
    }

    /// Puts a job in its place in the line. O(what it touches).
    pub(super) fn put(&mut self, number: u64, waiter: Waiter) {
        let touched = waiter.touched.iter().map(|id| (*id, number));
        self.touched.extend(touched);
        match waiter.behind {
            Some(Behind::Job(earlier)) => self.followers.insert((earlier, number)),
            _ => self.heads.insert(number),
        };
        self.epochs += usize::from(waiter.job.begins_epoch());
        self.jobs.insert(number, waiter);
    }

    /// A job that was taken does not come back: who stands behind it is to be looked at.
    pub(super) fn left(&mut self, number: u64) {
        let its = (number, 0)..=(number, u64::MAX);
        while let Some((_, follower)) = self.followers.range(its.clone()).next().copied() {
            self.followers.remove(&(number, follower));
            self.heads.insert(follower);
            let waiter = self.jobs.get_mut(&follower);
            waiter.expect("it is in the line").behind = None;
        }
    }

    /// Takes a job back for good.
    pub(super) fn withdraw(&mut self, number: u64) -> Option<Waiter> {
        let waiter = self.take(number)?;
        self.left(number);
        Some(waiter)
    }

    /// Takes those that nobody waits for: the lessor's own.
    pub(super) fn take_own(&mut self) -> Vec<Job> {
        let is_own = |(number, waiter): (&u64, &Waiter)| waiter.seat.is_none().then_some(*number);
        let own: Vec<_> = self.jobs.iter().filter_map(is_own).collect();
        let own = own.into_iter().filter_map(|number| self.withdraw(number));
        own.map(|waiter| waiter.job).collect()
    }

    /// Takes all of them. Returns who waits for them.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = Arc<Seat>> + use<> {
        let next = self.next;
        let cleared = std::mem::replace(
            self,
            Self {
                next,
                ..Self::default()
            },
        );
        cleared.jobs.into_values().filter_map(|waiter| waiter.seat)
    }

    /// The last job before `number` that touches one of these leases. O(leases).
    ///
    /// It goes after the others of its lease: who waits behind the first would be looked at again each
    /// time that one of them goes.
    pub(super) fn before(&self, number: u64, touched: &[LeaseId]) -> Option<u64> {
        let last = |id: &LeaseId| self.touched.range((*id, 0)..(*id, number)).next_back();
        touched.iter().filter_map(last).map(|(_, job)| *job).max()
    }

    /// Whether any job touches the lease.
    pub(super) fn is_touched(&self, id: LeaseId) -> bool {
        let mut jobs = self.touched.range((id, 0)..=(id, u64::MAX));
        jobs.next().is_some()
    }
}

impl Waiter {
    /// Whether what is claimed still keeps one that stands behind no other one.
    pub(super) fn is_kept(&self, core: &LessorCore) -> bool {
        match &self.behind {
            Some(Behind::Claim(obstacle)) => core.is_in_the_way(obstacle),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lessor::job::Refusal;
    use crate::{Command, WriteBatch};

    /// Each of a thousand commands of one lease was looked at again whenever one of them was over.
    #[test]
    fn one_that_is_over_lets_one_of_its_lease_be_looked_at_and_no_more() {
        let id = |number| LeaseId::new(number).expect("not zero");
        let mut waiting = Waiting::default();
        let mut line_up = |touched: &[LeaseId]| {
            let detach = Command::Detach {
                id: touched[0],
                items: Vec::new(),
            };
            let job = Job::new(detach, WriteBatch::default(), Refusal::Drops);
            let number = waiting.push(job, None);
            let mut waiter = waiting.take(number).expect("it was put there");
            waiter.touched = touched.to_vec();
            let behind = waiting.before(number, touched);
            waiting.put(number, waiter);
            behind
        };
        let [one, two] = [1, 2].map(id);
        let behind = [&[one][..], &[two], &[one], &[one, two], &[two], &[one]].map(&mut line_up);
        assert_eq!(
            behind,
            [None, None, Some(0), Some(2), Some(3), Some(3)],
            "the last one of its leases"
        );
    }

    /// Each command looked at all that waited.
    #[test]
    fn who_stands_behind_another_one_is_no_head_until_that_has_left() {
        let mut waiting = Waiting::default();
        let heads = |waiting: &Waiting| waiting.heads.iter().copied().collect::<Vec<_>>();
        for behind in [None, Some(0), Some(1), None] {
            let begin = Job::new(
                Command::Checkpoint(Vec::new()),
                WriteBatch::default(),
                Refusal::Drops,
            );
            let number = waiting.push(begin, None);
            let mut waiter = waiting.take(number).expect("it was put there");
            waiter.behind = behind.map(Behind::Job);
            waiting.put(number, waiter);
        }
        assert_eq!(heads(&waiting), [0, 3]);
        assert!(waiting.withdraw(0).is_some());
        assert_eq!(heads(&waiting), [1, 3]);
        // It is looked at, and put back behind what is claimed.
        let mut waiter = waiting.take(1).expect("it is there");
        waiter.behind = Some(Behind::Claim(Obstacle::Room));
        waiting.put(1, waiter);
        assert_eq!(heads(&waiting), [1, 3]);
        assert!(waiting.withdraw(1).is_some());
        assert_eq!(heads(&waiting), [2, 3]);
        assert_eq!(waiting.clear().count(), 0, "nobody waits for them");
        assert!(waiting.head_from(0).is_none() && waiting.is_empty());
    }
}
