use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lease_core::{Clock, Timestamp, probe};
use madsim::time::TimeHandle;

use crate::event::OwnTime;
use crate::plan::Parameters;

/// A member's own clock: it starts somewhere, runs fast or slow, and can be set back.
#[derive(Clone)]
pub(super) struct SimClock {
    time: TimeHandle,
    drift_ppm: i32,
    lag_ns: u64,
    origin_ns: u64,
    back_ns: Arc<AtomicU64>,
    // The latest reading that the lessor has had of it.
    read_ns: Arc<AtomicU64>,
}

/// Whether a time counts from the millisecond that has begun, or from the one that comes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    Down,
    Up,
}

const NANOS_PER_MS: u64 = 1_000_000;

const PPM: u64 = 1_000_000;

impl SimClock {
    pub(super) fn new(node: usize, parameters: &Parameters) -> Self {
        Self {
            time: TimeHandle::current(),
            drift_ppm: parameters.drift_ppm[node],
            lag_ns: parameters.clock_lag_ms * NANOS_PER_MS,
            // Far from zero, so that it can be set back.
            origin_ns: match parameters.clock_origin_ms {
                0 => (1 + node as u64) * 1_000_000_000_000_000,
                origin_ms => {
                    probe::mark("world: the clocks start shortly before a power of two");
                    origin_ms * NANOS_PER_MS
                }
            },
            back_ns: Arc::default(),
            read_ns: Arc::default(),
        }
    }

    /// The same clock, for a lessor beside the one of the member.
    pub(super) fn beside(&self) -> Self {
        Self {
            read_ns: Arc::default(),
            ..self.clone()
        }
    }

    /// A new lessor has read nothing.
    pub(super) fn forget_readings(&self) {
        self.read_ns.store(0, Ordering::Relaxed);
    }

    /// What a lessor that reads the clock now takes for the time.
    pub(super) fn own_time(&self, round: Round) -> OwnTime {
        let from = self.coarse();
        let to = from.max(self.read_ns.load(Ordering::Relaxed));
        let rounded = |nanos: u64| match round {
            Round::Down => nanos / NANOS_PER_MS,
            Round::Up => nanos.div_ceil(NANOS_PER_MS),
        };
        OwnTime {
            from_ms: rounded(from),
            to_ms: rounded(to),
        }
    }

    /// What it shows who asks for the exact time.
    pub(super) fn exact(&self) -> Timestamp {
        Timestamp::from_nanos(self.reading())
    }

    /// The latest that a lessor takes for the time, if it asks for the exact one.
    pub(super) fn latest(&self) -> Timestamp {
        let read = self.read_ns.load(Ordering::Relaxed);
        Timestamp::from_nanos(self.reading().max(read))
    }

    pub(super) fn set_back(&self, by: Duration) {
        self.back_ns
            .fetch_add(by.as_nanos() as u64, Ordering::Relaxed);
    }

    /// How long a time of this clock's takes in the world's.
    pub(super) fn true_span(&self, span: Duration) -> Duration {
        let rate = PPM.saturating_add_signed(i64::from(self.drift_ppm));
        let scaled = span.as_nanos() * u128::from(PPM) / u128::from(rate);
        Duration::from_nanos(u64::try_from(scaled).unwrap_or(u64::MAX))
    }

    /// How long it takes, in the world's time, until the clock shows `at`; never less.
    pub(super) fn time_until(&self, at: Timestamp) -> Duration {
        let now = Timestamp::from_nanos(self.reading());
        let left = at.saturating_duration_since(now).as_nanos() as u64;
        let rate = PPM.saturating_add_signed(i64::from(self.drift_ppm));
        let scaled = u128::from(left) * u128::from(PPM) / u128::from(rate);
        Duration::from_nanos(u64::try_from(scaled).unwrap_or(u64::MAX).saturating_add(1))
    }
}

impl SimClock {
    /// What it shows whoever does not ask for the exact time, in nanoseconds.
    fn coarse(&self) -> u64 {
        let reading = self.reading();
        reading - reading.checked_rem(self.lag_ns).unwrap_or(0)
    }

    fn note(&self, reading: u64) -> Timestamp {
        self.read_ns.fetch_max(reading, Ordering::Relaxed);
        Timestamp::from_nanos(reading)
    }

    /// What it shows, in nanoseconds.
    pub(super) fn reading(&self) -> u64 {
        let elapsed = self.time.elapsed().as_nanos() as i128;
        let drifted = elapsed + elapsed * i128::from(self.drift_ppm) / i128::from(PPM);
        let back = i128::from(self.back_ns.load(Ordering::Relaxed));
        let shown = i128::from(self.origin_ns) + drifted - back;
        u64::try_from(shown).unwrap_or(0)
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        self.note(self.coarse())
    }

    fn precise_now(&self) -> Timestamp {
        self.note(self.reading())
    }

    fn lag(&self) -> Duration {
        Duration::from_nanos(self.lag_ns)
    }
}
