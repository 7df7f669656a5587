use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::job::{Call, Job, Seat};
use super::state::State;
use crate::machine::Obstacle;
use crate::sync::Arc;
use crate::{Command, Decision, LeaseId, LessorCore, WriteBatch};

/// The jobs that are not decided yet, by numbers that rise in the order in which they came.
///
/// Each is looked at again when what kept it is gone, and not before: a command of very many leases
/// that waits costs the others no more than one of a single lease.
#[derive(Default)]
pub(super) struct Waiting {
    jobs: BTreeMap<u64, Waiter>,
    next: u64,
}

struct Waiter {
    job: Job,
    // Where somebody waits; nobody does for what the lessor gives itself.
    seat: Option<Arc<Seat>>,
    // `None` until it is looked at.
    behind: Option<Behind>,
    // The leases that it touches, sorted; as of the last look.
    touched: Vec<LeaseId>,
}

/// What a job waits for.
#[derive(Clone, Copy)]
enum Behind {
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

    /// Adds a job that nobody has looked at. Returns its number.
    fn push(&mut self, job: Job, seat: Option<Arc<Seat>>) -> u64 {
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

    /// Takes all of them. Returns who waits for them.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = Arc<Seat>> + use<> {
        let jobs = std::mem::take(&mut self.jobs);
        jobs.into_values().filter_map(|waiter| waiter.seat)
    }

    /// The first job before `number` that touches one of these leases, which are sorted.
    fn before(&self, number: u64, touched: &[LeaseId]) -> Option<u64> {
        let mut before = self.jobs.range(..number);
        let first = before.find(|(_, earlier)| meet(&earlier.touched, touched));
        first.map(|(number, _)| *number)
    }

    /// Whether any job touches the lease.
    fn is_touched(&self, id: LeaseId) -> bool {
        let touches = |waiter: &Waiter| waiter.touched.binary_search(&id).is_ok();
        self.jobs.values().any(touches)
    }

    fn is_still_behind(&self, waiter: &Waiter, core: &LessorCore) -> bool {
        match waiter.behind {
            Some(Behind::Job(earlier)) => self.jobs.contains_key(&earlier),
            Some(Behind::Claim(Obstacle::Lease(id))) => core.is_claimed(id),
            Some(Behind::Claim(Obstacle::Other)) | None => false,
        }
    }
}

impl State {
    /// Has a job decided as soon as nothing stands in its way, which the seat is told; without one it
    /// is left with the lessor's own. Returns its number.
    pub(super) fn admit(&mut self, job: Job, seat: Option<Arc<Seat>>) -> u64 {
        let number = self.road.waiting.push(job, seat);
        self.advance();
        number
    }

    /// Decides every job that nothing stands in the way of any more.
    pub(super) fn advance(&mut self) {
        if self.road.is_closed {
            return;
        }
        let mut next = 0;
        while let Some((number, waiter)) = self.road.waiting.jobs.range(next..).next() {
            let number = *number;
            next = number + 1;
            let is_behind = self.road.waiting.is_still_behind(waiter, &self.core);
            if !is_behind && let ControlFlow::Continue(()) = self.look(number) {
                continue;
            }
            // An epoch waits for few, and all others for it: else it might wait for ever.
            let waiter = self.road.waiting.jobs.get(&number);
            if waiter.is_some_and(|waiter| waiter.job.begins_epoch()) {
                break;
            }
        }
    }

    /// Decides a job, or notes what keeps it; then it breaks.
    fn look(&mut self, number: u64) -> ControlFlow<()> {
        let Some(mut waiter) = self.road.waiting.jobs.remove(&number) else {
            return ControlFlow::Continue(());
        };
        let mut rows = WriteBatch::default();
        let command = waiter.job.command.take();
        let decide = |command| self.decide_behind(number, command, &mut rows, &mut waiter);
        match command.map(decide).transpose() {
            Ok(decision) => {
                let decided = waiter.job.decided(decision, rows);
                match waiter.seat {
                    Some(seat) => self.errands.call(seat, Call::Decided(decided)),
                    None => self.put_own(decided),
                }
                ControlFlow::Continue(())
            }
            Err(command) => {
                waiter.job.command = Some(command);
                self.road.waiting.jobs.insert(number, waiter);
                ControlFlow::Break(())
            }
        }
    }

    /// Decides the command of a job unless something stands in its way: that is noted.
    fn decide_behind(
        &mut self,
        number: u64,
        command: Command,
        rows: &mut WriteBatch,
        waiter: &mut Waiter,
    ) -> Result<Decision, Command> {
        let waiting = &self.road.waiting;
        let touched = |core: &LessorCore, command: &Command| {
            let mut touched = core.touched_by(command);
            touched.sort_unstable();
            touched
        };
        let has_earlier = waiting.jobs.range(..number).next().is_some();
        if has_earlier {
            waiter.touched = touched(&self.core, &command);
            if let Some(earlier) = waiting.before(number, &waiter.touched) {
                waiter.behind = Some(Behind::Job(earlier));
                return Err(command);
            }
        }
        match self.core.decide_ahead(command, rows) {
            Ok(decision) => Ok(decision),
            Err((command, obstacle)) => {
                if !has_earlier {
                    waiter.touched = touched(&self.core, &command);
                }
                waiter.behind = Some(Behind::Claim(obstacle));
                Err(command)
            }
        }
    }

    /// Whether a command of this lease, if it came now, would wait.
    pub(super) fn is_busy(&self, id: LeaseId) -> bool {
        self.core.is_claimed(id) || self.road.waiting.is_touched(id)
    }

    /// Takes a job back; `None` if it is decided.
    pub(super) fn withdraw(&mut self, number: u64) -> Option<Job> {
        let waiter = self.road.waiting.jobs.remove(&number)?;
        // Others may have waited behind it.
        self.advance();
        Some(waiter.job)
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
