use std::sync::Arc;

use expect_test::expect;
use lease_core::metrics::{PrometheusCollector, PrometheusMetrics};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::history;

#[test]
fn a_scrape_is_text_for_text_this() {
    let mut registry = Registry::default();
    let metrics = PrometheusMetrics::new();
    metrics.register(&mut registry);
    let lessor = history(Arc::new(metrics));
    registry.register_collector(Box::new(PrometheusCollector::new(&lessor)));
    let expected = expect![[r##"
        # HELP etcd_debugging_lease_granted The total number of granted leases.
        # TYPE etcd_debugging_lease_granted counter
        etcd_debugging_lease_granted_total 5
        # HELP etcd_debugging_lease_revoked The total number of revoked leases.
        # TYPE etcd_debugging_lease_revoked counter
        etcd_debugging_lease_revoked_total 2
        # HELP etcd_debugging_lease_renewed The number of renewed leases seen by the leader.
        # TYPE etcd_debugging_lease_renewed counter
        etcd_debugging_lease_renewed_total 1
        # HELP etcd_debugging_lease_ttl_total Bucketed histogram of lease TTLs.
        # TYPE etcd_debugging_lease_ttl_total histogram
        etcd_debugging_lease_ttl_total_sum 9000000066.0
        etcd_debugging_lease_ttl_total_count 5
        etcd_debugging_lease_ttl_total_bucket{le="1.0"} 2
        etcd_debugging_lease_ttl_total_bucket{le="2.0"} 2
        etcd_debugging_lease_ttl_total_bucket{le="4.0"} 3
        etcd_debugging_lease_ttl_total_bucket{le="8.0"} 3
        etcd_debugging_lease_ttl_total_bucket{le="16.0"} 3
        etcd_debugging_lease_ttl_total_bucket{le="32.0"} 3
        etcd_debugging_lease_ttl_total_bucket{le="64.0"} 4
        etcd_debugging_lease_ttl_total_bucket{le="128.0"} 4
        etcd_debugging_lease_ttl_total_bucket{le="256.0"} 4
        etcd_debugging_lease_ttl_total_bucket{le="512.0"} 4
        etcd_debugging_lease_ttl_total_bucket{le="1024.0"} 4
        etcd_debugging_lease_ttl_total_bucket{le="2048.0"} 4
        etcd_debugging_lease_ttl_total_bucket{le="4096.0"} 4
        etcd_debugging_lease_ttl_total_bucket{le="8192.0"} 4
        etcd_debugging_lease_ttl_total_bucket{le="16384.0"} 4
        etcd_debugging_lease_ttl_total_bucket{le="32768.0"} 4
        etcd_debugging_lease_ttl_total_bucket{le="65536.0"} 4
        etcd_debugging_lease_ttl_total_bucket{le="131072.0"} 4
        etcd_debugging_lease_ttl_total_bucket{le="262144.0"} 4
        etcd_debugging_lease_ttl_total_bucket{le="524288.0"} 4
        etcd_debugging_lease_ttl_total_bucket{le="1048576.0"} 4
        etcd_debugging_lease_ttl_total_bucket{le="2097152.0"} 4
        etcd_debugging_lease_ttl_total_bucket{le="4194304.0"} 4
        etcd_debugging_lease_ttl_total_bucket{le="8388608.0"} 4
        etcd_debugging_lease_ttl_total_bucket{le="+Inf"} 5
        # HELP lessor_expiry_lag_seconds How long after their expiry leases were delivered for the first time.
        # TYPE lessor_expiry_lag_seconds histogram
        lessor_expiry_lag_seconds_sum 2.0
        lessor_expiry_lag_seconds_count 2
        lessor_expiry_lag_seconds_bucket{le="0.001"} 1
        lessor_expiry_lag_seconds_bucket{le="0.002"} 1
        lessor_expiry_lag_seconds_bucket{le="0.004"} 1
        lessor_expiry_lag_seconds_bucket{le="0.008"} 1
        lessor_expiry_lag_seconds_bucket{le="0.016"} 1
        lessor_expiry_lag_seconds_bucket{le="0.032"} 1
        lessor_expiry_lag_seconds_bucket{le="0.064"} 1
        lessor_expiry_lag_seconds_bucket{le="0.128"} 1
        lessor_expiry_lag_seconds_bucket{le="0.256"} 1
        lessor_expiry_lag_seconds_bucket{le="0.512"} 1
        lessor_expiry_lag_seconds_bucket{le="1.024"} 1
        lessor_expiry_lag_seconds_bucket{le="2.048"} 2
        lessor_expiry_lag_seconds_bucket{le="4.096"} 2
        lessor_expiry_lag_seconds_bucket{le="8.192"} 2
        lessor_expiry_lag_seconds_bucket{le="16.384"} 2
        lessor_expiry_lag_seconds_bucket{le="32.768"} 2
        lessor_expiry_lag_seconds_bucket{le="65.536"} 2
        lessor_expiry_lag_seconds_bucket{le="131.072"} 2
        lessor_expiry_lag_seconds_bucket{le="262.144"} 2
        lessor_expiry_lag_seconds_bucket{le="524.288"} 2
        lessor_expiry_lag_seconds_bucket{le="+Inf"} 2
        # HELP lessor_failures Work that nobody waits for and that failed: batched commits, automatic revokes, checkpoints.
        # TYPE lessor_failures counter
        lessor_failures_total 1
        # HELP lessor_oversights What the host seems to have forgotten, so that leases do not expire: to promote, to take expired leases.
        # TYPE lessor_oversights counter
        lessor_oversights_total 0
        # HELP lessor_leases Leases that are there.
        # TYPE lessor_leases gauge
        lessor_leases 3
        # HELP lessor_items Items that are attached.
        # TYPE lessor_items gauge
        lessor_items 4
        # HELP lessor_backlog_leases Leases whose time is up and that the revoke rate has put off.
        # TYPE lessor_backlog_leases gauge
        lessor_backlog_leases 0
        # HELP lessor_expiring_leases Leases delivered as expired and not revoked yet.
        # TYPE lessor_expiring_leases gauge
        lessor_expiring_leases 1
        # HELP lessor_expired_batches Expired batches that the host has not taken yet.
        # TYPE lessor_expired_batches gauge
        lessor_expired_batches 1
        # HELP lessor_waiting_callers Renewals that wait for the end of a lease, and commands that wait for others.
        # TYPE lessor_waiting_callers gauge
        lessor_waiting_callers 0
        # HELP lessor_open_checkpoints Checkpoint proposals that may still be applied.
        # TYPE lessor_open_checkpoints gauge
        lessor_open_checkpoints 2
        # HELP lessor_expired Leases delivered as expired, each attempt counted.
        # TYPE lessor_expired counter
        lessor_expired_total 2
        # HELP lessor_throttled Times that the revoke rate put a delivery off.
        # TYPE lessor_throttled counter
        lessor_throttled_total 1
        # HELP lessor_stale_revokes Expiry-revokes that came too late to mean anything.
        # TYPE lessor_stale_revokes counter
        lessor_stale_revokes_total 1
        # HELP lessor_checkpoints_proposed Checkpoint records taken to be proposed.
        # TYPE lessor_checkpoints_proposed counter
        lessor_checkpoints_proposed_total 2
        # HELP lessor_checkpoints_applied Checkpoint records applied.
        # TYPE lessor_checkpoints_applied counter
        lessor_checkpoints_applied_total 1
        # HELP lessor_stale_checkpoints Checkpoint records that came too late to mean anything.
        # TYPE lessor_stale_checkpoints counter
        lessor_stale_checkpoints_total 1
        # HELP lessor_grants_unpromoted Leases granted by a host that has never promoted, which do not expire.
        # TYPE lessor_grants_unpromoted counter
        lessor_grants_unpromoted_total 0
        # HELP lessor_batches_not_taken Times that a batch of expired leases lay for ten seconds and nobody took any.
        # TYPE lessor_batches_not_taken counter
        lessor_batches_not_taken_total 0
        # HELP lessor_clock_regressions Readings of the clock that were behind an earlier one by more than its lag.
        # TYPE lessor_clock_regressions counter
        lessor_clock_regressions_total 1
        # EOF
    "##]];
    expected.assert_eq(&scrape(&registry));
}

#[test]
fn a_lessor_that_is_gone_shows_nothing() {
    let mut registry = Registry::default();
    let lessor = history(Arc::new(PrometheusMetrics::new()));
    registry.register_collector(Box::new(PrometheusCollector::new(&lessor)));
    assert!(scrape(&registry).contains("\nlessor_leases 3\n"));
    drop(lessor);
    assert_eq!(scrape(&registry), "# EOF\n");
}

fn scrape(registry: &Registry) -> String {
    let mut text = String::new();
    encode(&mut text, registry).expect("a string takes everything");
    text
}
