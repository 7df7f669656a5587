use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::monitor::{Deadline, Monitor};

/// Where one thread waits for one value, or one task of an async runtime does.
pub(crate) struct Slot<T> {
    arrival: Monitor<Arrival<T>>,
}

struct Arrival<T> {
    value: Option<T>,
    // Stays when the value is taken.
    is_filled: bool,
    is_awaited: bool,
    waker: Option<Waker>,
}

impl<T> Slot<T> {
    /// Brings the value, once. The waker is code of the host's: to be called without a lock.
    #[must_use = "the task sleeps until its waker is called"]
    pub(crate) fn put(&self, value: T) -> Option<Waker> {
        let mut arrival = self.arrival.lock();
        assert!(!arrival.is_filled, "a slot is filled once");
        arrival.value = Some(value);
        arrival.is_filled = true;
        if arrival.is_awaited {
            self.arrival.wake_all();
        }
        arrival.waker.take()
    }

    /// As [`put`](Self::put), unless somebody has brought one before.
    #[cfg(feature = "async")]
    #[must_use = "the task sleeps until its waker is called"]
    pub(crate) fn offer(&self, value: T) -> Option<Waker> {
        let mut arrival = self.arrival.lock();
        if arrival.is_filled {
            return None;
        }
        arrival.value = Some(value);
        arrival.is_filled = true;
        arrival.waker.take()
    }

    /// Waits for the value, `timeout` at most. `None` if that has passed, or somebody else has taken
    /// the value.
    pub(crate) fn take_waiting(&self, timeout: Option<Duration>) -> Option<T> {
        let deadline = Deadline::after(timeout);
        let mut arrival = self.arrival.lock();
        arrival.is_awaited = true;
        let is_early = |arrival: &mut Arrival<T>| !arrival.is_filled;
        let mut arrival = self.arrival.wait_while(arrival, &deadline, is_early);
        arrival.value.take()
    }

    /// Takes the value, or has the task woken when it comes. The last task that asked is.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<T> {
        self.poll(cx, Option::take)
    }

    fn poll(&self, cx: &mut Context<'_>, look: fn(&mut Option<T>) -> Option<T>) -> Poll<T> {
        // Code of the host's clones and drops a waker: neither is done under the lock.
        let waker = cx.waker().clone();
        let mut arrival = self.arrival.lock();
        match look(&mut arrival.value) {
            Some(value) => Poll::Ready(value),
            None => {
                let old = arrival.waker.replace(waker);
                drop(arrival);
                drop(old);
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
impl<T> Slot<T> {
    pub(super) fn try_take(&self) -> Option<T> {
        self.arrival.lock().value.take()
    }

    /// Returns whether the value has come, also if it has been taken since.
    pub(super) fn is_filled(&self) -> bool {
        self.arrival.lock().is_filled
    }
}

impl<T: Copy> Slot<T> {
    /// The value, which stays where it is.
    pub(crate) fn peek(&self) -> Option<T> {
        self.arrival.lock().value
    }

    /// As [`poll_take`](Self::poll_take), but the value stays where it is.
    pub(crate) fn poll_peek(&self, cx: &mut Context<'_>) -> Poll<T> {
        self.poll(cx, |value| *value)
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self {
            arrival: Monitor::new(Arrival {
                value: None,
                is_filled: false,
                is_awaited: false,
                waker: None,
            }),
        }
    }
}
