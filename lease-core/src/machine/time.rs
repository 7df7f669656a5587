use core::time::Duration;

use lease_queue::Timestamp;

/// Keeps the time that callers bring from going back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clockwork {
    last: Timestamp,
    // A reading that is behind by no more than this is an ordinary one of a coarse clock after a
    // precise one.
    lag: Duration,
    regressions: u64,
}

/// One reading of the clock, used for the whole of one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Now {
    /// Milliseconds, rounded down: what is due by now.
    pub(crate) floor_ms: u64,
    /// Milliseconds, rounded up: what a new deadline is counted from.
    pub(crate) ceil_ms: u64,
}

const NANOS_PER_MS: u64 = 1_000_000;

impl Clockwork {
    /// Nothing has been read; the clock's answers may lag behind by `lag`.
    pub(crate) const fn new(lag: Duration) -> Self {
        Self {
            last: Timestamp::ZERO,
            lag,
            regressions: 0,
        }
    }

    /// A reading that goes back is taken as the latest one before it, and counted if the clock's
    /// lag does not explain it.
    #[inline]
    pub(crate) fn read(&mut self, now: Timestamp) -> Now {
        if now < self.last {
            let behind = self.last.saturating_duration_since(now);
            self.regressions += u64::from(behind > self.lag);
        } else {
            self.last = now;
        }
        Now::at(self.last)
    }

    /// What [`read`](Self::read) would answer, without taking note of it; `None` if it would count.
    #[inline]
    pub(crate) fn glance(&self, now: Timestamp) -> Option<Now> {
        let is_explained = now.saturating_add(self.lag) >= self.last;
        is_explained.then(|| Now::at(now.max(self.last)))
    }

    pub(crate) const fn last(&self) -> Timestamp {
        self.last
    }

    pub(crate) const fn regressions(&self) -> u64 {
        self.regressions
    }
}

impl Now {
    #[inline]
    pub(crate) fn at(now: Timestamp) -> Self {
        let nanos = now.as_nanos();
        let floor_ms = nanos / NANOS_PER_MS;
        let ceil_ms = floor_ms + u64::from(nanos != floor_ms * NANOS_PER_MS);
        Self { floor_ms, ceil_ms }
    }
}

/// The time of a deadline; [`Timestamp::MAX`], which no deadline that can be reached has, when it
/// is past what a timestamp can express.
pub(crate) const fn timestamp_of_ms(ms: u64) -> Timestamp {
    Timestamp::from_nanos(ms.saturating_mul(NANOS_PER_MS))
}

/// The time of a deadline that will be reached one day.
pub(crate) fn reachable(time: Timestamp) -> Option<Timestamp> {
    (time != Timestamp::MAX).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_both_ways() {
        let ms = |nanos| {
            let now = Now::at(Timestamp::from_nanos(nanos));
            (now.floor_ms, now.ceil_ms)
        };
        assert_eq!(ms(0), (0, 0));
        assert_eq!(ms(1), (0, 1));
        assert_eq!(ms(1_000_000), (1, 1));
        assert_eq!(ms(1_000_001), (1, 2));
        assert_eq!(ms(u64::MAX), (18_446_744_073_709, 18_446_744_073_710));
    }

    #[test]
    fn time_does_not_go_back() {
        let mut clock = Clockwork::new(Duration::ZERO);
        clock.read(Timestamp::from_nanos(5_000_000));
        let now = clock.read(Timestamp::from_nanos(3_000_000));
        assert_eq!(now.floor_ms, 5);
        assert_eq!(clock.regressions(), 1);
    }

    #[test]
    fn a_coarse_reading_behind_a_precise_one_is_no_regression() {
        let mut clock = Clockwork::new(Duration::from_millis(4));
        clock.read(Timestamp::from_millis(100));
        let now = clock.read(Timestamp::from_millis(96));
        assert_eq!((now.floor_ms, clock.regressions()), (100, 0));
        clock.read(Timestamp::from_nanos(95_999_999));
        assert_eq!(clock.regressions(), 1);
    }
}
