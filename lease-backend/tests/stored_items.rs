//! A lessor that stores its items has them again after a restart, with the leases and not otherwise.
#![cfg(feature = "redb")]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lease_backend::{MemoryBackend, RedbBackend};
use lease_core::{
    Backend, BackendError, BackendLessor, Driver, Epoch, ExpiryMode, ItemMode, LeaseError, LeaseId,
    LeaseItem, LeaseRow, Lessor, ManualClock, Table, WriteBatch,
};

fn id(number: i64) -> LeaseId {
    LeaseId::new(number).expect("not zero")
}

fn items(names: &[&str]) -> Vec<LeaseItem> {
    names.iter().map(|name| LeaseItem::from(*name)).collect()
}

fn keys(lessor: &BackendLessor, number: i64) -> Vec<LeaseItem> {
    let lease = lessor.lookup(id(number)).expect("there");
    lease.keys().to_vec()
}

/// The rows of the items: each with its lease.
fn rows(backend: &dyn Backend) -> Vec<(String, i64)> {
    let mut rows = Vec::new();
    let mut visit = |item: &[u8], id: &[u8]| {
        let id = i64::from_be_bytes(id.try_into().expect("eight bytes"));
        rows.push((String::from_utf8_lossy(item).into_owned(), id));
    };
    let table = Table::new("lease_items");
    backend.scan(&table, &mut visit).expect("it is read");
    rows
}

fn open(path: &Path) -> Arc<RedbBackend> {
    Arc::new(RedbBackend::open(path).expect("it opens"))
}

#[test]
fn a_restart_finds_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("leases.redb");
    let lessor = BackendLessor::standalone(open(&path)).expect("it opens");
    for number in [1, 2, 3] {
        lessor.grant(id(number), 3600).expect("free");
    }
    lessor
        .attach(id(1), &items(&["a", "b", "c"]))
        .expect("there");
    lessor.attach(id(2), &items(&["c", "d"])).expect("there");
    lessor.attach(id(3), &items(&["e"])).expect("there");
    // "c" is not its own any more, and "x" is nobody's.
    let detached = lessor.detach(id(1), &items(&["b", "c", "x"]));
    detached.expect("there");
    lessor.revoke(id(3)).expect("there");
    lessor.stop();
    drop(lessor);

    for _ in 0..2 {
        let backend = open(&path);
        let expected = [
            ("a".to_owned(), 1),
            ("c".to_owned(), 2),
            ("d".to_owned(), 2),
        ];
        assert_eq!(rows(&*backend), expected);
        let lessor = BackendLessor::standalone(backend).expect("it opens");
        assert_eq!(keys(&lessor, 1), items(&["a"]));
        assert_eq!(keys(&lessor, 2), items(&["c", "d"]));
        assert_eq!(lessor.get_lease(b"e"), None);
        lessor.check_invariants();
    }
}

/// The rows of the leases are those of a lessor that stores no items, byte for byte.
#[test]
fn the_rows_of_the_leases_are_as_they_were() {
    let run = |mode| {
        let backend = Arc::new(MemoryBackend::new());
        let builder = BackendLessor::builder(backend.clone()).items(mode);
        let lessor = builder.build().expect("it is empty");
        lessor.grant(id(1), 60).expect("free");
        lessor.attach(id(1), &items(&["a"])).expect("there");
        lessor.checkpoint(id(1), 30).expect("there");
        let mut rows = Vec::new();
        backend
            .load(&mut |row: LeaseRow| rows.push(row))
            .expect("it is read");
        (rows, self::rows(&*backend).len())
    };
    let (with, stored) = run(ItemMode::Stored);
    let (without, none) = run(ItemMode::Replayed);
    assert_eq!((with, stored, none), (without, 1, 0));
}

/// A lessor that does not store items would revoke leases and leave their items to the next ones under
/// their ids.
#[test]
fn a_store_with_items_is_refused_by_who_does_not_store_them() {
    let backend = Arc::new(MemoryBackend::new());
    let lessor = BackendLessor::standalone(backend.clone()).expect("it is empty");
    lessor.grant(id(1), 60).expect("free");
    lessor.attach(id(1), &items(&["a"])).expect("there");
    lessor.stop();

    let refused = BackendLessor::builder(backend.clone()).build();
    match refused.map(drop) {
        Err(LeaseError::Backend(BackendError::Foreign(text))) => {
            assert!(text.contains("ItemMode::Stored"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    let other = BackendLessor::builder(Arc::new(MemoryBackend::new())).build();
    let other = other.expect("it is empty");
    other.recover(backend.clone(), None).expect_err("as well");
    let again = BackendLessor::standalone(backend).expect("nothing was changed");
    assert_eq!(keys(&again, 1), items(&["a"]));
}

/// Every way in which a lease ends takes its rows along, also in batches, and if it has very many.
#[test]
fn they_go_with_the_lease() {
    for durability in [
        lease_core::Durability::EveryCommand,
        lease_core::Durability::ETCD,
    ] {
        let (backend, clock) = (
            Arc::new(MemoryBackend::new()),
            Arc::new(ManualClock::default()),
        );
        let lessor = BackendLessor::builder(backend.clone())
            .items(ItemMode::Stored)
            .expiry(ExpiryMode::AutoRevoke)
            .durability(durability)
            .driver(Driver::Manual)
            .clock(clock.clone())
            .build()
            .expect("it is empty");
        lessor.promote(Duration::ZERO).expect("the epoch is stored");
        let many: Vec<_> = (0..5_000)
            .map(|n| LeaseItem::from(format!("many/{n:05}")))
            .collect();
        for number in 1..=4 {
            lessor.grant(id(number), 10 * number).expect("free");
        }
        lessor.attach(id(1), &items(&["expires"])).expect("there");
        lessor.attach(id(2), &many).expect("there");
        lessor.attach(id(3), &items(&["revoked"])).expect("there");
        lessor.attach(id(4), &items(&["stays"])).expect("there");
        lessor.flush().expect("it works");
        assert_eq!(rows(&*backend).len(), 5_003);
        lessor.revoke(id(3)).expect("there");
        for _ in 0..3 {
            clock.advance(Duration::from_secs(9));
            lessor.tick();
        }
        lessor.flush().expect("it works");
        assert_eq!(rows(&*backend), [("stays".to_owned(), 4)]);
        lessor.check_invariants();
    }
}

/// A store that refuses commits when it is told to.
struct Refusing(MemoryBackend, Mutex<bool>);

impl Backend for Refusing {
    fn commit(&self, batch: &WriteBatch) -> Result<(), BackendError> {
        if *self.1.lock().expect("no panic") {
            return Err(BackendError::Io(lease_core::HostError::new(
                "the disk is full",
            )));
        }
        self.0.commit(batch)
    }

    fn load(&self, visit: &mut dyn FnMut(LeaseRow)) -> Result<Epoch, BackendError> {
        self.0.load(visit)
    }

    fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        self.0.get(table, key)
    }

    fn scan(&self, table: &Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), BackendError> {
        self.0.scan(table, visit)
    }
}

#[test]
fn what_cannot_be_stored_does_not_happen() {
    let backend = Arc::new(Refusing(MemoryBackend::new(), Mutex::new(false)));
    let lessor = BackendLessor::standalone(backend.clone()).expect("it is empty");
    lessor.grant(id(1), 3600).expect("free");
    lessor.attach(id(1), &items(&["a"])).expect("there");
    *backend.1.lock().expect("no panic") = true;
    let refused = |result| matches!(result, Err(LeaseError::Backend(_)));
    assert!(refused(lessor.attach(id(1), &items(&["b"]))));
    assert!(refused(lessor.detach(id(1), &items(&["a"]))));
    assert!(refused(lessor.revoke(id(1))));
    assert_eq!(keys(&lessor, 1), items(&["a"]));
    assert_eq!(rows(&*backend), [("a".to_owned(), 1)]);
    *backend.1.lock().expect("no panic") = false;
    lessor.revoke(id(1)).expect("it works again");
    assert_eq!(rows(&*backend), []);
}

#[test]
fn a_row_that_names_no_lease_is_damage_and_one_of_a_lease_that_is_gone_is_not() {
    let backend = Arc::new(MemoryBackend::new());
    let mut batch = WriteBatch::default();
    batch.put(Table::new("lease_items"), "orphan", 7_i64.to_be_bytes());
    backend.commit(&batch).expect("it works");
    let lessor = BackendLessor::standalone(backend.clone()).expect("it opens");
    assert_eq!(lessor.get_lease(b"orphan"), None);
    for wrong in [&[][..], &[1], &0_i64.to_be_bytes(), &[0; 9]] {
        let mut batch = WriteBatch::default();
        batch.put(Table::new("lease_items"), "strange", wrong);
        backend.commit(&batch).expect("it works");
        let opened = BackendLessor::standalone(backend.clone());
        let is_damage = |error: LeaseError| matches!(&error, LeaseError::Backend(BackendError::Damaged(text)) if text.contains("strange"));
        assert!(opened.is_err_and(is_damage));
    }
}
