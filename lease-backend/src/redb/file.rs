use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use lease_core::BackendError;
use redb::StorageBackend;
use redb::backends::FileBackend;

use super::failure::io_error;

/// The file of a store, found again by its path.
pub(super) struct StoreFile {
    /// Invariant: absolute, so that a process that changes its directory finds the same file.
    path: PathBuf,
    /// The file that was opened at first. Held open, so that its number is not given to another.
    pinned: Option<File>,
}

impl StoreFile {
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: std::path::absolute(path).map_err(|error| naming(path, &error))?,
            pinned: None,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn create(&self) -> io::Result<Box<dyn StorageBackend>> {
        let mut options = OpenOptions::new();
        self.open(options.read(true).write(true).create(true).truncate(false))
            .and_then(backend)
    }

    /// The pinned file, if it is still the one at the path.
    pub(super) fn existing(&self) -> Result<Box<dyn StorageBackend>, BackendError> {
        let opened = self.open(OpenOptions::new().read(true).write(true));
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(io_error(self.gone()));
            }
            opened => opened.map_err(io_error)?,
        };
        if self.is_pinned(&file).map_err(io_error)? {
            return backend(file).map_err(io_error);
        }
        Err(BackendError::Foreign(format!(
            "{} is not the file that was opened, which was moved or deleted",
            self.path.display()
        )))
    }

    /// Notes the file that is at the path now.
    pub(super) fn pin(&mut self) -> io::Result<()> {
        self.pinned = Some(self.open(OpenOptions::new().read(true))?);
        Ok(())
    }

    /// A new file survives a power cut only when its name does. The name is where the links that
    /// lead to it end.
    #[cfg(unix)]
    pub(super) fn sync_name(&self) -> io::Result<()> {
        let path = self.path.canonicalize()?;
        let directory = path.parent().unwrap_or(Path::new("/"));
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| naming(directory, &error))
    }

    #[cfg(not(unix))]
    pub(super) fn sync_name(&self) -> io::Result<()> {
        Ok(())
    }

    fn open(&self, options: &OpenOptions) -> io::Result<File> {
        options
            .open(&self.path)
            .map_err(|error| naming(&self.path, &error))
    }

    fn is_pinned(&self, file: &File) -> io::Result<bool> {
        let Some(pinned) = &self.pinned else {
            return Ok(true);
        };
        Ok(is_same(&pinned.metadata()?, &file.metadata()?))
    }

    fn gone(&self) -> io::Error {
        let text = format!(
            "{}: the store failed, and its file was moved or deleted since; \
             it is opened again when the file is back",
            self.path.display()
        );
        io::Error::new(io::ErrorKind::NotFound, text)
    }
}

fn backend(file: File) -> io::Result<Box<dyn StorageBackend>> {
    let backend = FileBackend::new(file).map_err(io::Error::other)?;
    Ok(Box::new(backend))
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;

    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Elsewhere std does not say, and the id of the store must do.
#[cfg(not(unix))]
fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}

/// The system's errors do not say which file they are about.
fn naming(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
