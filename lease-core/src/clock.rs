use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Timestamp;

/// Where a lessor's time comes from: monotonic, from any origin.
///
/// The lessor reads it once per call.
///
/// ```
/// use lease_core::{Clock, Timestamp};
/// use std::time::Instant;
///
/// /// Counts from the start of the program.
/// struct SinceStart(Instant);
///
/// impl Clock for SinceStart {
///     fn now(&self) -> Timestamp {
///         Timestamp::ZERO.saturating_add(self.0.elapsed())
///     }
/// }
/// # let clock = SinceStart(Instant::now());
/// # assert!(clock.now() <= clock.precise_now());
/// ```
pub trait Clock: Send + Sync {
    /// The time, at most [`lag`](Self::lag) behind the true one. It is read on the hot path, and must
    /// not block.
    ///
    /// ```
    /// use lease_core::{Clock, ManualClock, Timestamp};
    ///
    /// assert_eq!(ManualClock::default().now(), Timestamp::ZERO);
    /// ```
    fn now(&self) -> Timestamp;

    /// The time as exactly as it can be had. It is read when something is due.
    ///
    /// ```
    /// use lease_core::{Clock, SystemClock};
    ///
    /// let clock = SystemClock::default();
    /// let before = clock.precise_now();
    /// assert!(clock.precise_now() >= before);
    /// ```
    fn precise_now(&self) -> Timestamp {
        self.now()
    }

    /// How far [`now`](Self::now) may lag behind; an expiry is this much later, so that it is never
    /// early.
    ///
    /// ```
    /// use lease_core::{Clock, SystemClock};
    ///
    /// let clock = SystemClock::default();
    /// let precise = clock.precise_now();
    /// assert!(clock.now().saturating_add(clock.lag()) >= precise);
    /// ```
    fn lag(&self) -> Duration {
        Duration::ZERO
    }
}

/// The system's monotonic clock. It stands still while the machine is suspended.
///
/// On the hot path it answers its last precise reading again until the processor's own counter says
/// that a millisecond has passed since: that costs a third of a precise reading, and the answer is
/// behind by at most [`lag`](Clock::lag), whatever the system's timer does. The kernel's coarse clock
/// is as cheap, but under load it was found 15 ms behind where two of its ticks are 8. Where the
/// counter is not one that the system itself keeps time by, every reading is a precise one.
///
/// ```
/// use lease_core::{Clock, SystemClock};
/// use std::time::Duration;
///
/// let clock = SystemClock::default();
/// assert!(clock.lag() <= Duration::from_millis(2));
/// ```
#[derive(Debug)]
pub struct SystemClock {
    // `None` where the counter cannot be relied on.
    counter: Option<Counter>,
}

/// The last precise reading, and how long it may be answered again.
#[derive(Debug)]
struct Counter {
    clock: quanta::Clock,
    // Written before `ticks` and read after it: a reader finds a reading that is as new as the ticks
    // that he has found, or newer.
    nanos: AtomicU64,
    ticks: AtomicU64,
    // How many ticks are a millisecond; 0 until that is known.
    ticks_per_ms: AtomicU64,
    first: (u64, Timestamp),
}

const NANOS_PER_MS: u64 = 1_000_000;

/// How long the counter and the clock are compared before the rate is believed. Milliseconds.
const CALIBRATION_MS: u64 = 20;

impl Default for SystemClock {
    fn default() -> Self {
        Self {
            counter: is_counter_trusted().then(Counter::new),
        }
    }
}

impl Clock for SystemClock {
    #[inline]
    fn now(&self) -> Timestamp {
        match &self.counter {
            Some(counter) => counter.now(),
            None => system::now(),
        }
    }

    fn precise_now(&self) -> Timestamp {
        system::now()
    }

    fn lag(&self) -> Duration {
        // Twice what the counter measures: its rate is known to a percent.
        self.counter
            .as_ref()
            .map_or(Duration::ZERO, |_| Duration::from_millis(2))
    }
}

impl Counter {
    fn new() -> Self {
        let clock = quanta::Clock::new();
        let first = (clock.raw(), system::now());
        Self {
            clock,
            nanos: AtomicU64::new(first.1.as_nanos()),
            ticks: AtomicU64::new(first.0),
            ticks_per_ms: AtomicU64::new(0),
            first,
        }
    }

    #[inline]
    fn now(&self) -> Timestamp {
        let since = self.ticks.load(Ordering::Acquire);
        let nanos = self.nanos.load(Ordering::Relaxed);
        // A counter that has gone back is far ahead here, and read again.
        let passed = self.clock.raw().wrapping_sub(since);
        if passed < self.ticks_per_ms.load(Ordering::Relaxed) {
            Timestamp::from_nanos(nanos)
        } else {
            self.read()
        }
    }

    #[cold]
    fn read(&self) -> Timestamp {
        // Before the reading: what is answered again is never older than the ticks say.
        let ticks = self.clock.raw();
        let now = system::now();
        let span_ms =
            now.saturating_duration_since(self.first.1).as_nanos() / u128::from(NANOS_PER_MS);
        if span_ms >= u128::from(CALIBRATION_MS) {
            let ticks_per_ms = u128::from(ticks.wrapping_sub(self.first.0)) / span_ms;
            let ticks_per_ms = u64::try_from(ticks_per_ms).unwrap_or(0);
            self.ticks_per_ms.store(ticks_per_ms, Ordering::Relaxed);
        }
        self.nanos.fetch_max(now.as_nanos(), Ordering::Relaxed);
        self.ticks.fetch_max(ticks, Ordering::Release);
        now
    }
}

/// Whether the system keeps its own time by the processor's counter: only then is it the same on all
/// processors.
fn is_counter_trusted() -> bool {
    if cfg!(not(all(target_os = "linux", target_arch = "x86_64"))) {
        return false;
    }
    let source =
        std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    source.is_ok_and(|source| source.trim() == "tsc")
}

#[cfg(target_os = "linux")]
mod system {
    use rustix::time::{ClockId, clock_gettime};

    use super::Timestamp;

    #[inline]
    pub(super) fn now() -> Timestamp {
        let time = clock_gettime(ClockId::Monotonic);
        let secs = time.tv_sec as u64;
        Timestamp::from_nanos(secs.saturating_mul(1_000_000_000) + time.tv_nsec as u64)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::sync::OnceLock;
    use std::time::Instant;

    use super::Timestamp;

    static ORIGIN: OnceLock<Instant> = OnceLock::new();

    #[expect(clippy::disallowed_methods, reason = "this is the system's clock")]
    pub(super) fn now() -> Timestamp {
        let since = ORIGIN.get_or_init(Instant::now).elapsed();
        Timestamp::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
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
    ///
    /// ```
    /// use lease_core::{Clock, ManualClock, Timestamp};
    ///
    /// let clock = ManualClock::default();
    /// clock.set(Timestamp::from_secs(1_000));
    /// assert_eq!(clock.now(), Timestamp::from_secs(1_000));
    /// ```
    pub fn set(&self, now: Timestamp) {
        self.nanos.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// Moves the time on; it stays at [`Timestamp::MAX`].
    ///
    /// ```
    /// use lease_core::{Clock, ManualClock, Timestamp};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::default();
    /// clock.advance(Duration::from_secs(3));
    /// clock.advance(Duration::from_secs(4));
    /// assert_eq!(clock.now(), Timestamp::from_secs(7));
    /// ```
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

    /// With a lag that is too small a lease expires early. Holds whatever else the machine does.
    #[test]
    fn the_systems_clock_is_no_further_behind_than_it_says() {
        let clock = SystemClock::default();
        let end = clock
            .precise_now()
            .saturating_add(Duration::from_millis(100));
        let mut readings = 0;
        loop {
            let before = clock.precise_now();
            let now = clock.now();
            assert!(
                now.saturating_add(clock.lag()) >= before,
                "{now:?} at {before:?}"
            );
            assert!(now <= clock.precise_now());
            readings += 1;
            if before > end {
                break;
            }
        }
        assert!(readings > 100);
        assert!(clock.lag() < Duration::from_millis(50), "{:?}", clock.lag());
    }

    #[test]
    fn a_counter_that_goes_back_or_stands_still_is_not_believed_for_long() {
        let counter = Counter::new();
        let first = counter.now();
        // As on another processor whose counter is behind.
        counter.ticks.store(u64::MAX / 2, Ordering::Relaxed);
        counter.ticks_per_ms.store(1_000_000, Ordering::Relaxed);
        assert!(counter.now() >= first);
        counter.ticks_per_ms.store(0, Ordering::Relaxed);
        let second = counter.now();
        assert!(second >= first && second <= system::now());
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
