//! Power cuts and failing disks under redb: what was acknowledged is there, what was not is there
//! wholly or not at all, and the store works on.
#![cfg(all(feature = "testing", feature = "redb"))]

use lease_backend::testing::{Model, Prng, SimDisk, Workload};
use lease_backend::{IntegrityCheck, RedbBackend, RedbOptions, RepairMode};
use lease_core::{Backend, BackendError, LeaseId, LeaseRow, Table, Ttl, WriteBatch};

const SEEDS: u64 = 1_000;

#[test]
fn a_power_cut_at_every_operation_of_a_short_history() {
    for options in [options(RepairMode::Full), options(RepairMode::Quick)] {
        let whole = Run::new(1, options);
        let operations = {
            let disk = SimDisk::new(1);
            whole.on(&disk);
            disk.operations()
        };
        assert!(
            operations > 100,
            "the history is too short to mean anything"
        );
        for operation in 1..=operations {
            // What a cut leaves is random, so that each place is tried more than once.
            for luck in 0..2 {
                let _line = Failing(format!("{options:?}, cut at {operation}, luck {luck}"));
                let disk = SimDisk::new(operation * 2 + luck);
                disk.cut_power_after(operation);
                let outcome = whole.on(&disk);
                whole.check_and_go_on(&disk.restart(), &outcome);
            }
        }
    }
}

#[test]
fn power_cuts_at_random_and_again_during_the_repair() {
    let mut sometimes = Sometimes::default();
    for_each_seed("power_cuts_at_random_and_again_during_the_repair", |seed| {
        let mut random = Prng::new(seed);
        let run = Run::new(seed, options(*random.pick(&MODES)));
        let mut disk = SimDisk::new(seed);
        disk.cut_power_after(1 + random.below(300));
        let outcome = run.on(&disk);
        sometimes.in_flight |= outcome.in_flight.is_some();
        disk = disk.restart();
        while random.one_in(2) {
            disk.cut_power_after(1 + random.below(40));
            let opened = RedbBackend::create_with_storage(disk.clone());
            sometimes.cut_in_repair |= opened.is_err();
            drop(opened);
            disk = disk.restart();
        }
        let found = run.check_and_go_on(&disk, &outcome);
        sometimes.lost |= outcome.in_flight.is_some() && found == outcome.acknowledged;
        sometimes.kept |= found != outcome.acknowledged;
    });
    sometimes.assert_all();
}

#[test]
fn every_operation_fails_once() {
    for options in [options(RepairMode::Full), options(RepairMode::Quick)] {
        let run = Run::new(2, options);
        let operations = {
            let disk = SimDisk::new(2);
            run.on(&disk);
            disk.operations()
        };
        let mut failed_commits = 0;
        for operation in 1..=operations {
            let _line = Failing(format!("{options:?}, operation {operation} fails"));
            let disk = SimDisk::new(operation);
            disk.fail_after(operation);
            failed_commits += run.on_failing(&disk);
        }
        assert!(
            failed_commits > operations / 4,
            "most failures hit a commit"
        );
    }
}

/// Nobody calls the store again after its last commit has failed; it is closed in order.
#[test]
fn a_failed_last_commit_is_taken_back_when_the_store_is_closed() {
    for options in [options(RepairMode::Full), options(RepairMode::Quick)] {
        let run = Run::new(2, options);
        let operations = {
            let disk = SimDisk::new(2);
            run.on(&disk);
            disk.operations()
        };
        for operation in 1..=operations {
            for luck in 0..2 {
                let _line = Failing(format!(
                    "{options:?}, operation {operation} fails, luck {luck}"
                ));
                let disk = SimDisk::new(operation * 2 + luck);
                disk.fail_after(operation);
                let outcome = run.on(&disk);
                let backend = run.options.create_with_storage(disk.clone());
                let backend = backend.expect("an operation fails only once");
                let found = Model::read(&backend, &run.tables).expect("it reads");
                assert_eq!(found, outcome.acknowledged);
            }
        }
    }
}

#[test]
fn a_failure_and_then_a_power_cut() {
    for_each_seed("a_failure_and_then_a_power_cut", |seed| {
        let mut random = Prng::new(seed);
        let run = Run::new(seed, options(*random.pick(&MODES)));
        let disk = SimDisk::new(seed);
        disk.fail_after(1 + random.below(200));
        let outcome = run.on(&disk);
        disk.cut_power_after(random.below(20));
        run.check_and_go_on(&disk.restart(), &outcome);
    });
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    let table = Table::new("keys");
    let disk = SimDisk::new(3);
    let backend = RedbBackend::create_with_storage(disk.clone()).expect("the disk works");
    disk.set_capacity(400 << 10);
    let mut model = Model::default();
    let mut refused = 0;
    for number in 1..200_u64 {
        let mut batch = WriteBatch::default();
        batch.put_lease(row(number as i64));
        batch.put(table.clone(), number.to_be_bytes(), vec![7; 4_000]);
        match backend.commit(&batch) {
            Ok(()) => model.apply(&batch),
            Err(BackendError::Io(_)) => refused += 1,
            Err(error) => panic!("a full disk is no {error}"),
        }
        disk.set_capacity(if number < 150 { 400 << 10 } else { u64::MAX });
    }
    assert!(refused > 10, "the disk was never full");
    assert!(model.leases.len() > 60, "it worked before and behind");
    let found = Model::read(&backend, &[table]).expect("the disk works");
    assert_eq!(found, model);
}

/// The command that must not be lost in between: a lease and the keys that hang on it.
#[test]
fn a_lease_row_and_its_keys_go_together() {
    let table = Table::new("keys");
    for_each_seed("a_lease_row_and_its_keys_go_together", |seed| {
        let disk = SimDisk::new(seed);
        disk.cut_power_after(40 + Prng::new(seed).below(200));
        if let Ok(backend) = RedbBackend::create_with_storage(disk.clone()) {
            for number in 1..30 {
                let mut batch = WriteBatch::default();
                batch.put_lease(row(number));
                batch.put(table.clone(), number.to_be_bytes(), "attached");
                if number > 3 {
                    let revoked = LeaseId::new(number - 3).expect("it is positive");
                    batch.delete_lease(revoked);
                    batch.delete(table.clone(), (number - 3).to_be_bytes());
                }
                if backend.commit(&batch).is_err() {
                    break;
                }
            }
        }
        let backend = RedbBackend::create_with_storage(disk.restart()).expect("it was repaired");
        let found = Model::read(&backend, std::slice::from_ref(&table)).expect("it reads");
        let leases = found
            .leases
            .keys()
            .map(|id| id.get().to_be_bytes().to_vec());
        let keys = found.host.get(&table).into_iter().flatten();
        let keys = keys.map(|(key, _)| key.clone());
        assert!(
            leases.eq(keys),
            "leases without keys or keys without leases"
        );
    });
}

/// A short random history, the same each time it is run.
struct Run {
    options: RedbOptions,
    tables: Vec<Table>,
    batches: Vec<WriteBatch>,
}

struct Outcome {
    acknowledged: Model,
    /// The batch whose commit failed.
    in_flight: Option<WriteBatch>,
}

impl Run {
    fn new(seed: u64, options: RedbOptions) -> Self {
        let mut workload = Workload::new(seed);
        Self {
            options,
            tables: workload.tables().to_vec(),
            batches: (0..6).map(|_| workload.batch(12)).collect(),
        }
    }

    /// Commits until a commit fails.
    fn on(&self, disk: &SimDisk) -> Outcome {
        let mut outcome = Outcome {
            acknowledged: Model::default(),
            in_flight: None,
        };
        let Ok(backend) = self.options.create_with_storage(disk.clone()) else {
            return outcome;
        };
        for batch in &self.batches {
            if backend.commit(batch).is_err() {
                outcome.in_flight = Some(batch.clone());
                return outcome;
            }
            outcome.acknowledged.apply(batch);
        }
        outcome
    }

    /// Commits everything on a disk with one failure, without a restart. Returns how many commits
    /// failed.
    fn on_failing(&self, disk: &SimDisk) -> u64 {
        let backend = self
            .options
            .create_with_storage(disk.clone())
            .or_else(|_| self.options.create_with_storage(disk.clone()))
            .expect("an operation fails only once");
        let mut model = Model::default();
        let mut failed = 0;
        for batch in &self.batches {
            match backend.commit(batch) {
                Ok(()) => model.apply(batch),
                Err(BackendError::Io(_)) => failed += 1,
                Err(error) => panic!("a failed operation is no {error}"),
            }
            let found = Model::read(&backend, &self.tables)
                .or_else(|_| Model::read(&backend, &self.tables))
                .expect("an operation fails only once");
            assert_eq!(found, model, "a failed commit left something");
        }
        drop(backend);
        let backend = RedbBackend::create_with_storage(disk.clone())
            .or_else(|_| RedbBackend::create_with_storage(disk.clone()))
            .expect("an operation fails only once");
        let found = Model::read(&backend, &self.tables).expect("it reads");
        assert_eq!(found, model, "the disk has something else");
        failed
    }

    /// Opens what is left, compares it and commits some more. Returns what was left.
    fn check_and_go_on(&self, disk: &SimDisk, outcome: &Outcome) -> Model {
        let backend = self
            .options
            .create_with_storage(disk.clone())
            .expect("a power cut is repaired");
        let left = Model::read(&backend, &self.tables).expect("a repaired store reads");
        if left != outcome.acknowledged {
            let batch = outcome.in_flight.as_ref();
            let batch = batch.expect("nothing was in flight, so nothing can differ");
            let mut with_in_flight = outcome.acknowledged.clone();
            with_in_flight.apply(batch);
            assert_eq!(left, with_in_flight, "neither before nor after the batch");
        }
        let mut model = left.clone();
        for batch in &self.batches[..2] {
            backend.commit(batch).expect("a repaired store works");
            model.apply(batch);
        }
        drop(backend);
        let backend = RedbBackend::create_with_storage(disk.clone()).expect("it was closed");
        let found = Model::read(&backend, &self.tables).expect("it reads");
        assert_eq!(found, model, "after it went on");
        left
    }
}

/// What must happen in some of the runs, or they show nothing.
#[derive(Default, Debug)]
struct Sometimes {
    in_flight: bool,
    lost: bool,
    kept: bool,
    cut_in_repair: bool,
}

impl Sometimes {
    fn assert_all(&self) {
        if only_seed().is_none() {
            assert!(
                self.in_flight && self.lost && self.kept && self.cut_in_repair,
                "some kind of crash never happened: {self:?}"
            );
        }
    }
}

/// Prints what was being tried when a test panics.
struct Failing(String);

impl Drop for Failing {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed: {}", self.0);
        }
    }
}

fn for_each_seed(test: &str, mut run: impl FnMut(u64)) {
    let seeds = match only_seed() {
        Some(seed) => seed..seed + 1,
        None => 0..SEEDS,
    };
    for seed in seeds {
        let _line = Failing(format!(
            "seed {seed}: {SEED_VARIABLE}={seed} \
             cargo test -p lease-backend --features testing --test crash {test}"
        ));
        run(seed);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is how one seed is repeated"
)]
fn only_seed() -> Option<u64> {
    std::env::var(SEED_VARIABLE).ok()?.parse().ok()
}

const SEED_VARIABLE: &str = "LEASE_CRASH_SEED";
const MODES: [RepairMode; 2] = [RepairMode::Full, RepairMode::Quick];

/// A cache of nothing brings more writes into the middle of a transaction. Without the check redb
/// must find by itself what a crash has left; the check comes at the end of each run.
fn options(repair: RepairMode) -> RedbOptions {
    RedbOptions::new()
        .repair(repair)
        .cache_size(0)
        .integrity_check(IntegrityCheck::AfterCrash)
}

fn row(number: i64) -> LeaseRow {
    let id = LeaseId::new(number).expect("it is not zero");
    LeaseRow::new(id, Ttl::new(60).expect("it is a TTL"))
}
