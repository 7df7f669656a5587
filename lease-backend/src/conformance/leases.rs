//! Rows of leases, and the epoch.

use lease_core::{Epoch, Incarnation, LeaseRow, MAX_LEASE_TTL};

use super::{Case, declare, id, row, ttl};

declare! {
    empty => "an empty store loads nothing and epoch zero",
    put_replace_delete => "lease rows are put, replaced and deleted",
    signed_order => "load delivers by ascending signed id",
    ttl_limits => "TTLs survive at their limits",
    every_field => "remaining TTL, incarnation and generation survive",
    blind_delete => "deleting a lease row that is not there is no error",
    epoch => "the epoch is stored, replaced, and left alone by other batches",
}

fn empty(case: &Case<'_>) {
    let backend = case.open();
    case.equal_lists("rows", &case.rows(&*backend), &[]);
    case.equal("epoch", &case.epoch(&*backend), &Epoch::ZERO);
}

fn put_replace_delete(case: &Case<'_>) {
    let backend = case.open();
    case.commit(&*backend, |batch| {
        batch.put_lease(row(1, 10));
        batch.put_lease(row(2, 20));
    });
    let expected = [row(1, 10), row(2, 20)];
    case.equal_lists("after put", &case.rows(&*backend), &expected);

    case.commit(&*backend, |batch| batch.put_lease(row(1, 11)));
    let expected = [row(1, 11), row(2, 20)];
    case.equal_lists("after replace", &case.rows(&*backend), &expected);

    case.commit(&*backend, |batch| batch.delete_lease(id(1)));
    case.equal_lists("after delete", &case.rows(&*backend), &[row(2, 20)]);
}

fn signed_order(case: &Case<'_>) {
    let ascending = [
        i64::MIN,
        i64::MIN + 1,
        -256,
        -255,
        -2,
        -1,
        1,
        2,
        255,
        256,
        i64::from(u32::MAX) + 1,
        i64::MAX - 1,
        i64::MAX,
    ];
    let backend = case.open();
    case.commit(&*backend, |batch| {
        for number in ascending.iter().rev() {
            batch.put_lease(row(*number, 1));
        }
    });
    let found: Vec<i64> = case
        .rows(&*backend)
        .iter()
        .map(|row| row.id.get())
        .collect();
    case.equal_lists("ids", &found, &ascending);
}

fn ttl_limits(case: &Case<'_>) {
    let expected = [row(1, 1), row(2, 1 << 32), row(3, MAX_LEASE_TTL)];
    let backend = case.open();
    case.commit(&*backend, |batch| {
        for row in &expected {
            batch.put_lease(*row);
        }
    });
    case.equal_lists("rows", &case.rows(&*backend), &expected);
}

fn every_field(case: &Case<'_>) {
    let mut expected = Vec::new();
    for remaining in [None, Some(ttl(1)), Some(ttl(MAX_LEASE_TTL))] {
        for incarnation in [None, Some(0), Some(1), Some(Incarnation::MAX_SUPPLIED)] {
            for checkpoint_generation in [0, 1, u32::MAX] {
                expected.push(LeaseRow {
                    remaining,
                    incarnation: incarnation.and_then(Incarnation::supplied),
                    checkpoint_generation,
                    ..row(expected.len() as i64 + 1, MAX_LEASE_TTL)
                });
            }
        }
    }
    let backend = case.open();
    case.commit(&*backend, |batch| {
        for row in &expected {
            batch.put_lease(*row);
        }
    });
    case.equal_lists("rows", &case.rows(&*backend), &expected);
}

fn blind_delete(case: &Case<'_>) {
    let backend = case.open();
    case.commit(&*backend, |batch| batch.delete_lease(id(1)));
    case.commit(&*backend, |batch| batch.put_lease(row(2, 10)));
    case.commit(&*backend, |batch| batch.delete_lease(id(1)));
    case.equal_lists("rows", &case.rows(&*backend), &[row(2, 10)]);
}

fn epoch(case: &Case<'_>) {
    let backend = case.open();
    for number in [1, 7, u64::MAX, 3] {
        case.commit(&*backend, |batch| batch.put_epoch(Epoch::new(number)));
        case.commit(&*backend, |batch| batch.put_lease(row(1, 10)));
        case.equal("epoch", &case.epoch(&*backend), &Epoch::new(number));
    }
}
