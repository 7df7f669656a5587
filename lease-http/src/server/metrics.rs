use std::fmt;
use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram, Unit};
use tokio::time::Instant;

use super::watch::Wait;
use crate::messages::{Kind, Outcome};

/// Counts a handler's requests through the `metrics` facade.
///
/// | name | type | labels | what |
/// |---|---|---|---|
/// | `lease_http_requests_total` | counter | `kind`, `outcome` | requests that have ended |
/// | `lease_http_wait_seconds` | histogram | `for` | how long requests have waited |
/// | `lease_http_in_flight` | gauge | | requests that have not ended |
///
/// `kind` is `renew`, `time_to_live`, `renew_batch`, or `unknown` of what could not be read;
/// `outcome` is [`Outcome::name`], `gone` if the caller went away. `for` is `applied`, the wait for
/// this member to have caught up, and `lease`, the time until the lessor has answered: that of a
/// renewal is its wait for the end of an expired lease.
///
/// It counts where the recorder is that was installed when it was made: install the recorder first.
/// A request costs what the recorder's counters cost, without a look-up of their names.
///
/// ```
/// use lease_http::HandlerMetrics;
///
/// // After the program has installed its recorder:
/// let metrics = HandlerMetrics::new();
/// ```
pub struct HandlerMetrics {
    requests: [[Counter; OUTCOMES.len()]; KINDS.len()],
    applied_wait: Histogram,
    lease_wait: Histogram,
    in_flight: Gauge,
}

impl HandlerMetrics {
    /// Describes the metrics to the installed recorder and registers them with it.
    #[must_use]
    pub fn new() -> Self {
        metrics::describe_counter!(REQUESTS, "Requests of other members that have ended.");
        metrics::describe_histogram!(WAIT, Unit::Seconds, "How long requests have waited.");
        metrics::describe_gauge!(IN_FLIGHT, "Requests of other members that have not ended.");
        let counter = |kind: Option<Kind>, outcome: Outcome| {
            let kind = kind.map_or("unknown", Kind::name);
            metrics::counter!(REQUESTS, "kind" => kind, "outcome" => outcome.name())
        };
        Self {
            requests: KINDS.map(|kind| OUTCOMES.map(|outcome| counter(kind, outcome))),
            applied_wait: metrics::histogram!(WAIT, "for" => "applied"),
            lease_wait: metrics::histogram!(WAIT, "for" => "lease"),
            in_flight: metrics::gauge!(IN_FLIGHT),
        }
    }

    fn requests(&self, kind: Option<Kind>, outcome: Outcome) -> Option<&Counter> {
        let row = KINDS.iter().position(|other| *other == kind)?;
        let column = OUTCOMES.iter().position(|other| *other == outcome)?;
        self.requests.get(row)?.get(column)
    }
}

impl Default for HandlerMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HandlerMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerMetrics").finish_non_exhaustive()
    }
}

const OUTCOMES: [Outcome; 9] = Outcome::ALL;

const KINDS: [Option<Kind>; 4] = [
    Some(Kind::Renew),
    Some(Kind::TimeToLive),
    Some(Kind::RenewBatch),
    None,
];

const REQUESTS: &str = "lease_http_requests_total";
const WAIT: &str = "lease_http_wait_seconds";
const IN_FLIGHT: &str = "lease_http_in_flight";

/// One request that is being counted. It has ended when this is dropped.
pub(super) struct Counting {
    metrics: Arc<HandlerMetrics>,
    kind: Option<Kind>,
    outcome: Outcome,
}

impl Counting {
    pub(super) fn begin(metrics: Arc<HandlerMetrics>) -> Self {
        metrics.in_flight.increment(1);
        Self {
            metrics,
            kind: None,
            outcome: Outcome::Gone,
        }
    }

    pub(super) fn set_kind(&mut self, kind: Kind) {
        self.kind = Some(kind);
    }

    pub(super) fn set_outcome(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    pub(super) fn timer(&self, wait: Wait) -> RunningTimer {
        let histogram = match wait {
            Wait::Applied => &self.metrics.applied_wait,
            Wait::Lease => &self.metrics.lease_wait,
        };
        RunningTimer {
            histogram: histogram.clone(),
            start: Instant::now(),
        }
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.metrics.in_flight.decrement(1);
        let requests = self.metrics.requests(self.kind, self.outcome);
        if let Some(counter) = requests {
            counter.increment(1);
        }
    }
}

/// Records the time from its making until it is dropped.
pub(super) struct RunningTimer {
    histogram: Histogram,
    start: Instant,
}

impl Drop for RunningTimer {
    fn drop(&mut self) {
        self.histogram.record(self.start.elapsed());
    }
}
