//! Observers that keep metrics and write logs, each by a feature of its own.
//!
//! | feature | what | where it goes |
//! |---|---|---|
//! | `prometheus-client` | `PrometheusMetrics`, `PrometheusCollector` | a registry of that crate |
//! | `metrics` | `FacadeMetrics` | the recorder that the program has installed |
//! | `tracing` | `TracingObserver` | the subscriber that the program has installed |
//!
//! An observer is given to a lessor when it is made
//! ([`BackendLessorBuilder::observer`](crate::BackendLessorBuilder::observer)); several of them as a
//! vector.
//!
//! # Names
//!
//! What etcd counts has etcd's names, so that its dashboards and alerts go on working:
//!
//! | name | type | what |
//! |---|---|---|
//! | `etcd_debugging_lease_granted_total` | counter | grants, on every member that applies them |
//! | `etcd_debugging_lease_revoked_total` | counter | revokes by users and by expiry, likewise |
//! | `etcd_debugging_lease_renewed_total` | counter | renewals, on the primary alone |
//! | `etcd_debugging_lease_ttl_total` | histogram | the TTLs of the grants, in seconds |
//!
//! What it does not count begins with `lessor_`: `lessor_failures_total` is what
//! [`LessorEvent::Failed`](crate::LessorEvent::Failed) told of, `lessor_oversights_total` what
//! [`LessorEvent::Overlooked`](crate::LessorEvent::Overlooked) did, `lessor_expiry_lag_seconds` a histogram of
//! how late expired leases were delivered ([`ExpiredLease::lag`](crate::ExpiredLease::lag), first
//! attempts alone), the others are `PrometheusCollector`'s.

#[cfg(feature = "prometheus-client")]
mod collector;
#[cfg(feature = "metrics")]
mod facade;
#[cfg(any(feature = "metrics", feature = "prometheus-client"))]
mod names;
#[cfg(feature = "prometheus-client")]
mod prometheus;
#[cfg(feature = "tracing")]
mod tracing;

#[cfg(feature = "tracing")]
pub use self::tracing::TracingObserver;
#[cfg(feature = "tracing")]
pub(crate) use self::tracing::{warn_of, warn_of_failure};
#[cfg(feature = "metrics")]
pub use facade::FacadeMetrics;
#[cfg(any(feature = "metrics", feature = "prometheus-client"))]
pub use names::{EXPIRY_LAG_BUCKETS_SECS, TTL_BUCKETS_SECS};
#[cfg(feature = "prometheus-client")]
pub use {collector::PrometheusCollector, prometheus::PrometheusMetrics};
