mod log;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use lease_backend::redb::{RedbView, Refill, visit};
use lease_backend::{RedbBackend, RedbOptions};
use lease_core::{Backend, BackendError, Epoch, LeaseRow, StrangeRow, Table, WriteBatch};
use redb::StorageBackend;

pub(crate) use log::{LogChange, read_entries};

use crate::error::with_causes;
use crate::{Fill, Store, View, VisitRow};

/// All that a member keeps, in one redb file: the lessor's state, the host's, and the log and the votes
/// of openraft.
///
/// The state is what a [`RedbBackend`] keeps, in the same tables, and what that promises holds here too:
/// a file that is open is locked, one that is foreign or damaged is refused and left as it was. The
/// log has tables of its own, `lease_raft_log` and `lease_raft_log_meta`, that no batch reaches.
///
/// If a durable write of the log fails at its very end, nobody knows whether it is there. The store then
/// refuses everything until it is opened again, and the engine that uses it stops.
///
/// ```
/// use lease_core::{Backend, Epoch, WriteBatch};
/// use lease_raft::RedbStore;
///
/// let dir = tempfile::tempdir()?;
/// let store = RedbStore::open(dir.path().join("member.redb"))?;
/// let mut batch = WriteBatch::default();
/// batch.put_epoch(Epoch::new(3));
/// store.commit(&batch)?;
/// assert_eq!(store.load(&mut |_| {})?, Epoch::new(3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RedbStore {
    backend: RedbBackend,
    /// Where the file is; a storage that is no file is nowhere.
    path: Option<PathBuf>,
    /// Why it could not be written at first. What comes after only says that something has failed before.
    failure: Arc<OnceLock<String>>,
}

impl RedbStore {
    /// Opens the file at `path` with the default [`RedbOptions`], and makes it if there is none.
    /// Snapshots that a crash has left beside it are deleted.
    ///
    /// # Errors
    ///
    /// See [`RedbOptions::open`].
    ///
    /// ```
    /// use lease_core::BackendError;
    /// use lease_raft::RedbStore;
    ///
    /// let dir = tempfile::tempdir()?;
    /// let path = dir.path().join("member.redb");
    /// let store = RedbStore::open(&path)?;
    /// assert!(matches!(RedbStore::open(&path), Err(BackendError::Locked(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self, BackendError> {
        Self::open_with(RedbOptions::new(), path)
    }

    /// As [`open`](Self::open), with options.
    ///
    /// # Errors
    ///
    /// See [`RedbOptions::open`].
    ///
    /// ```
    /// use lease_backend::RedbOptions;
    /// use lease_raft::RedbStore;
    ///
    /// let dir = tempfile::tempdir()?;
    /// let options = RedbOptions::new().cache_size(16 << 20);
    /// let store = RedbStore::open_with(options, dir.path().join("member.redb"))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_with(options: RedbOptions, path: impl AsRef<Path>) -> Result<Self, BackendError> {
        let io_error = |error| BackendError::Io(lease_core::HostError::new(error));
        let path = std::path::absolute(path).map_err(io_error)?;
        let backend = options.open(&path)?;
        crate::raft::remove_left_over(&path);
        Self::prepared(backend, Some(path))
    }

    /// Opens or makes a store on any storage, such as a simulated disk, see
    /// [`RedbOptions::create_with_storage`]. Snapshots are then kept in memory while they are sent.
    ///
    /// # Errors
    ///
    /// See [`RedbOptions::open`].
    ///
    /// ```
    /// use lease_backend::RedbOptions;
    /// use lease_backend::testing::SimDisk;
    /// use lease_raft::RedbStore;
    ///
    /// let store = RedbStore::create_with_storage(RedbOptions::new(), SimDisk::new(1))?;
    /// # Ok::<(), lease_core::BackendError>(())
    /// ```
    pub fn create_with_storage<S>(options: RedbOptions, storage: S) -> Result<Self, BackendError>
    where
        S: StorageBackend + Clone,
    {
        Self::prepared(options.create_with_storage(storage)?, None)
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    pub(crate) fn failure(&self) -> Arc<OnceLock<String>> {
        Arc::clone(&self.failure)
    }

    fn note<T>(&self, written: Result<T, BackendError>) -> Result<T, BackendError> {
        if let Err(error @ BackendError::Io(_)) = &written {
            self.failure.get_or_init(|| with_causes(error));
        }
        written
    }

    fn prepared(backend: RedbBackend, path: Option<PathBuf>) -> Result<Self, BackendError> {
        let store = Self {
            backend,
            path,
            failure: Arc::default(),
        };
        store.prepare_log()?;
        Ok(store)
    }
}

impl Backend for RedbStore {
    fn commit(&self, batch: &WriteBatch) -> Result<(), BackendError> {
        self.note(self.backend.commit(batch))
    }

    fn load(&self, visit: &mut dyn FnMut(LeaseRow)) -> Result<Epoch, BackendError> {
        self.backend.load(visit)
    }

    fn load_telling(
        &self,
        visit: &mut dyn FnMut(LeaseRow),
        strange: &mut dyn FnMut(StrangeRow),
    ) -> Result<Epoch, BackendError> {
        self.backend.load_telling(visit, strange)
    }

    fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        self.backend.get(table, key)
    }

    fn scan(&self, table: &Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), BackendError> {
        self.backend.scan(table, visit)
    }
}

impl Store for RedbStore {
    fn view(&self) -> Result<Box<dyn View>, BackendError> {
        Ok(Box::new(StateView(self.backend.view()?)))
    }

    fn replace(
        &self,
        fill: &mut dyn FnMut(&mut dyn Fill) -> Result<(), BackendError>,
    ) -> Result<(), BackendError> {
        let written = self.backend.write(|transaction| {
            let refill = Refill::begin(transaction, &log::TABLES)?;
            let mut refilling = Refilling {
                refill,
                failure: None,
            };
            let filled = fill(&mut refilling);
            // A failure of redb's knows more than the error that has been told of it.
            match refilling.failure {
                Some(failure) => Err(failure),
                None => Ok(filled?),
            }
        });
        self.note(written)
    }
}

struct StateView(RedbView);

impl View for StateView {
    fn visit(&self, each: &mut VisitRow<'_>) -> Result<(), BackendError> {
        visit(self.0.transaction(), &log::TABLES, each)
    }
}

struct Refilling<'t> {
    refill: Refill<'t>,
    failure: Option<lease_backend::redb::Failure>,
}

impl Refilling<'_> {
    fn note(&mut self, done: Result<(), lease_backend::redb::Failure>) -> Result<(), BackendError> {
        done.map_err(|failure| {
            let error = failure.error().clone();
            self.failure.get_or_insert(failure);
            error
        })
    }
}

impl Fill for Refilling<'_> {
    fn put(&mut self, table: &str, key: &[u8], value: &[u8]) -> Result<(), BackendError> {
        let done = self.refill.put(table, key, value);
        self.note(done)
    }

    fn write(&mut self, batch: &WriteBatch) -> Result<(), BackendError> {
        let done = self.refill.write(batch);
        self.note(done)
    }
}
