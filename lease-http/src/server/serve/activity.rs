use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What happens on a connection. Its own task alone looks at it, so that no order has to be kept.
#[derive(Default)]
pub(super) struct Activity {
    begun: AtomicU64,
    open: AtomicUsize,
}

impl Activity {
    /// A request begins. It is open until its response is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Open {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    /// How many requests have begun; `None` while one is open.
    pub(super) fn at_rest(&self) -> Option<u64> {
        let is_open = self.open.load(Ordering::Relaxed) > 0;
        (!is_open).then(|| self.begun.load(Ordering::Relaxed))
    }
}

/// A request that is open.
pub(super) struct Open(Arc<Activity>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
