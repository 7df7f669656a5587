use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Says to connections that they are to end.
#[derive(Default)]
pub(super) struct Stop {
    is_set: AtomicBool,
    notify: Notify,
}

impl Stop {
    pub(super) fn set(&self) {
        self.is_set.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }

    pub(super) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Acquire)
    }

    /// Wakes whoever polls it when this is set, from now on.
    pub(super) fn notified(&self) -> Notified<'_> {
        self.notify.notified()
    }
}
