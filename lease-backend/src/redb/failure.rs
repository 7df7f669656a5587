use std::io;

use lease_core::{BackendError, HostError};
use redb::{CommitError, DatabaseError, StorageError, TableError, TransactionError};

/// Why a transaction failed, and whether redb must open the file again. It is made of redb's errors
/// and of [`BackendError`] by `?`.
///
/// ```
/// use lease_backend::RedbBackend;
/// use lease_core::BackendError;
///
/// let dir = tempfile::tempdir()?;
/// let backend = RedbBackend::open(dir.path().join("leases.redb"))?;
/// let damaged = BackendError::Damaged("no number".to_owned());
/// let read: Result<(), _> = backend.read(|_| Err(damaged.clone().into()));
/// assert_eq!(read, Err(damaged));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Failure {
    pub(super) error: BackendError,
    /// redb refuses everything after the first failure of its storage until it is opened again.
    pub(super) must_reopen: bool,
}

impl Failure {
    /// The error, as the call that failed returns it.
    ///
    /// ```
    /// use lease_backend::redb::Failure;
    /// use lease_core::BackendError;
    ///
    /// let damaged = BackendError::Damaged("no number".to_owned());
    /// assert_eq!(Failure::from(damaged.clone()).error(), &damaged);
    /// ```
    #[must_use]
    pub const fn error(&self) -> &BackendError {
        &self.error
    }

    pub(super) const fn harmless(error: BackendError) -> Self {
        Self {
            error,
            must_reopen: false,
        }
    }
}

/// The error of a row or a table, found by reading alone.
impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        Self::harmless(error)
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self {
            must_reopen: !matches!(error, StorageError::ValueTooLarge(_)),
            error: storage_error(error),
        }
    }
}

impl From<TableError> for Failure {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Storage(error) => error.into(),
            TableError::TableTypeMismatch { .. }
            | TableError::TypeDefinitionChanged { .. }
            | TableError::TableIsMultimap(_) => {
                Self::harmless(BackendError::Foreign(error.to_string()))
            }
            error => Self::harmless(BackendError::Io(HostError::new(error))),
        }
    }
}

impl From<TransactionError> for Failure {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::Storage(error) => error.into(),
            error => Self::harmless(BackendError::Io(HostError::new(error))),
        }
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Storage(error) => error.into(),
            error => Self {
                error: BackendError::Io(HostError::new(error)),
                must_reopen: true,
            },
        }
    }
}

/// The error of opening a database.
pub(super) fn open_error(error: DatabaseError) -> BackendError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            BackendError::Locked(error.to_string())
        }
        DatabaseError::UpgradeRequired(_) => BackendError::Foreign(error.to_string()),
        // This kind is redb's word for a file that does not begin as its files do.
        DatabaseError::Storage(StorageError::Io(error))
            if error.kind() == io::ErrorKind::InvalidData =>
        {
            BackendError::Foreign(error.to_string())
        }
        DatabaseError::Storage(error) => storage_error(error),
        error => BackendError::Damaged(error.to_string()),
    }
}

fn storage_error(error: StorageError) -> BackendError {
    match error {
        StorageError::Corrupted(text) => BackendError::Damaged(text),
        StorageError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            BackendError::Damaged("the file is shorter than its contents".to_owned())
        }
        StorageError::Io(error) => BackendError::Io(HostError::new(error)),
        StorageError::PreviousIo | StorageError::DatabaseClosed | StorageError::LockPoisoned(_) => {
            BackendError::Poisoned(error.to_string())
        }
        error => BackendError::Io(HostError::new(error)),
    }
}

pub(super) fn io_error(error: io::Error) -> BackendError {
    BackendError::Io(HostError::new(error))
}
