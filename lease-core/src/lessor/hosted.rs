use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use super::bed::Bed;
use super::queries::Lookup;
use super::sleepers::Caller;
use super::state::State;
use super::{BackendLessor, CheckpointMode};
use crate::observer::LessorEvent;
use crate::probe::planted;
use crate::sync::Arc;
use crate::{
    AttemptOutcome, CheckpointBatch, Epoch, ExpiryFence, LeaseError, LeaseId, ProposalOutcome,
    RequestedTtl, Timestamp, Ttl,
};
#[cfg(doc)]
use crate::{Command, Lessor};

/// What a host with a log of its own, or an async one, needs beyond the [`Lessor`] trait.
impl BackendLessor {
    /// The TTL that a grant gets that asks for this one. A host with a log asks before it proposes.
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
    pub fn admit_ttl(&self, ttl: impl Into<RequestedTtl>) -> Result<Ttl, LeaseError> {
        self.shared.config.admit_ttl(ttl)
    }

    /// Becomes the primary of the host's epoch, see
    /// [`LessorCore::promote`](crate::LessorCore::promote). Returns whether the role changed: not if
    /// the call comes too late or too early, or the lessor was stopped. O(1).
    ///
    /// A host with a log brings the epoch with [`Command::BeginEpoch`], and promotes when that is
    /// applied; before, the call comes too early. Then all that earlier terms have decided is applied
    /// as well, or void: nothing of it can take a lease away that is renewed in this one.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Command, Epoch, NullBackend, WriteBatch};
    /// # use std::{sync::Arc, time::Duration};
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// let begin = Command::BeginEpoch(Epoch::new(5));
    /// lessor.apply(&begin, WriteBatch::default())?;
    /// assert!(lessor.promote_to(Epoch::new(5), Duration::ZERO));
    /// assert!(!lessor.promote_to(Epoch::new(4), Duration::ZERO), "it comes too late");
    /// assert!(!lessor.promote_to(Epoch::new(6), Duration::ZERO), "it has not begun");
    /// assert!(lessor.demote_from(Epoch::new(5)));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn promote_to(&self, epoch: Epoch, extend: Duration) -> bool {
        let now = self.shared.precise_time();
        let now = now.unwrap_or_else(|_| self.shared.time_or_last());
        let (is_changed, _retired) = self.shared.state.with(|state| {
            let has_begun = epoch <= state.core.epoch() || planted!("promotes-too-early");
            if state.is_stopped || !has_begun {
                return (false, Vec::new());
            }
            state.oversights.promoted();
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

    /// When [`poll_checkpoints`](Self::poll_checkpoints) may have something, if ever; never once the
    /// lessor was stopped. O(1).
    ///
    /// ```
    /// # use {lease_core::*, std::{sync::Arc, time::Duration}};
    /// # let clock = Arc::new(ManualClock::default());
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).clock(clock);
    /// # let lessor = lessor.driver(Driver::Manual).checkpoints(CheckpointMode::Polled).build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// assert_eq!(lessor.next_checkpoint(), None);
    /// lessor.grant(LeaseId::try_from(7)?, 1000)?;
    /// assert_eq!(lessor.next_checkpoint(), Some(Timestamp::from_secs(300)), "5 minutes");
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn next_checkpoint(&self) -> Option<Timestamp> {
        self.shared.state.read(|state| {
            let is_running = !state.is_stopped;
            is_running.then(|| state.core.next_checkpoint()).flatten()
        })
    }

    /// Reports what became of a batch from [`poll_checkpoints`](Self::poll_checkpoints), whose example
    /// has the good case.
    ///
    /// ```
    /// # use {lease_core::*, std::{sync::Arc, time::Duration}};
    /// # let clock = Arc::new(ManualClock::default());
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).clock(clock.clone());
    /// # let lessor = lessor.driver(Driver::Manual).checkpoints(CheckpointMode::Polled).build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// # lessor.grant(LeaseId::try_from(7)?, 1000)?;
    /// # clock.advance(Duration::from_secs(300));
    /// let batch = lessor.poll_checkpoints().expect("one is due");
    /// // The log has refused it: the lease is checkpointed again in half an interval.
    /// lessor.handle_checkpoints(&batch, ProposalOutcome::Failed);
    /// assert_eq!(lessor.next_checkpoint(), Some(Timestamp::from_secs(450)));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn handle_checkpoints(&self, batch: &CheckpointBatch, outcome: ProposalOutcome) {
        let now = self.shared.time_or_last();
        self.shared
            .state
            .with(|state| state.core.handle_checkpoints(now, batch, outcome));
    }

    /// As [`lookup`](Lessor::lookup), in one look, for a task that must not work for long: a lease that
    /// has more than a thousand items comes without them. O(1).
    ///
    /// ```
    /// use lease_core::{BackendLessor, LeaseId, Lessor, Lookup, NullBackend};
    /// use std::sync::Arc;
    ///
    /// let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// let id = LeaseId::try_from(7)?;
    /// let lease = lessor.grant(id, 60)?;
    /// assert_eq!(lessor.try_lookup(id), Some(Lookup::Whole(lease)));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn try_lookup(&self, id: LeaseId) -> Option<Lookup> {
        self.shared.try_lookup(id)
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

    /// Ends when the lessor has something to do before the time that the last
    /// [`tick`](Lessor::tick) or [`next_wakeup`](Lessor::next_wakeup) has answered, for the task that
    /// drives a lessor by hand: it sleeps until the earlier of the two, and ticks again. What comes
    /// closer before this is polled is not lost. A stop ends it as well: then nothing is due ever again.
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
        let mut bed = Bed::new(Arc::downgrade(&self.shared), State::sleepers);
        poll_fn(|cx| {
            let mut caller = Caller::of(cx);
            let state = &self.shared.state;
            if state.with(|state| state.sleep(&mut bed.place, &mut caller)) {
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
