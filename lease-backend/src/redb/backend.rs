use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use lease_core::{Backend, BackendError, Epoch, LeaseRow, StrangeRow, Table, WriteBatch};
use redb::{Database, ReadTransaction, ReadableDatabase, StorageBackend, WriteTransaction};

use super::apply::apply_recording;
use super::failure::Failure;
use super::open;
use super::options::{IntegrityCheck, RedbOptions, RepairMode};
use super::place::Place;
use super::read;
use super::store_id::StoreId;
use super::undo::Undo;

/// Rows in a redb file: the embedded default.
///
/// Each commit is one durable transaction. Reads work on the last committed state and neither wait
/// for commits nor hold them up.
///
/// # After a failure
///
/// redb refuses to work on after its storage has failed once. This backend then opens the database
/// again with the next call, so that one call fails with its cause and the next one works if the
/// storage does. A commit that failed at its very end may be in the file all the same; it is taken
/// back before anything else is done, or when the backend is dropped. Only a crash before that can bring it back, which is the
/// unknown outcome that any database has.
///
/// What is opened again is the file that was opened at first, at its absolute path, and nothing is
/// made there. If the file is gone, every call is [`BackendError::Io`] of the kind `NotFound` until
/// it is back. If another file has its place, or the file has another store's contents, every call
/// is [`BackendError::Foreign`] and what is there is left as it is. A store is told by a random id
/// in `lease_meta`, and on Unix by its file, so that a copy of the store is not taken for it.
/// An older state of the store that somebody writes *into* the same file while it is failed is not
/// found out: a number that grows with each commit would be, and makes a commit of one row 6 %
/// slower (200 to 213 µs).
///
/// ```
/// use lease_backend::RedbBackend;
/// use lease_core::{Backend, Epoch, WriteBatch};
///
/// let dir = tempfile::tempdir()?;
/// let backend = RedbBackend::open(dir.path().join("leases.redb"))?;
/// let mut batch = WriteBatch::default();
/// batch.put_epoch(Epoch::new(3));
/// backend.commit(&batch)?;
/// assert_eq!(backend.load(&mut |_| {})?, Epoch::new(3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RedbBackend {
    place: Place,
    id: StoreId,
    options: RedbOptions,
    slot: Mutex<Slot>,
}

/// A write transaction, and a look at what was there before it.
///
/// redb frees what a commit has replaced at once, by another commit behind it, in memory alone: unless somebody
/// still sees it. Then the next commit frees it along with the rest, which makes each a quarter cheaper and
/// write a page less; the file holds what one commit has replaced longer.
pub(super) struct Writing {
    // Invariant: committed or dropped first.
    transaction: WriteTransaction,
    _before: ReadTransaction,
}

enum Slot {
    Open(Arc<Database>),
    Failed {
        cause: BackendError,
        /// Alive as long as a call still works on it.
        failed: Weak<Database>,
        undo: Option<Undo>,
    },
    /// The outcome of a commit is unknown, and cannot be taken back.
    Lost(BackendError),
}

impl RedbBackend {
    /// Opens the file at `path` with the default [`RedbOptions`], and creates it if there is none.
    ///
    /// A relative path is made absolute at once.
    ///
    /// # Errors
    ///
    /// See [`RedbOptions::open`].
    ///
    /// ```
    /// use lease_backend::RedbBackend;
    /// use lease_core::BackendError;
    ///
    /// let dir = tempfile::tempdir()?;
    /// let path = dir.path().join("leases.redb");
    /// let first = RedbBackend::open(&path)?;
    /// assert!(matches!(RedbBackend::open(&path), Err(BackendError::Locked(_))));
    ///
    /// std::fs::write(dir.path().join("letter"), "Dear reader,")?;
    /// let letter = RedbBackend::open(dir.path().join("letter"));
    /// assert!(matches!(letter, Err(BackendError::Foreign(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self, BackendError> {
        RedbOptions::new().open(path)
    }

    /// Opens or creates a store on any storage, see [`RedbOptions::create_with_storage`].
    ///
    /// # Errors
    ///
    /// See [`RedbOptions::open`].
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use lease_backend::RedbBackend;
    /// use lease_backend::testing::SimDisk;
    /// use lease_core::{Backend, Epoch};
    ///
    /// let backend = RedbBackend::create_with_storage(SimDisk::new(1))?;
    /// assert_eq!(backend.load(&mut |_| {})?, Epoch::ZERO);
    /// # }
    /// # Ok::<(), lease_core::BackendError>(())
    /// ```
    pub fn create_with_storage<S>(storage: S) -> Result<Self, BackendError>
    where
        S: StorageBackend + Clone,
    {
        RedbOptions::new().create_with_storage(storage)
    }

    pub(super) fn open_with(options: RedbOptions, mut place: Place) -> Result<Self, BackendError> {
        let (database, id) = open::open(&mut place, options)?;
        Ok(Self {
            place,
            id,
            options,
            slot: Mutex::new(Slot::Open(Arc::new(database))),
        })
    }

    fn commit_recording(
        &self,
        database: &Database,
        batch: &WriteBatch,
        undo: &mut Option<Undo>,
    ) -> Result<(), Failure> {
        let transaction = self.begin_write(database)?;
        let mut recorded = Some(Undo::default());
        apply_recording(&transaction, batch, &mut recorded)?;
        // From here on the outcome of a failure is unknown.
        *undo = recorded;
        transaction.commit()
    }

    pub(super) fn begin_write(&self, database: &Database) -> Result<Writing, Failure> {
        let mut transaction = database.begin_write()?;
        transaction.set_quick_repair(self.options.repair == RepairMode::Quick);
        let _before = database.begin_read()?;
        Ok(Writing {
            transaction,
            _before,
        })
    }

    /// The open database, opened again if it has failed.
    pub(super) fn database(&self) -> Result<Arc<Database>, BackendError> {
        let mut slot = self.lock();
        let (cause, failed, undo) = match &*slot {
            Slot::Open(database) => return Ok(Arc::clone(database)),
            Slot::Lost(cause) => return Err(poisoned(cause)),
            Slot::Failed {
                cause,
                failed,
                undo,
            } => (cause, failed, undo),
        };
        // A reader that began before the failure would see its pages change under it.
        if failed.strong_count() > 0 {
            return Err(poisoned(cause));
        }
        // The file was verified when it was opened at first, and redb repairs it now.
        let options = self.options.integrity_check(IntegrityCheck::AfterCrash);
        let database = match open::reopen(&self.place, options, self.id) {
            // The last of them is letting go of the lock, or somebody else has it.
            Err(BackendError::Locked(_)) => return Err(poisoned(cause)),
            opened => opened?,
        };
        if let Some(undo) = undo {
            self.take_back(&database, undo)
                .map_err(|failure| failure.error)?;
        }
        let database = Arc::new(database);
        *slot = Slot::Open(Arc::clone(&database));
        Ok(database)
    }

    fn take_back(&self, database: &Database, undo: &Undo) -> Result<(), Failure> {
        let transaction = self.begin_write(database)?;
        undo.apply(&transaction)?;
        transaction.commit()
    }

    /// Gives up `failed` if its failure says so, unless another call has done it before.
    pub(super) fn note(
        &self,
        failure: Failure,
        failed: &Arc<Database>,
        undo: Option<Undo>,
    ) -> BackendError {
        let mut slot = self.lock();
        match &mut *slot {
            Slot::Open(database) if failure.must_reopen && Arc::ptr_eq(database, failed) => {
                *slot = Slot::Failed {
                    cause: failure.error.clone(),
                    failed: Arc::downgrade(failed),
                    undo,
                };
            }
            // A reader was first to see the failure of the storage that this commit ran into.
            Slot::Failed { undo: pending, .. } if undo.is_some() => *pending = undo,
            _ => {}
        }
        failure.error
    }

    /// Gives up the file after a commit of which nothing is known.
    pub(super) fn lose(&self, failure: Failure) -> BackendError {
        *self.lock() = Slot::Lost(failure.error.clone());
        failure.error
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writing {
    pub(super) fn commit(self) -> Result<(), Failure> {
        Ok(self.transaction.commit()?)
    }
}

impl std::ops::Deref for Writing {
    type Target = WriteTransaction;

    fn deref(&self) -> &WriteTransaction {
        &self.transaction
    }
}

impl Drop for RedbBackend {
    /// Takes back a commit that failed last, which nothing else would do before the next opening.
    fn drop(&mut self) {
        let is_pending = matches!(&*self.lock(), Slot::Failed { undo: Some(_), .. });
        if is_pending && !std::thread::panicking() {
            // Its caller has the error of the commit; that it may be there after a crash is known.
            let _ = self.database();
        }
    }
}

/// What went wrong before, in the words of whoever saw it first.
fn poisoned(cause: &BackendError) -> BackendError {
    BackendError::Poisoned(match cause {
        BackendError::Io(error) => error.to_string(),
        error => error.to_string(),
    })
}

impl Backend for RedbBackend {
    /// O(log n) for each write, and one write of a page of 4 KiB for each leaf of the tree that is
    /// touched.
    ///
    /// ```
    /// use lease_backend::RedbBackend;
    /// use lease_core::{Backend, Table, WriteBatch};
    ///
    /// let (dir, kv) = (tempfile::tempdir()?, Table::new("kv"));
    /// let path = dir.path().join("leases.redb");
    /// let mut batch = WriteBatch::default();
    /// batch.put(kv.clone(), "services/web/1", "10.0.0.7");
    /// RedbBackend::open(&path)?.commit(&batch)?;
    /// let backend = RedbBackend::open(&path)?;
    /// assert_eq!(backend.get(&kv, b"services/web/1")?, Some(b"10.0.0.7".to_vec()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn commit(&self, batch: &WriteBatch) -> Result<(), BackendError> {
        let database = self.database()?;
        let mut undo = None;
        self.commit_recording(&database, batch, &mut undo)
            .map_err(|failure| self.note(failure, &database, undo))
    }

    /// O(n).
    ///
    /// ```
    /// use lease_backend::RedbBackend;
    /// use lease_core::{Backend, Epoch, LeaseId, LeaseRow, Ttl, WriteBatch};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let backend = RedbBackend::open(dir.path().join("leases.redb"))?;
    /// let row = LeaseRow::new(LeaseId::try_from(7)?, Ttl::new(60)?);
    /// let mut batch = WriteBatch::default();
    /// batch.put_lease(row);
    /// backend.commit(&batch)?;
    /// let mut rows = Vec::new();
    /// assert_eq!(backend.load(&mut |row| rows.push(row))?, Epoch::ZERO);
    /// assert_eq!(rows, [row]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn load(&self, visit: &mut dyn FnMut(LeaseRow)) -> Result<Epoch, BackendError> {
        self.load_telling(visit, &mut |_| {})
    }

    /// O(n).
    fn load_telling(
        &self,
        visit: &mut dyn FnMut(LeaseRow),
        strange: &mut dyn FnMut(StrangeRow),
    ) -> Result<Epoch, BackendError> {
        self.read(|transaction| read::load_rows(transaction, visit, strange))
    }

    /// O(log n).
    ///
    /// ```
    /// use lease_backend::RedbBackend;
    /// use lease_core::{Backend, Table};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let backend = RedbBackend::open(dir.path().join("leases.redb"))?;
    /// assert_eq!(backend.get(&Table::new("kv"), b"a")?, None, "there is no such table");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        self.read(|transaction| read::get(transaction, table, key))
    }

    /// O(n).
    ///
    /// ```
    /// use lease_backend::RedbBackend;
    /// use lease_core::{Backend, Table, WriteBatch};
    ///
    /// let (dir, kv) = (tempfile::tempdir()?, Table::new("kv"));
    /// let backend = RedbBackend::open(dir.path().join("leases.redb"))?;
    /// let mut batch = WriteBatch::default();
    /// batch.put(kv.clone(), "b", "2");
    /// batch.put(kv.clone(), "a", "1");
    /// backend.commit(&batch)?;
    /// let mut keys = Vec::new();
    /// backend.scan(&kv, &mut |key, _| keys.push(key.to_vec()))?;
    /// assert_eq!(keys, [b"a", b"b"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn scan(&self, table: &Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), BackendError> {
        self.read(|transaction| read::scan(transaction, table, visit))
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open(_) => f.write_str("open"),
            Self::Failed { cause, .. } => write!(f, "failed: {cause}"),
            Self::Lost(cause) => write!(f, "lost: {cause}"),
        }
    }
}
