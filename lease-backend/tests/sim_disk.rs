//! The simulated disk does what it says: a test that stands on it means nothing otherwise.
#![cfg(all(feature = "testing", feature = "redb"))]

use std::io;
use std::ops::Bound;

use lease_backend::testing::{Model, SimDisk, Workload};
use lease_backend::{IntegrityCheck, RedbBackend, RedbOptions};
use lease_core::{Backend, BackendError, Epoch, WriteBatch};
use redb::StorageBackend;

const SECTOR: usize = 512;

#[test]
fn a_power_cut_keeps_what_was_synced_and_keeps_loses_or_tears_the_rest() {
    let (mut kept, mut lost, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let disk = filled(seed);
        disk.write(0, &[2; 4 * SECTOR]).expect("it has power");
        assert_eq!(disk.image(), [2; 4 * SECTOR], "reads see what was written");
        let image = disk.restart().image();
        assert_eq!(image.len(), 4 * SECTOR);
        for sector in image.chunks(SECTOR) {
            assert!(
                sector.iter().all(|byte| *byte == sector[0]),
                "half a sector"
            );
        }
        match image.iter().filter(|byte| **byte == 2).count() {
            0 => lost += 1,
            n if n == image.len() => kept += 1,
            _ => torn += 1,
        }
    }
    assert!(kept > 20 && lost > 20 && torn > 20, "{kept} {lost} {torn}");
}

#[test]
fn a_change_of_length_may_be_lost_too() {
    let lens: Vec<_> = (0..50)
        .map(|seed| {
            let disk = filled(seed);
            disk.set_len(0).expect("it has power");
            disk.restart().image().len()
        })
        .collect();
    assert!(lens.contains(&0) && lens.contains(&(4 * SECTOR)));
}

#[test]
fn nothing_works_after_a_cut_and_the_same_seed_leaves_the_same() {
    let image = |seed| {
        let disk = filled(seed);
        disk.cut_power_after(2);
        disk.read(0, &mut [0]).expect("the first still works");
        assert!(disk.write(0, &[2; 4 * SECTOR]).is_err());
        assert!(!disk.is_powered());
        assert!(disk.read(0, &mut [0]).is_err());
        assert!(disk.sync_data().is_err());
        assert_eq!(disk.operations(), 6);
        disk.restart().image()
    };
    assert!((0..20).all(|seed| image(seed) == image(seed)));
    assert!((0..20).any(|seed| image(seed) != image(0)));
}

#[test]
fn one_operation_fails_and_the_next_works() {
    let disk = filled(1);
    disk.fail_after(1);
    assert!(disk.sync_data().is_err());
    disk.sync_data().expect("it failed once");
    disk.set_capacity(4 * SECTOR as u64);
    let error = disk.set_len(5 * SECTOR as u64).expect_err("it is full");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    let past_the_end = disk.read(4 * SECTOR as u64, &mut [0]);
    let error = past_the_end.expect_err("there is nothing");
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn one_handle_has_the_lock() {
    let whole = (Bound::Unbounded, Bound::Unbounded);
    let first = SimDisk::new(1);
    let second = first.clone();
    assert!(first.try_lock_range(whole.0, whole.1).expect("it can lock"));
    assert!(
        !second
            .try_lock_range(whole.0, whole.1)
            .expect("it can lock")
    );
    second.close().expect("it has no lock");
    assert!(
        !second
            .try_lock_range(whole.0, whole.1)
            .expect("it can lock")
    );
    first.close().expect("it works");
    assert!(
        second
            .try_lock_range(whole.0, whole.1)
            .expect("it can lock")
    );
}

/// While a reader that began before a failure is at work, the store is not opened again, whether or
/// not its storage has locks; when it has ended, it is.
#[test]
fn a_failed_store_waits_for_its_readers() {
    let disk = SimDisk::new(4);
    waits_for_its_readers(&disk, disk.clone());
    let disk = SimDisk::new(4);
    waits_for_its_readers(&disk, WithoutLocks(disk.clone()));
}

fn waits_for_its_readers<S: StorageBackend + Clone>(disk: &SimDisk, storage: S) {
    let options = RedbOptions::new().integrity_check(IntegrityCheck::AfterCrash);
    let backend = options
        .create_with_storage(storage.clone())
        .expect("the disk works");
    let mut batch = Workload::new(4).batch(10);
    batch.put_epoch(Epoch::new(1));
    backend.commit(&batch).expect("the disk works");
    let mut is_first = true;
    backend
        .load(&mut |_| {
            if std::mem::take(&mut is_first) {
                disk.fail_after(1);
                let result = backend.commit(&WriteBatch::default());
                assert!(matches!(result, Err(BackendError::Io(_))), "{result:?}");
                let result = backend.commit(&batch);
                assert!(
                    matches!(&result, Err(BackendError::Poisoned(text)) if text.contains("injected")),
                    "{result:?}"
                );
            }
        })
        .expect("these rows were in memory");
    backend.commit(&batch).expect("the reader has ended");
    let mut model = Model::default();
    model.apply(&batch);
    let workload = Workload::new(4);
    assert_eq!(Model::read(&backend, workload.tables()), Ok(model));
    drop(backend);
    RedbBackend::create_with_storage(storage).expect("it was closed");
}

#[derive(Clone, Debug)]
struct WithoutLocks(SimDisk);

impl StorageBackend for WithoutLocks {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

fn filled(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    disk.write(0, &[1; 4 * SECTOR]).expect("it has power");
    disk.sync_data().expect("it has power");
    disk
}
