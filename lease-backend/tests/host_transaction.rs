//! Lease rows inside a redb transaction of the host's.
#![cfg(feature = "redb")]

use lease_backend::RedbBackend;
use lease_backend::redb::{apply, load, prepare};
use lease_core::{Backend, BackendError, Epoch, LeaseId, LeaseRow, Table, Ttl, WriteBatch};
use redb::{Database, ReadableDatabase, TableDefinition};

const APPLIED: TableDefinition<'_, &str, u64> = TableDefinition::new("applied");

#[test]
fn the_host_commits_or_aborts_the_batch_with_its_own_rows() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let path = dir.path().join("host.redb");
    let database = Database::create(&path).expect("it is new");
    for (index, is_committed) in [(1, true), (2, false), (3, true)] {
        let transaction = database.begin_write().expect("it works");
        prepare(&transaction).expect("the tables are ours");
        apply(&transaction, &batch(index)).expect("it works");
        let mut applied = transaction.open_table(APPLIED).expect("it opens");
        applied.insert("index", index as u64).expect("it works");
        drop(applied);
        if is_committed {
            transaction.commit().expect("it works");
        } else {
            transaction.abort().expect("it works");
        }
    }
    let transaction = database.begin_read().expect("it works");
    let mut found = Vec::new();
    let epoch = load(
        &transaction,
        &mut |row| found.push(row.id.get()),
        &mut |strange| panic!("{strange}"),
    );
    assert_eq!((epoch, found), (Ok(Epoch::new(3)), vec![1, 3]));
    drop((transaction, database));

    // The same file as a store of its own.
    let backend = RedbBackend::open(&path).expect("it was prepared");
    let value = backend.get(&Table::new("keys"), &3_i64.to_be_bytes());
    assert_eq!(value, Ok(Some(b"attached".to_vec())));
}

#[test]
fn a_newer_format_is_refused() {
    let storage = redb::backends::InMemoryBackend::new();
    let database = redb::Builder::new().create_with_backend(storage);
    let database = database.expect("memory works");
    let transaction = database.begin_write().expect("it works");
    let meta: TableDefinition<'_, &str, u64> = TableDefinition::new("lease_meta");
    let mut meta = transaction.open_table(meta).expect("it opens");
    meta.insert("format", 2).expect("it works");
    drop(meta);
    let result = prepare(&transaction);
    assert!(matches!(result, Err(BackendError::Foreign(text)) if text.contains("newer")));
}

fn batch(number: i64) -> WriteBatch {
    let id = LeaseId::new(number).expect("not zero");
    let mut batch = WriteBatch::default();
    batch.put_lease(LeaseRow::new(id, Ttl::new(60).expect("a TTL")));
    batch.put(Table::new("keys"), number.to_be_bytes(), "attached");
    batch.put_epoch(Epoch::new(number as u64));
    batch
}
