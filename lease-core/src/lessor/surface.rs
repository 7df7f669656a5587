use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::{BackendLessor, Hooks};
use crate::lease::Remaining;
use crate::lessor_trait::Lessor;
use crate::machine::Listing;
use crate::{
    Answer, AttemptOutcome, Backend, BackendError, Checkpoint, CheckpointBatch, Checkpointer,
    Command, Epoch, ExpiredBatch, ExpiryFence, Grant, Lease, LeaseError, LeaseId, LeaseItem,
    Promotion, ProposalOutcome, RangeDeleter, Renewal, Revocation, Revoked, Timestamp, Ttl,
    WriteBatch,
};

impl Lessor for BackendLessor {
    fn set_range_deleter(&self, range_deleter: Arc<dyn RangeDeleter>) {
        self.set_hook(|hooks| hooks.range_deleter = Some(range_deleter));
    }

    fn set_checkpointer(&self, checkpointer: Arc<dyn Checkpointer>) {
        self.set_hook(|hooks| hooks.checkpointer = Some(checkpointer));
    }

    fn grant(&self, id: LeaseId, ttl: i64) -> Result<Lease, LeaseError> {
        let ttl = self.admit_ttl(ttl)?;
        let (incarnation, runs) = self.shared.grant(&Grant::new(id, ttl))?;
        let mut lease = Lease::new(id, ttl);
        lease.incarnation = incarnation;
        if runs {
            lease.remaining = Remaining::millis(ttl.as_millis());
        }
        Ok(lease)
    }

    fn revoke(&self, id: LeaseId) -> Result<(), LeaseError> {
        let answers = self
            .shared
            .revoke(&[Revocation::by_user(id)], WriteBatch::default())?;
        answers.into_iter().try_for_each(|answer| answer.map(drop))
    }

    fn revoke_many(&self, ids: &[LeaseId]) -> Result<Vec<Result<(), LeaseError>>, LeaseError> {
        let revocations: Vec<_> = ids.iter().copied().map(Revocation::by_user).collect();
        let answers = self.shared.revoke(&revocations, WriteBatch::default())?;
        Ok(answers.into_iter().map(|answer| answer.map(drop)).collect())
    }

    fn revoke_expired(
        &self,
        batch: &ExpiredBatch,
    ) -> Result<Vec<Result<Revoked, LeaseError>>, LeaseError> {
        self.shared.revoke_expired(batch)
    }

    fn checkpoint(&self, id: LeaseId, remaining: i64) -> Result<(), LeaseError> {
        let remaining = match remaining {
            0 => None,
            secs => Some(Ttl::new(secs).map_err(|_| LeaseError::RemainingTtlOutOfRange)?),
        };
        let checkpoint = Checkpoint::new(id, remaining);
        self.shared
            .checkpoint(&[checkpoint], WriteBatch::default())
            .map(drop)
    }

    fn attach(&self, id: LeaseId, items: &[LeaseItem]) -> Result<(), LeaseError> {
        self.shared.state.with(|state| {
            state.check_running()?;
            state.core.attach(id, items)
        })
    }

    fn detach(&self, id: LeaseId, items: &[LeaseItem]) -> Result<(), LeaseError> {
        self.shared.state.with(|state| {
            state.check_running()?;
            state.core.detach(id, items)
        })
    }

    fn get_lease(&self, item: &[u8]) -> Option<LeaseId> {
        self.shared.state.read(|state| state.core.get_lease(item))
    }

    fn promote(&self, extend: Duration) {
        let epoch = self.shared.state.read(|state| state.core.next_epoch());
        if let Err(error) = self.shared.begin_epoch(epoch, WriteBatch::default()) {
            self.shared.observe(|observer| observer.failed(&error));
        }
        self.promote_to(epoch, extend);
    }

    fn demote(&self) {
        if let Some(epoch) = self.shared.state.read(|state| state.core.primary_epoch()) {
            self.demote_from(epoch);
        }
    }

    fn renew(&self, id: LeaseId) -> Result<Ttl, LeaseError> {
        self.shared.renew(id, self.shared.options.renew_timeout)
    }

    fn renew_timeout(&self, id: LeaseId, timeout: Duration) -> Result<Ttl, LeaseError> {
        self.shared.renew(id, timeout)
    }

    fn try_renew(&self, id: LeaseId) -> Result<Renewal, LeaseError> {
        self.shared.try_renew(id)
    }

    fn renew_many(&self, ids: &[LeaseId]) -> Vec<Result<Renewal, LeaseError>> {
        self.shared.renew_many(ids)
    }

    fn lookup(&self, id: LeaseId) -> Option<Lease> {
        let now = self.shared.clock.now();
        self.shared.state.read(|state| state.core.lookup(now, id))
    }

    fn leases(&self) -> Vec<Lease> {
        let now = self.shared.clock.now();
        let mut listing = Listing::default();
        while self
            .shared
            .state
            .read(|state| state.core.list_slice(now, &mut listing))
        {}
        while let Some(id) = listing.found.lacking() {
            let items = self.shared.state.read(|state| state.core.items(id));
            listing.found.add_items(id, items);
        }
        listing.into_sorted()
    }

    fn page(&self, after: Option<LeaseId>, limit: usize) -> Vec<Lease> {
        let now = self.shared.clock.now();
        self.shared
            .state
            .read(|state| state.core.page(now, after, limit))
    }

    fn expired_leases(&self) -> Receiver<ExpiredBatch> {
        self.shared.expired.1.clone()
    }

    fn recover(
        &self,
        backend: Arc<dyn Backend>,
        range_deleter: Option<Arc<dyn RangeDeleter>>,
    ) -> Result<(), LeaseError> {
        self.shared.recover(backend, range_deleter)
    }

    fn tick(&self) -> Option<Timestamp> {
        if self.shared.is_manual() {
            self.shared.drive_expiry();
            self.shared.drive_checkpoints();
            self.shared.drive_flush();
        }
        self.shared.next_wakeup()
    }

    fn next_wakeup(&self) -> Option<Timestamp> {
        self.shared.next_wakeup()
    }

    fn flush(&self) -> Result<(), BackendError> {
        self.shared.flush()
    }

    fn stop(&self) {
        self.stop_threads();
    }
}

/// What a host with a log of its own needs beyond the [`Lessor`] trait.
impl BackendLessor {
    /// Applies a command from the host's log, together with writes of the host's: all of it in one
    /// transaction. On members that have applied the same commands before, the answer is the same.
    ///
    /// A refusal, such as a grant of an id in use, is an answer: the host's writes, such as the
    /// index of the log entry, are committed all the same.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Backend`], [`LeaseError::RangeDeleter`] and [`LeaseError::Stopped`]: then
    /// nothing was changed, and the host's writes are not committed either.
    pub fn apply(&self, command: &Command, host: WriteBatch) -> Result<Answer, LeaseError> {
        self.shared.apply(command, host)
    }

    /// Commits writes of the host's that belong to no command of the lessor's.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Backend`] and [`LeaseError::Stopped`]: then nothing is committed.
    pub fn write(&self, host: WriteBatch) -> Result<(), LeaseError> {
        self.shared.check_backlog()?;
        self.shared.state.read(|state| state.check_running())?;
        self.shared.commit(host, Vec::new())
    }

    /// The TTL that a grant of `secs` seconds gets. A host with a log asks before it proposes.
    ///
    /// # Errors
    ///
    /// [`LeaseError::LeaseTtlTooLarge`].
    pub fn admit_ttl(&self, secs: i64) -> Result<Ttl, LeaseError> {
        self.shared.config.admit_ttl(secs)
    }

    /// Becomes the primary of the host's epoch, see
    /// [`LessorCore::promote`](crate::LessorCore::promote). Answers whether the role changed.
    ///
    /// The replicated epoch is not touched: a host with a log brings it there with
    /// [`Command::BeginEpoch`].
    pub fn promote_to(&self, epoch: Epoch, extend: Duration) -> bool {
        let now = self.shared.clock.precise_now();
        let (promotion, oversleepers) = self.shared.state.with(|state| {
            let promotion = state.core.promote(now, epoch, extend);
            (promotion, state.oversleepers())
        });
        let is_changed = matches!(promotion, Promotion::Changed(_));
        if is_changed {
            self.shared.wakers.wake(false, oversleepers);
            self.shared.observe(|observer| observer.promoted(epoch));
        }
        self.shared.dispose(promotion);
        is_changed
    }

    /// Ceases to be the primary of the host's epoch or an older one, see
    /// [`LessorCore::demote`](crate::LessorCore::demote). Answers whether the role changed.
    pub fn demote_from(&self, epoch: Epoch) -> bool {
        let promotion = self.shared.state.with(|state| state.core.demote(epoch));
        let is_changed = matches!(promotion, Promotion::Changed(_));
        if is_changed {
            self.shared.observe(|observer| observer.demoted());
        }
        self.shared.dispose(promotion);
        is_changed
    }

    /// The replicated epoch: the newest that an applied [`Command::BeginEpoch`] has brought. O(1).
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.shared.state.read(|state| state.core.epoch())
    }

    /// The epoch in which this lessor is the primary, if it is.
    #[must_use]
    pub fn primary_epoch(&self) -> Option<Epoch> {
        self.shared.state.read(|state| state.core.primary_epoch())
    }

    /// Reports that an attempt to revoke an expired lease has ended without its revoke, see
    /// [`LessorCore::handle_attempt`](crate::LessorCore::handle_attempt).
    pub fn handle_attempt(&self, id: LeaseId, fence: ExpiryFence, outcome: AttemptOutcome) {
        let now = self.shared.clock.now();
        self.shared
            .state
            .with(|state| state.core.handle_attempt(now, id, fence, outcome));
        self.shared.wake_oversleepers();
    }

    /// Takes due checkpoints to propose, for a host that does not want to be called back: an async
    /// host or a simulation. The lessor must have been built with
    /// [`CheckpointMode::Polled`](crate::CheckpointMode::Polled) and have no checkpointer set.
    pub fn poll_checkpoints(&self) -> Option<CheckpointBatch> {
        let now = self.shared.clock.precise_now();
        self.shared
            .state
            .with(|state| state.core.poll_checkpoints(now))
    }

    /// Reports what became of a batch from [`poll_checkpoints`](Self::poll_checkpoints).
    pub fn handle_checkpoints(&self, batch: &CheckpointBatch, outcome: ProposalOutcome) {
        let now = self.shared.clock.now();
        self.shared
            .state
            .with(|state| state.core.handle_checkpoints(now, batch, outcome));
        self.shared.wake_oversleepers();
    }

    fn set_hook(&self, set: impl FnOnce(&mut Hooks)) {
        let mut hooks = self
            .shared
            .hooks
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        set(&mut hooks);
    }
}
