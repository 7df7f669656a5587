use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Timestamp;

/// Where a lessor's time comes from: monotonic, from any origin.
///
/// The lessor reads it once per call.
pub trait Clock: Send + Sync {
    /// The time, at most [`lag`](Self::lag) behind the true one. It is read on the hot path.
    fn now(&self) -> Timestamp;

    /// The time as exactly as it can be had. It is read when something is due.
    fn precise_now(&self) -> Timestamp {
        self.now()
    }

    /// How far [`now`](Self::now) may lag behind; an expiry is this much later, so that it is never
    /// early.
    fn lag(&self) -> Duration {
        Duration::ZERO
    }
}

/// The system's monotonic clock.
///
/// On Linux the hot path reads the kernel's coarse clock, which is a few milliseconds behind and
/// costs a tenth of a precise reading. The clock stands still while the machine is suspended.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    lag: Duration,
}

#[cfg(target_os = "linux")]
mod system {
    use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

    use super::{Clock, Duration, SystemClock, Timestamp};

    impl Default for SystemClock {
        fn default() -> Self {
            // A tick moves the clock on by whole ticks and keeps what is left over, which may be
            // almost another one, for the next: at a resolution of 4 ms it is up to 6.8 ms behind.
            let tick = timestamp(clock_getres(ClockId::MonotonicCoarse));
            Self {
                lag: Duration::from_nanos(tick.as_nanos().saturating_mul(2)),
            }
        }
    }

    impl Clock for SystemClock {
        #[inline]
        fn now(&self) -> Timestamp {
            timestamp(clock_gettime(ClockId::MonotonicCoarse))
        }

        fn precise_now(&self) -> Timestamp {
            timestamp(clock_gettime(ClockId::Monotonic))
        }

        fn lag(&self) -> Duration {
            self.lag
        }
    }

    #[inline]
    const fn timestamp(time: Timespec) -> Timestamp {
        let secs = time.tv_sec as u64;
        Timestamp::from_nanos(secs.saturating_mul(1_000_000_000) + time.tv_nsec as u64)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::sync::OnceLock;
    use std::time::Instant;

    use super::{Clock, Duration, SystemClock, Timestamp};

    static ORIGIN: OnceLock<Instant> = OnceLock::new();

    impl Default for SystemClock {
        fn default() -> Self {
            Self {
                lag: Duration::ZERO,
            }
        }
    }

    impl Clock for SystemClock {
        #[expect(clippy::disallowed_methods, reason = "this is the system's clock")]
        fn now(&self) -> Timestamp {
            let since = ORIGIN.get_or_init(Instant::now).elapsed();
            Timestamp::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
        }

        fn lag(&self) -> Duration {
            self.lag
        }
    }
}

/// A clock that moves only when it is told to: for tests, simulations and hosts that bring their
/// own time.
///
/// ```
/// use lease_core::{Clock, ManualClock, Timestamp};
/// use std::time::Duration;
///
/// let clock = ManualClock::default();
/// clock.advance(Duration::from_secs(3));
/// assert_eq!(clock.now(), Timestamp::from_secs(3));
/// ```
#[derive(Debug, Default)]
pub struct ManualClock {
    nanos: AtomicU64,
}

impl ManualClock {
    /// Sets the time; it may go back, which the lessor notices and holds against.
    pub fn set(&self, now: Timestamp) {
        self.nanos.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// Moves the time on; it stays at [`Timestamp::MAX`].
    pub fn advance(&self, by: Duration) {
        self.set(self.now().saturating_add(by));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.nanos.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a lag that is too small a lease expires early.
    #[test]
    fn the_systems_clock_is_no_further_behind_than_it_says() {
        let clock = SystemClock::default();
        let late_readings = || {
            let end = clock
                .precise_now()
                .saturating_add(Duration::from_millis(25));
            let mut late = 0;
            while clock.precise_now() < end {
                let precise = clock.precise_now();
                let coarse = clock.now();
                late += u32::from(coarse.saturating_add(clock.lag()) < precise);
                assert!(coarse <= clock.precise_now());
            }
            late
        };
        // A machine that stands still is late now and then; a wrong lag, several times in each try.
        let tries: [u32; 8] = core::array::from_fn(|_| late_readings());
        assert!(tries.contains(&0), "{tries:?}");
        assert!(clock.lag() < Duration::from_millis(50), "{:?}", clock.lag());
    }

    #[test]
    fn a_manual_clock_stands_still_until_it_is_moved() {
        let clock = ManualClock::default();
        clock.set(Timestamp::from_secs(5));
        clock.advance(Duration::from_secs(2));
        assert_eq!(clock.now(), Timestamp::from_secs(7));
        assert_eq!(clock.precise_now(), clock.now());
        assert_eq!(clock.lag(), Duration::ZERO);
    }
}
