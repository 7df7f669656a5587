use core::time::Duration;

use lease_queue::Timestamp;

/// Keeps the time that callers bring from going back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clockwork {
    last: Timestamp,
    // Invariant: what `last` is in milliseconds.
    now: Now,
    // Invariant: the readings that are taken for `last` without a difference to anybody: of the same
    // millisecond, or behind by no more than the lag.
    alike: (Timestamp, Timestamp),
    // A reading that is behind by no more than this is an ordinary one of a coarse clock after a
    // precise one. One that is behind by less than a millisecond is of a thread that came second.
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
            now: Now {
                floor_ms: 0,
                ceil_ms: 0,
            },
            alike: (Timestamp::ZERO, Timestamp::ZERO),
            lag,
            regressions: 0,
        }
    }

    /// A reading that goes back is taken as the latest one before it, and counted if the clock's
    /// lag does not explain it.
    #[inline]
    pub(crate) fn read(&mut self, now: Timestamp) -> Now {
        if now > self.last {
            self.move_to(now);
        } else if now < self.alike.0 {
            self.regressions += 1;
        }
        self.now
    }

    /// What [`read`](Self::read) would answer if it had nothing to take note of; `None` if it had:
    /// of a later millisecond, or of a regression.
    ///
    /// All who glance between two readings are told the same, so that what they make of it does not
    /// depend on who comes last.
    #[inline]
    pub(crate) fn glance(&self, now: Timestamp) -> Option<Now> {
        let (from, until) = self.alike;
        (from <= now && now <= until).then_some(self.now)
    }

    /// What [`read`](Self::read) would answer, without taking note of anything.
    #[inline]
    pub(crate) fn peek(&self, now: Timestamp) -> Now {
        let alike = self.glance(now);
        alike.unwrap_or_else(|| Now::at(now.max(self.last)))
    }

    pub(crate) const fn last(&self) -> Timestamp {
        self.last
    }

    pub(crate) const fn regressions(&self) -> u64 {
        self.regressions
    }

    fn move_to(&mut self, last: Timestamp) {
        self.last = last;
        self.now = Now::at(last);
        let lag = u64::try_from(self.lag.as_nanos()).unwrap_or(u64::MAX);
        let from = last.as_nanos().saturating_sub(lag);
        let from = from.min(self.now.floor_ms * NANOS_PER_MS);
        // At a whole millisecond the next reading is rounded up to another one.
        let until = if self.now.floor_ms == self.now.ceil_ms {
            last.as_nanos()
        } else {
            let next = self.now.ceil_ms.checked_mul(NANOS_PER_MS);
            next.map_or(u64::MAX, |next| next - 1)
        };
        self.alike = (Timestamp::from_nanos(from), Timestamp::from_nanos(until));
    }
}

impl Now {
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

    #[test]
    fn two_threads_that_read_a_precise_clock_at_the_same_time_are_no_regression() {
        let mut clock = Clockwork::new(Duration::ZERO);
        let now = clock.read(Timestamp::from_nanos(5_700_000));
        assert_eq!(clock.glance(Timestamp::from_nanos(5_699_999)), Some(now));
        assert_eq!(clock.read(Timestamp::from_nanos(5_000_000)), now);
        assert_eq!(clock.regressions(), 0);
        assert_eq!(clock.glance(Timestamp::from_nanos(4_999_999)), None);
        clock.read(Timestamp::from_nanos(4_999_999));
        assert_eq!(clock.regressions(), 1);
    }

    #[test]
    fn a_glance_answers_what_a_reading_would_or_nothing() {
        let lag = Duration::from_millis(4);
        for last in [0, 1, 999_999, 5_000_000, 5_000_001, 7_300_000, u64::MAX] {
            let mut clock = Clockwork::new(lag);
            clock.read(Timestamp::from_nanos(last));
            for step in [0, 1, 600_000, 700_000, 1_000_000, 4_000_000, 4_000_001] {
                for now in [last.saturating_sub(step), last.saturating_add(step)] {
                    let now = Timestamp::from_nanos(now);
                    let mut read = clock;
                    let expected = read.read(now);
                    let is_new = expected != clock.now || read.regressions != clock.regressions;
                    let glance = clock.glance(now);
                    assert_eq!(clock.peek(now), expected);
                    assert_eq!(glance, (!is_new).then_some(expected), "{last} {now:?}");
                }
            }
        }
    }
}
