//! A lease as a client sees it.

use std::time::Duration;

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
    assert_eq!(lease.remaining(), Duration::from_secs(990));
    assert_eq!(lease.checkpointed_remaining().map(Ttl::get), Some(400));
}

#[test]
fn only_the_primary_counts_down() {
    let bench = member(|builder| builder);
    bench.grant(1, 10);
    bench.at_secs(1_000_000);
    let lease = bench.lessor.lookup(id(1)).expect("it cannot expire");
    assert!(lease.demoted());
    assert_eq!(lease.remaining(), Duration::MAX);

    bench
        .lessor
        .promote(Duration::ZERO)
        .expect("the epoch is stored");
    bench.at_secs(1_000_004);
    let lease = bench.lessor.lookup(id(1)).expect("there");
    assert!(!lease.demoted());
    assert_eq!(lease.remaining(), Duration::from_secs(6));

    bench.lessor.demote();
    let lease = bench.lessor.lookup(id(1)).expect("there");
    assert!(lease.demoted());
    assert_eq!(lease.remaining(), Duration::MAX);
}

/// An expired lease has nothing left, which is neither "not found" nor "demoted".
#[test]
fn an_expired_lease_has_nothing_left() {
    let bench = primary(|builder| builder);
    bench.grant(1, 10);
    bench.at_secs(100);
    let lease = bench.lessor.lookup(id(1)).expect("nobody revoked it");
    assert!(!lease.demoted());
    assert_eq!(lease.remaining(), Duration::ZERO);
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
