use std::future::poll_fn;
use std::time::Duration;

use super::checkpoints::host_polls;
use super::job::{Job, Refusal};
use super::resets::ResetDone;
use super::{CheckpointMode, Shared, Wait};
use crate::observer::LessorEvent;
use crate::probe::{planted, sized};
use crate::sync::{Arc, Bell, Deadline, Slot, Weak};
use crate::{
    Checkpoint, HostError, LeaseError, LeaseId, Renewal, Ticket, TicketOutcome, Timestamp, Ttl,
    WriteBatch,
};

/// How many leases are renewed before the lock is given to others.
const RENEWALS_PER_LOCK: usize = 256;

/// How long a renewal waits before it asks for the same reset again.
const RESET_PAUSE: Duration = Duration::from_millis(10);

const NO_TIME: Duration = Duration::ZERO;

/// What a renewal waits for.
enum Obstacle {
    Revoke(Ticket, Arc<Slot<TicketOutcome>>),
    Reset(Checkpoint),
}

impl Shared {
    /// Renews a lease without waiting for anything.
    #[inline]
    pub(super) fn try_renew(&self, id: LeaseId) -> Result<Renewal, LeaseError> {
        let now = self.time()?;
        match self.renew_shared(now, id) {
            Some(ttl) => Ok(Renewal::Renewed(ttl)),
            None => self.renew_exclusive(now, id),
        }
    }

    /// Renews a lease and waits, at most `timeout`, for what stands in the way.
    #[inline]
    pub(super) fn renew(&self, id: LeaseId, timeout: Duration) -> Result<Ttl, LeaseError> {
        let now = self.time()?;
        match self.renew_shared(now, id) {
            Some(ttl) => Ok(ttl),
            None => self.renew_slow(now, id, timeout),
        }
    }

    /// Renews a lease that nothing stands in the way of, beside others who do the same.
    #[inline]
    fn renew_shared(&self, now: Timestamp, id: LeaseId) -> Option<Ttl> {
        let renewed = self.state.renew(|state| {
            let renewed = if state.is_stopped {
                None
            } else {
                state.core.renew_shared(now, id)
            };
            (u64::from(renewed.is_some()), renewed)
        });
        let ttl = renewed?;
        self.observe(|| LessorEvent::Renewed { id, ttl });
        Some(ttl)
    }

    /// Renews a lease under the lock alone: if something stands in the way, and for the first
    /// renewal of a millisecond, which moves the lessor's time on for the others.
    #[cold]
    #[inline(never)]
    fn renew_exclusive(&self, now: Timestamp, id: LeaseId) -> Result<Renewal, LeaseError> {
        let renewal = self.state.with(|state| {
            state.check_running()?;
            state.core.renew(now, id)
        })?;
        if let Renewal::Renewed(ttl) = renewal {
            self.observe(|| LessorEvent::Renewed { id, ttl });
        }
        Ok(renewal)
    }

    /// Renews leases without waiting for anything, many under each hold of the lock.
    pub(super) fn renew_many(&self, ids: &[LeaseId]) -> Vec<Result<Renewal, LeaseError>> {
        let mut answers = Vec::with_capacity(ids.len());
        for ids in ids.chunks(sized!(RENEWALS_PER_LOCK)) {
            self.renew_chunk(ids, &mut answers);
        }
        if self.is_observed() {
            for (id, answer) in ids.iter().zip(&answers) {
                if let Ok(Renewal::Renewed(ttl)) = *answer {
                    self.observe(|| LessorEvent::Renewed { id: *id, ttl });
                }
            }
        }
        answers
    }

    fn renew_chunk(&self, ids: &[LeaseId], answers: &mut Vec<Result<Renewal, LeaseError>>) {
        let start = answers.len();
        let now = match self.time() {
            Ok(now) => now,
            Err(error) => {
                answers.resize(start + ids.len(), Err(error));
                return;
            }
        };
        let renewed = self.state.renew(|state| {
            let mut renewed = 0;
            let mut answer = |ttl: Option<Ttl>| {
                let is_counted = !planted!("renewals-of-many-not-counted");
                renewed += u64::from(ttl.is_some() && is_counted);
                // Looked at again below, and not seen if it stays.
                let answer = ttl.map(Renewal::Renewed);
                answers.push(answer.ok_or(LeaseError::LeaseNotFound));
            };
            if state.is_stopped {
                ids.iter().for_each(|_| answer(None));
            } else {
                state.core.renew_shared_many(now, ids, answer);
            }
            (renewed, renewed)
        });
        if renewed == ids.len() as u64 {
            return;
        }
        self.state.with(|state| {
            for (id, answer) in ids.iter().zip(&mut answers[start..]) {
                if answer.is_err() {
                    let running = state.check_running();
                    *answer = running.and_then(|()| state.core.renew(now, *id));
                }
            }
        });
    }

    #[cold]
    #[inline(never)]
    fn renew_slow(
        &self,
        now: Timestamp,
        id: LeaseId,
        timeout: Duration,
    ) -> Result<Ttl, LeaseError> {
        if let Renewal::Renewed(ttl) = self.renew_exclusive(now, id)? {
            return Ok(ttl);
        }
        let deadline = self.precise_time()?.saturating_add(timeout);
        let mut reset = None;
        loop {
            let now = self.precise_time()?;
            let left = deadline.saturating_duration_since(now);
            match self.renew_or_wait(now, id)? {
                Ok(ttl) => return Ok(ttl),
                Err(Obstacle::Revoke(ticket, slot)) => {
                    // Within a command of this thread's the revoke might be that one.
                    let is_inside = self.state.is_inside();
                    let outcome = slot.take_waiting(Some(if is_inside { NO_TIME } else { left }));
                    let Some(outcome) = outcome else {
                        self.state.with(|state| state.dismiss(ticket));
                        return Err(if is_inside {
                            LeaseError::Reentrant
                        } else {
                            LeaseError::DeadlineExceeded
                        });
                    };
                    return Err(error_of(outcome));
                }
                Err(Obstacle::Reset(_)) if self.state.is_inside() => {
                    return Err(LeaseError::Reentrant);
                }
                Err(Obstacle::Reset(_)) if left.is_zero() => {
                    return Err(LeaseError::DeadlineExceeded);
                }
                Err(Obstacle::Reset(checkpoint)) => {
                    if reset.replace(checkpoint) == Some(checkpoint) {
                        // It was reported as applied, and is not, or not yet.
                        Bell::default().wait_timeout(RESET_PAUSE.min(left));
                    }
                    self.reset(checkpoint, left)?;
                }
            }
        }
    }

    /// One look at the lease; if it has to be waited for, the wait begins under the same lock.
    fn renew_or_wait(
        &self,
        now: Timestamp,
        id: LeaseId,
    ) -> Result<Result<Ttl, Obstacle>, LeaseError> {
        let renewed = self.state.with(|state| {
            state.check_running()?;
            Ok::<_, LeaseError>(match state.core.renew(now, id)? {
                Renewal::Renewed(ttl) => Ok(ttl),
                Renewal::Reset(checkpoint) => Err(Obstacle::Reset(checkpoint)),
                Renewal::Expiring => {
                    let ticket = state.core.wait_for(id).ok_or(LeaseError::LeaseNotFound)?;
                    Err(Obstacle::Revoke(ticket, state.enlist(ticket)))
                }
            })
        })?;
        if let Ok(ttl) = renewed {
            self.observe(|| LessorEvent::Renewed { id, ttl });
        }
        Ok(renewed)
    }

    /// Takes a lease's checkpoint back. The lessor's own thread does it, so that a backend or a host
    /// that hangs does not keep the caller beyond `left`; if there is none, the caller does it.
    fn reset(&self, checkpoint: Checkpoint, left: Duration) -> Result<(), LeaseError> {
        if self.is_manual() {
            return self.reset_here(checkpoint, left);
        }
        let done = self.request_reset(checkpoint, false)?;
        let result = done.take_waiting(Some(left));
        result.unwrap_or(Err(LeaseError::DeadlineExceeded))
    }

    /// Takes a lease's checkpoint back, where no thread of the lessor's does.
    fn reset_here(&self, checkpoint: Checkpoint, left: Duration) -> Result<(), LeaseError> {
        match self.state.read(|state| state.checkpoints.clone()) {
            CheckpointMode::Local => {
                let job = Job::new(checkpoint.into(), WriteBatch::default(), Refusal::Drops);
                self.go_until(job, &Deadline::after(Some(left))).map(drop)
            }
            mode => self.bring_checkpoints(&mode, &[checkpoint], left),
        }
    }

    /// Has whoever proposes checkpoints take one back. `again` says that this was done already, and
    /// that the lease still needs it.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Checkpointer`] if the host's said that it had applied it, and did not.
    fn request_reset(
        &self,
        checkpoint: Checkpoint,
        again: bool,
    ) -> Result<Arc<ResetDone>, LeaseError> {
        self.state.with(|state| {
            state.check_running()?;
            match state.checkpoints {
                CheckpointMode::Polled => Err(host_polls()),
                CheckpointMode::Proposed(_) if again && !state.is_void(&checkpoint) => {
                    let cause = "a reset was reported as applied and had no effect";
                    Err(LeaseError::Checkpointer(HostError::new(cause)))
                }
                _ => Ok(state.want_reset(checkpoint)),
            }
        })
    }
}

/// Renews a lease and waits for what stands in the way, without blocking the thread or keeping the
/// lessor.
pub(super) async fn renew_async(shared: Weak<Shared>, id: LeaseId) -> Result<Ttl, LeaseError> {
    let mut reset = None;
    loop {
        let obstacle = {
            let shared = shared.upgrade().ok_or(LeaseError::Stopped)?;
            let now = shared.time()?;
            if let Some(ttl) = shared.renew_shared(now, id) {
                return Ok(ttl);
            }
            match shared.renew_or_wait(now, id)? {
                Ok(ttl) => return Ok(ttl),
                Err(Obstacle::Revoke(ticket, slot)) => Ok(Wait::new(&shared, ticket, slot)),
                Err(Obstacle::Reset(checkpoint)) => {
                    let again = reset.replace(checkpoint) == Some(checkpoint);
                    Err(shared.request_reset(checkpoint, again)?)
                }
            }
        };
        match obstacle {
            Ok(wait) => return Err(error_of(wait.await)),
            Err(done) => poll_fn(|cx| done.poll_take(cx)).await?,
        }
    }
}

/// The error of a renewal whose lease has come to its end.
const fn error_of(outcome: TicketOutcome) -> LeaseError {
    match outcome {
        TicketOutcome::Revoked => LeaseError::LeaseNotFound,
        TicketOutcome::NotPrimary => LeaseError::NotPrimary,
    }
}
