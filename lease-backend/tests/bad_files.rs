//! Files that a store must refuse, each with the error that says why.
#![cfg(feature = "redb")]

use std::fs;
use std::path::PathBuf;

use lease_backend::RedbBackend;
use lease_core::{Backend, BackendError, Epoch, LeaseId, LeaseRow, Table, Ttl, WriteBatch};
use redb::{Database, MultimapTableDefinition, TableDefinition};
use tempfile::TempDir;

#[test]
fn a_file_that_is_no_redb_file_is_foreign() {
    let short = b"hello".to_vec();
    let text = b"this is somebody's letter, ".repeat(1_000);
    let zeros_and_more = [vec![0; 100_000], b"data".to_vec()].concat();
    for contents in [short, text, zeros_and_more] {
        let file = File::with(&contents);
        assert!(matches!(file.open_error(), BackendError::Foreign(_)));
        let after = fs::read(&file.path).expect("it is there");
        assert_eq!(after, contents, "it was not touched");
    }
}

#[test]
fn a_redb_file_of_somebody_else_is_foreign() {
    let file = File::absent();
    write_raw(&file, |transaction| {
        let words: TableDefinition<'_, &str, &str> = TableDefinition::new("words");
        let mut words = transaction.open_table(words).expect("it opens");
        words.insert("a", "b").expect("it works");
    });
    assert!(
        matches!(file.open_error(), BackendError::Foreign(text) if text.contains("lease_meta"))
    );

    let file = File::absent();
    write_raw(&file, |transaction| {
        let words: MultimapTableDefinition<'_, &str, &str> = MultimapTableDefinition::new("words");
        transaction.open_multimap_table(words).expect("it opens");
    });
    assert!(matches!(file.open_error(), BackendError::Foreign(_)));

    let file = File::absent();
    write_raw(&file, |transaction| {
        let meta: TableDefinition<'_, u8, u8> = TableDefinition::new("lease_meta");
        transaction.open_table(meta).expect("it opens");
    });
    assert!(
        matches!(file.open_error(), BackendError::Foreign(text) if text.contains("lease_meta"))
    );
}

#[test]
fn a_newer_format_is_foreign_and_says_so() {
    let file = File::filled();
    write_raw(&file, |transaction| {
        let meta: TableDefinition<'_, &str, u64> = TableDefinition::new("lease_meta");
        let mut meta = transaction.open_table(meta).expect("it opens");
        meta.insert("format", 2).expect("it works");
    });
    assert!(matches!(file.open_error(), BackendError::Foreign(text) if text.contains("newer")));
}

#[test]
fn an_empty_file_and_an_empty_redb_file_become_stores() {
    let file = File::with(b"");
    assert_eq!(file.open().load(&mut |_| {}), Ok(Epoch::ZERO));
    let file = File::absent();
    write_raw(&file, |_| {});
    assert_eq!(file.open().load(&mut |_| {}), Ok(Epoch::ZERO));
}

#[test]
fn an_open_file_is_locked() {
    let file = File::absent();
    let first = file.open();
    assert!(matches!(file.open_error(), BackendError::Locked(_)));
    drop(first);
    file.open();
}

#[test]
fn a_missing_directory_is_an_io_error() {
    let file = File::absent();
    let path = file.path.join("no").join("such");
    let error = RedbBackend::open(path).expect_err("there is no such directory");
    assert!(matches!(error, BackendError::Io(_)));
}

#[test]
fn a_truncated_file_is_damaged() {
    let whole = File::filled();
    let bytes = fs::read(&whole.path).expect("it is there");
    for len in [
        20,
        319,
        320,
        4_096,
        30_000,
        bytes.len() - 4_096,
        bytes.len() - 1,
    ] {
        let file = File::with(&bytes[..len]);
        let error = file.open_error();
        assert!(
            matches!(error, BackendError::Damaged(_)),
            "cut to {len} of {}: {error}",
            bytes.len()
        );
    }
}

#[test]
fn a_row_that_does_not_decode_is_named() {
    let id = 0x1234_i64;
    // A cut tag, and an incarnation that no host can have supplied.
    let garbage: [&[u8]; 2] = [
        b"\xff\xff\xff",
        &[
            8, 0xb4, 0x24, 16, 60, 0xc8, 0x3e, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            0xff, 1,
        ],
    ];
    for value in garbage {
        let file = File::filled();
        write_raw(&file, |transaction| {
            let leases: TableDefinition<'_, [u8; 8], &[u8]> = TableDefinition::new("lease");
            let mut leases = transaction.open_table(leases).expect("it opens");
            leases.insert(id.to_be_bytes(), value).expect("it works");
        });
        let backend = file.open();
        let error = backend.load(&mut |_| {}).expect_err("a row is garbage");
        assert!(
            matches!(&error, BackendError::Damaged(text) if text.contains("0000000000001234")),
            "{value:?}: {error}"
        );
        // The rest of the store works, and the row can be replaced.
        let mut batch = WriteBatch::default();
        batch.put_lease(row(id));
        backend.commit(&batch).expect("the row is overwritten");
        backend.load(&mut |_| {}).expect("the garbage is gone");
    }
}

#[test]
fn a_host_table_of_other_types_is_foreign_and_the_store_works_on() {
    let file = File::filled();
    write_raw(&file, |transaction| {
        let words: TableDefinition<'_, &str, u64> = TableDefinition::new("words");
        transaction.open_table(words).expect("it opens");
    });
    let backend = file.open();
    let words = Table::new("words");
    let mut batch = WriteBatch::default();
    batch.put_lease(row(7_777));
    batch.put(words.clone(), "k", "v");
    let is_foreign = |error| matches!(error, BackendError::Foreign(_));
    assert!(backend.commit(&batch).is_err_and(is_foreign));
    assert!(backend.get(&words, b"k").is_err_and(is_foreign));
    assert!(backend.scan(&words, &mut |_, _| {}).is_err_and(is_foreign));
    backend
        .load(&mut |found| assert_ne!(found, row(7_777), "a refused batch left something"))
        .expect("the store works on");
}

/// Whatever is wrong in a file, opening and reading it gives an error or the
/// right rows, never wrong ones and never a panic.
#[test]
fn flipped_bytes_are_noticed() {
    let whole = File::filled();
    let bytes = fs::read(&whole.path).expect("it is there");
    let (mut noticed, mut harmless) = (0, 0);
    for position in (0..bytes.len()).step_by(499) {
        let mut flipped = bytes.clone();
        flipped[position] ^= 0x5a;
        let file = File::with(&flipped);
        let mut rows = Vec::new();
        let opened = RedbBackend::open(&file.path);
        if opened.is_err() {
            let after = fs::read(&file.path).expect("it is there");
            assert!(after == flipped, "byte {position}: it was written to");
        }
        let loaded = opened.and_then(|backend| backend.load(&mut |row| rows.push(row)));
        match loaded {
            Ok(_) => {
                assert_eq!(rows, ids().map(row).collect::<Vec<_>>(), "byte {position}");
                harmless += 1;
            }
            Err(BackendError::Damaged(_) | BackendError::Foreign(_)) => noticed += 1,
            Err(error) => panic!("byte {position}: {error:?}"),
        }
    }
    assert!(noticed > 10 && harmless > 10, "{noticed} {harmless}");
}

struct File {
    _dir: TempDir,
    path: PathBuf,
}

impl File {
    fn absent() -> Self {
        let dir = tempfile::tempdir().expect("there is room for temporary files");
        let path = dir.path().join("leases.redb");
        Self { _dir: dir, path }
    }

    fn with(contents: &[u8]) -> Self {
        let file = Self::absent();
        fs::write(&file.path, contents).expect("there is room for temporary files");
        file
    }

    /// A store with some leases, closed.
    fn filled() -> Self {
        let file = Self::absent();
        let mut batch = WriteBatch::default();
        ids().map(row).for_each(|row| batch.put_lease(row));
        file.open().commit(&batch).expect("it works");
        file
    }

    fn open(&self) -> RedbBackend {
        RedbBackend::open(&self.path).expect("the file is good")
    }

    fn open_error(&self) -> BackendError {
        RedbBackend::open(&self.path).expect_err("the file is bad")
    }
}

fn write_raw(file: &File, write: impl FnOnce(&redb::WriteTransaction)) {
    let database = Database::create(&file.path).expect("it is a redb file");
    let transaction = database.begin_write().expect("it works");
    write(&transaction);
    transaction.commit().expect("it works");
}

fn ids() -> impl Iterator<Item = i64> {
    (-500..=500).filter(|number| *number != 0)
}

fn row(number: i64) -> LeaseRow {
    let id = LeaseId::new(number).expect("it is not zero");
    LeaseRow::new(id, Ttl::new(60).expect("it is a TTL"))
}
