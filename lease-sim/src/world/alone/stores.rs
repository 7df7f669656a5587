use lease_backend::testing::{Model, SimDisk, Workload};
use lease_backend::{MemoryBackend, RedbBackend};
use lease_core::{Backend, BackendError, probe};
use redb::TableDefinition;

use super::Host;
use super::drawn::Drawn;

/// Stores beside that of the lessor, in memory and on a disk of their own, which hold what is written.
pub(super) struct Stores {
    memory: MemoryBackend,
    disk: SimDisk,
    on_disk: RedbBackend,
    workload: Workload,
    model: Model,
    // What the host has written last in a transaction of its own.
    own: u64,
    drawn: Drawn,
}

/// A table of the host's, which the backend knows nothing of.
const OWN: TableDefinition<'_, (), u64> = TableDefinition::new("own");

/// How often they are looked at, which takes longer than a step does, and how many commits there are then.
const LOOKED_AT_EVERY: u64 = 80;
const COMMITS: usize = 3;

/// How many operations a commit has, or some more.
const OPERATIONS: u64 = 10;

impl Host {
    pub(super) fn look_at_stores(&mut self) {
        if !self.steps.is_multiple_of(LOOKED_AT_EVERY) {
            return;
        }
        let seed = self.parameters.hash_seed;
        let stores = match self.beside.stores.take() {
            None => Stores::new(seed).map_err(|error| format!("no store: {error}")),
            Some(stores) => Ok(stores),
        };
        match stores.and_then(Stores::go) {
            Ok(stores) => self.beside.stores = Some(stores),
            Err(wrong) => self.object(wrong),
        }
    }
}

impl Stores {
    fn new(seed: u64) -> Result<Self, BackendError> {
        let disk = SimDisk::new(seed);
        let on_disk = RedbBackend::create_with_storage(disk.clone())?;
        write_own(&on_disk, 0)?;
        Ok(Self {
            memory: MemoryBackend::new(),
            on_disk,
            disk,
            workload: Workload::new(seed),
            model: Model::default(),
            own: 0,
            drawn: Drawn(seed),
        })
    }

    /// Something is written, some of it on a disk that fails. Returns what was wrong.
    fn go(mut self) -> Result<Self, String> {
        for _ in 0..COMMITS {
            let mut batch = self.workload.batch(6);
            if self.drawn.below(4) == 0 {
                batch.append(&mut self.workload.batch(40));
                batch.coalesce();
            }
            let fails = self.drawn.below(2) == 0;
            if fails {
                self.disk.fail_after(self.drawn.below(OPERATIONS));
            }
            let mut given = batch.clone();
            if probe::is_planted("alone-more-is-stored-than-was-written") {
                given.append(&mut self.workload.batch(1));
            }
            let written = self.on_disk.commit(&given);
            self.disk.heal();
            match written {
                Ok(()) => {
                    self.model.apply(&batch);
                    let written = self.memory.commit(&batch);
                    written.map_err(|error| format!("memory fails: {error}"))?;
                }
                Err(_) if fails => probe::mark("alone: a commit fails of a store beside"),
                Err(error) => return Err(format!("on a disk that works {batch:?} fails: {error}")),
            }
            if self.drawn.below(6) == 0 {
                self = self.open_again()?;
            }
            self = self.write_own()?;
            self.compare(&self.on_disk)?;
            self.compare(&self.memory)?;
        }
        Ok(self)
    }

    /// The host writes in a transaction of its own. If nobody knows whether that is there, the store says so until
    /// it is opened again.
    fn write_own(mut self) -> Result<Self, String> {
        let fails = self.drawn.below(2) == 0;
        if fails {
            self.disk.fail_after(self.drawn.below(OPERATIONS));
        }
        let next = self.own + 1;
        let written = write_own(&self.on_disk, next);
        self.disk.heal();
        match (written, read_own(&self.on_disk)) {
            (Ok(()), Ok(found)) if found == next => self.own = next,
            (Err(_), Ok(found)) if found == self.own && fails => {}
            (Err(_), Err(BackendError::Poisoned(_))) if fails => {
                probe::mark("alone: nobody knows whether a host's own transaction is there");
                self = self.open_again()?;
                let found = read_own(&self.on_disk);
                let found = found.map_err(|error| format!("opened again, it is {error}"))?;
                if ![self.own, next].contains(&found) {
                    return Err(format!("{found} is stored of {next}"));
                }
                self.own = found;
            }
            (written, found) => {
                return Err(format!(
                    "{next} is written: {written:?}, and read: {found:?}"
                ));
            }
        }
        Ok(self)
    }

    /// What was committed outlives the process.
    fn open_again(self) -> Result<Self, String> {
        let Self { disk, on_disk, .. } = self;
        drop(on_disk);
        let disk = disk.restart();
        let opened = RedbBackend::create_with_storage(disk.clone());
        let on_disk = opened.map_err(|error| format!("a sound store is not opened: {error}"))?;
        Ok(Self {
            disk,
            on_disk,
            ..self
        })
    }

    fn compare(&self, backend: &dyn Backend) -> Result<(), String> {
        let found = Model::read(backend, self.workload.tables());
        match found {
            Ok(found) if found == self.model => Ok(()),
            found => Err(format!("{found:?} is stored of {:?}", self.model)),
        }
    }
}

fn write_own(store: &RedbBackend, number: u64) -> Result<(), BackendError> {
    store.write(|transaction| {
        transaction.open_table(OWN)?.insert((), number)?;
        Ok(())
    })
}

fn read_own(store: &RedbBackend) -> Result<u64, BackendError> {
    store.read(|transaction| {
        let number = transaction.open_table(OWN)?.get(())?;
        Ok(number.map_or(0, |number| number.value()))
    })
}
