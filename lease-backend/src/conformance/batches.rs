//! Batches: order, size and unity.

use lease_core::{Epoch, WriteBatch};

use super::{Case, declare, id, keys, meta, row};
use crate::testing::Model;

declare! {
    empty => "an empty batch is committed and changes nothing",
    last_lease_write_wins => "the last write of a lease row within a batch wins",
    host_order => "host writes of a batch apply in their order",
    everything_at_once => "a batch that touches everything applies as a whole",
    large => "a batch of 10,000 leases and keys applies",
    refused_as_a_whole => "a batch that is refused leaves nothing",
}

fn empty(case: &Case<'_>) {
    let backend = case.open();
    case.commit(&*backend, |_| {});
    case.commit(&*backend, |batch| batch.put_lease(row(1, 10)));
    case.commit(&*backend, |_| {});
    case.equal_lists("rows", &case.rows(&*backend), &[row(1, 10)]);
}

fn last_lease_write_wins(case: &Case<'_>) {
    let backend = case.open();
    case.commit(&*backend, |batch| {
        batch.put_lease(row(1, 10));
        batch.put_lease(row(2, 10));
        batch.delete_lease(id(2));
        batch.put_lease(row(1, 11));
        batch.delete_lease(id(3));
        batch.put_lease(row(3, 10));
    });
    let expected = [row(1, 11), row(3, 10)];
    case.equal_lists("rows", &case.rows(&*backend), &expected);
}

fn host_order(case: &Case<'_>) {
    let backend = case.open();
    case.commit(&*backend, |batch| {
        batch.put(keys(), "a", "1");
        batch.put(meta(), "a", "2");
        batch.put(keys(), "b", "3");
        batch.delete_range(keys(), "a", Some("b".into()));
        batch.put(keys(), "b", "4");
        batch.delete(meta(), "a");
        batch.put(keys(), "aa", "5");
        batch.put(meta(), "a", "6");
    });
    let expected = [("aa".into(), "5".into()), ("b".into(), "4".into())];
    case.equal_lists("keys", &case.scan(&*backend, &keys()), &expected);
    let expected = [("a".into(), "6".into())];
    case.equal_lists("meta", &case.scan(&*backend, &meta()), &expected);
}

fn everything_at_once(case: &Case<'_>) {
    let backend = case.open();
    let mut first = WriteBatch::default();
    first.put_lease(row(1, 10));
    first.put_lease(row(-1, 10));
    for key in ["a", "b", "c"] {
        first.put(keys(), key, "1");
    }
    let mut second = WriteBatch::default();
    second.put_lease(row(2, 20));
    second.delete_lease(id(1));
    second.delete_range(keys(), "b", None);
    second.put(keys(), "d", "2");
    second.delete(keys(), "a");
    second.put(meta(), "applied", [2]);
    second.put_epoch(Epoch::new(2));

    let mut model = Model::default();
    for batch in [first, second] {
        case.ok("commit", backend.commit(&batch));
        model.apply(&batch);
        let found = case.ok("read", Model::read(&*backend, &[keys(), meta()]));
        case.equal("contents", &found, &model);
    }
}

fn large(case: &Case<'_>) {
    let backend = case.open();
    let count = 10_000;
    // Steps that have no factor in common with the count, so that no order is given.
    let numbers = || (0..count).map(move |step| step * 7_919 % count + 1);
    case.commit(&*backend, |batch| {
        for number in numbers() {
            batch.put_lease(row(number, number));
            batch.put(keys(), number.to_be_bytes(), number.to_be_bytes());
        }
    });
    let expected: Vec<_> = (1..=count).map(|number| row(number, number)).collect();
    case.equal_lists("rows", &case.rows(&*backend), &expected);
    case.equal(
        "keys",
        &case.scan(&*backend, &keys()).len(),
        &(count as usize),
    );

    case.commit(&*backend, |batch| {
        for number in numbers().filter(|number| number % 2 == 0) {
            batch.delete_lease(id(number));
        }
        batch.delete_range(keys(), "", None);
    });
    let odd: Vec<_> = (expected.into_iter().step_by(2)).collect();
    case.equal_lists("rows after deletes", &case.rows(&*backend), &odd);
    case.equal(
        "keys after deletes",
        &case.scan(&*backend, &keys()),
        &vec![],
    );
}

/// Nothing says that a backend must refuse a long key, but some engines do, and maybe only after they
/// have done the half of the batch.
fn refused_as_a_whole(case: &Case<'_>) {
    let backend = case.open();
    case.commit(&*backend, |batch| batch.put_lease(row(1, 10)));
    let mut batch = WriteBatch::default();
    batch.put_lease(row(2, 20));
    batch.put_epoch(Epoch::new(5));
    batch.put(keys(), "k", "v");
    batch.put(keys(), vec![b'k'; TOO_LONG_FOR_SOME], "v");
    if backend.commit(&batch).is_err() {
        case.equal_lists("rows", &case.rows(&*backend), &[row(1, 10)]);
        case.equal("epoch", &case.epoch(&*backend), &Epoch::ZERO);
        case.equal_lists("keys", &case.scan(&*backend, &keys()), &[]);
        case.commit(&*backend, |batch| batch.put_lease(row(3, 30)));
        let expected = [row(1, 10), row(3, 30)];
        case.equal_lists("rows of the next", &case.rows(&*backend), &expected);
    }
}

/// Longer than what a length of two bytes can say.
const TOO_LONG_FOR_SOME: usize = 1 << 17;
