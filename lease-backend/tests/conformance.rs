//! The adapters of this crate against the suite.
#![cfg(feature = "testing")]

use lease_backend::{MemoryBackend, conformance};

#[test]
fn memory_conforms() {
    conformance::check(|| {
        let store = MemoryBackend::new();
        move || store.clone()
    });
}

#[cfg(feature = "redb")]
mod redb {
    use lease_backend::testing::SimDisk;
    use lease_backend::{IntegrityCheck, RedbBackend, RedbOptions, RepairMode, conformance};

    #[test]
    fn a_file_conforms() {
        check_file(RedbOptions::new());
    }

    #[test]
    fn a_file_with_all_options_and_no_cache_conforms() {
        check_file(
            RedbOptions::new()
                .cache_size(0)
                .repair(RepairMode::Quick)
                .integrity_check(IntegrityCheck::EveryOpen),
        );
    }

    #[test]
    fn a_simulated_disk_conforms() {
        conformance::check(|| {
            let disk = SimDisk::new(1);
            move || RedbBackend::create_with_storage(disk.clone()).expect("the disk works")
        });
    }

    fn check_file(options: RedbOptions) {
        conformance::check(|| {
            let dir = tempfile::tempdir().expect("there is room for temporary files");
            move || {
                let path = dir.path().join("leases.redb");
                options.open(path).expect("nobody else has the file")
            }
        });
    }
}

#[cfg(feature = "fjall")]
mod fjall {
    use lease_backend::{FjallBackend, conformance};

    #[test]
    fn fjall_conforms() {
        conformance::check(|| {
            let dir = tempfile::tempdir().expect("there is room for temporary files");
            move || FjallBackend::open(dir.path()).expect("nobody else has the directory")
        });
    }
}
