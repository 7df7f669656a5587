use std::fs::{File, OpenOptions};
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::{fmt, io};

use lease_core::{BackendError, HostError};
use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, TableError,
    WriteTransaction,
};

use super::failure::{Failure, open_error};
use super::options::{IntegrityCheck, RedbOptions};
use super::tables::{FORMAT, FORMAT_VERSION, LEASE, META};

/// Where a database is, so that it can be opened again.
pub(super) enum Place {
    File(PathBuf),
    Storage(Box<dyn OpenStorage>),
}

/// A storage that can be handed to redb more than once, without its type.
pub(super) trait OpenStorage: Send + Sync {
    fn create(&self, builder: &Builder) -> Result<Database, DatabaseError>;
    fn clear_unfinished(&self) -> io::Result<bool>;
}

impl<S: StorageBackend + Clone> OpenStorage for S {
    fn create(&self, builder: &Builder) -> Result<Database, DatabaseError> {
        builder.create_with_backend(self.clone())
    }

    fn clear_unfinished(&self) -> io::Result<bool> {
        clear_unfinished(&self.clone())
    }
}

impl Place {
    pub(super) fn storage(storage: impl StorageBackend + Clone) -> Self {
        Self::Storage(Box::new(storage))
    }

    /// Opens the database and verifies that it is a lessor's; a new one becomes a lessor's.
    pub(super) fn open(&self, options: RedbOptions) -> Result<Database, BackendError> {
        let is_new = matches!(self, Self::File(path) if !path.exists());
        let database = match self.create(options) {
            Err(BackendError::Foreign(_)) if self.clear_unfinished()? => self.create(options)?,
            result => result?,
        };
        claim(&database).map_err(|failure| failure.error)?;
        if is_new {
            self.sync_directory()?;
        }
        Ok(database)
    }

    /// redb may panic on a page that was altered behind its back; here that is an error.
    fn create(&self, options: RedbOptions) -> Result<Database, BackendError> {
        let mut builder = Builder::new();
        builder
            .set_cache_size(options.cache_size)
            .set_check_integrity_on_open(options.integrity_check == IntegrityCheck::EveryOpen);
        let created = catch_unwind(AssertUnwindSafe(|| match self {
            Self::File(path) => builder.create(path),
            Self::Storage(storage) => storage.create(&builder),
        }));
        match created {
            Ok(result) => result.map_err(open_error),
            Err(_) => Err(BackendError::Damaged("redb panicked over it".to_owned())),
        }
    }

    fn clear_unfinished(&self) -> Result<bool, BackendError> {
        match self {
            Self::File(path) => clear_unfinished_file(path),
            Self::Storage(storage) => storage.clear_unfinished(),
        }
        .map_err(io_error)
    }

    /// A new file survives a power cut only when its name does.
    fn sync_directory(&self) -> Result<(), BackendError> {
        match self {
            #[cfg(unix)]
            Self::File(path) => {
                let parent = path.parent().filter(|parent| *parent != Path::new(""));
                File::open(parent.unwrap_or(Path::new(".")))
                    .and_then(|directory| directory.sync_all())
                    .map_err(io_error)
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.fmt(f),
            Self::Storage(_) => f.write_str("a storage"),
        }
    }
}

/// Makes a host's database one that [`apply`](super::apply) and [`load`](super::load) work on,
/// in a transaction of the host's. Doing it again changes nothing.
///
/// # Errors
///
/// [`BackendError::Foreign`] if the tables are of a newer format, and the errors of redb.
pub fn prepare(transaction: &WriteTransaction) -> Result<(), BackendError> {
    write_format(transaction).map_err(|failure| failure.error)
}

fn write_format(transaction: &WriteTransaction) -> Result<(), Failure> {
    transaction.open_table(LEASE)?;
    let mut meta = transaction.open_table(META)?;
    if let Some(version) = meta.get(FORMAT)?.map(|version| version.value()) {
        return verify_format(version);
    }
    meta.insert(FORMAT, FORMAT_VERSION)?;
    Ok(())
}

/// Accepts a lessor's database and makes an empty one a lessor's.
fn claim(database: &Database) -> Result<(), Failure> {
    let transaction = database.begin_read()?;
    match transaction.open_table(META) {
        Ok(meta) => match meta.get(FORMAT)? {
            Some(version) => verify_format(version.value()),
            None => Err(foreign("its table lease_meta names no format")),
        },
        Err(TableError::TableDoesNotExist(_)) => {
            let has_tables = transaction.list_tables()?.next().is_some()
                || transaction.list_multimap_tables()?.next().is_some();
            if has_tables {
                return Err(foreign("a redb file without the table lease_meta"));
            }
            let transaction = database.begin_write()?;
            write_format(&transaction)?;
            Ok(transaction.commit()?)
        }
        Err(error) => Err(error.into()),
    }
}

fn verify_format(version: u64) -> Result<(), Failure> {
    if version <= FORMAT_VERSION {
        return Ok(());
    }
    Err(foreign(&format!(
        "its format is {version}, newer than the {FORMAT_VERSION} that this version reads"
    )))
}

fn foreign(text: &str) -> Failure {
    BackendError::Foreign(text.to_owned()).into()
}

fn clear_unfinished_file(path: &Path) -> io::Result<bool> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let storage = FileBackend::new(file).map_err(io::Error::other)?;
    clear_unfinished(&storage)
}

/// Empties a storage that a crash has left in the middle of its creation, which redb takes for
/// somebody else's file. Answers whether it did.
///
/// redb writes the magic number last. Before that there are a header without one and zeros.
fn clear_unfinished(storage: &impl StorageBackend) -> io::Result<bool> {
    let whole = (Bound::Unbounded, Bound::Unbounded);
    if let Ok(false) = storage.try_lock_range(whole.0, whole.1) {
        return Ok(false);
    }
    let is_unfinished = is_unfinished(storage)?;
    if is_unfinished {
        storage.set_len(0)?;
        storage.sync_data()?;
    }
    storage.close()?;
    Ok(is_unfinished)
}

fn is_unfinished(storage: &impl StorageBackend) -> io::Result<bool> {
    let len = storage.len()?;
    if len > MAX_UNFINISHED_LEN {
        return Ok(false);
    }
    let mut image = vec![0; len as usize];
    storage.read(0, &mut image)?;
    let is_zero = |range: &[u8]| range.iter().all(|byte| *byte == 0);
    let header_len = image.len().min(HEADER_LEN);
    let (header, rest) = image.split_at(header_len);
    Ok(is_zero(&header[..header_len.min(MAGIC_LEN)]) && is_zero(rest))
}

fn io_error(error: io::Error) -> BackendError {
    BackendError::Io(HostError::new(error))
}

/// More than the first size of a redb file, which is 72 KiB since redb 4.6.
const MAX_UNFINISHED_LEN: u64 = 2 << 20;
const HEADER_LEN: usize = 512;
const MAGIC_LEN: usize = 9;
