use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crossbeam_channel::Sender;

use super::{BackendLessor, Shared};
use crate::{LeaseId, Ticket, TicketOutcome};

/// A wait for what becomes of a lease that expires or is being revoked, as a future of any runtime.
///
/// It ends when the lease is gone, when its revoke has failed, or when this lessor is no primary any
/// more. Dropping it ends the wait, so that a deadline is a timeout of the host's around it. From
/// [`BackendLessor::wait`].
#[must_use = "a wait does nothing unless it is polled"]
pub struct Wait {
    shared: Arc<Shared>,
    ticket: Ticket,
    slot: Arc<Slot>,
}

/// Where the outcome arrives.
#[derive(Default)]
struct Slot(Mutex<Arrival>);

#[derive(Default)]
struct Arrival {
    outcome: Option<TicketOutcome>,
    waker: Option<Waker>,
}

impl BackendLessor {
    /// Waits for what becomes of a lease, for an async host that
    /// [`try_renew`](crate::Lessor::try_renew) has told
    /// [`Renewal::Expiring`](crate::Renewal::Expiring). `None` if no lease has the id or this
    /// lessor is no primary.
    ///
    /// The lease need not be expiring: then the wait ends with its revoke.
    pub fn wait(&self, id: LeaseId) -> Option<Wait> {
        let slot = Arc::new(Slot::default());
        let ticket = self.shared.state.with(|state| {
            if state.is_stopped || !state.core.is_primary() {
                return None;
            }
            let ticket = state.core.wait_for(id)?;
            let slot = Arc::clone(&slot);
            state.enlist(ticket, move |outcome| slot.arrive(outcome));
            Some(ticket)
        })?;
        Some(Wait {
            shared: Arc::clone(&self.shared),
            ticket,
            slot,
        })
    }
}

impl Wait {
    /// The lease that is waited for.
    #[must_use]
    pub const fn lease(&self) -> LeaseId {
        self.ticket.lease()
    }

    /// The outcome, if the wait is over.
    #[must_use]
    pub fn try_outcome(&self) -> Option<TicketOutcome> {
        self.slot.lock().outcome
    }
}

impl Future for Wait {
    type Output = TicketOutcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TicketOutcome> {
        let mut arrival = self.slot.lock();
        match arrival.outcome {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                arrival.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if self.try_outcome().is_none() && !self.shared.state.is_poisoned() {
            self.shared.state.with(|state| state.dismiss(self.ticket));
        }
    }
}

impl std::fmt::Debug for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wait")
            .field("lease", &self.lease())
            .field("outcome", &self.try_outcome())
            .finish()
    }
}

impl Slot {
    fn arrive(&self, outcome: TicketOutcome) {
        let waker = {
            let mut arrival = self.lock();
            arrival.outcome = Some(outcome);
            arrival.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Arrival> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Brings the outcome to a thread that waits for it; one that has given up is gone.
pub(super) fn tell(waiter: Sender<TicketOutcome>) -> impl FnOnce(TicketOutcome) + Send + Sync {
    move |outcome| {
        let _ = waiter.try_send(outcome);
    }
}
