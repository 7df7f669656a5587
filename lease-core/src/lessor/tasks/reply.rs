use std::future::poll_fn;
use std::task::Waker;

use super::super::isolate::isolate;
use crate::sync::{Arc, Slot};
use crate::{HostError, LeaseError};

/// Where the answer to one task goes. Whatever happens to it, the task gets one.
pub(super) struct Reply<T>(Option<Arc<Slot<Result<T, LeaseError>>>>);

/// Where one task waits for its answer.
pub(super) struct Awaited<T>(Arc<Slot<Result<T, LeaseError>>>);

/// The two ends of an answer.
pub(super) fn reply<T>() -> (Reply<T>, Awaited<T>) {
    let slot = Arc::new(Slot::default());
    (Reply(Some(Arc::clone(&slot))), Awaited(slot))
}

impl<T> Reply<T> {
    pub(super) fn answer(mut self, result: Result<T, LeaseError>) {
        wake(self.put(result));
    }

    /// Whether nobody waits for it any more.
    pub(super) fn is_given_up(&self) -> bool {
        let is_last = |slot: &Arc<_>| Arc::strong_count(slot) == 1;
        self.0.as_ref().is_none_or(is_last)
    }

    fn put(&mut self, result: Result<T, LeaseError>) -> Option<Waker> {
        self.0.take()?.put(result)
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if self.0.is_some() {
            let lost = HostError::new("the thread that carried the command out panicked");
            wake(self.put(Err(LeaseError::Panicked(lost))));
        }
    }
}

impl<T> Awaited<T> {
    pub(super) async fn answer(self) -> Result<T, LeaseError> {
        poll_fn(|cx| self.0.poll_take(cx)).await
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        // Nobody waits for the panic of a waker.
        let _ = isolate("waker", || waker.wake());
    }
}
