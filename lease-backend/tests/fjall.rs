//! What the fjall adapter has beyond the suite.
#![cfg(all(feature = "fjall", feature = "testing"))]

use std::fs;
use std::path::Path;

use lease_backend::FjallBackend;
use lease_backend::testing::{Model, Workload};
use lease_core::{Backend, BackendError, Table, WriteBatch};

/// A power cut leaves a log that ends somewhere: whole batches come out of it, and with all of the
/// log all of them.
#[test]
fn a_log_that_is_cut_short_gives_whole_batches() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let (live, copy) = (dir.path().join("live"), dir.path().join("copy"));
    let backend = FjallBackend::open(&live).expect("it is new");
    let mut workload = Workload::new(5);
    let mut models = vec![Model::default()];
    for _ in 0..10 {
        let batch = workload.batch(10);
        backend.commit(&batch).expect("it works");
        let mut model = models[models.len() - 1].clone();
        model.apply(&batch);
        models.push(model);
    }
    let whole = dir.path().join("whole");
    let log_len = copy_directory(&live, &whole, usize::MAX);
    let mut furthest = 0;
    let step = (log_len / 12).max(1);
    for cut in (0..=log_len).step_by(step).chain([log_len]) {
        let _ = fs::remove_dir_all(&copy);
        copy_directory(&whole, &copy, cut);
        let Ok(backend) = FjallBackend::open(&copy) else {
            assert!(furthest == 0, "a longer log was refused at {cut}");
            continue;
        };
        let found = Model::read(&backend, workload.tables()).expect("it reads");
        let reached = models.iter().rposition(|model| *model == found);
        let reached = reached.unwrap_or_else(|| panic!("a part of a batch came out at {cut}"));
        assert!(reached >= furthest, "a longer log gave less at {cut}");
        furthest = reached;
    }
    assert_eq!(furthest, models.len() - 1, "the whole log gave not all");
}

#[test]
fn a_directory_is_locked_and_foreign_ones_are_refused() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let backend = FjallBackend::open(dir.path()).expect("it is new");
    let second = FjallBackend::open(dir.path());
    assert!(matches!(second, Err(BackendError::Locked(_))));

    // More than the engine can take is an error, and nothing of the batch is there.
    let mut batch = WriteBatch::default();
    batch.put(Table::new("keys"), "k", "v");
    batch.put(Table::new("keys"), vec![0; 65_536], "v");
    assert!(matches!(backend.commit(&batch), Err(BackendError::Io(_))));
    assert_eq!(backend.get(&Table::new("keys"), b"k"), Ok(None));

    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let database = fjall::Database::builder(dir.path())
        .open()
        .expect("it is new");
    let words = database.keyspace("words", fjall::KeyspaceCreateOptions::default);
    drop((words.expect("it works"), database));
    let foreign = FjallBackend::open(dir.path());
    assert!(
        matches!(foreign, Err(BackendError::Foreign(_))),
        "{foreign:?}"
    );
}

#[test]
fn a_path_that_cannot_be_is_an_io_error() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let file = dir.path().join("file");
    fs::write(&file, "a letter").expect("there is room");
    for path in [Path::new(""), &file, &file.join("below")] {
        let opened = FjallBackend::open(path);
        assert!(matches!(opened, Err(BackendError::Io(_))), "{opened:?}");
    }
    assert_eq!(fs::read(&file).expect("it is there"), b"a letter");
}

/// Wrong bytes in the log may look like its end; whole batches come out of it also then.
#[test]
fn a_damaged_log_gives_whole_batches_or_an_error() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let (live, copy) = (dir.path().join("live"), dir.path().join("copy"));
    let backend = FjallBackend::open(&live).expect("it is new");
    let mut workload = Workload::new(5);
    let mut models = vec![Model::default()];
    for _ in 0..10 {
        let batch = workload.batch(10);
        backend.commit(&batch).expect("it works");
        let mut model = models[models.len() - 1].clone();
        model.apply(&batch);
        models.push(model);
    }
    let whole = dir.path().join("whole");
    let log_len = copy_directory(&live, &whole, usize::MAX);
    let (mut refused, mut shorter) = (0, 0);
    for position in (0..log_len).step_by((log_len / 60).max(1)) {
        let _ = fs::remove_dir_all(&copy);
        copy_directory(&whole, &copy, usize::MAX);
        flip(&copy.join("0.jnl"), position);
        let opened = FjallBackend::open(&copy);
        match opened.and_then(|backend| Model::read(&backend, workload.tables())) {
            Ok(found) => {
                assert!(models.contains(&found), "a part of a batch at {position}");
                shorter += u32::from(found != models[models.len() - 1]);
            }
            Err(BackendError::Damaged(_) | BackendError::Io(_)) => refused += 1,
            Err(error) => panic!("{position}: {error:?}"),
        }
    }
    assert!(refused > 10 && shorter > 0, "{refused} {shorter}");
}

fn flip(path: &Path, position: usize) {
    let mut bytes = fs::read(path).expect("it is there");
    bytes[position] ^= 0x11;
    fs::write(path, bytes).expect("it can be written to");
}

/// Copies a directory and cuts its log to `max_log_len`. Returns how long the log was.
fn copy_directory(from: &Path, to: &Path, max_log_len: usize) -> usize {
    fs::create_dir_all(to).expect("it can be made");
    let mut log_len = 0;
    for entry in fs::read_dir(from).expect("it can be read") {
        let path = entry.expect("it can be read").path();
        let copy = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            log_len += copy_directory(&path, &copy, max_log_len);
            continue;
        }
        fs::copy(&path, &copy).expect("it can be copied");
        if path.extension().is_some_and(|extension| extension == "jnl") {
            let mut log = fs::read(&copy).expect("it was copied");
            // The engine makes its log longer beforehand.
            let used = log
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |at| at + 1);
            log.truncate(used.min(max_log_len));
            fs::write(&copy, log).expect("it can be cut");
            log_len += used;
        }
    }
    log_len
}
