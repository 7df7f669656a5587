use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;

/// A counter that many threads add to without waiting for each other's cache lines.
#[derive(Debug, Default)]
pub(super) struct StripedCount {
    stripes: [CachePadded<AtomicU64>; STRIPES],
}

const STRIPES: usize = 8;

impl StripedCount {
    #[inline]
    pub(super) fn add(&self, n: u64) {
        let stripe = STRIPE.with(Cell::get);
        self.stripes[stripe % STRIPES].fetch_add(n, Ordering::Relaxed);
    }

    /// What has been added up to now. O(stripes).
    pub(super) fn sum(&self) -> u64 {
        let counts = self.stripes.iter();
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

std::thread_local! {
    static STRIPE: Cell<usize> = Cell::new(THREADS.fetch_add(1, Ordering::Relaxed));
}

static THREADS: AtomicUsize = AtomicUsize::new(0);

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn nothing_is_lost_between_threads() {
        let count = StripedCount::default();
        thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| (0..1000).for_each(|_| count.add(2)));
            }
        });
        assert_eq!(count.sum(), 40_000);
    }
}
