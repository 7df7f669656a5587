use std::future::poll_fn;
use std::task::Waker;

use super::super::Shared;
use super::super::isolate::isolate_inside;
use crate::sync::{Arc, Mutex, MutexGuard, Slot, Weak, lock};
use crate::{HostError, LeaseError};

/// Where the answer to one task goes. Whatever happens to it, the task gets one, and no second one.
pub(super) struct Reply<T> {
    slot: Option<Arc<Slot<Result<T, LeaseError>>>>,
    // Whose code calls the waker.
    lessor: usize,
}

/// Where one task waits for its answer.
pub(super) struct Awaited<T>(Arc<Slot<Result<T, LeaseError>>>);

/// The answers that tasks wait for, so that a stop can give those that would not come before a store, or
/// code of the host's, comes back.
#[derive(Default)]
pub(super) struct Answers {
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    all: Vec<Weak<dyn Stoppable>>,
    // How many were left when those were taken out that nobody waits for any more.
    swept: usize,
}

/// So few are never swept.
const FEW: usize = if cfg!(shuttle) { 2 } else { 1024 };

/// An answer of whichever type.
trait Stoppable: Send + Sync {
    /// Answers that the lessor was stopped, unless there is an answer.
    fn stop(&self) -> Option<Waker>;
}

impl<T: Send> Stoppable for Slot<Result<T, LeaseError>> {
    fn stop(&self) -> Option<Waker> {
        self.offer(Err(LeaseError::Stopped))
    }
}

impl Answers {
    /// The two ends of an answer that a stop may give.
    pub(super) fn open<T: Send + 'static>(&self, shared: &Shared) -> (Reply<T>, Awaited<T>) {
        let (reply, awaited) = reply(shared);
        let answer: Weak<Slot<Result<T, LeaseError>>> = Arc::downgrade(&awaited.0);
        let mut open = self.lock();
        if open.all.len() >= 2 * open.swept.max(FEW) {
            open.all.retain(|answer| answer.strong_count() > 0);
            open.swept = open.all.len();
        }
        open.all.push(answer);
        (reply, awaited)
    }

    /// Answers all that have none.
    pub(super) fn stop(&self, shared: &Shared) {
        let open = std::mem::take(&mut self.lock().all);
        for answer in open.iter().filter_map(Weak::upgrade) {
            wake(shared.state.address(), answer.stop());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        lock(&self.open)
    }
}

/// The two ends of an answer that comes in any case.
pub(super) fn reply<T>(shared: &Shared) -> (Reply<T>, Awaited<T>) {
    let slot = Arc::new(Slot::default());
    let reply = Reply {
        slot: Some(Arc::clone(&slot)),
        lessor: shared.state.address(),
    };
    (reply, Awaited(slot))
}

impl<T> Reply<T> {
    pub(super) fn answer(mut self, result: Result<T, LeaseError>) {
        wake(self.lessor, self.offer(result));
    }

    /// Whether nobody waits for it any more.
    pub(super) fn is_given_up(&self) -> bool {
        let is_last = |slot: &Arc<_>| Arc::strong_count(slot) == 1;
        self.slot.as_ref().is_none_or(is_last)
    }

    fn offer(&mut self, result: Result<T, LeaseError>) -> Option<Waker> {
        self.slot.take()?.offer(result)
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if self.slot.is_some() {
            let lost = HostError::new("the thread that carried the command out panicked");
            wake(self.lessor, self.offer(Err(LeaseError::Panicked(lost))));
        }
    }
}

impl<T> Awaited<T> {
    pub(super) async fn answer(self) -> Result<T, LeaseError> {
        poll_fn(|cx| self.0.poll_take(cx)).await
    }
}

/// The thread that wakes a task may have commands of others to carry out: what the waker gives to the lessor
/// must not wait for these.
fn wake(lessor: usize, waker: Option<Waker>) {
    if let Some(waker) = waker {
        // Nobody waits for the panic of a waker.
        let _ = isolate_inside(lessor, "waker", || waker.wake());
    }
}
