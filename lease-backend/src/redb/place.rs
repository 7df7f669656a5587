use std::fmt;
use std::path::Path;

use lease_core::BackendError;
use redb::StorageBackend;

use super::failure::io_error;
use super::file::StoreFile;

/// Where a database is, so that it can be opened again.
pub(super) enum Place {
    File(StoreFile),
    Storage(Box<dyn Handles>),
}

/// A storage that can be handed to redb more than once, without its type.
pub(super) trait Handles: Send + Sync {
    fn handle(&self) -> Box<dyn StorageBackend>;
}

impl<S: StorageBackend + Clone> Handles for S {
    fn handle(&self) -> Box<dyn StorageBackend> {
        Box::new(self.clone())
    }
}

impl Place {
    pub(super) fn file(path: &Path) -> Result<Self, BackendError> {
        Ok(Self::File(StoreFile::new(path).map_err(io_error)?))
    }

    pub(super) fn storage(storage: impl StorageBackend + Clone) -> Self {
        Self::Storage(Box::new(storage))
    }

    /// The storage, which is made if there is none.
    pub(super) fn create(&self) -> Result<Box<dyn StorageBackend>, BackendError> {
        match self {
            Self::File(file) => file.create().map_err(io_error),
            Self::Storage(storage) => Ok(storage.handle()),
        }
    }

    /// The storage that was opened before, and no other.
    pub(super) fn existing(&self) -> Result<Box<dyn StorageBackend>, BackendError> {
        match self {
            Self::File(file) => file.existing(),
            Self::Storage(storage) => Ok(storage.handle()),
        }
    }

    /// Waits until a new storage will be found after a power cut.
    pub(super) fn sync_name(&self) -> Result<(), BackendError> {
        match self {
            Self::File(file) => file.sync_name().map_err(io_error),
            Self::Storage(_) => Ok(()),
        }
    }

    /// Notes which storage it is that has been opened.
    pub(super) fn pin(&mut self) -> Result<(), BackendError> {
        match self {
            Self::File(file) => file.pin().map_err(io_error),
            Self::Storage(_) => Ok(()),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => file.path().fmt(f),
            Self::Storage(_) => f.write_str("the storage"),
        }
    }
}
