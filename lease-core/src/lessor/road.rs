use super::Shared;
use super::job::{Call, Decided, Done, Job, Seat};
use super::state::State;
use crate::sync::{Arc, Deadline};
use crate::{
    BoxError, Command, Decision, HostError, LeaseError, LeaseId, LeaseItem, RangeDeleter,
    Timestamp, WriteBatch,
};

/// What has become of a job.
pub(super) enum Outcome {
    Done(Done),
    /// A recovery or an epoch has come between: it is to be decided again.
    Void(Job),
}

/// The next step of a decided job.
pub(super) enum Step {
    Apply(Decided),
    Wait(Option<Decision>),
    Write(Option<Decision>),
    Void(Job),
    // Also what the command was, to be freed without the lock.
    Refuse(LeaseError, Option<Command>),
}

impl Shared {
    /// Takes a job down the road, to its end.
    pub(super) fn go(&self, job: Job) -> Result<Done, LeaseError> {
        self.go_until(job, &Deadline::after(None))
    }

    /// As [`go`](Self::go), but other commands are not waited for beyond the deadline.
    ///
    /// # Errors
    ///
    /// Also [`LeaseError::DeadlineExceeded`].
    pub(super) fn go_until(&self, job: Job, deadline: &Deadline) -> Result<Done, LeaseError> {
        let result = self.travel(job, deadline);
        self.help();
        result
    }

    fn travel(&self, mut job: Job, deadline: &Deadline) -> Result<Done, LeaseError> {
        // A clock that fails has the command refused before anything is decided.
        self.time()?;
        loop {
            // While this thread waits it carries out nothing.
            self.help();
            self.make_room()?;
            let decided = self.decide(job, deadline)?;
            match self.carry_out(decided)? {
                Outcome::Done(done) => return Ok(done),
                Outcome::Void(again) => job = again,
            }
        }
    }

    /// Waits until the job is decided.
    fn decide(&self, job: Job, deadline: &Deadline) -> Result<Decided, LeaseError> {
        // While this thread waits it carries out nothing.
        self.help();
        let seat = Seat::new();
        let is_inside = self.state.is_inside();
        let number = self.state.with(|state| -> Result<_, LeaseError> {
            state.check_running()?;
            Ok(state.admit(job, Some(Arc::clone(&seat))))
        })?;
        let call = if is_inside {
            // Code of the host's that a command of this thread's has called: it could wait for that.
            seat.try_next()
        } else {
            match deadline.left() {
                None => Some(seat.next()),
                Some(left) => seat.next_timeout(left),
            }
        };
        let call = match call {
            Some(call) => call,
            None if self.state.with(|state| state.withdraw(number)).is_some() => {
                return Err(if is_inside {
                    LeaseError::Reentrant
                } else {
                    LeaseError::DeadlineExceeded
                });
            }
            // It was decided at the last moment.
            None => seat.next(),
        };
        match call {
            Call::Decided(decided) => Ok(*decided),
            _ => Err(LeaseError::Stopped),
        }
    }

    /// Takes a decided job to its end, and tells the observer what is revoked by it, or whose items it has
    /// changed.
    pub(super) fn carry_out(&self, decided: Decided) -> Result<Outcome, LeaseError> {
        let told = self.items_to_tell(&decided);
        let outcome = self.write_and_apply(decided)?;
        if let Outcome::Done(done) = &outcome
            && let Some((Command::Revoke(_) | Command::Attach { .. } | Command::Detach { .. }, _)) =
                done
        {
            // An observer may wait for what its end has let be decided.
            self.help();
            self.tell_done(done, &told);
        }
        Ok(outcome)
    }

    fn write_and_apply(&self, mut decided: Decided) -> Result<Outcome, LeaseError> {
        if decided.is_dropped() {
            return Ok(Outcome::Done(self.apply_decision(decided.decision.take())));
        }
        if let Err(error) = self.delete_items(&mut decided) {
            self.abandon(decided.decision.take());
            return Err(error);
        }
        self.store_items(&mut decided);
        let seat = Seat::new();
        let now = self.time_inside();
        let step = self.state.with(|state| {
            let is_inside_commit = state.road.writer == Some(seat.thread);
            state.enter(decided, &seat, now, is_inside_commit)
        });
        self.take_step(step, &seat, now)
    }

    /// Takes a job that was to be written to its end.
    pub(super) fn take_step(
        &self,
        step: Step,
        seat: &Seat,
        now: Timestamp,
    ) -> Result<Outcome, LeaseError> {
        match step {
            Step::Apply(mut decided) => Ok(Outcome::Done(
                self.apply_decision_at(now, decided.decision.take()),
            )),
            Step::Void(job) => Ok(Outcome::Void(job)),
            Step::Refuse(error, _command) => Err(error),
            Step::Wait(decision) => self.await_commit(seat, decision),
            Step::Write(decision) => {
                // The outcome comes to the seat.
                let _ = self.write_as_writer();
                self.await_commit(seat, decision)
            }
        }
    }

    fn await_commit(&self, seat: &Seat, decision: Option<Decision>) -> Result<Outcome, LeaseError> {
        loop {
            match seat.next() {
                Call::Write => drop(self.write_as_writer()),
                Call::Written(Ok(())) => return Ok(Outcome::Done(self.apply_decision(decision))),
                Call::Written(Err(error)) => {
                    self.abandon(decision);
                    return Err(LeaseError::Backend(error));
                }
                Call::Stopped | Call::Decided(_) => {
                    self.abandon(decision);
                    self.decline_to_write();
                    return Err(LeaseError::Stopped);
                }
            }
        }
    }

    /// What is written happens now.
    pub(super) fn apply_decision(&self, decision: Option<Decision>) -> Done {
        let now = self.time_inside();
        self.apply_decision_at(now, decision)
    }

    fn apply_decision_at(&self, now: Timestamp, decision: Option<Decision>) -> Done {
        let mut decision = decision?;
        let mut apply_some = || {
            self.state.with(|state| {
                let has_more = state.core.apply_some(now, &mut decision);
                if !has_more {
                    state.advance();
                }
                has_more
            })
        };
        while apply_some() {
            self.state.give_way();
        }
        Some(decision.into_parts())
    }

    pub(super) fn abandon(&self, decision: Option<Decision>) {
        // What is left of it is freed without the lock.
        let _command = self.state.with(|state| {
            let command = decision.map(|decision| state.core.abandon(decision));
            state.advance();
            command
        });
    }

    /// Has the host delete the items of the leases that are revoked.
    fn delete_items(&self, decided: &mut Decided) -> Result<(), LeaseError> {
        let leases = decided.decision.as_ref().map_or(&[][..], Decision::revoked);
        if leases.is_empty() {
            return Ok(());
        }
        let (deleter, leases) = self.state.read(|state| {
            let leases = leases.iter().copied();
            let leases: Vec<_> = leases.filter(|id| state.core.has_items(*id)).collect();
            (state.range_deleter.clone(), leases)
        });
        let Some(deleter) = deleter.filter(|_| !leases.is_empty()) else {
            return Ok(());
        };
        let mut rows = WriteBatch::default();
        let mut delete = |id: &LeaseId| {
            let items = self.items_of_claimed(*id);
            let delete = || delete_items(&*deleter, &items, &mut rows);
            let deleted = self.state.isolate_inside("range deleter", delete)?;
            deleted.map_err(HostError::new)
        };
        let result = leases.iter().try_for_each(&mut delete);
        let result = result.and_then(|()| self.check_writes(&rows).map_err(HostError::new));
        decided.rows.append(&mut rows);
        result.map_err(LeaseError::RangeDeleter)
    }

    /// Has everybody else wait who wants to do what the job does, until it is
    /// [released](Self::release).
    pub(super) fn claim(&self, job: Job) -> Result<Decided, LeaseError> {
        self.decide(job, &Deadline::after(None))
    }

    /// Ends a claim without doing anything.
    pub(super) fn release(&self, claim: Decided) {
        self.abandon(claim.decision);
        self.help();
    }
}

fn delete_items(
    deleter: &dyn RangeDeleter,
    items: &[LeaseItem],
    rows: &mut WriteBatch,
) -> Result<(), BoxError> {
    let mut deletes = deleter.begin(rows)?;
    for item in items {
        deletes.delete_range(item.as_bytes(), None)?;
    }
    deletes.end()
}

impl State {
    /// Whether a command can be decided and applied at once.
    #[inline]
    pub(super) fn is_road_free(&self) -> bool {
        self.road.waiting.is_empty() && !self.road.is_closed && !self.core.has_claims()
    }

    /// Takes a decided job to where it is written. `is_inside_commit` says that this thread is the writer
    /// and in the backend's code.
    pub(super) fn enter(
        &mut self,
        mut decided: Decided,
        seat: &Arc<Seat>,
        now: Timestamp,
        is_inside_commit: bool,
    ) -> Step {
        // An epoch that a crash could take back would come twice, and its fencing tokens with it.
        let begins_epoch = decided
            .decision
            .as_ref()
            .is_some_and(Decision::begins_epoch);
        let is_durable = self.journal.is_none() || begins_epoch;
        let refusal = if self.is_stopped || self.is_torn {
            Some(LeaseError::Stopped)
        } else if is_durable && is_inside_commit {
            // It is called from inside a commit, and would wait for that.
            Some(LeaseError::Reentrant)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            let command = decided.decision.take().map(|one| self.core.abandon(one));
            self.advance();
            return Step::Refuse(refusal, command);
        }
        let may_enter = |decision: &mut Decision| self.core.enter(decision);
        if self.road.is_closed || !decided.decision.as_mut().is_none_or(may_enter) {
            let command = decided.decision.map(|one| self.core.abandon(one));
            self.advance();
            return Step::Void(Job {
                command,
                writes: decided.writes,
                refusal: decided.refusal,
                purpose: decided.purpose,
                stood_aside: 0,
            });
        }
        let mut batch = std::mem::take(&mut decided.writes);
        batch.append(&mut decided.rows);
        match &mut self.journal {
            _ if batch.is_empty() => Step::Apply(decided),
            Some(journal) if !is_durable => {
                journal.pending.append(&mut batch);
                journal.touch(now);
                Step::Apply(decided)
            }
            _ => {
                self.road.ready.push((batch, Arc::clone(seat)));
                if self.road.writer.is_some() {
                    Step::Wait(decided.decision)
                } else {
                    self.road.writer = Some(seat.thread);
                    Step::Write(decided.decision)
                }
            }
        }
    }

    /// Ends the wait of everybody on the road.
    pub(super) fn clear_road(&mut self) {
        let waiting = self.road.waiting.clear();
        let ready = std::mem::take(&mut self.road.ready);
        for seat in waiting.chain(ready.into_iter().map(|(_, seat)| seat)) {
            self.errands.call(seat, Call::Stopped);
        }
    }
}
