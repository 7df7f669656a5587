//! Granting.

use std::time::Duration;

use lease_core::{
    Grant, LeaseError, LeaseId, LeaseIdError, Lessor, LessorConfig, MAX_LEASE_TTL, NO_LEASE, Ttl,
    WriteBatch,
};

use crate::{Bench, id, member, primary};

#[test]
fn there_is_no_lease_zero() {
    assert_eq!(LeaseId::new(NO_LEASE), None);
    assert_eq!(LeaseId::try_from(0), Err(LeaseIdError::Zero));
}

#[test]
fn any_other_id_is_legal() {
    let bench = primary(|builder| builder);
    for number in [i64::MIN, -1, 1, i64::MAX] {
        bench.grant(number, 60);
        assert_eq!(bench.lessor.renew(id(number)).map(Ttl::get), Ok(60));
    }
    bench.assert_memory_is_disk();
}

#[test]
fn a_ttl_is_seconds_or_a_duration_that_is_rounded_up() {
    let bench = member(|builder| builder);
    let whatever: &dyn Lessor = &bench.lessor;
    let lease = bench.lessor.grant(id(1), Duration::from_millis(59_001));
    assert_eq!(lease.expect("free").ttl().as_secs(), 60);
    let lease = whatever.grant(id(2), Duration::from_secs(60));
    assert_eq!(lease.expect("free").ttl().as_secs(), 60);
    let lease = whatever.grant(id(3), 60);
    assert_eq!(lease.expect("free").ttl().as_secs(), 60);
    let refused = whatever.grant(id(4), Duration::MAX);
    assert_eq!(refused, Err(LeaseError::LeaseTtlTooLarge));
}

#[test]
fn a_ttl_above_the_maximum_is_refused_and_the_maximum_is_not() {
    let bench = primary(|builder| builder);
    for secs in [MAX_LEASE_TTL + 1, i64::MAX] {
        let refused = bench.lessor.grant(id(1), secs);
        assert_eq!(refused, Err(LeaseError::LeaseTtlTooLarge));
        assert_eq!(bench.lessor.lookup(id(1)), None);
    }
    bench.grant(1, MAX_LEASE_TTL);
    assert_eq!(bench.remaining_secs(1), MAX_LEASE_TTL as u64);
    bench.assert_memory_is_disk();
}

#[test]
fn an_id_in_use_is_refused_and_its_lease_stays_as_it_was() {
    let bench = primary(|builder| builder);
    bench.grant(1, 60);
    bench.at_secs(5);
    let again = bench.lessor.grant(id(1), 10);
    assert_eq!(again, Err(LeaseError::LeaseExists));
    assert_eq!(bench.remaining_secs(1), 55);
    bench.assert_memory_is_disk();
}

#[test]
fn a_ttl_below_the_minimum_is_raised_to_it() {
    let config = LessorConfig {
        min_ttl: Ttl::new(5).expect("in range"),
        ..LessorConfig::default()
    };
    let bench = primary(|builder| builder.config(config));
    for (number, secs) in [(1, i64::MIN), (2, -1), (3, 0), (4, 4), (5, 5), (6, 6)] {
        let lease = bench.lessor.grant(id(number), secs).expect("raised");
        assert_eq!(lease.ttl().get(), secs.max(5));
    }
    bench.assert_memory_is_disk();
}

/// The row is there when the grant returns, on the primary and elsewhere.
#[test]
fn a_grant_is_stored_at_once() {
    for Bench {
        lessor, backend, ..
    } in [member(|builder| builder), primary(|builder| builder)]
    {
        lessor.grant(id(-1), 60).expect("free");
        let rows = backend.rows();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].id, rows[0].ttl.get()), (id(-1), 60));
        assert_eq!(rows[0].remaining, None);
    }
}

#[test]
fn on_the_primary_a_grant_starts_to_count_and_is_scheduled() {
    let bench = primary(|builder| builder);
    bench.at_secs(100);
    bench.grant(1, 60);
    assert_eq!(bench.remaining_secs(1), 60);
    assert_eq!(bench.lessor.stats().expiry_entries, 1);

    let follower = member(|builder| builder);
    let grant = Grant::new(id(1), Ttl::new(60).expect("in range"));
    let applied = follower.lessor.apply(&grant.into(), WriteBatch::default());
    applied.expect("it comes with the log");
    assert_eq!(follower.lessor.stats().expiry_entries, 0);
    assert_eq!(follower.lessor.next_wakeup(), None);
}
