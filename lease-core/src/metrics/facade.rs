use std::fmt;

use metrics::{Counter, Histogram, Unit};

use super::names::{
    EXPIRY_LAG, FAILURES, GRANTED, Name, OVERSIGHTS, RENEWED, REVOKED, TTL, first_lags,
};
use crate::{LessorEvent, Observer};

/// Counts what happens in a lessor through the `metrics` facade, under etcd's names.
///
/// It counts where the recorder is that was installed when it was made: install the recorder
/// first. An event costs what the recorder's counter costs, without a look-up of its name.
///
/// The facade knows no buckets: where a recorder wants them, give it
/// [`TTL_BUCKETS_SECS`](super::TTL_BUCKETS_SECS) for `etcd_debugging_lease_ttl_total` and
/// [`EXPIRY_LAG_BUCKETS_SECS`](super::EXPIRY_LAG_BUCKETS_SECS) for `lessor_expiry_lag_seconds`.
///
/// ```
/// use lease_core::metrics::FacadeMetrics;
/// use lease_core::{BackendLessor, NullBackend};
/// use std::sync::Arc;
///
/// // After the program has installed its recorder:
/// let lessor = BackendLessor::builder(Arc::new(NullBackend))
///     .observer(Arc::new(FacadeMetrics::new()))
///     .build()?;
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
pub struct FacadeMetrics {
    granted: Counter,
    revoked: Counter,
    renewed: Counter,
    failures: Counter,
    oversights: Counter,
    ttl: Histogram,
    expiry_lag: Histogram,
}

impl FacadeMetrics {
    /// Describes the metrics to the installed recorder and registers them with it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            granted: counter(&GRANTED),
            revoked: counter(&REVOKED),
            renewed: counter(&RENEWED),
            failures: counter(&FAILURES),
            oversights: counter(&OVERSIGHTS),
            ttl: histogram(&TTL),
            expiry_lag: histogram(&EXPIRY_LAG),
        }
    }
}

impl Default for FacadeMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for FacadeMetrics {
    fn observe(&self, event: &LessorEvent<'_>) {
        match event {
            LessorEvent::Granted { ttl, .. } => {
                self.granted.increment(1);
                self.ttl.record(ttl.as_secs() as f64);
            }
            LessorEvent::Revoked { .. } => self.revoked.increment(1),
            LessorEvent::Renewed { .. } => self.renewed.increment(1),
            LessorEvent::Expired { batch, .. } => {
                first_lags(batch).for_each(|secs| self.expiry_lag.record(secs));
            }
            LessorEvent::Failed(_) => self.failures.increment(1),
            LessorEvent::Overlooked(_) => self.oversights.increment(1),
            LessorEvent::Attached { .. }
            | LessorEvent::Detached { .. }
            | LessorEvent::Promoted(_)
            | LessorEvent::Demoted
            | LessorEvent::StrangeRow(_) => {}
        }
    }
}

impl fmt::Debug for FacadeMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FacadeMetrics").finish_non_exhaustive()
    }
}

fn counter(name: &Name) -> Counter {
    metrics::describe_counter!(name.name, name.help);
    metrics::counter!(name.name)
}

fn histogram(name: &Name) -> Histogram {
    metrics::describe_histogram!(name.name, Unit::Seconds, name.help);
    metrics::histogram!(name.name)
}
