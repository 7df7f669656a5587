use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lease_core::metrics::{PrometheusCollector, PrometheusMetrics};
use lease_core::{BackendLessor, Lessor, LessorEvent, Observer, probe};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::Host;
use super::facade::Facade;

/// What is counted for Prometheus and through the facade, and what was to be counted.
pub(super) struct Metrics {
    prometheus: PrometheusMetrics,
    facade: Facade,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    counts: BTreeMap<&'static str, u64>,
    ttls_secs: Vec<f64>,
    lags_secs: Vec<f64>,
}

/// How often a scrape is looked at.
const SCRAPED_EVERY: u64 = 24;

impl Host {
    /// A scrape shows what has happened, and what there is.
    pub(super) fn look_at_metrics(&mut self) {
        if !self.steps.is_multiple_of(SCRAPED_EVERY) {
            return;
        }
        probe::mark("alone: metrics are scraped");
        let shown = self.watch.metrics().scrape(&self.lessor);
        let must = self.watch.metrics().seen().samples();
        let counted = self.watch.metrics().facade.samples();
        let is_counted = |(name, value): &(String, f64)| {
            let counted = counted.get(name).copied().unwrap_or(0.0);
            name.contains("_bucket") || (counted - value).abs() <= 1e-6
        };
        if let Some((name, value)) = must.iter().find(|sample| !is_counted(sample)) {
            let text = format!("{name} is {value}, and {counted:?} is counted");
            return self.object(text);
        }
        let wrong = must
            .into_iter()
            .chain(held(&self.lessor))
            .find(|(name, value)| {
                let shown = shown.get(name).copied();
                shown.is_none_or(|shown| (shown - value).abs() > 1e-6)
            });
        if let Some((name, value)) = wrong {
            let shown = shown.get(&name);
            self.object(format!("{name} is {value}, and {shown:?} is shown"));
        }
    }
}

impl Metrics {
    pub(super) fn new() -> Self {
        Self {
            prometheus: PrometheusMetrics::default(),
            facade: Facade::new(),
            seen: Mutex::default(),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All samples, by their names and labels.
    fn scrape(&self, lessor: &Arc<BackendLessor>) -> BTreeMap<String, f64> {
        let mut registry = Registry::default();
        self.prometheus.register(&mut registry);
        registry.register_collector(Box::new(PrometheusCollector::new(lessor)));
        let mut text = String::new();
        encode(&mut text, &registry).expect("a string takes everything");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.filter_map(|line| line.rsplit_once(' '));
        let samples =
            samples.map(|(name, value)| (name.to_owned(), value.parse().unwrap_or(f64::NAN)));
        samples.collect()
    }
}

impl Observer for Metrics {
    fn observe(&self, event: &LessorEvent<'_>) {
        if !probe::is_planted("alone-metrics-not-told") {
            self.prometheus.observe(event);
        }
        if !probe::is_planted("alone-facade-not-told") {
            self.facade.metrics.observe(event);
        }
        let mut seen = self.seen();
        let name = match event {
            LessorEvent::Granted { ttl, .. } => {
                seen.ttls_secs.push(ttl.as_secs() as f64);
                "etcd_debugging_lease_granted_total"
            }
            LessorEvent::Revoked { .. } => "etcd_debugging_lease_revoked_total",
            LessorEvent::Renewed { .. } => "etcd_debugging_lease_renewed_total",
            LessorEvent::Failed(_) => "lessor_failures_total",
            LessorEvent::Overlooked(_) => "lessor_oversights_total",
            LessorEvent::Expired { batch, .. } => {
                let first = batch.leases.iter().filter(|lease| lease.attempt == 0);
                seen.lags_secs
                    .extend(first.map(|lease| lease.lag.as_secs_f64()));
                return;
            }
            _ => return,
        };
        *seen.counts.entry(name).or_default() += 1;
    }
}

impl Seen {
    fn samples(&self) -> Vec<(String, f64)> {
        let counts = self.counts.iter();
        let mut samples: Vec<_> = counts
            .map(|(name, count)| ((*name).to_owned(), *count as f64))
            .collect();
        for (name, values, bounds) in [
            (
                "etcd_debugging_lease_ttl_total",
                &self.ttls_secs,
                TTL_BOUNDS_SECS,
            ),
            (
                "lessor_expiry_lag_seconds",
                &self.lags_secs,
                LAG_BOUNDS_SECS,
            ),
        ] {
            samples.push((format!("{name}_sum"), values.iter().sum()));
            samples.push((format!("{name}_count"), values.len() as f64));
            for bound in bounds {
                let within = values.iter().filter(|value| **value <= bound).count();
                samples.push((format!("{name}_bucket{{le=\"{bound:?}\"}}"), within as f64));
            }
        }
        samples
    }
}

/// Some of the bounds of the histograms, the first and the last among them.
const TTL_BOUNDS_SECS: [f64; 4] = [1.0, 2.0, 16.0, 8_388_608.0];
const LAG_BOUNDS_SECS: [f64; 4] = [0.001, 0.002, 0.064, 524.288];

/// What the lessor says itself that it holds and has counted.
fn held(lessor: &BackendLessor) -> Vec<(String, f64)> {
    let stats = lessor.stats();
    let sizes = [
        ("leases", stats.leases),
        ("items", stats.items),
        ("backlog_leases", stats.backlog),
        ("expiring_leases", stats.expiring),
        ("expired_batches", lessor.expired_leases().len()),
        ("waiting_callers", stats.waiting),
        ("open_checkpoints", stats.open_checkpoints),
    ];
    let counts = [
        ("expired", stats.expired),
        ("throttled", stats.throttled),
        ("stale_revokes", stats.stale_revokes),
        ("checkpoints_proposed", stats.checkpoints_proposed),
        ("checkpoints_applied", stats.checkpoints_applied),
        ("stale_checkpoints", stats.stale_checkpoints),
        ("grants_unpromoted", stats.grants_unpromoted),
        ("batches_not_taken", stats.batches_not_taken),
        ("clock_regressions", stats.clock_regressions),
    ];
    let sizes = sizes.map(|(name, size)| (format!("lessor_{name}"), size as f64));
    let counts = counts.map(|(name, count)| (format!("lessor_{name}_total"), count as f64));
    sizes.into_iter().chain(counts).collect()
}
