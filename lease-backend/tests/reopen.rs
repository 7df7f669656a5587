//! After a failure a store is opened again: the same one, or none.
#![cfg(feature = "redb")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use lease_backend::{RedbBackend, RedbOptions};
use lease_core::{Backend, BackendError, LeaseId, LeaseRow, Ttl, WriteBatch};
use tempfile::TempDir;

#[test]
fn a_store_whose_file_is_gone_fails_until_it_is_back() {
    let dir = Dir::new();
    let backend = filled(&dir.path());
    fail(&backend, &dir.path());
    let elsewhere = dir.join("elsewhere");
    fs::rename(dir.path(), &elsewhere).expect("it is there");
    for _ in 0..2 {
        for error in [commit(&backend, 101), ids(&backend).map(drop)] {
            let text = text(&error.expect_err("there is no file"));
            assert!(text.contains("leases.redb") && text.contains("moved or deleted"));
        }
        assert_eq!(dir.names(), ["elsewhere"], "a file was made");
    }
    fs::rename(&elsewhere, dir.path()).expect("it is there");
    commit(&backend, 101).expect("the file is back");
    assert_eq!(ids(&backend), Ok((1..=101).collect()));
}

/// The only test here that needs the directory of the process.
#[test]
fn a_relative_path_is_that_of_the_first_opening() {
    let (dir, other) = (Dir::new(), Dir::new());
    std::env::set_current_dir(dir.dir.path()).expect("it is there");
    let backend = filled(Path::new("leases.redb"));
    std::env::set_current_dir(other.dir.path()).expect("it is there");
    fail(&backend, &dir.path());
    commit(&backend, 101).expect("it is opened again");
    drop(backend);
    assert_eq!(ids(&open(&dir.path())), Ok((1..=101).collect()));
    assert!(other.names().is_empty());
}

#[test]
fn another_store_at_the_path_is_left_alone() {
    let dir = Dir::new();
    let backend = filled(&dir.path());
    for is_closed in [true, false] {
        let other = filled(&dir.join("other"));
        let open_image = fs::read(dir.join("other")).expect("it is there");
        drop(other);
        let closed_image = fs::read(dir.join("other")).expect("it is there");
        let image = if is_closed { closed_image } else { open_image };
        // Written into the same file, so that only the id tells.
        let own_image = fail(&backend, &dir.path());
        fs::write(dir.path(), &image).expect("it can be written to");
        assert_foreign(commit(&backend, 101));
        assert_foreign(ids(&backend).map(drop));
        let after = fs::read(dir.path()).expect("it is there");
        assert!(after == image, "it was written to, closed: {is_closed}");

        fs::write(dir.path(), own_image).expect("it can be written to");
        assert_eq!(ids(&backend), Ok((1..=100).collect()));
    }
}

/// A copy has the id, and may be an old one.
#[cfg(unix)]
#[test]
fn a_copy_of_the_store_is_not_the_store() {
    let dir = Dir::new();
    let backend = filled(&dir.path());
    fs::copy(dir.path(), dir.join("copy")).expect("it is there");
    commit(&backend, 101).expect("it works");
    fail(&backend, &dir.path());
    fs::rename(dir.path(), dir.join("store")).expect("it is there");
    fs::rename(dir.join("copy"), dir.path()).expect("it is there");
    assert_foreign(commit(&backend, 102));
    // Nor is one that gets the place of a deleted file.
    fs::copy(dir.path(), dir.join("copy")).expect("it is there");
    fs::remove_file(dir.path()).expect("it is there");
    fs::rename(dir.join("copy"), dir.path()).expect("it is there");
    assert_foreign(commit(&backend, 102));

    fs::rename(dir.join("store"), dir.path()).expect("it is there");
    assert_eq!(ids(&backend), Ok((1..=101).collect()));
}

#[test]
fn what_is_no_store_any_more_is_left_alone() {
    let dir = Dir::new();
    let backend = filled(&dir.path());
    let image = fail(&backend, &dir.path());
    // The second is what a crash leaves of a creation, and is begun anew by a first opening.
    for contents in [vec![], vec![0; 8192], b"somebody's letter".to_vec()] {
        fs::write(dir.path(), &contents).expect("it can be written to");
        assert_foreign(commit(&backend, 101));
        assert_eq!(fs::read(dir.path()).expect("it is there"), contents);
    }
    fs::write(dir.path(), image).expect("it can be written to");
    commit(&backend, 101).expect("it is back");
}

#[cfg(feature = "testing")]
#[test]
fn a_storage_that_was_emptied_is_left_alone() {
    use redb::StorageBackend;

    let disk = lease_backend::testing::SimDisk::new(1);
    let options = RedbOptions::new().cache_size(0);
    let backend = options.create_with_storage(disk.clone()).expect("it works");
    disk.set_len(0).expect("it works");
    assert!(commit(&backend, 1).is_err());
    for _ in 0..2 {
        assert_foreign(commit(&backend, 1));
        assert_eq!(disk.image(), []);
    }
}

#[test]
fn a_store_of_an_earlier_version_gets_an_id_and_keeps_its_bytes() {
    use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
    const LEASES: TableDefinition<'_, [u8; 8], &[u8]> = TableDefinition::new("lease");
    const META: TableDefinition<'_, &str, u64> = TableDefinition::new("lease_meta");
    /// Seconds: 60.
    const ROW: &[u8] = &[8, 1, 16, 60];

    let dir = Dir::new();
    let database = Database::create(dir.path()).expect("it is new");
    let transaction = database.begin_write().expect("it works");
    let mut leases = transaction.open_table(LEASES).expect("it opens");
    leases.insert(1_i64.to_be_bytes(), ROW).expect("it works");
    drop(leases);
    let mut meta = transaction.open_table(META).expect("it opens");
    meta.insert("format", 1).expect("it works");
    meta.insert("epoch", 7).expect("it works");
    drop(meta);
    transaction.commit().expect("it works");
    drop(database);

    let mut seen = Vec::new();
    for _ in 0..2 {
        assert_eq!(ids(&open(&dir.path())), Ok(vec![1]));
        let database = Database::open(dir.path()).expect("it is closed");
        let transaction = database.begin_read().expect("it works");
        let leases = transaction.open_table(LEASES).expect("it opens");
        let (_, value) = leases.first().expect("it works").expect("there is one");
        assert_eq!(value.value(), ROW);
        let meta = transaction.open_table(META).expect("it opens");
        let rows = meta.iter().expect("it works").map(|row| {
            let (name, value) = row.expect("it works");
            (name.value().to_owned(), value.value())
        });
        seen.push(rows.collect::<Vec<_>>());
    }
    assert_eq!(seen[0], seen[1], "a second opening changed something");
    let names: Vec<_> = seen[0].iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["epoch", "format", "store_high", "store_low"]);
    assert_eq!((seen[0][0].1, seen[0][1].1), (7, 1));
}

struct Dir {
    dir: TempDir,
}

impl Dir {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("there is room for temporary files");
        Self { dir }
    }

    fn path(&self) -> PathBuf {
        self.join("leases.redb")
    }

    fn join(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).expect("it is there");
        entries
            .map(|entry| {
                let name = entry.expect("it reads").file_name();
                name.into_string().expect("the names here are plain")
            })
            .collect()
    }
}

/// A new store with the leases 1 to 100, open. Without a cache, so that it sees its file fail.
fn filled(path: &Path) -> RedbBackend {
    let _ = fs::remove_file(path);
    let backend = open(path);
    (1..=100).for_each(|number| commit(&backend, number).expect("it works"));
    backend
}

fn open(path: &Path) -> RedbBackend {
    let options = RedbOptions::new().cache_size(0);
    options.open(path).expect("it is a store or new")
}

/// Lets the store run into a failure of its file, which works again then. Returns its bytes.
fn fail(backend: &RedbBackend, path: &Path) -> Vec<u8> {
    let image = fs::read(path).expect("it is there");
    fs::write(path, &image[..4096]).expect("it can be written to");
    ids(backend).expect_err("the file is cut short");
    fs::write(path, &image).expect("it can be written to");
    image
}

fn commit(backend: &RedbBackend, number: i64) -> Result<(), BackendError> {
    let id = LeaseId::new(number).expect("it is not zero");
    let mut batch = WriteBatch::default();
    batch.put_lease(LeaseRow::new(id, Ttl::new(60).expect("a TTL")));
    backend.commit(&batch)
}

fn ids(backend: &RedbBackend) -> Result<Vec<i64>, BackendError> {
    let mut ids = Vec::new();
    backend.load(&mut |row| ids.push(row.id.get()))?;
    Ok(ids)
}

#[track_caller]
fn assert_foreign(result: Result<(), BackendError>) {
    assert!(
        matches!(result, Err(BackendError::Foreign(_))),
        "{result:?}"
    );
}

fn text(error: &BackendError) -> String {
    error
        .source()
        .map_or(error.to_string(), ToString::to_string)
}
