use crate::ExpiredBatch;

/// The upper bounds of the TTL histogram's buckets: 1, 2, 4 … 2^23 seconds, about three months, as
/// in etcd.
///
/// `PrometheusMetrics` has them. The `metrics` facade leaves
/// buckets to the recorder, which is given these for the histogram `etcd_debugging_lease_ttl_total`.
///
/// ```
/// use lease_core::metrics::TTL_BUCKETS_SECS;
///
/// assert_eq!(TTL_BUCKETS_SECS[..4], [1.0, 2.0, 4.0, 8.0]);
/// assert_eq!(TTL_BUCKETS_SECS.last(), Some(&8_388_608.0));
/// ```
pub const TTL_BUCKETS_SECS: [f64; 24] = doubling(1.0);

/// The upper bounds of the buckets of `lessor_expiry_lag_seconds`: 1, 2, 4 … 2^19 milliseconds,
/// about nine minutes; etcd was seen 600 s late (#12105).
///
/// For the recorder of the `metrics` facade; `PrometheusMetrics` has them.
///
/// ```
/// use lease_core::metrics::EXPIRY_LAG_BUCKETS_SECS;
///
/// assert_eq!(EXPIRY_LAG_BUCKETS_SECS[..3], [0.001, 0.002, 0.004]);
/// assert_eq!(EXPIRY_LAG_BUCKETS_SECS.last(), Some(&524.288));
/// ```
pub const EXPIRY_LAG_BUCKETS_SECS: [f64; 20] = doubling(0.001);

const fn doubling<const N: usize>(first: f64) -> [f64; N] {
    let mut bounds = [first; N];
    let mut at = 1;
    while at < N {
        bounds[at] = 2.0 * bounds[at - 1];
        at += 1;
    }
    bounds
}

/// How late, in seconds, the leases of a batch are that were not delivered before: a later attempt
/// tells of the host and not of the lessor.
pub(super) fn first_lags(batch: &ExpiredBatch) -> impl Iterator<Item = f64> + '_ {
    let first = batch.leases.iter().filter(|lease| lease.attempt == 0);
    first.map(|lease| lease.lag.as_secs_f64())
}

/// A metric as a scrape shows it.
pub(super) struct Name {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
}

// The names and texts of the first four are those of etcd's server/lease/metrics.go.

pub(super) const GRANTED: Name = Name {
    name: "etcd_debugging_lease_granted_total",
    help: "The total number of granted leases.",
};

pub(super) const REVOKED: Name = Name {
    name: "etcd_debugging_lease_revoked_total",
    help: "The total number of revoked leases.",
};

pub(super) const RENEWED: Name = Name {
    name: "etcd_debugging_lease_renewed_total",
    help: "The number of renewed leases seen by the leader.",
};

pub(super) const TTL: Name = Name {
    name: "etcd_debugging_lease_ttl_total",
    help: "Bucketed histogram of lease TTLs.",
};

pub(super) const EXPIRY_LAG: Name = Name {
    name: "lessor_expiry_lag_seconds",
    help: "How long after their expiry leases were delivered for the first time.",
};

pub(super) const FAILURES: Name = Name {
    name: "lessor_failures_total",
    help: "Work that nobody waits for and that failed: batched commits, automatic revokes, checkpoints.",
};

pub(super) const OVERSIGHTS: Name = Name {
    name: "lessor_oversights_total",
    help: "What the host seems to have forgotten, so that leases do not expire: to promote, to take expired leases.",
};
