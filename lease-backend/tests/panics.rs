//! A storage that panics is a storage that fails.
#![cfg(all(feature = "testing", feature = "redb"))]

use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lease_backend::testing::{Model, SimDisk, Workload};
use lease_backend::{RedbBackend, RedbOptions, RepairMode};
use lease_core::{Backend, BackendError, Epoch, Table};
use redb::StorageBackend;

const SEEDS: u64 = 2;

#[test]
fn every_operation_panics_once() {
    let (mut in_commits, mut in_reads, mut in_openings) = (0, 0, 0);
    for seed in 0..SEEDS {
        for repair in [RepairMode::Full, RepairMode::Quick] {
            let operations = Run::new(seed, repair, u64::MAX).run().operations;
            for operation in 1..=operations {
                let run = Run::new(seed, repair, operation).run();
                in_openings += run.in_openings;
                in_commits += run.in_commits;
                in_reads += run.in_reads;
            }
        }
    }
    assert!(
        in_openings > 10 && in_commits > 100 && in_reads > 100,
        "{in_openings} {in_commits} {in_reads}"
    );
}

/// That one is the caller's, who gets it back; the store has not failed.
#[test]
fn a_panic_of_the_visitor_is_no_failure() {
    let backend = RedbBackend::create_with_storage(SimDisk::new(1)).expect("it works");
    let mut workload = Workload::new(1);
    backend.commit(&workload.batch(40)).expect("it works");
    let load = || backend.load(&mut |_| panic!("of the visitor"));
    assert!(catch_unwind(AssertUnwindSafe(load)).is_err());
    assert!(format!("{backend:?}").contains("open"), "{backend:?}");
}

struct Run {
    options: RedbOptions,
    workload: Workload,
    storage: Panicking,
    model: Model,
    operations: u64,
    in_openings: u64,
    in_commits: u64,
    in_reads: u64,
}

impl Run {
    fn new(seed: u64, repair: RepairMode, panic_at: u64) -> Self {
        Self {
            options: RedbOptions::new().repair(repair).cache_size(0),
            workload: Workload::new(seed),
            storage: Panicking {
                disk: SimDisk::new(seed),
                operations: Arc::default(),
                panic_at,
            },
            model: Model::default(),
            operations: 0,
            in_openings: 0,
            in_commits: 0,
            in_reads: 0,
        }
    }

    fn run(mut self) -> Self {
        let backend = self.open();
        for _ in 0..4 {
            let mut batch = self.workload.batch(12);
            batch.put_epoch(Epoch::new(9));
            match backend.commit(&batch) {
                Ok(()) => self.model.apply(&batch),
                Err(BackendError::Io(_)) => self.in_commits += 1,
                Err(error) => panic!("a panic is no {error}"),
            }
            assert_eq!(self.read(&backend), self.model, "after a commit");
        }
        self.operations = self.storage.operations.load(Ordering::Relaxed);
        drop(backend);
        let backend = self.open();
        assert_eq!(self.read(&backend), self.model, "after a restart");
        self
    }

    fn open(&mut self) -> RedbBackend {
        let open = || self.options.create_with_storage(self.storage.clone());
        open().unwrap_or_else(|error| {
            assert!(matches!(error, BackendError::Io(_)), "{error}");
            self.in_openings += 1;
            open().expect("it panics only once")
        })
    }

    fn read(&mut self, backend: &RedbBackend) -> Model {
        let tables: &[Table] = self.workload.tables();
        let read = || Model::read(backend, tables);
        read().unwrap_or_else(|error| {
            assert!(matches!(error, BackendError::Io(_)), "{error}");
            self.in_reads += 1;
            read().expect("it panics only once")
        })
    }
}

#[derive(Clone, Debug)]
struct Panicking {
    disk: SimDisk,
    operations: Arc<AtomicU64>,
    panic_at: u64,
}

impl Panicking {
    fn count(&self) {
        let number = 1 + self.operations.fetch_add(1, Ordering::Relaxed);
        assert_ne!(number, self.panic_at, "injected panic of the storage");
    }
}

impl StorageBackend for Panicking {
    fn len(&self) -> io::Result<u64> {
        self.count();
        self.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.count();
        self.disk.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.count();
        self.disk.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.count();
        self.disk.sync_data()
    }

    /// Panics when the work is done, so that a commit may be there after its panic.
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.write(offset, data)?;
        self.count();
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.disk.close()
    }

    fn try_lock_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, redb::BackendError> {
        self.disk.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), redb::BackendError> {
        self.disk.unlock_range(start, end)
    }
}
