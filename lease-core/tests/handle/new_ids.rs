//! Ids that the lessor makes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lease_core::{BackendLessor, Driver, Epoch, LeaseError, LeaseId, LeaseIds, Lessor};

use crate::support::TestBackend;
use crate::{BATCHED, bench, id};

/// Another run of the program on the same store.
fn restart(backend: &Arc<TestBackend>) -> BackendLessor {
    let builder = BackendLessor::builder(backend.clone()).driver(Driver::Manual);
    builder.durability(BATCHED).build().expect("readable")
}

#[test]
fn ids_grow_and_none_comes_again_after_a_restart_or_a_crash() {
    let backend = Arc::new(TestBackend::default());
    let mut made = Vec::new();
    for run in 0..4 {
        let lessor = restart(&backend);
        // One run does without: an epoch is begun all the same.
        if run != 2 {
            lessor.promote(Duration::ZERO).expect("it is stored");
        }
        for _ in 0..3 {
            let lease = lessor.grant_new(60).expect("an id is free");
            assert_eq!(lessor.revoke(lease.id()), Ok(()));
            made.push(lease.id());
        }
        lessor.promote(Duration::ZERO).expect("it is stored");
        made.push(lessor.grant_new(60).expect("an id is free").id());
        // Every second run ends in a crash, before what waits to be written is.
        if run % 2 == 0 {
            std::mem::forget(lessor);
        }
    }
    assert_eq!(made[0].to_string(), "0000010000000001");
    assert!(made.is_sorted_by(|a, b| a < b), "{made:?}");
}

#[test]
fn an_id_in_use_is_passed_over() {
    let lessor = bench(|builder| builder).lessor;
    let first = lessor.new_id().expect("it is the primary");
    let number = first.get();
    for chosen in [number + 1, number + 2, number + 4] {
        lessor.grant(id(chosen), 60).expect("free");
    }
    let next = [(); 2].map(|()| lessor.grant_new(60).map(|lease| lease.id().get()));
    assert_eq!(next, [Ok(number + 3), Ok(number + 5)]);
}

#[test]
fn many_threads_make_different_ids() {
    let lessor = bench(|builder| builder.durability(BATCHED)).lessor;
    let made: BTreeSet<LeaseId> = std::thread::scope(|scope| {
        let make = || {
            let grant = |_| lessor.grant_new(60).expect("an id is free").id();
            (0..100).map(grant).collect::<Vec<_>>()
        };
        let threads = [(); 4].map(|()| scope.spawn(make));
        let made = threads.map(|thread| thread.join().expect("it ends"));
        made.into_iter().flatten().collect()
    });
    assert_eq!(made.len(), 400);
}

#[test]
fn the_host_can_say_where_ids_come_from() {
    let started = Duration::from_millis(0x3456);
    let lessor = bench(|builder| builder.ids(LeaseIds::of_member(0x12, started))).lessor;
    let epoch = lessor.epoch();
    let lease = lessor.grant_new(60).expect("an id is free");
    assert_eq!(lease.id().to_string(), "0012000000345601");
    assert_eq!(lessor.epoch(), epoch, "none is needed");
}

#[test]
fn a_refused_grant_takes_no_new_id_for_ever() {
    let limited = bench(|builder| {
        builder.config(lease_core::LessorConfig {
            max_leases: Some(1),
            ..lease_core::LessorConfig::default()
        })
    });
    let lessor = limited.lessor;
    lessor.grant_new(60).expect("an id is free");
    assert_eq!(lessor.grant_new(60), Err(LeaseError::TooManyLeases));
    let too_large = lessor.grant_new(Duration::MAX);
    assert_eq!(too_large, Err(LeaseError::LeaseTtlTooLarge));
    lessor.stop();
    assert_eq!(lessor.grant_new(60), Err(LeaseError::Stopped));
    assert_eq!(lessor.new_id(), Err(LeaseError::Stopped));
}

#[test]
fn no_id_is_made_in_an_epoch_that_is_not_stored() {
    let bench = bench(|builder| builder);
    let restarted = BackendLessor::builder(bench.backend.clone());
    let restarted = restarted.driver(Driver::Manual).build().expect("readable");
    bench.backend.store().fail_after = Some(0);
    assert!(crate::is_backend(restarted.grant_new(60)));
    assert_eq!(restarted.epoch(), Epoch::new(1), "that of the run before");
    let lease = restarted.grant_new(60).expect("an id is free");
    assert_eq!(lease.id().to_string(), "0000020000000001");
    assert!(lease.demoted(), "an epoch is no promotion");
}
