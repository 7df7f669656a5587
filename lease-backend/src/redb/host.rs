use std::sync::Arc;

use lease_core::BackendError;
use redb::{Database, ReadTransaction, ReadableDatabase, WriteTransaction};

use super::backend::RedbBackend;
use super::failure::Failure;

/// The state of a [`RedbBackend`] as of one moment, whatever is committed afterwards.
///
/// While it lives, redb cannot use the pages again that it sees: the file grows with each commit. It
/// keeps the file open and locked, also when the backend is gone, and keeps a backend whose storage
/// has failed from opening it again.
///
/// ```
/// use lease_backend::RedbBackend;
/// use lease_backend::redb::load;
/// use lease_core::{Backend, Epoch, WriteBatch};
///
/// let dir = tempfile::tempdir()?;
/// let backend = RedbBackend::open(dir.path().join("leases.redb"))?;
/// let view = backend.view()?;
/// let mut batch = WriteBatch::default();
/// batch.put_epoch(Epoch::new(3));
/// backend.commit(&batch)?;
/// let epoch = load(view.transaction(), &mut |_| {}, &mut |_| {})?;
/// assert_eq!(epoch, Epoch::ZERO);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RedbView {
    // Invariant: dropped before the database.
    transaction: ReadTransaction,
    _database: Arc<Database>,
}

impl RedbView {
    /// The transaction to read in.
    ///
    /// ```
    /// use lease_backend::RedbBackend;
    ///
    /// let dir = tempfile::tempdir()?;
    /// let view = RedbBackend::open(dir.path().join("leases.redb"))?.view()?;
    /// assert_eq!(view.transaction().list_tables()?.count(), 2, "lease and lease_meta");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn transaction(&self) -> &ReadTransaction {
        &self.transaction
    }
}

impl std::fmt::Debug for RedbView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedbView")
    }
}

/// For a host that has tables of its own in the file, with types of its own.
impl RedbBackend {
    /// The state as of now. O(1).
    ///
    /// # Errors
    ///
    /// As those of a read, see [`RedbBackend`].
    ///
    /// ```
    /// use lease_backend::RedbBackend;
    ///
    /// let dir = tempfile::tempdir()?;
    /// let backend = RedbBackend::open(dir.path().join("leases.redb"))?;
    /// let view = backend.view()?;
    /// # drop(view);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn view(&self) -> Result<RedbView, BackendError> {
        let database = self.database()?;
        match database.begin_read() {
            Ok(transaction) => Ok(RedbView {
                transaction,
                _database: database,
            }),
            Err(error) => Err(self.note(error.into(), &database, None)),
        }
    }

    /// Runs `work` in a read transaction.
    ///
    /// # Errors
    ///
    /// What `work` returns; and those of a read, see [`RedbBackend`].
    ///
    /// ```
    /// use lease_backend::RedbBackend;
    /// use redb::{ReadableTableMetadata, TableDefinition};
    ///
    /// const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
    ///
    /// let dir = tempfile::tempdir()?;
    /// let backend = RedbBackend::open(dir.path().join("leases.redb"))?;
    /// backend.write(|transaction| Ok(drop(transaction.open_table(LOG)?)))?;
    /// assert_eq!(backend.read(|transaction| Ok(transaction.open_table(LOG)?.len()?))?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read<T>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, Failure>,
    ) -> Result<T, BackendError> {
        let database = self.database()?;
        let result = database
            .begin_read()
            .map_err(Failure::from)
            .and_then(|transaction| work(&transaction));
        result.map_err(|failure| self.note(failure, &database, None))
    }

    /// Runs `work` in a write transaction, and commits it durably if `work` succeeds. It waits for
    /// the writer that is at work.
    ///
    /// # Errors
    ///
    /// What `work` returns, and the errors of redb: nothing of it is in the file then. But if the
    /// commit itself fails, nobody can know whether all of it is there. The backend then refuses
    /// everything with [`BackendError::Poisoned`] until the file is opened anew, because it could not
    /// take back what it does not know.
    ///
    /// ```
    /// use lease_backend::RedbBackend;
    /// use redb::TableDefinition;
    ///
    /// const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
    ///
    /// let dir = tempfile::tempdir()?;
    /// let backend = RedbBackend::open(dir.path().join("leases.redb"))?;
    /// backend.write(|transaction| {
    ///     transaction.open_table(LOG)?.insert(1, b"an entry".as_slice())?;
    ///     Ok(())
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, Failure>,
    ) -> Result<T, BackendError> {
        let database = self.database()?;
        let worked = self.begin_write(&database).and_then(|transaction| {
            let done = work(&transaction)?;
            Ok((transaction, done))
        });
        let (transaction, done) = worked.map_err(|failure| self.note(failure, &database, None))?;
        match transaction.commit() {
            Ok(()) => Ok(done),
            Err(failure) => Err(self.lose(failure)),
        }
    }
}
