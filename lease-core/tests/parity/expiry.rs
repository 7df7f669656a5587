//! Leases whose time is up.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lease_core::{
    ExpiryMode, LeaseError, Lessor, LessorConfig, LessorEvent, Observer, Revoked, Timestamp,
};

use crate::{id, ids, primary};

/// etcd looks twice a second; here a lease goes out in the millisecond in which it is due.
#[test]
fn a_lease_goes_out_when_it_is_due_and_not_before() {
    let bench = primary(|builder| builder);
    bench.at(Timestamp::from_nanos(1));
    bench.grant(1, 10);
    let due = Timestamp::from_millis(10_001);
    bench.at(Timestamp::from_millis(10_000));
    assert!(bench.expired().is_empty());
    assert_eq!(bench.lessor.next_wakeup(), Some(due));
    bench.at(due);
    assert_eq!(ids(&bench.expired()), [1]);
}

#[test]
fn batches_hold_at_most_500_and_a_second_at_most_1000() {
    let bench = primary(|builder| builder);
    for number in 1..=2600 {
        bench.grant(number, 10);
    }
    let mut sizes = Vec::new();
    for secs in 10..=13 {
        bench.at_secs(secs);
        let batches = bench.expired();
        sizes.push(
            batches
                .iter()
                .map(|one| one.leases.len())
                .collect::<Vec<_>>(),
        );
        for batch in &batches {
            bench
                .lessor
                .revoke_expired(batch)
                .expect("the backend works");
        }
    }
    assert_eq!(
        sizes,
        [vec![500, 500], vec![500, 500], vec![500, 100], vec![]]
    );
    assert_eq!(bench.lessor.stats().leases, 0);
}

#[test]
fn the_channel_has_room_for_16_batches() {
    let config = LessorConfig {
        max_expired_batch_size: NonZeroU32::MIN,
        ..LessorConfig::default()
    };
    let bench = primary(|builder| builder.config(config));
    for number in 1..=20 {
        bench.grant(number, number);
    }
    bench.at_secs(20);
    assert_eq!(bench.lessor.expired_leases().len(), 16);
    assert_eq!(ids(&bench.expired()), (1..=16).collect::<Vec<_>>());
    bench.at_secs(20);
    assert_eq!(ids(&bench.expired()), [17, 18, 19, 20], "none was dropped");
}

/// etcd counts the retry interval from when it offers a batch, taken or not.
#[test]
fn an_unrevoked_lease_comes_again_after_the_retry_interval() {
    let bench = primary(|builder| builder);
    bench.grant(1, 10);
    bench.at_secs(10);
    assert_eq!(ids(&bench.expired()), [1]);
    bench.at_secs(11);
    bench.at_secs(12);
    assert!(bench.expired().is_empty());
    bench.at_secs(13);
    let again = bench.expired();
    assert_eq!(ids(&again), [1]);
    assert_eq!(again[0].leases[0].attempt, 1);
    let revoked = bench.lessor.revoke_expired(&again[0]);
    assert_eq!(revoked, Ok(vec![Ok(Revoked::Done)]));
    bench.at_secs(100);
    assert!(bench.expired().is_empty());
}

#[test]
fn a_batch_that_was_answered_otherwise_does_no_harm() {
    let bench = primary(|builder| builder);
    bench.grant(1, 10);
    bench.grant(2, 10);
    bench.at_secs(10);
    let batch = bench.expired().pop().expect("both are due");
    bench.lessor.revoke(id(1)).expect("a user was faster");
    bench.grant(1, 10);
    let answers = bench.lessor.revoke_expired(&batch);
    assert_eq!(answers, Ok(vec![Ok(Revoked::Stale), Ok(Revoked::Done)]));
    let late = bench.lessor.revoke_expired(&batch);
    let expected = vec![Ok(Revoked::Stale), Err(LeaseError::LeaseNotFound)];
    assert_eq!(late, Ok(expected));
    assert!(bench.lessor.lookup(id(1)).is_some());
}

struct Panics;

impl Observer for Panics {
    fn observe(&self, _: &LessorEvent<'_>) {
        panic!("this observer panics")
    }
}

#[test]
fn an_observer_that_panics_keeps_no_lease_alive() {
    for mode in [ExpiryMode::Deliver, ExpiryMode::AutoRevoke] {
        let bench = primary(|builder| builder.observer(Arc::new(Panics)).expiry(mode));
        bench.grant(1, 10);
        bench.backend.store().fail_after = Some(0);
        bench.at_secs(10);
        bench.at_secs(20);
        for batch in bench.expired() {
            // The first commit after the order to fail is this one or the automatic revoke's.
            let _ = bench.lessor.revoke_expired(&batch);
            bench.lessor.revoke_expired(&batch).expect("works again");
        }
        bench.lessor.demote();
        assert_eq!(bench.lessor.leases(), [], "{mode:?}");
        bench.assert_memory_is_disk();
    }
}

#[test]
fn extreme_settings_do_not_panic() {
    for span in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        let config = LessorConfig {
            checkpoint_interval: span,
            expired_lease_retry_interval: span,
            revoke_rate_per_sec: NonZeroU32::new(1),
            checkpoint_rate_per_sec: NonZeroU32::new(1),
            ..LessorConfig::default()
        };
        let bench = primary(|builder| builder.config(config).expired_capacity(0));
        bench.grant(1, 1);
        bench.grant(2, 1000);
        for secs in [0, 1, 2, 1000, 1_000_000_000] {
            bench.at_secs(secs);
            for batch in bench.expired() {
                bench
                    .lessor
                    .revoke_expired(&batch)
                    .expect("the backend works");
            }
        }
        bench.at(Timestamp::MAX);
        bench.lessor.check_invariants();
    }
}
