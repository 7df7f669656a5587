//! Revoking, and the host's range deleter.

use std::sync::Arc;

use lease_core::testing::FakeTxnDelete;
use lease_core::{
    BoxError, Deleted, LeaseError, Lessor, RangeDeleter, Table, TableDeleter, TxnDelete, WriteBatch,
};

use crate::{Bench, id, items, primary};

#[test]
fn an_unknown_lease_is_not_found() {
    let bench = primary(|builder| builder);
    for unknown in [1, -1, i64::MIN] {
        let revoked = bench.lessor.revoke(id(unknown));
        assert_eq!(revoked, Err(LeaseError::LeaseNotFound));
    }
    bench.grant(1, 60);
    bench.lessor.revoke(id(1)).expect("there");
    let again = bench.lessor.revoke(id(1));
    assert_eq!(again, Err(LeaseError::LeaseNotFound));
}

#[test]
fn the_range_deleter_gets_the_keys_in_sorted_order() {
    let deleter = FakeTxnDelete::default();
    let bench = primary(|builder| builder.range_deleter(Arc::new(deleter.clone())));
    bench.grant(1, 60);
    bench
        .lessor
        .attach(id(1), &items(&["b", "", "c", "ab", "a"]))
        .expect("there");
    bench.lessor.revoke(id(1)).expect("there");
    assert_eq!(deleter.deleted(), [&b""[..], b"a", b"ab", b"b", b"c"]);
    assert_eq!(bench.lessor.lookup(id(1)), None);
    bench.assert_memory_is_disk();
}

/// etcd deletes nothing then.
#[test]
fn without_a_range_deleter_the_lease_and_its_row_go() {
    let bench = primary(|builder| builder);
    bench.grant(1, 60);
    bench.lessor.attach(id(1), &items(&["a"])).expect("there");
    bench.lessor.revoke(id(1)).expect("there");
    assert_eq!(bench.lessor.lookup(id(1)), None);
    assert!(bench.backend.rows().is_empty());
}

/// Fails at a chosen point, after it has put deletes of its own into the batch.
#[derive(Clone, Copy)]
enum Fails {
    AtTheSecondDelete,
    AtTheEnd,
    ByPanicking,
}

struct Txn<'t> {
    fails: Fails,
    batch: &'t mut WriteBatch,
    deletes: usize,
}

impl RangeDeleter for Fails {
    fn begin<'t>(&'t self, batch: &'t mut WriteBatch) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
        Ok(Box::new(Txn {
            fails: *self,
            batch,
            deletes: 0,
        }))
    }
}

impl TxnDelete for Txn<'_> {
    fn delete_range(&mut self, key: &[u8], _: Option<&[u8]>) -> Result<Deleted, BoxError> {
        self.batch.delete(kv(), key);
        self.deletes += 1;
        match self.fails {
            Fails::AtTheSecondDelete if self.deletes == 2 => Err("no".into()),
            Fails::ByPanicking if self.deletes == 2 => panic!("this range deleter panics"),
            _ => Ok(Deleted::default()),
        }
    }

    fn end(self: Box<Self>) -> Result<(), BoxError> {
        match self.fails {
            Fails::AtTheEnd => Err("no".into()),
            _ => Ok(()),
        }
    }
}

fn kv() -> Table {
    Table::new("kv")
}

/// Two leases with two keys each, which are in the store.
fn bench_with_keys() -> Bench {
    let bench = primary(|builder| builder);
    let mut keys = WriteBatch::default();
    for key in ["a", "b", "c", "d"] {
        keys.put(kv(), key, "value");
    }
    bench.lessor.write(keys).expect("the backend works");
    for (number, names) in [(1, ["a", "b"]), (2, ["c", "d"])] {
        bench.grant(number, 60);
        bench
            .lessor
            .attach(id(number), &items(&names))
            .expect("there");
    }
    bench
}

#[test]
fn a_range_deleter_that_fails_half_way_deletes_nothing() {
    let bench = bench_with_keys();
    for fails in [
        Fails::AtTheSecondDelete,
        Fails::AtTheEnd,
        Fails::ByPanicking,
    ] {
        bench.lessor.set_range_deleter(Arc::new(fails));
        let one = bench.lessor.revoke(id(1));
        assert!(matches!(one, Err(LeaseError::RangeDeleter(_))), "{one:?}");
        let many = bench.lessor.revoke_many(&[id(1), id(2)]);
        assert!(matches!(many, Err(LeaseError::RangeDeleter(_))), "{many:?}");
        bench.grant(9, 60);
        bench.lessor.revoke(id(9)).expect("it has no items");
        assert_eq!(bench.backend.store().host.len(), 4);
        bench.lessor.renew_many(&[id(1), id(2)]);
        assert_eq!(bench.lessor.get_lease(b"d"), Some(id(2)));
        bench.assert_memory_is_disk();
    }
    bench
        .lessor
        .set_range_deleter(Arc::new(TableDeleter::new(kv())));
    bench.lessor.revoke_many(&[id(1), id(2)]).expect("works");
    assert!(bench.backend.store().host.is_empty());
}

/// etcd's `DeleteRange` with and without an end.
#[test]
fn the_table_deleter_deletes_a_key_or_a_range() {
    let deleter = TableDeleter::new(kv());
    let mut batch = WriteBatch::default();
    let mut txn = deleter.begin(&mut batch).expect("nothing can fail");
    txn.delete_range(b"a", None).expect("nothing can fail");
    txn.delete_range(b"b", Some(b"d"))
        .expect("nothing can fail");
    txn.end().expect("nothing can fail");
    let mut expected = WriteBatch::default();
    expected.delete(kv(), "a");
    expected.delete_range(kv(), "b", Some(b"d".to_vec()));
    assert_eq!(batch, expected);
}

/// The second revoke of a lease must not wait for the first, which waits for it.
#[test]
fn no_leases_and_the_same_lease_twice_are_fine() {
    let bench = primary(|builder| builder);
    let commits = bench.backend.store().commits.len();
    assert_eq!(bench.lessor.revoke_many(&[]), Ok(Vec::new()));
    assert_eq!(bench.backend.store().commits.len(), commits);
    bench.grant(1, 60);
    bench.grant(2, 60);
    let answers = bench.lessor.revoke_many(&[id(2), id(1), id(2), id(3)]);
    let not_found = || Err(LeaseError::LeaseNotFound);
    assert_eq!(answers, Ok(vec![Ok(()), Ok(()), not_found(), not_found()]));
    bench.assert_memory_is_disk();
}
