//! Whatever is at the path, a store opens there or says why not, and harms nothing.
#![cfg(feature = "redb")]

use std::error::Error;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use lease_backend::RedbBackend;
use lease_core::{Backend, BackendError, LeaseId, LeaseRow, Ttl, WriteBatch};
use redb::{Database, TableDefinition};
use tempfile::TempDir;

#[test]
fn errors_of_the_system_name_the_path() {
    let dir = Dir::new();
    let is_io = |path: &Path, kinds: &[ErrorKind]| {
        let error = RedbBackend::open(path).expect_err("it is no place for a file");
        let BackendError::Io(error) = &error else {
            panic!("{error:?}");
        };
        let io = error.get_ref().downcast_ref::<std::io::Error>();
        let kind = io.expect("it is the system's").kind();
        assert!(kinds.contains(&kind), "{kind:?}");
        assert!(
            error.to_string().contains(&*path.to_string_lossy()),
            "{error}"
        );
    };
    is_io(
        dir.dir.path(),
        &[ErrorKind::IsADirectory, ErrorKind::PermissionDenied],
    );
    is_io(&dir.join("no/such"), &[ErrorKind::NotFound]);
    is_io(&dir.join(&"x".repeat(5_000)), &[ErrorKind::InvalidFilename]);
    is_io(Path::new(""), &[ErrorKind::InvalidInput]);
    fs::write(dir.join("file"), "").expect("there is room");
    is_io(
        &dir.join("file/below"),
        &[ErrorKind::NotADirectory, ErrorKind::NotFound],
    );
}

/// Root may write to any file, but not to a program that runs.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_must_not_be_written_to_is_an_io_error() {
    let program = std::env::current_exe().expect("this test is one");
    let before = fs::metadata(&program).expect("it is there").len();
    let error = RedbBackend::open(&program).expect_err("it runs");
    assert!(matches!(error, BackendError::Io(_)), "{error:?}");
    assert_eq!(fs::metadata(&program).expect("it is there").len(), before);
}

#[cfg(unix)]
#[test]
fn a_file_without_permissions_is_an_io_error_or_opens_for_root() {
    use std::os::unix::fs::PermissionsExt;

    let dir = Dir::new();
    drop(filled(&dir.join("store")));
    for mode in [0o000, 0o444] {
        fs::set_permissions(dir.join("store"), fs::Permissions::from_mode(mode))
            .expect("it is ours");
        let is_allowed = fs::OpenOptions::new()
            .write(true)
            .open(dir.join("store"))
            .is_ok();
        match RedbBackend::open(dir.join("store")) {
            Ok(backend) => assert!(is_allowed && count(&backend) == 10),
            Err(error) => {
                let text = error.source().expect("it has one").to_string();
                assert!(!is_allowed && text.contains("store"), "{error:?}");
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn a_path_need_not_be_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let dir = Dir::new();
    let path = dir.dir.path().join(OsStr::from_bytes(b"\xff\xfe.redb"));
    drop(filled(&path));
    let backend = open(&path);
    assert_eq!(count(&backend), 10);
    assert!(!format!("{backend:?}").is_empty());
}

#[cfg(unix)]
#[test]
fn a_link_is_as_good_as_its_file() {
    use std::os::unix::fs::symlink;

    let dir = Dir::new();
    fs::create_dir(dir.join("far")).expect("there is room");
    symlink("far/store", dir.join("link")).expect("links work");
    symlink("link", dir.join("link to link")).expect("links work");
    drop(filled(&dir.join("link to link")));
    assert!(
        dir.join("far/store").exists(),
        "it was made where the links lead"
    );
    for names in [["link", "far/store"], ["far/store", "link to link"]] {
        let [first, second] = names.map(|name| dir.join(name));
        let backend = open(&first);
        let error = RedbBackend::open(second).expect_err("it is the same file");
        assert!(matches!(error, BackendError::Locked(_)), "{error:?}");
        assert_eq!(count(&backend), 10);
    }
    symlink("loop", dir.join("loop")).expect("links work");
    let error = RedbBackend::open(dir.join("loop")).expect_err("it leads nowhere");
    assert!(matches!(error, BackendError::Io(_)), "{error:?}");
}

#[cfg(unix)]
#[test]
fn a_directory_that_may_only_be_passed_through_is_enough_for_a_store() {
    use std::os::unix::fs::PermissionsExt;

    let dir = Dir::new();
    drop(filled(&dir.join("store")));
    let set = |mode| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(dir.dir.path(), permissions).expect("it is ours");
    };
    set(0o100);
    let opened = RedbBackend::open(dir.join("store"));
    set(0o700);
    assert_eq!(
        count(&opened.expect("a directory is not read for this")),
        10
    );
}

/// redb repairs and notes what it opens; here only what is a store is touched.
#[test]
fn somebody_elses_database_is_not_written_to() {
    let words: TableDefinition<'_, &str, &str> = TableDefinition::new("words");
    let meta: TableDefinition<'_, &str, u64> = TableDefinition::new("lease_meta");
    for is_newer in [true, false] {
        for is_closed in [true, false] {
            let dir = Dir::new();
            let (path, image) = (dir.join("theirs"), dir.join("image"));
            let database = Database::create(&path).expect("it is new");
            let transaction = database.begin_write().expect("it works");
            if is_newer {
                let mut meta = transaction.open_table(meta).expect("it opens");
                meta.insert("format", 2).expect("it works");
            } else {
                let mut words = transaction.open_table(words).expect("it opens");
                words.insert("a", "b").expect("it works");
            }
            transaction.commit().expect("it works");
            fs::copy(&path, &image).expect("there is room");
            drop(database);
            let image = if is_closed { path } else { image };
            let before = fs::read(&image).expect("it is there");
            let error = RedbBackend::open(&image).expect_err("it is theirs");
            assert!(matches!(error, BackendError::Foreign(_)), "{error:?}");
            let after = fs::read(&image).expect("it is there");
            assert!(before == after, "newer: {is_newer}, closed: {is_closed}");
        }
    }
}

struct Dir {
    dir: TempDir,
}

impl Dir {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("there is room for temporary files");
        Self { dir }
    }

    fn join(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn filled(path: &Path) -> RedbBackend {
    let backend = open(path);
    let mut batch = WriteBatch::default();
    for number in 1..=10 {
        let id = LeaseId::new(number).expect("it is not zero");
        batch.put_lease(LeaseRow::new(id, Ttl::new(60).expect("a TTL")));
    }
    backend.commit(&batch).expect("it works");
    backend
}

fn open(path: &Path) -> RedbBackend {
    RedbBackend::open(path).expect("it is a store or new")
}

fn count(backend: &RedbBackend) -> usize {
    let mut count = 0;
    backend.load(&mut |_| count += 1).expect("it reads");
    count
}
