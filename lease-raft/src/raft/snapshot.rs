//! Snapshots on their way: a file beside the store, or memory if the store is no file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::machine::MachineSnapshot;

/// What openraft hands from the state machine to the network, and from the network to the state machine.
pub(crate) enum SnapshotData {
    /// The state of this member as of one moment.
    View(Box<dyn MachineSnapshot>),
    /// What another member has sent, checked.
    Received(Spool),
}

impl SnapshotData {
    /// The bytes, in a place of their own. It waits for the disk.
    pub(crate) fn into_spool(self, store: Option<&Path>) -> io::Result<Spool> {
        match self {
            Self::Received(spool) => Ok(spool),
            Self::View(view) => {
                let mut spool = Spool::new(store)?;
                {
                    let mut buffered = BufWriter::with_capacity(BUFFER, &mut spool);
                    view.write(&mut buffered)?;
                    buffered.flush()?;
                }
                Ok(spool)
            }
        }
    }
}

/// The bytes of a snapshot. A file is deleted when it is dropped.
pub(crate) struct Spool {
    place: Place,
    len: u64,
    checksum: crc32fast::Hasher,
}

enum Place {
    File { file: File, path: PathBuf },
    Memory(Vec<u8>),
}

impl Spool {
    /// An empty one beside the store's file.
    pub(crate) fn new(store: Option<&Path>) -> io::Result<Self> {
        let place = match store {
            None => Place::Memory(Vec::new()),
            Some(store) => {
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                let path = PathBuf::from(format!("{}{INFIX}{number}", store.display()));
                let mut options = OpenOptions::new();
                options.read(true).write(true).create(true).truncate(true);
                let file = options.open(&path).map_err(|error| {
                    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                })?;
                Place::File { file, path }
            }
        };
        Ok(Self {
            place,
            len: 0,
            checksum: crc32fast::Hasher::new(),
        })
    }

    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// The CRC-32 of all bytes that were written.
    pub(crate) fn checksum(&self) -> u32 {
        self.checksum.clone().finalize()
    }

    /// At most `max` bytes from `offset` on.
    pub(crate) fn read_at(&mut self, offset: u64, max: usize) -> io::Result<Vec<u8>> {
        let len = self.len.saturating_sub(offset).min(max as u64) as usize;
        let mut bytes = vec![0; len];
        match &mut self.place {
            Place::File { file, .. } => {
                file.seek(SeekFrom::Start(offset))?;
                file.read_exact(&mut bytes)?;
            }
            Place::Memory(memory) => {
                let start = (offset as usize).min(memory.len());
                bytes.copy_from_slice(&memory[start..start + len]);
            }
        }
        Ok(bytes)
    }

    /// Reads all of it again, from the beginning, if the bytes are those that were written.
    ///
    /// # Errors
    ///
    /// Those of the disk; and one of the kind `InvalidData` if it has altered them.
    pub(crate) fn reader(&mut self) -> io::Result<Box<dyn Read + '_>> {
        self.verify()?;
        self.rewound()
    }

    fn verify(&mut self) -> io::Result<()> {
        let (len, expected) = (self.len, self.checksum());
        let mut found = crc32fast::Hasher::new();
        let mut reader = self.rewound()?;
        let (mut buffer, mut read) = (vec![0; BUFFER], 0);
        loop {
            match reader.read(&mut buffer)? {
                0 => break,
                n => {
                    found.update(&buffer[..n]);
                    read += n as u64;
                }
            }
        }
        if (read, found.finalize()) == (len, expected) {
            return Ok(());
        }
        let text = "the disk does not give back the snapshot that was written";
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    }

    fn rewound(&mut self) -> io::Result<Box<dyn Read + '_>> {
        Ok(match &mut self.place {
            Place::File { file, .. } => {
                file.seek(SeekFrom::Start(0))?;
                Box::new(BufReader::with_capacity(BUFFER, file))
            }
            Place::Memory(memory) => Box::new(memory.as_slice()),
        })
    }
}

/// Appends, whatever was read before.
impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.place {
            Place::File { file, .. } => {
                file.seek(SeekFrom::Start(self.len))?;
                file.write(bytes)?
            }
            Place::Memory(memory) => memory.write(bytes)?,
        };
        self.checksum.update(&bytes[..written]);
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if let Place::File { path, .. } = &self.place {
            // What stays is deleted when the store is opened next.
            let _ = fs::remove_file(path);
        }
    }
}

/// Deletes the snapshots that a crash has left beside a store, which this process has locked.
pub(crate) fn remove_left_over(store: &Path) {
    let Some((directory, name)) = store.parent().zip(store.file_name()) else {
        return;
    };
    let prefix = format!("{}{INFIX}", name.to_string_lossy());
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(&prefix));
        if number.is_some_and(|number| number.parse::<u64>().is_ok()) {
            // It is in nobody's way but the disk's.
            let _ = fs::remove_file(entry.path());
        }
    }
}

const INFIX: &str = ".snapshot-";
const BUFFER: usize = 64 << 10;

/// Numbers the files of this process, whatever stores they are of.
static NEXT: AtomicU64 = AtomicU64::new(0);
