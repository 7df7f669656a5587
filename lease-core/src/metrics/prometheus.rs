use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use super::names::{
    EXPIRY_LAG, EXPIRY_LAG_BUCKETS_SECS, FAILURES, GRANTED, Name, OVERSIGHTS, RENEWED, REVOKED,
    TTL, TTL_BUCKETS_SECS, first_lags,
};
use crate::{LessorEvent, Observer};

/// Counts for Prometheus what happens in a lessor, under etcd's names.
///
/// A clone counts on in the same metrics. Lessors that share one are counted together. What a
/// lessor holds is read by a [`PrometheusCollector`](super::PrometheusCollector) instead.
///
/// A grant and an expiry take a short lock of a histogram's, everything else is an atomic addition.
///
/// ```
/// use lease_core::metrics::PrometheusMetrics;
/// use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
/// use prometheus_client::{encoding::text::encode, registry::Registry};
/// use std::sync::Arc;
///
/// let mut registry = Registry::default();
/// let metrics = PrometheusMetrics::new();
/// metrics.register(&mut registry);
/// let lessor = BackendLessor::builder(Arc::new(NullBackend))
///     .observer(Arc::new(metrics))
///     .build()?;
/// lessor.grant(LeaseId::try_from(7)?, 60)?;
///
/// let mut text = String::new();
/// encode(&mut text, &registry).expect("a string takes everything");
/// assert!(text.contains("\netcd_debugging_lease_granted_total 1\n"));
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PrometheusMetrics {
    granted: Counter,
    revoked: Counter,
    renewed: Counter,
    failures: Counter,
    oversights: Counter,
    ttl: Histogram,
    expiry_lag: Histogram,
}

impl PrometheusMetrics {
    /// Counters that stand at zero and are in no registry.
    #[must_use]
    pub fn new() -> Self {
        Self {
            granted: Counter::default(),
            revoked: Counter::default(),
            renewed: Counter::default(),
            failures: Counter::default(),
            oversights: Counter::default(),
            ttl: Histogram::new(TTL_BUCKETS_SECS),
            expiry_lag: Histogram::new(EXPIRY_LAG_BUCKETS_SECS),
        }
    }

    /// Enters the metrics into a registry, once: a second time they would be shown twice.
    ///
    /// A registry with a prefix puts it before the names, which are then not etcd's any more.
    pub fn register(&self, registry: &mut Registry) {
        register_counter(registry, &GRANTED, &self.granted);
        register_counter(registry, &REVOKED, &self.revoked);
        register_counter(registry, &RENEWED, &self.renewed);
        register(registry, TTL.name, &TTL, self.ttl.clone());
        register(
            registry,
            EXPIRY_LAG.name,
            &EXPIRY_LAG,
            self.expiry_lag.clone(),
        );
        register_counter(registry, &FAILURES, &self.failures);
        register_counter(registry, &OVERSIGHTS, &self.oversights);
    }
}

impl Default for PrometheusMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for PrometheusMetrics {
    fn observe(&self, event: &LessorEvent<'_>) {
        match event {
            LessorEvent::Granted { ttl, .. } => {
                self.granted.inc();
                self.ttl.observe(ttl.as_secs() as f64);
            }
            LessorEvent::Revoked { .. } => _ = self.revoked.inc(),
            LessorEvent::Renewed { .. } => _ = self.renewed.inc(),
            LessorEvent::Expired { batch, .. } => {
                first_lags(batch).for_each(|secs| self.expiry_lag.observe(secs));
            }
            LessorEvent::Failed(_) => _ = self.failures.inc(),
            LessorEvent::Overlooked(_) => _ = self.oversights.inc(),
            LessorEvent::Attached { .. }
            | LessorEvent::Detached { .. }
            | LessorEvent::Promoted(_)
            | LessorEvent::Demoted
            | LessorEvent::StrangeRow(_) => {}
        }
    }
}

fn register_counter(registry: &mut Registry, name: &Name, counter: &Counter) {
    // The encoder appends the ending.
    let stem = name.name.trim_end_matches("_total");
    register(registry, stem, name, counter.clone());
}

fn register(registry: &mut Registry, stem: &str, name: &Name, metric: impl Metric) {
    // The registry appends a full stop.
    registry.register(stem, name.help.trim_end_matches('.'), metric);
}
