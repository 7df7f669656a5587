use std::sync::{Arc, MutexGuard, PoisonError};

use super::isolate::isolate;
use super::{CheckpointMode, Driver, Durability, ExpiryMode, Hooks, Shared};
use crate::probe::{planted, sometimes};
use crate::{
    AttemptOutcome, Backend, CheckpointBatch, ExpiredBatch, HostError, LeaseError, Observer,
    Promotion, ProposalOutcome, Revoked, Timestamp, WriteBatch,
};

impl Shared {
    /// Does everything that is due, as far as the host has room for expired leases. Returns when
    /// something is due again.
    pub(super) fn drive_expiry(&self) -> Option<Timestamp> {
        let mut turns = self.state.turns(!self.is_manual());
        loop {
            let now = self.clock.precise_now();
            let mut retired = Vec::new();
            let mut wakes_checkpointer = false;
            let (batch, next) = self.state.with(|state| {
                if state.is_stopped {
                    return (None, None);
                }
                retired = std::mem::take(&mut state.retired);
                state.note_taken(now, self.expired.1.len());
                state.core.handle_timeout(now);
                let waiting = state.outbox.waiting.take();
                let batch = waiting.or_else(|| state.core.poll_expired(now));
                let next = state.core.next_expiry();
                state.alarms.expiry = next.unwrap_or(Timestamp::MAX);
                // The schedule of a promotion brings checkpoints.
                wakes_checkpointer = state.checkpointer_oversleeps();
                (batch, next)
            });
            drop(retired);
            if wakes_checkpointer {
                self.wakers.wake_checkpointer();
            }
            let has_room = batch.is_none_or(|batch| self.dispatch(batch));
            if !has_room || next.is_none_or(|next| next > now) {
                return next;
            }
            turns.give_way();
        }
    }

    /// Hands the batch to whoever revokes. Answers whether there is room for more.
    fn dispatch(&self, batch: ExpiredBatch) -> bool {
        match self.options.expiry {
            ExpiryMode::AutoRevoke => {
                self.observe(|observer| observer.expired(&batch));
                self.auto_revoke(&batch);
                true
            }
            ExpiryMode::Deliver => self.deliver(batch),
        }
    }

    fn deliver(&self, batch: ExpiredBatch) -> bool {
        let name = (batch.epoch, batch.number);
        let copy = self.observer.is_some().then(|| batch.clone());
        match self.expired.0.try_send(batch) {
            Ok(()) => {
                self.state.with(|state| state.outbox.sent.push_back(name));
                if let Some(batch) = copy {
                    self.observe(|observer| observer.expired(&batch));
                }
                true
            }
            Err(full) => {
                let batch = full.into_inner();
                sometimes!("core: the channel of expired leases is full");
                if planted!("full-channel-drops") {
                    return true;
                }
                self.state.with(|state| state.outbox.waiting = Some(batch));
                false
            }
        }
    }

    fn auto_revoke(&self, batch: &ExpiredBatch) {
        if let Err(error) = self.revoke_expired(batch) {
            let now = self.clock.now();
            self.state.with(|state| {
                for revocation in batch.revocations() {
                    if let Some(fence) = revocation.fence {
                        let failed = AttemptOutcome::Failed;
                        state.core.handle_attempt(now, revocation.id, fence, failed);
                    }
                }
            });
            self.observe(|observer| observer.failed(&error));
        }
    }

    pub(super) fn revoke_expired(
        &self,
        batch: &ExpiredBatch,
    ) -> Result<Vec<Result<Revoked, LeaseError>>, LeaseError> {
        let revocations: Vec<_> = batch.revocations().collect();
        self.revoke(&revocations, WriteBatch::default())
    }

    /// Brings due checkpoints to the host's log, or applies them if the host has none. Returns when
    /// one is due again.
    pub(super) fn drive_checkpoints(&self) -> Option<Timestamp> {
        if self.checkpoints_are_polled() {
            return None;
        }
        let mut turns = self.state.turns(!self.is_manual());
        loop {
            let now = self.clock.precise_now();
            let (batch, next) = self.state.with(|state| {
                if state.is_stopped {
                    return (None, None);
                }
                let batch = state.core.poll_checkpoints(now);
                let next = state.core.next_checkpoint();
                state.alarms.checkpoint = next.unwrap_or(Timestamp::MAX);
                (batch, next)
            });
            if let Some(batch) = batch {
                self.propose(&batch);
            }
            if next.is_none_or(|next| next > now) {
                return next;
            }
            turns.give_way();
        }
    }

    fn checkpoints_are_polled(&self) -> bool {
        self.options.checkpoints == CheckpointMode::Polled && self.hooks().checkpointer.is_none()
    }

    fn propose(&self, batch: &CheckpointBatch) {
        let result = match self.hooks().checkpointer {
            None => self
                .checkpoint(&batch.records, WriteBatch::default())
                .map(drop)
                .map_err(|error| (ProposalOutcome::Failed, error)),
            Some(checkpointer) => isolate("checkpointer", || {
                checkpointer.checkpoint(&batch.records, self.options.checkpoint_timeout)
            })
            .and_then(|result| result.map_err(HostError::new))
            .map_err(|error| (ProposalOutcome::Unknown, LeaseError::Checkpointer(error))),
        };
        let outcome = match &result {
            Ok(()) => ProposalOutcome::Applied,
            Err((outcome, _)) => *outcome,
        };
        let now = self.clock.now();
        self.state
            .with(|state| state.core.handle_checkpoints(now, batch, outcome));
        if let Err((_, error)) = result {
            self.observe(|observer| observer.failed(&error));
        }
    }

    /// When the pending writes are to be committed.
    pub(super) fn flush_due(&self) -> Option<Timestamp> {
        let Durability::Batched {
            interval,
            max_writes,
        } = self.options.durability
        else {
            return None;
        };
        self.state
            .read(|state| state.journal.due(interval, max_writes.get()))
    }

    /// Commits the pending writes if they are due. Returns when they are due again.
    pub(super) fn drive_flush(&self) -> Option<Timestamp> {
        let due = self.flush_due()?;
        if due <= self.clock.precise_now()
            && let Err(error) = self.flush()
        {
            self.observe(|observer| observer.failed(&LeaseError::Backend(error.clone())));
        }
        self.flush_due()
    }

    /// When a lessor that is driven by hand has something to do.
    pub(super) fn next_wakeup(&self) -> Option<Timestamp> {
        let (expiry, checkpoint) = self.state.with(|state| {
            let expiry = if state.outbox.waiting.is_none() {
                state.core.next_expiry()
            } else if self.expired.0.is_full() {
                // The host has to make room first; look again when it is likely to have.
                let pause = state.core.config().expired_lease_retry_interval;
                Some(state.core.now().saturating_add(pause))
            } else {
                Some(Timestamp::ZERO)
            };
            (expiry, state.core.next_checkpoint())
        });
        let flush = self.flush_due();
        [expiry, checkpoint, flush].into_iter().flatten().min()
    }

    pub(super) fn is_primary(&self) -> bool {
        self.state.read(|state| state.core.is_primary())
    }

    /// Keeps what a change of the role has left until the driver runs again: to drop it takes time in
    /// proportion to the leases, which nobody is to wait for.
    pub(super) fn dispose(&self, promotion: Promotion) {
        if let Promotion::Changed(Some(retired)) = promotion {
            self.state.with(|state| state.retired.push(retired));
        }
    }

    pub(super) fn is_manual(&self) -> bool {
        self.options.driver == Driver::Manual
    }

    pub(super) fn has_range_deleter(&self) -> bool {
        let hooks = self.hooks.lock();
        let hooks = hooks.unwrap_or_else(PoisonError::into_inner);
        hooks.range_deleter.is_some()
    }

    pub(super) fn hooks(&self) -> Hooks {
        let hooks = self.hooks.lock();
        hooks.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn lock_backend(&self) -> MutexGuard<'_, Arc<dyn Backend>> {
        self.backend
            .lock()
            .expect("a backend's panic is caught before it reaches the lock")
    }

    #[inline]
    pub(super) fn observe(&self, tell: impl FnOnce(&dyn Observer)) {
        if let Some(observer) = &self.observer {
            // Nobody waits for an observer's panic.
            let _ = isolate("observer", || tell(&**observer));
        }
    }

    pub(super) fn wake_oversleepers(&self) {
        let oversleepers = self.state.with(|state| state.oversleepers());
        self.wakers.wake(false, oversleepers);
    }
}

impl super::state::State {
    /// Tells the core which batches the host has taken out of the channel.
    fn note_taken(&mut self, now: Timestamp, in_channel: usize) {
        while self.outbox.sent.len() > in_channel {
            if let Some((epoch, number)) = self.outbox.sent.pop_front()
                && self.core.primary_epoch() == Some(epoch)
            {
                self.core.handle_taken(now, number + 1);
            }
        }
    }
}
