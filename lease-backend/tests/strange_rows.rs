//! Rows that no lessor writes, such as etcd may have left: they keep no other from being read, and every
//! store makes the same of them.
#![cfg(feature = "redb")]

use std::path::Path;
use std::sync::{Arc, Mutex};

use lease_backend::{MemoryBackend, RedbBackend};
use lease_core::{
    Backend, BackendLessor, Driver, LeaseId, LeaseRow, LessorEvent, Observer, RowFault, StrangeRow,
    Ttl, WriteBatch,
};
use redb::{Database, TableDefinition};

const LEASE: TableDefinition<'_, [u8; 8], &[u8]> = TableDefinition::new("lease");

/// Keys, values, and what is strange about them.
fn rows() -> Vec<(i64, Vec<u8>, Option<RowFault>)> {
    let minus_one = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let with = |head: &[u8], tail: &[u8]| [head, tail].concat();
    vec![
        (1, vec![8, 1, 16, 60], None),
        (2, vec![8, 2, 16, 60, 24, 60], None),
        (
            3,
            vec![8, 3, 16, 60, 24, 61],
            Some(RowFault::RemainingTooLong {
                secs: 61,
                ttl_secs: 60,
            }),
        ),
        (4, vec![8, 4], Some(RowFault::TtlTooShort { secs: 0 })),
        (
            5,
            with(&[8, 5, 16], &minus_one),
            Some(RowFault::TtlTooShort { secs: -1 }),
        ),
        (
            6,
            vec![8, 6, 16, 0x81, 0xb4, 0xc4, 0xc3, 0x21],
            Some(RowFault::TtlTooLong {
                secs: 9_000_000_001,
            }),
        ),
        (
            7,
            with(&[8, 7, 16, 60, 24], &minus_one),
            Some(RowFault::RemainingNegative { secs: -1 }),
        ),
        (0, vec![16, 60], Some(RowFault::NoLease)),
        (8, vec![8, 9, 16, 60], Some(RowFault::OtherId { id: 9 })),
        (i64::MIN, vec![], Some(RowFault::OtherId { id: 0 })),
    ]
}

fn expected() -> Vec<LeaseRow> {
    let row = |id, ttl| LeaseRow::new(LeaseId::new(id).expect("not zero"), ttl);
    let ttl = |secs| Ttl::new(secs).expect("in range");
    let all = Some(ttl(60));
    vec![
        row(1, ttl(60)),
        LeaseRow {
            remaining: all,
            ..row(2, ttl(60))
        },
        LeaseRow {
            remaining: all,
            ..row(3, ttl(60))
        },
        row(4, Ttl::MIN),
        row(5, Ttl::MIN),
        row(6, Ttl::MAX),
        row(7, ttl(60)),
    ]
}

#[derive(Default)]
struct Warnings(Mutex<Vec<StrangeRow>>);

impl Observer for Warnings {
    fn observe(&self, event: &LessorEvent<'_>) {
        if let LessorEvent::StrangeRow(row) = event {
            self.0.lock().expect("nobody panics").push(**row);
        }
    }
}

fn lessor(backend: Arc<dyn Backend>) -> (BackendLessor, Vec<StrangeRow>) {
    let warnings = Arc::new(Warnings::default());
    let lessor = BackendLessor::builder(backend)
        .driver(Driver::Manual)
        .observer(warnings.clone())
        .build()
        .expect("the other leases are there");
    let told = warnings.0.lock().expect("nobody panics").clone();
    (lessor, told)
}

fn redb(path: &Path) -> RedbBackend {
    drop(RedbBackend::open(path).expect("a new file"));
    let database = Database::open(path).expect("nobody has it open");
    let transaction = database.begin_write().expect("it works");
    for (key, value, _) in rows() {
        let mut table = transaction.open_table(LEASE).expect("it opens");
        table.insert(key.to_be_bytes(), &*value).expect("it works");
    }
    transaction.commit().expect("it works");
    drop(database);
    RedbBackend::open(path).expect("it is one of ours")
}

#[test]
fn strange_rows_are_mended_or_skipped_and_told_and_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lessor, mut told) = lessor(Arc::new(redb(&folder.path().join("leases.redb"))));
    assert_eq!(lessor.rows(), expected());
    let stats = lessor.stats();
    assert_eq!((stats.rows_mended, stats.rows_skipped), (5, 3));
    let faults = rows()
        .into_iter()
        .filter_map(|(key, _, fault)| Some((key, fault?)));
    let mut faults: Vec<_> = faults
        .map(|(key, fault)| StrangeRow { key, fault })
        .collect();
    told.sort_by_key(|row| row.key);
    faults.sort_by_key(|row| row.key);
    assert_eq!(told, faults);
}

#[test]
fn the_memory_store_makes_the_same_of_them() {
    let memory = MemoryBackend::new();
    let raw = rows()
        .into_iter()
        .map(|(key, value, _)| (key.to_be_bytes(), value));
    let told = memory.put_dump(raw).expect("they decode");
    assert_eq!(told.len(), 8);
    assert_eq!(lessor(Arc::new(memory.clone())).0.rows(), expected());
    let garbage = memory.put_dump([([0; 8], [0xff])]);
    garbage.expect_err("it does not decode");
}

/// What a host writes itself, past the lessor.
#[test]
fn what_remains_is_brought_down_to_the_ttl_over_every_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let redb = RedbBackend::open(folder.path().join("leases.redb")).expect("a new file");
    let expected = LeaseRow {
        remaining: Some(Ttl::MIN),
        ..LeaseRow::new(LeaseId::new(1).expect("not zero"), Ttl::MIN)
    };
    let mut batch = WriteBatch::default();
    batch.put_lease(LeaseRow {
        remaining: Some(Ttl::MAX),
        ..expected
    });
    let stores: [Arc<dyn Backend>; 2] = [Arc::new(MemoryBackend::new()), Arc::new(redb)];
    for store in stores {
        store.commit(&batch).expect("it works");
        let (lessor, told) = lessor(store);
        lessor.check_invariants();
        assert_eq!(lessor.rows(), [expected]);
        assert_eq!(lessor.stats().rows_mended, 1);
        assert_eq!(told.len(), 1);
    }
}
