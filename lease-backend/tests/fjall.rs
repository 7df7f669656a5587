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
    let log_len = copy_directory(&live, &copy, usize::MAX);
    let mut furthest = 0;
    let step = (log_len / 12).max(1);
    for cut in (0..=log_len).step_by(step).chain([log_len]) {
        fs::remove_dir_all(&copy).expect("nobody has it open");
        copy_directory(&live, &copy, cut);
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

/// Copies a directory and cuts its log to `max_log_len`. Answers how long the log was.
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
