//! A host's own tables in the lessor's file, its transactions, and the state as a whole.
#![cfg(all(feature = "redb", feature = "testing"))]

use lease_backend::redb::{Refill, visit};
use lease_backend::testing::SimDisk;
use lease_backend::{RedbBackend, RedbOptions};
use lease_core::{Backend, BackendError, Epoch, LeaseId, LeaseRow, Table, Ttl, WriteBatch};
use redb::TableDefinition;

const LOG: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("log");

fn backend(disk: &SimDisk) -> RedbBackend {
    RedbBackend::create_with_storage(disk.clone()).expect("the disk works")
}

fn state() -> WriteBatch {
    let mut batch = WriteBatch::default();
    for id in [-7, 7] {
        let id = LeaseId::new(id).expect("not zero");
        batch.put_lease(LeaseRow::new(id, Ttl::new(60).expect("a TTL")));
    }
    batch.put(Table::new("kv"), "b", "2");
    batch.put(Table::new("kv"), "a", "1");
    batch.put(Table::new("zoo"), "c", "3");
    batch.put_epoch(Epoch::new(3));
    batch
}

fn append(backend: &RedbBackend, index: u64) -> Result<(), BackendError> {
    backend.write(|transaction| {
        let mut log = transaction.open_table(LOG)?;
        log.insert(index, b"entry".as_slice())?;
        Ok(())
    })
}

type Row = (String, Vec<u8>, Vec<u8>);

fn rows(backend: &RedbBackend) -> Vec<Row> {
    let mut rows = Vec::new();
    let view = backend.view().expect("the disk works");
    let mut each = |table: &str, key: &[u8], value: &[u8]| {
        rows.push((table.to_owned(), key.to_vec(), value.to_vec()));
        Ok(())
    };
    visit(view.transaction(), &["log"], &mut each).expect("the disk works");
    rows
}

#[test]
fn a_view_is_of_its_moment_and_rows_come_in_order() {
    let disk = SimDisk::new(1);
    let backend = backend(&disk);
    backend.commit(&state()).expect("the disk works");
    append(&backend, 1).expect("the disk works");
    let view = backend.view().expect("the disk works");
    let mut more = WriteBatch::default();
    more.put(Table::new("new"), "d", "4");
    backend.commit(&more).expect("the disk works");
    let mut names = Vec::new();
    visit(view.transaction(), &["log"], &mut |table, key, _| {
        names.push((table.to_owned(), key.to_vec()));
        Ok(())
    })
    .expect("the disk works");
    let id = |id: i64| ("lease".to_owned(), id.to_be_bytes().to_vec());
    let row = |table: &str, key: &str| (table.to_owned(), key.as_bytes().to_vec());
    let expected = [
        row("kv", "a"),
        row("kv", "b"),
        id(7),
        id(-7),
        row("lease_meta", "epoch"),
        row("zoo", "c"),
    ];
    assert_eq!(names, expected);
    assert_eq!(rows(&backend).len(), 7);
    let failed = visit(view.transaction(), &[], &mut |_, _, _| Ok(()));
    assert!(
        matches!(failed, Err(BackendError::Foreign(_))),
        "log is not of bytes"
    );
}

#[test]
fn a_refill_replaces_the_state_and_leaves_what_is_not_of_it() {
    let (source, target) = (backend(&SimDisk::new(1)), backend(&SimDisk::new(2)));
    source.commit(&state()).expect("the disk works");
    let mut other = WriteBatch::default();
    other.put(Table::new("gone"), "x", "y");
    other.put_epoch(Epoch::new(9));
    target.commit(&other).expect("the disk works");
    append(&target, 1).expect("the disk works");
    let mut top = WriteBatch::default();
    top.put(Table::new("kv"), "a", "on top");
    let fill = |is_cut: bool| {
        target.write(|transaction| {
            let mut refill = Refill::begin(transaction, &["log"])?;
            for (table, key, value) in rows(&source) {
                refill.put(&table, &key, &value)?;
            }
            refill.write(&top)?;
            match is_cut {
                true => Err(BackendError::Damaged("cut".to_owned()).into()),
                false => Ok(()),
            }
        })
    };
    let before = rows(&target);
    fill(true).expect_err("it fails at its end");
    assert_eq!(rows(&target), before);
    fill(false).expect("the disk works");
    let mut expected = rows(&source);
    expected[0].2 = b"on top".to_vec();
    assert_eq!(rows(&target), expected);
    assert_eq!(target.load(&mut |_| {}), Ok(Epoch::new(3)));
    let entry = target.read(|transaction| {
        let log = transaction.open_table(LOG)?;
        Ok(log.get(1)?.map(|entry| entry.value().to_vec()))
    });
    assert_eq!(entry, Ok(Some(b"entry".to_vec())));
}

#[test]
fn rows_that_no_view_brings_are_refused() {
    let backend = backend(&SimDisk::new(1));
    let cases: [(&str, &[u8], &[u8]); 7] = [
        ("lease", b"seven", b""),
        ("lease", &7_i64.to_be_bytes(), b"\xff"),
        ("lease_meta", b"epoch", b"three"),
        ("lease_meta", b"format", &9_u64.to_be_bytes()),
        ("log", b"a", b"b"),
        ("", b"a", b"b"),
        ("lease", b"", b""),
    ];
    for (table, key, value) in cases {
        let filled = backend
            .write(|transaction| Refill::begin(transaction, &["log"])?.put(table, key, value));
        assert!(
            matches!(filled, Err(BackendError::Damaged(_))),
            "{table}: {filled:?}"
        );
    }
}

#[test]
fn after_a_commit_of_which_nothing_is_known_the_file_must_be_opened_anew() {
    let (mut lost, mut refused) = (0, 0);
    for operations in 1..40 {
        let disk = SimDisk::new(3);
        let backend = backend(&disk);
        append(&backend, 1).expect("the disk works");
        disk.fail_after(operations);
        if append(&backend, 2).is_ok() {
            break;
        }
        match append(&backend, 3) {
            Ok(()) => refused += 1,
            Err(BackendError::Poisoned(_)) => {
                lost += 1;
                assert!(matches!(
                    backend.commit(&state()),
                    Err(BackendError::Poisoned(_))
                ));
                assert!(matches!(backend.view(), Err(BackendError::Poisoned(_))));
            }
            Err(error) => panic!("after {operations}: {error}"),
        }
        drop(backend);
        let again = RedbOptions::new().create_with_storage(disk);
        append(&again.expect("the disk works"), 4).expect("it is another handle");
    }
    assert!(lost > 0, "{lost} lost, {refused} refused");
}
