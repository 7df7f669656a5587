//! Items and the lease that each belongs to.

use std::sync::Barrier;
use std::thread;

use lease_core::{LeaseError, LeaseItem, Lessor};

use crate::{id, items, member};

#[test]
fn an_unknown_lease_takes_and_gives_no_items() {
    let bench = member(|builder| builder);
    bench.grant(1, 60);
    for unknown in [id(2), id(-1)] {
        let not_found = Err(LeaseError::LeaseNotFound);
        assert_eq!(bench.lessor.attach(unknown, &items(&["a"])), not_found);
        assert_eq!(bench.lessor.detach(unknown, &items(&["a"])), not_found);
        assert_eq!(bench.lessor.attach(unknown, &[]), not_found);
    }
    assert_eq!(bench.lessor.get_lease(b"a"), None);
}

#[test]
fn an_item_names_its_lease_until_it_is_detached() {
    let bench = member(|builder| builder);
    bench.grant(1, 60);
    bench
        .lessor
        .attach(id(1), &items(&["a", "b", "a"]))
        .expect("there");
    assert_eq!(bench.lessor.get_lease(b"a"), Some(id(1)));
    assert_eq!(bench.lessor.get_lease(b"c"), None);
    bench.lessor.detach(id(1), &items(&["a"])).expect("there");
    assert_eq!(bench.lessor.get_lease(b"a"), None);
    let lease = bench.lessor.lookup(id(1)).expect("there");
    assert_eq!(lease.keys(), items(&["b"]));
}

/// In etcd the first lease keeps the item as well, and deletes it when it is revoked.
#[test]
fn attach_moves_an_item_and_only_its_owner_can_detach_it() {
    let bench = member(|builder| builder);
    bench.grant(1, 60);
    bench.grant(2, 60);
    bench.lessor.attach(id(1), &items(&["a"])).expect("there");
    bench.lessor.attach(id(2), &items(&["a"])).expect("there");
    bench.lessor.detach(id(1), &items(&["a"])).expect("there");
    assert_eq!(bench.lessor.get_lease(b"a"), Some(id(2)));
    bench.lessor.revoke(id(1)).expect("there");
    assert_eq!(bench.lessor.get_lease(b"a"), Some(id(2)));
    bench.lessor.check_invariants();
}

#[test]
fn empty_and_huge_lists_and_items_are_fine() {
    let bench = member(|builder| builder);
    bench.grant(1, 60);
    bench.lessor.attach(id(1), &[]).expect("nothing to do");
    bench.lessor.detach(id(1), &[]).expect("nothing to do");
    let mut many: Vec<_> = (0..50_000_u32)
        .map(|number| LeaseItem::from(&number.to_be_bytes()[..]))
        .collect();
    many.push(LeaseItem::new([]));
    many.push(LeaseItem::new(vec![0xff; 1 << 20]));
    bench.lessor.attach(id(1), &many).expect("there");
    let lease = bench.lessor.lookup(id(1)).expect("there");
    assert_eq!(lease.keys().len(), many.len());
    assert_eq!(bench.lessor.get_lease(b""), Some(id(1)));
    bench.lessor.detach(id(1), &many).expect("there");
    assert_eq!(bench.lessor.stats().items, 0);
    bench.lessor.check_invariants();
}

#[test]
fn a_revoke_frees_the_items() {
    let bench = member(|builder| builder);
    bench.grant(1, 60);
    bench.lessor.attach(id(1), &items(&["a"])).expect("there");
    bench.lessor.revoke(id(1)).expect("there");
    assert_eq!(bench.lessor.get_lease(b"a"), None);
}

/// etcd's `TestLeaseConcurrentKeys`; there the keys are a running lease's.
#[test]
fn keys_are_read_while_others_detach_them() {
    let bench = member(|builder| builder);
    bench.grant(1, 100);
    let all: Vec<_> = (0..10)
        .map(|number| format!("foo{number}").into())
        .collect();
    let start = Barrier::new(11);
    for _ in 0..100 {
        bench.lessor.attach(id(1), &all).expect("there");
        thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| {
                    start.wait();
                    let lease = bench.lessor.lookup(id(1)).expect("there");
                    assert!(lease.keys().is_empty() || lease.keys() == all);
                });
            }
            start.wait();
            bench.lessor.detach(id(1), &all).expect("there");
        });
    }
}
