use lease_queue::Timestamp;

/// Keeps the time that callers bring from going back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clockwork {
    last: Timestamp,
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
    /// A reading that goes back is taken as the latest one before it, and counted.
    #[inline]
    pub(crate) fn read(&mut self, now: Timestamp) -> Now {
        if now < self.last {
            self.regressions += 1;
        } else {
            self.last = now;
        }
        Now::at(self.last)
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
        let mut clock = Clockwork::default();
        clock.read(Timestamp::from_nanos(5_000_000));
        let now = clock.read(Timestamp::from_nanos(3_000_000));
        assert_eq!(now.floor_ms, 5);
        assert_eq!(clock.regressions(), 1);
    }
}
