use std::fmt;
use std::sync::{Arc, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::{BackendLessor, Lessor, LessorStats};

/// Reads for Prometheus what a lessor holds and has counted, whenever it is scraped.
///
/// A scrape takes the lessor's lock once, for O(1), and costs nothing in between. It does not keep
/// the lessor alive; once the lessor is gone it shows nothing.
///
/// | name | type | what |
/// |---|---|---|
/// | `lessor_leases` | gauge | leases that are there |
/// | `lessor_items` | gauge | items that are attached |
/// | `lessor_backlog_leases` | gauge | leases whose time is up and that the revoke rate has put off |
/// | `lessor_expiring_leases` | gauge | leases delivered as expired and not revoked yet: the revokes in flight |
/// | `lessor_expired_batches` | gauge | expired batches that the host has not taken yet |
/// | `lessor_waiting_callers` | gauge | renewals that wait for the end of a lease, and commands that wait for others |
/// | `lessor_open_checkpoints` | gauge | checkpoint proposals that may still be applied |
/// | `lessor_expired_total` | counter | leases delivered as expired, each attempt counted |
/// | `lessor_throttled_total` | counter | times that the revoke rate put a delivery off |
/// | `lessor_stale_revokes_total` | counter | expiry-revokes that came too late |
/// | `lessor_checkpoints_proposed_total` | counter | checkpoint records taken to be proposed |
/// | `lessor_checkpoints_applied_total` | counter | checkpoint records applied |
/// | `lessor_stale_checkpoints_total` | counter | checkpoint records that came too late |
/// | `lessor_grants_unpromoted_total` | counter | leases granted by a host that has never promoted: they do not expire |
/// | `lessor_batches_not_taken_total` | counter | times that a batch of expired leases lay for ten seconds and nobody took any |
/// | `lessor_clock_regressions_total` | counter | readings of the clock behind an earlier one by more than its lag |
///
/// `lessor_expiring_leases` that stays high is a host that revokes too slowly or not at all;
/// `lessor_expired_batches` at its capacity is one that does not even take them.
/// `lessor_backlog_leases` that grows is a revoke rate below that at which leases expire.
/// A thread that is interrupted between its reading of the clock and the lessor's lock makes a clock
/// regression now and then; many are a clock that is wrong.
///
/// ```
/// use lease_core::metrics::PrometheusCollector;
/// use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
/// use prometheus_client::{encoding::text::encode, registry::Registry};
/// use std::sync::Arc;
///
/// let lessor = Arc::new(BackendLessor::builder(Arc::new(NullBackend)).build()?);
/// let mut registry = Registry::default();
/// registry.register_collector(Box::new(PrometheusCollector::new(&lessor)));
/// lessor.grant(LeaseId::try_from(7)?, 60)?;
///
/// let mut text = String::new();
/// encode(&mut text, &registry).expect("a string takes everything");
/// assert!(text.contains("\nlessor_leases 1\n"));
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Debug)]
pub struct PrometheusCollector {
    lessor: Weak<BackendLessor>,
}

impl PrometheusCollector {
    /// A collector of one lessor, for
    /// [`Registry::register_collector`](prometheus_client::registry::Registry::register_collector).
    ///
    /// Several lessors in one registry need a sub-registry with a prefix each.
    #[must_use]
    pub fn new(lessor: &Arc<BackendLessor>) -> Self {
        Self {
            lessor: Arc::downgrade(lessor),
        }
    }

    fn read(&self) -> Option<(LessorStats, usize)> {
        let lessor = self.lessor.upgrade()?;
        Some((lessor.stats(), lessor.expired_leases().len()))
    }
}

impl Collector for PrometheusCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some((stats, batches)) = self.read() else {
            return Ok(());
        };
        for (name, help, value) in gauges(&stats, batches) {
            encode(&mut encoder, name, help, &ConstGauge::new(value))?;
        }
        for (name, help, value) in counters(&stats) {
            encode(&mut encoder, name, help, &ConstCounter::new(value))?;
        }
        Ok(())
    }
}

fn gauges(stats: &LessorStats, batches: usize) -> [(&'static str, &'static str, usize); 7] {
    [
        ("lessor_leases", "Leases that are there.", stats.leases),
        ("lessor_items", "Items that are attached.", stats.items),
        (
            "lessor_backlog_leases",
            "Leases whose time is up and that the revoke rate has put off.",
            stats.backlog,
        ),
        (
            "lessor_expiring_leases",
            "Leases delivered as expired and not revoked yet.",
            stats.expiring,
        ),
        (
            "lessor_expired_batches",
            "Expired batches that the host has not taken yet.",
            batches,
        ),
        (
            "lessor_waiting_callers",
            "Renewals that wait for the end of a lease, and commands that wait for others.",
            stats.waiting,
        ),
        (
            "lessor_open_checkpoints",
            "Checkpoint proposals that may still be applied.",
            stats.open_checkpoints,
        ),
    ]
}

// Without `_total`, which the encoder appends.
fn counters(stats: &LessorStats) -> [(&'static str, &'static str, u64); 9] {
    [
        (
            "lessor_expired",
            "Leases delivered as expired, each attempt counted.",
            stats.expired,
        ),
        (
            "lessor_throttled",
            "Times that the revoke rate put a delivery off.",
            stats.throttled,
        ),
        (
            "lessor_stale_revokes",
            "Expiry-revokes that came too late to mean anything.",
            stats.stale_revokes,
        ),
        (
            "lessor_checkpoints_proposed",
            "Checkpoint records taken to be proposed.",
            stats.checkpoints_proposed,
        ),
        (
            "lessor_checkpoints_applied",
            "Checkpoint records applied.",
            stats.checkpoints_applied,
        ),
        (
            "lessor_stale_checkpoints",
            "Checkpoint records that came too late to mean anything.",
            stats.stale_checkpoints,
        ),
        (
            "lessor_grants_unpromoted",
            "Leases granted by a host that has never promoted, which do not expire.",
            stats.grants_unpromoted,
        ),
        (
            "lessor_batches_not_taken",
            "Times that a batch of expired leases lay for ten seconds and nobody took any.",
            stats.batches_not_taken,
        ),
        (
            "lessor_clock_regressions",
            "Readings of the clock that were behind an earlier one by more than its lag.",
            stats.clock_regressions,
        ),
    ]
}

fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> Result<(), fmt::Error> {
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}
