use alloc::collections::VecDeque;
use core::num::NonZeroU32;

use crate::probe::planted;

/// Gives out permits so that no window of one second holds more than the rate.
///
/// Exact at the resolution of a millisecond. Permits are given out in the order of asking; each is
/// the earliest that is left.
#[derive(Clone, Debug)]
pub(crate) struct RateWindow {
    // `None` is without a limit.
    rate: Option<NonZeroU32>,
    // The permits of the last second before and including the latest: (millisecond, how many).
    // Invariant: ascending, and the first is less than a second before the last.
    permits: VecDeque<(u64, u32)>,
    // Invariant: the sum over `permits`, at most the rate.
    total: u32,
}

const WINDOW_MS: u64 = 1000;

impl RateWindow {
    pub(crate) const fn new(rate: Option<NonZeroU32>) -> Self {
        Self {
            rate,
            permits: VecDeque::new(),
            total: 0,
        }
    }

    /// The earliest millisecond from `wanted_ms` on that has a permit left; takes it. Amortised O(1).
    pub(crate) fn take(&mut self, wanted_ms: u64) -> u64 {
        let Some(rate) = self.rate else {
            return wanted_ms;
        };
        let permit = self.earliest(wanted_ms, rate);
        if !planted!("old-permits-stay") {
            self.forget_before(permit);
        }
        match self.permits.back_mut() {
            Some((latest, count)) if *latest == permit => *count += 1,
            _ => self.permits.push_back((permit, 1)),
        }
        self.total += 1;
        permit
    }

    /// Whether a permit is left at `at_ms`.
    pub(crate) fn has_permit(&self, at_ms: u64) -> bool {
        self.rate
            .is_none_or(|rate| self.earliest(at_ms, rate) <= at_ms)
    }

    /// When the next permit is left, from `wanted_ms` on.
    pub(crate) fn next_permit(&self, wanted_ms: u64) -> u64 {
        self.rate
            .map_or(wanted_ms, |rate| self.earliest(wanted_ms, rate))
    }

    /// Checks that nothing is kept that matters no more.
    ///
    /// # Panics
    ///
    /// If something is.
    pub(crate) fn check_invariants(&self) {
        let times = self.permits.iter().map(|(at, _)| at);
        let counts = self.permits.iter().map(|(_, count)| count);
        let span = self.permits.front().zip(self.permits.back());
        assert!(times.is_sorted(), "permits are given in the order of time");
        assert_eq!(self.total, counts.sum::<u32>(), "every permit is counted");
        assert!(
            span.is_none_or(|((first, _), (last, _))| last - first < WINDOW_MS),
            "no permit is kept for longer than it counts"
        );
    }

    fn earliest(&self, wanted_ms: u64, rate: NonZeroU32) -> u64 {
        let latest = self.permits.back().map_or(0, |(at, _)| *at);
        let wanted_ms = wanted_ms.max(latest);
        let mut in_window = self.total;
        let mut permit = wanted_ms;
        for (at, count) in &self.permits {
            if at + WINDOW_MS > permit {
                if in_window < rate.get() {
                    break;
                }
                permit = at + WINDOW_MS;
            }
            in_window -= count;
        }
        permit
    }

    fn forget_before(&mut self, permit: u64) {
        while let Some((at, count)) = self.permits.front().copied()
            && at + WINDOW_MS <= permit
        {
            self.permits.pop_front();
            self.total -= count;
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn permits(rate: u32, wanted: &[u64]) -> Vec<u64> {
        let mut window = RateWindow::new(NonZeroU32::new(rate));
        wanted.iter().map(|at| window.take(*at)).collect()
    }

    #[test]
    fn without_a_rate_every_wish_is_granted() {
        assert_eq!(permits(0, &[5, 5, 5, 1]), [5, 5, 5, 1]);
    }

    #[test]
    fn a_full_second_pushes_on() {
        assert_eq!(permits(2, &[0, 0, 0, 500, 2000]), [0, 0, 1000, 1000, 2000]);
    }

    /// 10,000 leases due at 10 s, one at 15 s and 3,000 at 19 s stay under 1,000 in any second;
    /// etcd's spreading gives 1,500.
    #[test]
    fn mixed_ttls_do_not_exceed_the_rate() {
        let mut wanted = Vec::from([10_000; 10_000]);
        wanted.push(15_000);
        wanted.extend([19_000; 3_000]);
        assert_rate(&permits(1_000, &wanted), &wanted, 1_000);
    }

    #[test]
    fn permits_that_are_over_are_forgotten() {
        let mut window = RateWindow::new(NonZeroU32::new(3));
        for at in (0..100_000).step_by(100) {
            window.take(at);
            assert!(window.permits.len() <= 3);
        }
    }

    proptest! {
        #[test]
        fn no_window_exceeds_the_rate(
            rate in 1_u32..6,
            mut wanted in prop::collection::vec(0_u64..6_000, 0..60),
        ) {
            wanted.sort_unstable();
            assert_rate(&permits(rate, &wanted), &wanted, rate as usize);
        }

        #[test]
        fn a_permit_that_is_left_is_given(rate in 1_u32..6, wanted in prop::collection::vec(0_u64..6_000, 0..60)) {
            let mut window = RateWindow::new(NonZeroU32::new(rate));
            let mut given: Vec<u64> = Vec::new();
            for at in wanted {
                let left = window.has_permit(at);
                let next = window.next_permit(at);
                let permit = window.take(at);
                prop_assert_eq!(left, permit == at);
                prop_assert_eq!(next, permit);
                let from = at.max(given.last().copied().unwrap_or(0));
                let is_left = |permit: u64| {
                    let over = given.partition_point(|given| given + WINDOW_MS <= permit);
                    given.len() - over < rate as usize
                };
                let ends = given.iter().map(|given| given + WINDOW_MS);
                let candidates = ends.chain([from]).filter(|permit| *permit >= from);
                prop_assert_eq!(candidates.filter(|permit| is_left(*permit)).min(), Some(permit));
                given.push(permit);
            }
        }
    }

    fn assert_rate(permits: &[u64], wanted: &[u64], rate: usize) {
        assert!(permits.is_sorted());
        for (permit, wanted) in permits.iter().zip(wanted) {
            assert!(permit >= wanted, "due at {wanted}, permit at {permit}");
        }
        for window in permits.windows(rate + 1) {
            assert!(window[rate] - window[0] >= WINDOW_MS, "{window:?}");
        }
    }
}
