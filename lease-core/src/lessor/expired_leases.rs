use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Shared;
use super::bed::Bed;
use super::sleepers::{Caller, Sleepers};
use super::state::State;
use crate::probe::planted;
use crate::sync::{Arc, Deadline, Signal, Weak};
use crate::{ExpiredBatch, Timestamp};

/// The receiving end of the leases that a lessor delivers as expired, in batches.
///
/// From [`Lessor::expired_leases`](crate::Lessor::expired_leases). Whoever takes a batch tells the
/// lessor by that: the retry interval of its leases starts, and there is room for the next batch.
/// Clones receive from the same lessor; each batch goes to one of them. It does not keep the lessor:
/// when that is stopped or dropped, receiving ends.
///
/// ```
/// use lease_core::{BackendLessor, Driver, LeaseId, Lessor, ManualClock, NullBackend, RecvError};
/// use std::{sync::Arc, time::Duration};
///
/// let clock = Arc::new(ManualClock::default());
/// let lessor = BackendLessor::builder(Arc::new(NullBackend))
///     .clock(clock.clone())
///     .driver(Driver::Manual)
///     .build()?;
/// lessor.promote(Duration::ZERO)?;
/// lessor.grant(LeaseId::try_from(7)?, 10)?;
/// let expired = lessor.expired_leases();
/// assert_eq!(expired.try_recv(), Err(RecvError::Empty));
///
/// clock.advance(Duration::from_secs(10));
/// lessor.tick();
/// let batch = expired.try_recv().expect("one lease is due");
/// lessor.revoke_expired(&batch)?;
/// lessor.stop();
/// assert_eq!(expired.recv(), Err(RecvError::Stopped));
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone)]
pub struct ExpiredLeases {
    pub(super) shared: Weak<Shared>,
    deliveries: Arc<Signal>,
}

/// Why no batch of expired leases was received.
///
/// ```
/// # use lease_core::{ExpiredLeases, Lessor, RecvError};
/// # use std::time::Duration;
/// /// The thread of a host that revokes what has expired.
/// fn serve(lessor: &dyn Lessor, expired: &ExpiredLeases) {
///     loop {
///         match expired.recv_timeout(Duration::from_secs(1)) {
///             Ok(batch) => drop(lessor.revoke_expired(&batch)),
///             Err(RecvError::Timeout) => println!("still here"),
///             Err(_) => return, // the lessor was stopped
///         }
///     }
/// }
/// # let lessor = lease_core::BackendLessor::builder(std::sync::Arc::new(lease_core::NullBackend));
/// # let lessor = lessor.build()?;
/// # lessor.stop();
/// # serve(&lessor, &lessor.expired_leases());
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum RecvError {
    /// None is there.
    #[error("no lease has expired")]
    Empty,
    /// None came in time.
    #[error("no lease expired in time")]
    Timeout,
    /// The lessor was stopped or dropped.
    #[error("lessor stopped")]
    Stopped,
}

impl State {
    /// Puts a batch where the host finds it.
    pub(super) fn deliver(&mut self, batch: ExpiredBatch) {
        self.outbox.put(self.core.now(), batch);
        self.announce();
    }

    /// Wakes everybody who waits for a batch.
    pub(super) fn announce(&mut self) {
        self.errands.announce(&mut self.outbox.receivers);
    }

    pub(super) const fn receivers(&mut self) -> &mut Sleepers {
        &mut self.outbox.receivers
    }

    fn take_batch(&mut self, now: Timestamp) -> Result<ExpiredBatch, RecvError> {
        if self.is_stopped {
            return Err(RecvError::Stopped);
        }
        let batch = self.outbox.take(now).ok_or(RecvError::Empty)?;
        if !planted!("taken-not-told") {
            self.core.handle_taken(now, &batch);
        }
        Ok(batch)
    }
}

impl ExpiredLeases {
    /// Of a lessor that delivers nothing and counts as stopped: for fakes.
    #[cfg(feature = "testing")]
    pub(crate) fn of_no_lessor() -> Self {
        Self {
            shared: Weak::new(),
            deliveries: Arc::default(),
        }
    }

    pub(super) fn of(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::downgrade(shared),
            deliveries: Arc::clone(&shared.state.bells.deliveries),
        }
    }

    /// Takes the next batch if there is one. O(1); never blocks.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] and [`RecvError::Stopped`].
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Driver, LeaseId, Lessor, ManualClock, NullBackend};
    /// # use lease_core::RecvError;
    /// # use std::{sync::Arc, time::Duration};
    /// # let clock = Arc::new(ManualClock::default());
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend))
    /// #     .clock(clock.clone())
    /// #     .driver(Driver::Manual)
    /// #     .build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// # lessor.grant(LeaseId::try_from(7)?, 10)?;
    /// let expired = lessor.expired_leases();
    /// assert_eq!(expired.try_recv(), Err(RecvError::Empty));
    /// clock.advance(Duration::from_secs(10));
    /// lessor.tick();
    /// let batch = expired.try_recv().expect("a lease is due");
    /// assert_eq!(batch.leases.len(), 1);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn try_recv(&self) -> Result<ExpiredBatch, RecvError> {
        let shared = self.shared.upgrade().ok_or(RecvError::Stopped)?;
        let now = shared.time_or_last();
        shared.state.with(|state| state.take_batch(now))
    }

    /// Waits for the next batch and takes it. Blocks the thread.
    ///
    /// # Errors
    ///
    /// [`RecvError::Stopped`].
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend, RecvError};
    /// # use std::sync::Arc;
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// let expired = lessor.expired_leases();
    /// let revoker = std::thread::spawn(move || {
    ///     while let Ok(batch) = expired.recv() {
    ///         println!("{} leases to be revoked", batch.leases.len());
    ///     }
    /// });
    /// lessor.stop();
    /// assert!(revoker.join().is_ok(), "it ends with the lessor");
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn recv(&self) -> Result<ExpiredBatch, RecvError> {
        loop {
            let since = self.deliveries.listen();
            match self.try_recv() {
                Err(RecvError::Empty) => _ = self.deliveries.wait(since, None),
                received => return received,
            }
        }
    }

    /// Waits for the next batch, at most `timeout` in real time, and takes it. Blocks the thread.
    ///
    /// # Errors
    ///
    /// [`RecvError::Timeout`] and [`RecvError::Stopped`].
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Lessor, NullBackend, RecvError};
    /// # use std::{sync::Arc, time::Duration};
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// let expired = lessor.expired_leases();
    /// let received = expired.recv_timeout(Duration::from_millis(1));
    /// assert_eq!(received, Err(RecvError::Timeout));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn recv_timeout(&self, timeout: Duration) -> Result<ExpiredBatch, RecvError> {
        let deadline = Deadline::after(Some(timeout));
        loop {
            let since = self.deliveries.listen();
            let left = deadline.left();
            match self.try_recv() {
                Err(RecvError::Empty) if left == Some(Duration::ZERO) => {
                    return Err(RecvError::Timeout);
                }
                Err(RecvError::Empty) => _ = self.deliveries.wait(since, left),
                received => return received,
            }
        }
    }

    /// Takes the next batch when it comes, for a task of any executor. It may be dropped at any time:
    /// a batch that was not returned was not taken.
    ///
    /// # Errors
    ///
    /// [`RecvError::Stopped`].
    ///
    /// ```
    /// # use lease_core::{BackendLessor, ExpiredLeases, Lessor, NullBackend};
    /// # use std::{pin::pin, sync::Arc, task::{Context, Poll, Waker}};
    /// async fn serve(lessor: &BackendLessor, expired: ExpiredLeases) {
    ///     while let Ok(batch) = expired.recv_async().await {
    ///         // Here the revocations go through the host's log.
    ///         println!("{} leases to be revoked", batch.leases.len());
    ///     }
    /// }
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// # lessor.stop();
    /// # let expired = lessor.expired_leases();
    /// # let ended = pin!(serve(&lessor, expired)).poll(&mut Context::from_waker(Waker::noop()));
    /// # assert_eq!(ended, Poll::Ready(()));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub async fn recv_async(&self) -> Result<ExpiredBatch, RecvError> {
        let mut bed = Bed::new(self.shared.clone(), State::receivers);
        let mut note = |state: &mut State, caller: &mut Caller| {
            state.outbox.receivers.note(&mut bed.place, caller);
        };
        poll_fn(|cx| self.poll_noting(cx, &mut note)).await
    }

    /// As [`recv_async`](Self::recv_async), for a future of the host's own. The task that it was
    /// polled for stays noted until the next batch comes, also if that future is dropped; of more than
    /// 256 such tasks the first ones are woken without one.
    ///
    /// At most 256 tasks should wait so at a time: beyond it they wake each other again and again.
    /// [`recv_async`](Self::recv_async) has no such limit.
    ///
    /// # Errors
    ///
    /// [`RecvError::Stopped`].
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Driver, LeaseId, Lessor, ManualClock, NullBackend};
    /// # use std::{sync::Arc, task::{Context, Poll, Waker}, time::Duration};
    /// # let clock = Arc::new(ManualClock::default());
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend))
    /// #     .clock(clock.clone())
    /// #     .driver(Driver::Manual)
    /// #     .build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// # lessor.grant(LeaseId::try_from(7)?, 10)?;
    /// let expired = lessor.expired_leases();
    /// # let mut cx = Context::from_waker(Waker::noop());
    /// assert!(expired.poll_recv(&mut cx).is_pending());
    /// clock.advance(Duration::from_secs(10));
    /// lessor.tick(); // wakes the task
    /// assert!(matches!(expired.poll_recv(&mut cx), Poll::Ready(Ok(_))));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<ExpiredBatch, RecvError>> {
        self.poll_noting(cx, |state, caller| {
            let oldest = state.outbox.receivers.note_anyone(caller);
            state.errands.wake_one(oldest);
        })
    }

    pub(super) fn poll_noting(
        &self,
        cx: &Context<'_>,
        note: impl FnOnce(&mut State, &mut Caller),
    ) -> Poll<Result<ExpiredBatch, RecvError>> {
        let Some(shared) = self.shared.upgrade() else {
            return Poll::Ready(Err(RecvError::Stopped));
        };
        let now = shared.time_or_last();
        let mut caller = Caller::of(cx);
        let received = shared.state.with(|state| {
            let received = state.take_batch(now);
            if received == Err(RecvError::Empty) {
                note(state, &mut caller);
            }
            received
        });
        match received {
            Err(RecvError::Empty) => Poll::Pending,
            received => Poll::Ready(received),
        }
    }

    /// The batches that are there, each taken as it is returned; ends when there is none.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Driver, LeaseId, Lessor, ManualClock, NullBackend};
    /// # use std::{sync::Arc, time::Duration};
    /// # let clock = Arc::new(ManualClock::default());
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend))
    /// #     .clock(clock.clone())
    /// #     .driver(Driver::Manual)
    /// #     .build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// # lessor.grant(LeaseId::try_from(7)?, 10)?;
    /// clock.advance(Duration::from_secs(10));
    /// lessor.tick();
    /// for batch in lessor.expired_leases().try_iter() {
    ///     lessor.revoke_expired(&batch)?;
    /// }
    /// assert!(lessor.leases().is_empty());
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn try_iter(&self) -> impl Iterator<Item = ExpiredBatch> + '_ {
        std::iter::from_fn(|| self.try_recv().ok())
    }

    /// How many batches are there. O(1).
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Driver, LeaseId, Lessor, ManualClock, NullBackend};
    /// # use std::{sync::Arc, time::Duration};
    /// # let clock = Arc::new(ManualClock::default());
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend))
    /// #     .clock(clock.clone())
    /// #     .driver(Driver::Manual)
    /// #     .build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// lessor.grant(LeaseId::try_from(7)?, 10)?;
    /// lessor.grant(LeaseId::try_from(8)?, 10)?;
    /// clock.advance(Duration::from_secs(10));
    /// lessor.tick();
    /// assert_eq!(lessor.expired_leases().len(), 1, "both are in one batch");
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        let shared = self.shared.upgrade();
        shared.map_or(0, |shared| {
            shared.state.read(|state| state.outbox.batches.len())
        })
    }

    /// Whether no batch is there. O(1).
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Lessor, NullBackend};
    /// # use std::sync::Arc;
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// assert!(lessor.expired_leases().is_empty());
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for ExpiredLeases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpiredLeases")
            .field("batches", &self.len())
            .finish()
    }
}
