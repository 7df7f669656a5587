//! A lease as a client sees it.

use std::time::Duration;

use lease_core::testing::FakeLessor;
use lease_core::{Lease, Lessor, Ttl};

use crate::{id, items, member, primary};

#[test]
fn a_lease_has_an_id_a_ttl_what_remains_and_its_keys() {
    let bench = primary(|builder| builder);
    bench.grant(-7, 1000);
    bench
        .lessor
        .attach(id(-7), &items(&["b", "a"]))
        .expect("there");
    bench.lessor.checkpoint(id(-7), 400).expect("in range");
    bench.at_secs(10);
    let lease = bench.lessor.lookup(id(-7)).expect("there");
    assert_eq!(lease.id().get(), -7);
    assert_eq!(lease.ttl().get(), 1000);
    assert_eq!(lease.keys(), items(&["a", "b"]));
    assert_eq!(lease.remaining(), Some(Duration::from_secs(990)));
    assert_eq!(lease.checkpointed_remaining().map(Ttl::get), Some(400));
}

#[test]
fn only_the_primary_counts_down() {
    let bench = member(|builder| builder);
    bench.grant(1, 10);
    bench.at_secs(1_000_000);
    let lease = bench.lessor.lookup(id(1)).expect("it cannot expire");
    assert!(lease.demoted());
    assert_eq!(lease.remaining(), None);

    bench
        .lessor
        .promote(Duration::ZERO)
        .expect("the epoch is stored");
    bench.at_secs(1_000_004);
    let lease = bench.lessor.lookup(id(1)).expect("there");
    assert!(!lease.demoted());
    assert_eq!(lease.remaining(), Some(Duration::from_secs(6)));

    bench.lessor.demote();
    let lease = bench.lessor.lookup(id(1)).expect("there");
    assert!(lease.demoted());
    assert_eq!(lease.remaining(), None);
}

/// It is what the whole lease says, without the items: also of a fake, which has no short cut.
#[test]
fn a_time_to_live_is_that_of_the_lease() {
    let bench = member(|builder| builder);
    bench.grant(1, 10);
    bench.grant(2, 1000);
    let keys = items(&["a", "b"]);
    bench.lessor.attach(id(2), &keys).expect("there");
    let left = |number| bench.lessor.time_to_live(id(number));
    let is_the_leases = |number| {
        let lease = bench.lessor.lookup(id(number)).expect("nobody revoked it");
        assert_eq!(left(number), Some(lease.time_to_live()));
        (lease.ttl(), lease.time_to_live().remaining())
    };
    let ttl = |secs| Ttl::new(secs).expect("in range");
    assert_eq!(is_the_leases(1), (ttl(10), None));
    let promoted = bench.lessor.promote(Duration::ZERO);
    promoted.expect("the epoch is stored");
    bench.lessor.checkpoint(id(2), 400).expect("in range");
    bench.at_secs(100);
    assert_eq!(is_the_leases(1), (ttl(10), Some(Duration::ZERO)));
    assert_eq!(
        is_the_leases(2),
        (ttl(1000), Some(Duration::from_secs(900)))
    );
    assert_eq!(left(3), None);

    let fake = FakeLessor::default();
    let granted = fake.grant(id(1), 10).expect("it refuses nothing");
    assert_eq!(fake.time_to_live(id(1)), Some(granted.time_to_live()));
    assert_eq!(fake.time_to_live(id(2)), None);
}

/// An expired lease has nothing left, which is neither "not found" nor "demoted".
#[test]
fn an_expired_lease_has_nothing_left() {
    let bench = primary(|builder| builder);
    bench.grant(1, 10);
    bench.at_secs(100);
    let lease = bench.lessor.lookup(id(1)).expect("nobody revoked it");
    assert!(!lease.demoted());
    assert_eq!(lease.remaining(), Some(Duration::ZERO));
    assert_eq!(bench.lessor.lookup(id(2)), None);
}

#[test]
fn a_lease_can_be_made_without_a_lessor() {
    let mut lease = Lease::new(id(3), Ttl::MAX);
    assert!(lease.demoted());
    assert_eq!(lease.ttl(), Ttl::MAX);
    for item in items(&["b", "a", "b"]) {
        lease.set_lease_item(item);
    }
    assert_eq!(lease.keys(), items(&["a", "b"]));
}
