//! Becoming and ceasing to be the primary.

use std::time::Duration;

use lease_core::{Epoch, LeaseError, Lessor, Ttl};

use crate::{id, ids, member, primary};

#[test]
fn a_promotion_gives_each_lease_the_extension_and_what_remains() {
    let bench = member(|builder| builder);
    bench.grant(1, 60);
    bench.grant(2, 1000);
    bench.lessor.checkpoint(id(2), 100).expect("in range");
    bench.at_secs(500);
    bench
        .lessor
        .promote(Duration::from_millis(2500))
        .expect("the epoch is stored");
    bench.at_secs(500);
    let remaining = |number| bench.lessor.lookup(id(number)).expect("there").remaining();
    assert_eq!(remaining(1), Some(Duration::from_millis(62_500)));
    assert_eq!(remaining(2), Some(Duration::from_millis(102_500)));
    bench.at_secs(562);
    assert!(bench.expired().is_empty());
    bench.at_secs(563);
    assert_eq!(ids(&bench.expired()), [1]);
}

#[test]
fn a_promotion_schedules_expiries_and_checkpoints() {
    let bench = member(|builder| builder);
    bench.grant(1, 60);
    bench.grant(2, 1000);
    bench
        .lessor
        .promote(Duration::ZERO)
        .expect("the epoch is stored");
    bench.at_secs(0);
    assert_eq!(bench.lessor.stats().expiry_entries, 2);
    bench.at_secs(300);
    assert_eq!(bench.checkpointed_secs(2), Some(700));
}

#[test]
fn a_second_promotion_starts_anew() {
    let bench = primary(|builder| builder);
    bench.grant(1, 60);
    bench.at_secs(50);
    bench
        .lessor
        .promote(Duration::ZERO)
        .expect("the epoch is stored");
    assert_eq!(bench.remaining_secs(1), 60);
    assert_eq!(bench.lessor.primary_epoch(), Some(Epoch::new(2)));
}

#[test]
fn a_demotion_ends_every_schedule() {
    let bench = primary(|builder| builder);
    bench.grant(1, 10);
    bench.grant(2, 1000);
    bench.at_secs(20);
    assert_eq!(bench.lessor.stats().expiring, 1);
    bench.lessor.demote();
    let stats = bench.lessor.stats();
    assert_eq!((stats.expiring, stats.expiry_entries), (0, 0));
    assert_eq!(bench.lessor.next_wakeup(), None);
    bench.at_secs(1_000_000);
    bench.lessor.demote();
    assert_eq!(bench.lessor.leases().len(), 2);
    assert_eq!(bench.lessor.renew(id(1)), Err(LeaseError::NotPrimary));
}

/// What a lost promotion delivered is alive again in the next one.
#[test]
fn a_lease_that_was_expiring_lives_on_after_the_next_promotion() {
    let bench = primary(|builder| builder);
    bench.grant(1, 10);
    bench.at_secs(10);
    let stale = bench.expired();
    bench.lessor.demote();
    bench
        .lessor
        .promote(Duration::ZERO)
        .expect("the epoch is stored");
    assert_eq!(bench.lessor.renew(id(1)).map(Ttl::get), Ok(10));
    for batch in &stale {
        bench
            .lessor
            .revoke_expired(batch)
            .expect("stale is no error");
    }
    assert!(bench.lessor.lookup(id(1)).is_some());
}

#[test]
fn an_endless_extension_is_no_overflow() {
    let bench = member(|builder| builder);
    bench.grant(1, 10);
    bench
        .lessor
        .promote(Duration::MAX)
        .expect("the epoch is stored");
    bench.at_secs(1_000_000_000);
    assert!(bench.expired().is_empty());
    assert_eq!(bench.lessor.renew(id(1)).map(Ttl::get), Ok(10));
    bench.lessor.check_invariants();
}
