//! Looking at many leases.

use lease_core::{Lease, Lessor};

use crate::{id, member, primary};

fn numbers(leases: &[Lease]) -> Vec<i64> {
    leases.iter().map(|lease| lease.id().get()).collect()
}

#[test]
fn leases_come_in_the_order_in_which_they_expire() {
    let bench = primary(|builder| builder);
    for (number, ttl) in [(1, 30), (2, 10), (3, 20), (-4, 20)] {
        bench.grant(number, ttl);
    }
    assert_eq!(numbers(&bench.lessor.leases()), [2, -4, 3, 1]);
    bench.at_secs(5);
    bench.lessor.renew(id(2)).expect("there");
    assert_eq!(numbers(&bench.lessor.leases()), [2, -4, 3, 1]);
    bench.at_secs(9);
    bench.lessor.renew(id(3)).expect("there");
    assert_eq!(numbers(&bench.lessor.leases()), [2, -4, 3, 1]);
    bench.lessor.revoke(id(-4)).expect("there");
    bench.at_secs(14);
    bench.lessor.renew(id(2)).expect("there");
    assert_eq!(numbers(&bench.lessor.leases()), [2, 3, 1]);
}

#[test]
fn without_a_primary_leases_come_by_id() {
    let bench = member(|builder| builder);
    assert_eq!(bench.lessor.leases(), []);
    for (number, ttl) in [(3, 1), (-1, 9), (2, 5)] {
        bench.grant(number, ttl);
    }
    assert_eq!(numbers(&bench.lessor.leases()), [-1, 2, 3]);
}
