use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::{BackendLessor, Shared};
use crate::sync::{Arc, Slot, Weak};
use crate::{LeaseId, Ticket, TicketOutcome};

/// A wait for the end of a lease, as a future of any runtime.
///
/// It ends when the lease is gone, or when this lessor is no primary any more. Dropping it ends the
/// wait, so that a deadline is a timeout of the host's around it. It does not keep the lessor. From
/// [`BackendLessor::wait`].
///
/// ```
/// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend, Renewal, TicketOutcome};
/// # use std::{pin::pin, sync::Arc, task::{Context, Poll, Waker}, time::Duration};
/// async fn ended(lessor: &BackendLessor, id: LeaseId) -> bool {
///     match lessor.wait(id) {
///         Some(wait) => wait.await == TicketOutcome::Revoked,
///         None => false, // there is no such lease, or another member has to answer
///     }
/// }
/// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
/// # lessor.promote(Duration::ZERO)?;
/// # let id = LeaseId::try_from(7)?;
/// # lessor.grant(id, 60)?;
/// # let mut ended = pin!(ended(&lessor, id));
/// # let mut cx = Context::from_waker(Waker::noop());
/// # assert_eq!(ended.as_mut().poll(&mut cx), Poll::Pending);
/// # lessor.revoke(id)?;
/// # assert_eq!(ended.poll(&mut cx), Poll::Ready(true));
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[must_use = "a wait does nothing unless it is polled"]
pub struct Wait {
    shared: Weak<Shared>,
    ticket: Ticket,
    slot: Arc<Slot<TicketOutcome>>,
}

impl BackendLessor {
    /// Waits for the end of a lease, for an async host that
    /// [`try_renew`](crate::Lessor::try_renew) has told
    /// [`Renewal::Expiring`](crate::Renewal::Expiring). `None` if no lease has the id or this
    /// lessor is no primary. Does not block.
    ///
    /// The lease need not be expiring: then the wait ends with its revoke.
    ///
    /// ```
    /// use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend, TicketOutcome};
    /// use std::{sync::Arc, time::Duration};
    ///
    /// let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// lessor.promote(Duration::ZERO)?;
    /// let id = LeaseId::try_from(7)?;
    /// lessor.grant(id, 60)?;
    /// let wait = lessor.wait(id).expect("the lease is there");
    /// lessor.revoke(id)?;
    /// assert_eq!(wait.try_outcome(), Some(TicketOutcome::Revoked));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn wait(&self, id: LeaseId) -> Option<Wait> {
        self.shared.state.with(|state| {
            state.check_running().ok()?;
            let ticket = state.core.wait_for(id)?;
            Some(Wait::new(&self.shared, ticket, state.enlist(ticket)))
        })
    }
}

impl Wait {
    pub(super) fn new(
        shared: &Arc<Shared>,
        ticket: Ticket,
        slot: Arc<Slot<TicketOutcome>>,
    ) -> Self {
        Self {
            shared: Arc::downgrade(shared),
            ticket,
            slot,
        }
    }

    /// The lease that is waited for.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
    /// # use std::{sync::Arc, time::Duration};
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// # let id = LeaseId::try_from(7)?;
    /// lessor.grant(id, 60)?;
    /// let wait = lessor.wait(id).expect("the lease is there");
    /// assert_eq!(wait.lease(), id);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn lease(&self) -> LeaseId {
        self.ticket.lease()
    }

    /// The outcome, if the wait is over.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend, TicketOutcome};
    /// # use std::{sync::Arc, time::Duration};
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// # lessor.promote(Duration::ZERO)?;
    /// # let id = LeaseId::try_from(7)?;
    /// lessor.grant(id, 60)?;
    /// let wait = lessor.wait(id).expect("the lease is there");
    /// assert_eq!(wait.try_outcome(), None);
    /// lessor.demote();
    /// assert_eq!(wait.try_outcome(), Some(TicketOutcome::NotPrimary));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn try_outcome(&self) -> Option<TicketOutcome> {
        self.slot.peek()
    }
}

impl Future for Wait {
    type Output = TicketOutcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TicketOutcome> {
        self.slot.poll_peek(cx)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if self.try_outcome().is_none()
            && let Some(shared) = self.shared.upgrade()
            && !shared.state.is_poisoned()
        {
            shared.state.with(|state| state.dismiss(self.ticket));
        }
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait")
            .field("lease", &self.lease())
            .field("outcome", &self.try_outcome())
            .finish()
    }
}
