use std::ops::ControlFlow;

use super::job::{Call, Job, Seat};
use super::state::State;
use super::waiting::{Behind, Waiter};
use crate::sync::Arc;
use crate::{Command, Decision, LeaseId, LessorCore, WriteBatch};

impl State {
    /// Has a job decided as soon as nothing stands in its way, which the seat is told; without one it
    /// is left with the lessor's own. Returns its number.
    pub(super) fn admit(&mut self, job: Job, seat: Option<Arc<Seat>>) -> u64 {
        let waits_for_epoch = self.road.waiting.has_epoch();
        let number = self.road.waiting.push(job, seat);
        // The others are looked at when what keeps them is gone.
        if !waits_for_epoch && !self.is_kept() {
            let _decided = self.look(number);
        }
        number
    }

    /// Decides every job that nothing stands in the way of any more.
    pub(super) fn advance(&mut self) {
        if self.is_kept() {
            return;
        }
        self.ring_kept();
        let mut next = 0;
        while let Some((number, waiter)) = self.road.waiting.head_from(next) {
            next = number + 1;
            if !waiter.is_kept(&self.core)
                && let ControlFlow::Continue(()) = self.look(number)
            {
                continue;
            }
            // An epoch waits for few, and all others for it: else it might wait for ever.
            if self.road.waiting.begins_epoch(number) {
                break;
            }
        }
    }

    /// Decides a job, or notes what keeps it; then it breaks.
    fn look(&mut self, number: u64) -> ControlFlow<()> {
        let Some(mut waiter) = self.road.waiting.take(number) else {
            return ControlFlow::Continue(());
        };
        let mut own = None;
        if waiter.seat.is_none() {
            match self.call_own(waiter.job) {
                Some((kind, left_to, job)) => (own, waiter.job) = (Some((kind, left_to)), job),
                None => {
                    self.left(number);
                    return ControlFlow::Continue(());
                }
            }
        }
        let mut rows = WriteBatch::default();
        let command = waiter.job.command.take();
        let decide = |command| self.decide_behind(number, command, &mut rows, &mut waiter);
        match command.map(decide).transpose() {
            Ok(decision) => {
                self.left(number);
                let decided = waiter.job.decided(decision, rows);
                match (waiter.seat, own) {
                    (Some(seat), _) => self.errands.call(seat, Call::Decided(decided)),
                    (None, Some((kind, left_to))) => self.leave_own(kind, decided, left_to),
                    (None, None) => unreachable!("somebody waits, or it is the lessor's own"),
                }
                ControlFlow::Continue(())
            }
            Err(command) => {
                waiter.job.command = Some(command);
                self.road.waiting.put(number, waiter);
                ControlFlow::Break(())
            }
        }
    }

    fn left(&mut self, number: u64) {
        self.road.waiting.left(number);
        if let Some(kind) = self.own.end_rest(number) {
            self.ring_own(kind);
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
            touched.dedup();
            touched
        };
        let has_earlier = waiting.has_before(number);
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

    /// Whether no command can be decided: a recovery or an epoch is under way.
    pub(super) fn is_kept(&self) -> bool {
        self.road.is_closed || self.core.is_epoch_claimed()
    }

    /// Whether a job is in the line.
    pub(super) fn is_waiting(&self, number: u64) -> bool {
        self.road.waiting.contains(number)
    }

    /// Whether a command of this lease, if it came now, would wait.
    pub(super) fn is_busy(&self, id: LeaseId) -> bool {
        self.core.is_claimed(id) || self.road.waiting.is_touched(id)
    }

    /// Takes a job back; `None` if it is decided.
    pub(super) fn withdraw(&mut self, number: u64) -> Option<Job> {
        let waiter = self.road.waiting.withdraw(number)?;
        // Others may have waited behind it.
        self.advance();
        Some(waiter.job)
    }
}
