//! Numbers and texts that hosts rely on.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use lease_core::{Durability, LeaseError, LessorConfig, MAX_LEASE_TTL, NO_LEASE, Ttl};

#[test]
fn constants_are_etcds() {
    assert_eq!(MAX_LEASE_TTL, 9_000_000_000);
    assert_eq!(Ttl::MAX.get(), MAX_LEASE_TTL);
    assert_eq!(NO_LEASE, 0);
}

#[test]
fn settings_are_etcds() {
    let config = LessorConfig::default();
    assert_eq!(config.min_ttl.get(), 1);
    assert_eq!(config.checkpoint_interval, Duration::from_secs(300));
    assert_eq!(config.expired_lease_retry_interval, Duration::from_secs(3));
    assert!(config.checkpoint_persist);
    assert_eq!(config.revoke_rate_per_sec, NonZeroU32::new(1000));
    assert_eq!(config.max_expired_batch_size.get(), 500);
    assert_eq!(config.checkpoint_rate_per_sec, NonZeroU32::new(1000));
    assert_eq!(config.max_checkpoint_batch_size.get(), 1000);
    assert_eq!(config.max_leases, None);
    let etcd = Durability::Batched {
        interval: Duration::from_millis(100),
        max_writes: NonZeroUsize::new(10_000).expect("not zero"),
    };
    assert_eq!(Durability::ETCD, etcd);
}

#[test]
fn error_texts_are_etcds() {
    let texts = [
        (LeaseError::NotPrimary, "not a primary lessor"),
        (LeaseError::LeaseNotFound, "lease not found"),
        (LeaseError::LeaseExists, "lease already exists"),
        (LeaseError::LeaseTtlTooLarge, "too large lease TTL"),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), text);
    }
}
