use std::time::Duration;

use crossbeam_channel::Receiver;

use super::isolate::isolate;
use super::wait::tell;
use super::{CheckpointMode, Shared};
use crate::{
    Checkpoint, HostError, LeaseError, LeaseId, Renewal, Ticket, TicketOutcome, Timestamp, Ttl,
};

/// How many leases are renewed before the lock is given to others.
const RENEWALS_PER_LOCK: usize = 256;

/// Where a blocking renewal stands.
enum Step {
    Renewed(Ttl),
    Wait(Ticket, Receiver<TicketOutcome>),
    Reset(Checkpoint),
}

impl Shared {
    /// Renews a lease without waiting for anything.
    #[inline]
    pub(super) fn try_renew(&self, id: LeaseId) -> Result<Renewal, LeaseError> {
        let now = self.clock.now();
        match self.renew_plain(now, id) {
            Some(ttl) => Ok(Renewal::Renewed(ttl)),
            None => self.renew_alone(now, id),
        }
    }

    /// Renews a lease and waits, at most `timeout`, for what stands in the way.
    #[inline]
    pub(super) fn renew(&self, id: LeaseId, timeout: Duration) -> Result<Ttl, LeaseError> {
        let now = self.clock.now();
        match self.renew_plain(now, id) {
            Some(ttl) => Ok(ttl),
            None => self.renew_patiently(now, id, timeout),
        }
    }

    /// Renews a lease that nothing stands in the way of, beside others who do the same.
    #[inline]
    fn renew_plain(&self, now: Timestamp, id: LeaseId) -> Option<Ttl> {
        let ttl = self.state.read(|state| state.renew_plain(now, id))?;
        self.renewed.add(1);
        self.observe(|observer| observer.renewed(id, ttl));
        Some(ttl)
    }

    /// Renews a lease under the lock alone: if something stands in the way, and for the first
    /// renewal of a millisecond, which moves the lessor's time on for the others.
    #[cold]
    #[inline(never)]
    fn renew_alone(&self, now: Timestamp, id: LeaseId) -> Result<Renewal, LeaseError> {
        let renewal = self.state.with(|state| {
            state.check_running()?;
            state.core.renew(now, id)
        })?;
        if let Renewal::Renewed(ttl) = renewal {
            self.observe(|observer| observer.renewed(id, ttl));
        }
        Ok(renewal)
    }

    /// Renews leases without waiting for anything, many under each hold of the lock.
    pub(super) fn renew_many(&self, ids: &[LeaseId]) -> Vec<Result<Renewal, LeaseError>> {
        let mut answers = Vec::with_capacity(ids.len());
        for ids in ids.chunks(RENEWALS_PER_LOCK) {
            let now = self.clock.now();
            let start = answers.len();
            let mut renewed = 0;
            self.state.read(|state| {
                state.renew_plain_many(now, ids, |ttl| {
                    renewed += u64::from(ttl.is_some());
                    // Looked at again below, and not seen if it stays.
                    answers.push(ttl.map_or(Err(LeaseError::LeaseNotFound), |ttl| {
                        Ok(Renewal::Renewed(ttl))
                    }));
                });
            });
            self.renewed.add(renewed);
            if renewed < ids.len() as u64 {
                self.state.with(|state| {
                    for (id, answer) in ids.iter().zip(&mut answers[start..]) {
                        if answer.is_err() {
                            let running = state.check_running();
                            *answer = running.and_then(|()| state.core.renew(now, *id));
                        }
                    }
                });
            }
        }
        if self.observer.is_some() {
            for (id, answer) in ids.iter().zip(&answers) {
                if let Ok(Renewal::Renewed(ttl)) = answer {
                    self.observe(|observer| observer.renewed(*id, *ttl));
                }
            }
        }
        answers
    }

    #[cold]
    #[inline(never)]
    fn renew_patiently(
        &self,
        now: Timestamp,
        id: LeaseId,
        timeout: Duration,
    ) -> Result<Ttl, LeaseError> {
        if let Renewal::Renewed(ttl) = self.renew_alone(now, id)? {
            return Ok(ttl);
        }
        let deadline = self.clock.precise_now().saturating_add(timeout);
        loop {
            let left = deadline.saturating_duration_since(self.clock.precise_now());
            match self.renew_step(id)? {
                Step::Renewed(ttl) => {
                    self.observe(|observer| observer.renewed(id, ttl));
                    return Ok(ttl);
                }
                Step::Wait(ticket, outcome) => self.await_outcome(ticket, &outcome, left)?,
                Step::Reset(_) if left.is_zero() => return Err(LeaseError::DeadlineExceeded),
                Step::Reset(checkpoint) => self.reset(checkpoint, left)?,
            }
        }
    }

    /// One look at the lease; if it has to be waited for, the wait begins under the same lock.
    fn renew_step(&self, id: LeaseId) -> Result<Step, LeaseError> {
        let now = self.clock.now();
        self.state.with(|state| {
            state.check_running()?;
            Ok(match state.core.renew(now, id)? {
                Renewal::Renewed(ttl) => Step::Renewed(ttl),
                Renewal::Reset(checkpoint) => Step::Reset(checkpoint),
                Renewal::Expiring => {
                    let ticket = state.core.wait_for(id).ok_or(LeaseError::LeaseNotFound)?;
                    let (answer, outcome) = crossbeam_channel::bounded(1);
                    state.enlist(ticket, tell(answer));
                    Step::Wait(ticket, outcome)
                }
            })
        })
    }

    /// Waits for the end of an expired lease. Returns if the lease may be asked for again.
    #[expect(
        clippy::disallowed_methods,
        reason = "the blocking form of renew waits in real time; a simulation uses try_renew"
    )]
    fn await_outcome(
        &self,
        ticket: Ticket,
        outcome: &Receiver<TicketOutcome>,
        left: Duration,
    ) -> Result<(), LeaseError> {
        match outcome.recv_timeout(left) {
            Ok(TicketOutcome::Retry) => Ok(()),
            Ok(TicketOutcome::Revoked) => Err(LeaseError::LeaseNotFound),
            Ok(TicketOutcome::NotPrimary) => Err(LeaseError::NotPrimary),
            Err(_) => {
                self.state.with(|state| state.dismiss(ticket));
                Err(LeaseError::DeadlineExceeded)
            }
        }
    }

    /// Takes a lease's checkpoint back, through the host's log or here if the host has none.
    fn reset(&self, checkpoint: Checkpoint, left: Duration) -> Result<(), LeaseError> {
        match self.hooks().checkpointer {
            None if self.options.checkpoints == CheckpointMode::Local => {
                self.checkpoint(&[checkpoint], Default::default()).map(drop)
            }
            None => Err(LeaseError::Checkpointer(HostError::new(
                "none is set, and try_renew was not used",
            ))),
            Some(checkpointer) => isolate("checkpointer", || {
                checkpointer.checkpoint(&[checkpoint], left)
            })
            .and_then(|result| result.map_err(HostError::new))
            .map_err(LeaseError::Checkpointer),
        }
    }
}
