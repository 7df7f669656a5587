use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::super::ExpiredLeases;
use super::super::bed::Bed;
use super::super::state::State;
use crate::ExpiredBatch;

/// The leases that a lessor delivers as expired, in batches, as a stream that ends when the lessor is
/// stopped or dropped.
///
/// From [`ExpiredLeases::into_stream`]. A batch that it has not returned was not taken: it may be dropped
/// at any time. Several streams of one lessor share its batches.
pub struct ExpiredStream {
    expired: ExpiredLeases,
    bed: Bed,
}

impl ExpiredLeases {
    /// The batches as a stream, for tasks of any executor.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Driver, LeaseId, Lessor, ManualClock, NullBackend};
    /// # use std::{sync::Arc, time::Duration};
    /// use futures::StreamExt;
    ///
    /// # let clock = Arc::new(ManualClock::default());
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).clock(clock.clone());
    /// # let lessor = lessor.driver(Driver::Manual).build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// lessor.grant(LeaseId::try_from(7)?, 10)?;
    /// # clock.advance(Duration::from_secs(10));
    /// # lessor.tick();
    /// # futures::executor::block_on(async {
    /// let mut expired = lessor.expired_leases().into_stream();
    /// let batch = expired.next().await.expect("a lease is due");
    /// # lessor.revoke_expired(&batch)?;
    /// lessor.stop();
    /// assert_eq!(expired.next().await, None);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// # })?;
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn into_stream(self) -> ExpiredStream {
        let bed = Bed::new(self.shared.clone(), State::receivers);
        ExpiredStream { expired: self, bed }
    }
}

impl Stream for ExpiredStream {
    type Item = ExpiredBatch;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ExpiredBatch>> {
        let Self { expired, bed } = self.get_mut();
        let received = expired.poll_noting(cx, |state, caller| {
            state.receivers().note(&mut bed.place, caller);
        });
        // The only other answer is that the lessor was stopped.
        received.map(Result::ok)
    }
}

impl fmt::Debug for ExpiredStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_tuple("ExpiredStream");
        debug.field(&self.expired).finish()
    }
}
