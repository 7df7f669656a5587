use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use super::state::State;
use super::{BackendLessor, CheckpointMode, ExpiredLeases};
use crate::lease::Remaining;
use crate::lessor_trait::Lessor;
use crate::observer::LessorEvent;
use crate::sync::Arc;
use crate::{
    Answer, AttemptOutcome, Backend, BackendError, Checkpoint, CheckpointBatch, Checkpointer,
    Command, Epoch, ExpiredBatch, ExpiryFence, Grant, Lease, LeaseError, LeaseId, LeaseItem,
    ProposalOutcome, RangeDeleter, Renewal, Revocation, Revoked, Timestamp, Ttl, WriteBatch,
};

impl Lessor for BackendLessor {
    fn set_range_deleter(&self, range_deleter: Arc<dyn RangeDeleter>) {
        let state = &self.shared.state;
        let old = state.with(|state| state.range_deleter.replace(range_deleter));
        // Outside the lock: to drop it is the host's code.
        drop(old);
    }

    fn set_checkpointer(&self, checkpointer: Arc<dyn Checkpointer>) {
        let mode = CheckpointMode::Proposed(checkpointer);
        let state = &self.shared.state;
        let old = state.with(|state| std::mem::replace(&mut state.checkpoints, mode));
        drop(old);
    }

    fn grant(&self, id: LeaseId, ttl: i64) -> Result<Lease, LeaseError> {
        self.grant_with(id, ttl, WriteBatch::default())
    }

    fn revoke(&self, id: LeaseId) -> Result<(), LeaseError> {
        self.shared.revoke(id, WriteBatch::default())
    }

    fn revoke_many(&self, ids: &[LeaseId]) -> Result<Vec<Result<(), LeaseError>>, LeaseError> {
        let revocations = ids.iter().copied().map(Revocation::by_user).collect();
        let answers = self.shared.revoke_many(revocations)?;
        Ok(answers.into_iter().map(|answer| answer.map(drop)).collect())
    }

    fn revoke_expired(
        &self,
        batch: &ExpiredBatch,
    ) -> Result<Vec<Result<Revoked, LeaseError>>, LeaseError> {
        self.shared.revoke_many(batch.revocations().collect())
    }

    fn checkpoint(&self, id: LeaseId, remaining: i64) -> Result<(), LeaseError> {
        let remaining = match remaining {
            0 => None,
            secs => Some(Ttl::new(secs).map_err(|_| LeaseError::RemainingTtlOutOfRange)?),
        };
        let command = Checkpoint::new(id, remaining).into();
        self.shared.apply(command, WriteBatch::default()).map(drop)
    }

    fn attach(&self, id: LeaseId, items: &[LeaseItem]) -> Result<(), LeaseError> {
        self.shared.attach(id, items, WriteBatch::default())
    }

    fn detach(&self, id: LeaseId, items: &[LeaseItem]) -> Result<(), LeaseError> {
        self.shared.detach(id, items, WriteBatch::default())
    }

    fn get_lease(&self, item: &[u8]) -> Option<LeaseId> {
        self.shared.state.read(|state| state.core.get_lease(item))
    }

    fn promote(&self, extend: Duration) -> Result<Epoch, LeaseError> {
        let epoch = self.shared.state.read(|state| state.core.next_epoch());
        let begin = Command::BeginEpoch(epoch);
        match self.shared.apply(begin, WriteBatch::default())? {
            Answer::Epoch(begun) => begun?,
            _ => unreachable!("the beginning of an epoch is answered as one"),
        };
        self.promote_to(epoch, extend);
        self.primary_epoch().ok_or(LeaseError::NotPrimary)
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
        self.shared.lookup(id)
    }

    fn leases(&self) -> Vec<Lease> {
        self.shared.leases()
    }

    fn page(&self, after: Option<LeaseId>, limit: usize) -> Vec<Lease> {
        self.shared.page(after, limit)
    }

    fn expired_leases(&self) -> ExpiredLeases {
        ExpiredLeases::of(&self.shared)
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
            return self.shared.state.with(State::rest);
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
        self.stop_all();
    }
}

/// What a host with a log of its own needs beyond the [`Lessor`] trait.
impl BackendLessor {
    /// As [`grant`](Lessor::grant), together with writes of the host's: the lease and they come to be
    /// together, or neither does.
    ///
    /// # Errors
    ///
    /// Those of [`grant`](Lessor::grant); then nothing is written.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, NullBackend, Table, WriteBatch};
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
    /// let mut writes = WriteBatch::default();
    /// writes.put(Table::new("sessions"), "7", "alice");
    /// lessor.grant_with(LeaseId::try_from(7)?, 60, writes)?;
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn grant_with(
        &self,
        id: LeaseId,
        ttl: i64,
        writes: WriteBatch,
    ) -> Result<Lease, LeaseError> {
        let ttl = self.admit_ttl(ttl)?;
        let (incarnation, runs) = self.shared.grant(&Grant::new(id, ttl), writes)?;
        let mut lease = Lease::new(id, ttl);
        lease.incarnation = incarnation;
        if runs {
            lease.remaining = Remaining::millis(ttl.as_millis());
        }
        Ok(lease)
    }

    /// As [`revoke`](Lessor::revoke), together with writes of the host's.
    ///
    /// # Errors
    ///
    /// Those of [`revoke`](Lessor::revoke); then nothing is written.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseError, LeaseId, NullBackend, Table, WriteBatch};
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
    /// let mut writes = WriteBatch::default();
    /// writes.delete(Table::new("sessions"), "7");
    /// let unknown = lessor.revoke_with(LeaseId::try_from(7)?, writes);
    /// assert_eq!(unknown, Err(LeaseError::LeaseNotFound)); // and the row is still there
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub fn revoke_with(&self, id: LeaseId, writes: WriteBatch) -> Result<(), LeaseError> {
        self.shared.revoke(id, writes)
    }

    /// As [`attach`](Lessor::attach), together with writes of the host's, such as the rows of the
    /// items: no end of a lease comes between.
    ///
    /// # Errors
    ///
    /// Those of [`attach`](Lessor::attach) and [`LeaseError::Backend`]; then nothing is written.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend, Table, WriteBatch};
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
    /// let id = LeaseId::try_from(7)?;
    /// lessor.grant(id, 60)?;
    /// let mut writes = WriteBatch::default();
    /// writes.put(Table::new("kv"), "services/web/1", "10.0.0.7");
    /// lessor.attach_with(id, &["services/web/1".into()], writes)?;
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn attach_with(
        &self,
        id: LeaseId,
        items: &[LeaseItem],
        writes: WriteBatch,
    ) -> Result<(), LeaseError> {
        self.shared.attach(id, items, writes)
    }

    /// As [`detach`](Lessor::detach), together with writes of the host's.
    ///
    /// # Errors
    ///
    /// Those of [`detach`](Lessor::detach) and [`LeaseError::Backend`]; then nothing is written.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend, Table, WriteBatch};
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
    /// let id = LeaseId::try_from(7)?;
    /// lessor.grant(id, 60)?;
    /// lessor.attach(id, &["a".into()])?;
    /// let mut writes = WriteBatch::default();
    /// writes.delete(Table::new("kv"), "a");
    /// lessor.detach_with(id, &["a".into()], writes)?;
    /// assert_eq!(lessor.get_lease(b"a"), None);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn detach_with(
        &self,
        id: LeaseId,
        items: &[LeaseItem],
        writes: WriteBatch,
    ) -> Result<(), LeaseError> {
        self.shared.detach(id, items, writes)
    }

    /// Applies a command from the host's log, together with writes of the host's: all of it in one
    /// transaction. On members that have applied the same commands before, the answer is the same.
    ///
    /// A refusal, such as a grant of an id in use, is an answer: the host's writes, such as the
    /// index of the log entry, are committed all the same.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Backend`], [`LeaseError::RangeDeleter`], [`LeaseError::Clock`],
    /// [`LeaseError::Reentrant`] and [`LeaseError::Stopped`]: then nothing was changed, and the
    /// host's writes are not committed either.
    ///
    /// ```
    /// # use lease_core::{Answer, BackendLessor, Command, Grant, Incarnation, LeaseId, NullBackend};
    /// # use lease_core::{Table, Ttl, WriteBatch};
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
    /// let index = 17;
    /// let grant = Grant {
    ///     incarnation: Incarnation::supplied(index),
    ///     ..Grant::new(LeaseId::try_from(7)?, Ttl::new(60)?)
    /// };
    /// let mut writes = WriteBatch::default();
    /// writes.put(Table::new("meta"), "applied", index.to_be_bytes());
    /// let answer = lessor.apply(&Command::Grant(grant), writes)?;
    /// assert!(matches!(answer, Answer::Granted(Ok(_))));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn apply(&self, command: &Command, host: WriteBatch) -> Result<Answer, LeaseError> {
        self.shared.apply(command.clone(), host)
    }

    /// Commits writes of the host's that belong to no command of the lessor's.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Backend`], [`LeaseError::Clock`], [`LeaseError::Reentrant`] and
    /// [`LeaseError::Stopped`]: then nothing is committed.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, NullBackend, Table, WriteBatch};
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
    /// let mut writes = WriteBatch::default();
    /// writes.put(Table::new("meta"), "applied", 18_u64.to_be_bytes());
    /// lessor.write(writes)?;
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn write(&self, host: WriteBatch) -> Result<(), LeaseError> {
        self.shared.write(host)
    }

    /// The TTL that a grant of `secs` seconds gets. A host with a log asks before it proposes.
    ///
    /// # Errors
    ///
    /// [`LeaseError::LeaseTtlTooLarge`].
    ///
    /// ```
    /// # use lease_core::{BackendLessor, NullBackend, Ttl};
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
    /// assert_eq!(lessor.admit_ttl(0)?, Ttl::MIN, "raised to the minimum");
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn admit_ttl(&self, secs: i64) -> Result<Ttl, LeaseError> {
        self.shared.config.admit_ttl(secs)
    }

    /// Becomes the primary of the host's epoch, see
    /// [`LessorCore::promote`](crate::LessorCore::promote). Returns whether the role changed: not if
    /// the call comes too late, or the lessor was stopped. O(1).
    ///
    /// The replicated epoch is not touched: a host with a log brings it there with
    /// [`Command::BeginEpoch`], and promotes when that is applied. Without it an expiry that an earlier
    /// promotion has decided may still take a lease away that is renewed in this one.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Command, Epoch, NullBackend, WriteBatch};
    /// # use std::{sync::Arc, time::Duration};
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// let begin = Command::BeginEpoch(Epoch::new(5));
    /// lessor.apply(&begin, WriteBatch::default())?;
    /// assert!(lessor.promote_to(Epoch::new(5), Duration::ZERO));
    /// assert!(!lessor.promote_to(Epoch::new(4), Duration::ZERO), "it comes too late");
    /// assert!(lessor.demote_from(Epoch::new(5)));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn promote_to(&self, epoch: Epoch, extend: Duration) -> bool {
        let now = self.shared.precise_time();
        let now = now.unwrap_or_else(|_| self.shared.time_or_last());
        let (is_changed, _retired) = self.shared.state.with(|state| {
            if state.is_stopped {
                return (false, Vec::new());
            }
            state.change_role(|core| core.promote(now, epoch, extend))
        });
        if is_changed {
            self.shared.observe(|| LessorEvent::Promoted(epoch));
        }
        is_changed
    }

    /// Ceases to be the primary of the host's epoch or an older one, see
    /// [`LessorCore::demote`](crate::LessorCore::demote). Returns whether the role changed. O(1).
    ///
    /// ```
    /// # use {lease_core::*, std::{sync::Arc, time::Duration}};
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// # lessor.apply(&Command::BeginEpoch(Epoch::new(5)), WriteBatch::default())?;
    /// lessor.promote_to(Epoch::new(5), Duration::ZERO);
    /// assert!(lessor.demote_from(Epoch::new(5)));
    /// assert!(!lessor.promote_to(Epoch::new(5), Duration::ZERO), "the term is over");
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn demote_from(&self, epoch: Epoch) -> bool {
        let demote = |core: &mut crate::LessorCore| core.demote(epoch);
        let state = &self.shared.state;
        let (is_changed, _retired) = state.with(|state| state.change_role(demote));
        if is_changed {
            self.shared.observe(|| LessorEvent::Demoted);
        }
        is_changed
    }

    /// The replicated epoch: the newest that an applied [`Command::BeginEpoch`] has brought. O(1).
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Command, Epoch, NullBackend, WriteBatch};
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
    /// lessor.apply(&Command::BeginEpoch(Epoch::new(5)), WriteBatch::default())?;
    /// assert_eq!(lessor.epoch(), Epoch::new(5));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.shared.state.read(|state| state.core.epoch())
    }

    /// The epoch in which this lessor is the primary, if it is. O(1).
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Lessor, NullBackend};
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend)).build()?;
    /// assert_eq!(lessor.primary_epoch(), None);
    /// let epoch = lessor.promote(std::time::Duration::ZERO)?;
    /// assert_eq!(lessor.primary_epoch(), Some(epoch));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn primary_epoch(&self) -> Option<Epoch> {
        self.shared.state.read(|state| state.core.primary_epoch())
    }

    /// Reports that an attempt to revoke an expired lease has ended without its revoke, see
    /// [`LessorCore::handle_attempt`](crate::LessorCore::handle_attempt).
    ///
    /// ```
    /// # use {lease_core::*, std::{sync::Arc, time::Duration}};
    /// # let clock = Arc::new(ManualClock::default());
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).clock(clock.clone());
    /// # let lessor = lessor.driver(Driver::Manual).build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// # lessor.grant(LeaseId::try_from(7)?, 10)?;
    /// # clock.advance(Duration::from_secs(10));
    /// # lessor.tick();
    /// let batch = lessor.expired_leases().try_recv().expect("a lease is due");
    /// for revocation in batch.revocations() {
    ///     let fence = revocation.fence.expect("it is an expiry");
    ///     lessor.handle_attempt(revocation.id, fence, AttemptOutcome::Failed);
    /// }
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn handle_attempt(&self, id: LeaseId, fence: ExpiryFence, outcome: AttemptOutcome) {
        let now = self.shared.time_or_last();
        self.shared
            .state
            .with(|state| state.core.handle_attempt(now, id, fence, outcome));
    }

    /// Takes due checkpoints to propose, for a host that does not want to be called back: an async
    /// host or a simulation. `None` if none is due, or unless the lessor's mode is
    /// [`CheckpointMode::Polled`].
    ///
    /// ```
    /// # use {lease_core::*, std::{sync::Arc, time::Duration}};
    /// # let clock = Arc::new(ManualClock::default());
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).clock(clock.clone());
    /// # let lessor = lessor.driver(Driver::Manual).checkpoints(CheckpointMode::Polled).build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// # lessor.grant(LeaseId::try_from(7)?, 1000)?;
    /// assert_eq!(lessor.next_checkpoint(), Some(Timestamp::from_secs(300)), "5 minutes");
    /// clock.advance(Duration::from_secs(300));
    /// while let Some(batch) = lessor.poll_checkpoints() {
    ///     // Through the host's log, on every member.
    ///     lessor.apply(&Command::Checkpoint(batch.records.clone()), WriteBatch::default())?;
    ///     lessor.handle_checkpoints(&batch, ProposalOutcome::Applied);
    /// }
    /// assert_eq!(lessor.stats().checkpoints_applied, 1);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn poll_checkpoints(&self) -> Option<CheckpointBatch> {
        let now = self.shared.precise_time().ok()?;
        self.shared.state.with(|state| {
            let is_polled = matches!(state.checkpoints, CheckpointMode::Polled);
            if is_polled && !state.is_stopped {
                state.core.poll_checkpoints(now)
            } else {
                None
            }
        })
    }

    /// When [`poll_checkpoints`](Self::poll_checkpoints), whose example has it, may have
    /// something, if ever. O(1).
    #[must_use]
    pub fn next_checkpoint(&self) -> Option<Timestamp> {
        let state = &self.shared.state;
        state.read(|state| state.core.next_checkpoint())
    }

    /// Reports what became of a batch from [`poll_checkpoints`](Self::poll_checkpoints), as its
    /// example does.
    pub fn handle_checkpoints(&self, batch: &CheckpointBatch, outcome: ProposalOutcome) {
        let now = self.shared.time_or_last();
        self.shared
            .state
            .with(|state| state.core.handle_checkpoints(now, batch, outcome));
    }

    /// As [`renew`](Lessor::renew), without blocking the thread: for a task of any executor.
    ///
    /// It has no deadline of its own; a timeout of the host's around it ends it, and costs nothing
    /// more. The lessor may be dropped meanwhile.
    ///
    /// # Errors
    ///
    /// Those of [`renew`](Lessor::renew), but for [`LeaseError::DeadlineExceeded`].
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseError, LeaseId, Lessor, NullBackend};
    /// # use std::{pin::pin, sync::Arc, task::{Context, Poll, Waker}, time::Duration};
    /// async fn keep_alive(lessor: &BackendLessor, id: LeaseId) -> Result<u64, LeaseError> {
    ///     Ok(lessor.renew_async(id).await?.as_secs())
    /// }
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// # lessor.grant(LeaseId::try_from(7)?, 60)?;
    /// # let renewed = pin!(keep_alive(&lessor, LeaseId::try_from(7)?));
    /// # assert_eq!(renewed.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(60)));
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub async fn renew_async(&self, id: LeaseId) -> Result<Ttl, LeaseError> {
        let shared = Arc::downgrade(&self.shared);
        super::renew::renew_async(shared, id).await
    }

    /// Ends when [`next_wakeup`](Lessor::next_wakeup) has come closer than it was at the last
    /// [`tick`](Lessor::tick), for the task that drives a lessor by hand: it sleeps until the earlier
    /// of the two, and ticks again, which tells the lessor until when it sleeps next. What comes closer
    /// before this is polled is not lost.
    ///
    /// ```
    /// # use {lease_core::*, std::{sync::Arc, time::Duration}};
    /// # let clock = Arc::new(ManualClock::default());
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).clock(clock.clone());
    /// # let lessor = lessor.driver(Driver::Manual).build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// # let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    /// assert_eq!(lessor.tick(), None, "the task sleeps until something is due");
    /// let mut moved = std::pin::pin!(lessor.wakeup_moved());
    /// assert!(moved.as_mut().poll(&mut cx).is_pending());
    /// lessor.grant(LeaseId::try_from(7)?, 60)?;
    /// assert!(moved.poll(&mut cx).is_ready());
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub async fn wakeup_moved(&self) {
        poll_fn(|cx| {
            // A waker is the host's code, also to be cloned.
            let mut sleeper = Some(cx.waker().clone());
            let state = &self.shared.state;
            if state.with(|state| state.sleep(&mut sleeper)) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// Delivers no lease as expired until [`resume_expiry`](Self::resume_expiry): for a host that
    /// restores its state. A lease whose time is up meanwhile can still be renewed.
    ///
    /// ```
    /// # use {lease_core::*, std::{sync::Arc, time::Duration}};
    /// # let clock = Arc::new(ManualClock::default());
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).clock(clock.clone());
    /// # let lessor = lessor.driver(Driver::Manual).build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// lessor.grant(LeaseId::try_from(7)?, 10)?;
    /// lessor.suspend_expiry();
    /// clock.advance(Duration::from_secs(11));
    /// lessor.tick();
    /// assert!(lessor.expired_leases().is_empty());
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn suspend_expiry(&self) {
        self.shared.state.with(|state| state.core.suspend_expiry());
    }

    /// Ends what [`suspend_expiry`](Self::suspend_expiry), or a start with
    /// [`BackendLessorBuilder::suspend_expiry`](crate::BackendLessorBuilder::suspend_expiry), began.
    ///
    /// ```
    /// # use {lease_core::*, std::{sync::Arc, time::Duration}};
    /// # let clock = Arc::new(ManualClock::default());
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).clock(clock.clone());
    /// # let lessor = lessor.driver(Driver::Manual).build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// # lessor.grant(LeaseId::try_from(7)?, 10)?;
    /// # clock.advance(Duration::from_secs(11));
    /// lessor.suspend_expiry();
    /// // Here the host attaches its keys again.
    /// lessor.resume_expiry();
    /// lessor.tick();
    /// assert!(!lessor.expired_leases().is_empty());
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn resume_expiry(&self) {
        self.shared.state.with(|state| state.core.resume_expiry());
    }
}
