use std::collections::BTreeMap;
use std::fmt;
use std::panic::catch_unwind;
use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};
use lease_core::{
    Backend, BackendError, Epoch, HostError, HostWrite, LeaseRow, LeaseWrite, StrangeRow, Table,
    WriteBatch,
};

use crate::row;

/// Rows in a directory of the log-structured engine fjall.
///
/// Against redb: it appends to a log, so that large random batches on a large table are cheap
/// (10,000 rows among a million: 20 ms, redb 190 ms), and it must read that log when it is opened
/// (a million rows: 2 s, redb below 0.1 s).
///
/// The host's tables share one keyspace, with the name before the key. A key and its table's name
/// together have at most 65,533 bytes, the name alone at most 255. After an I/O error in a commit
/// the engine takes no more writes: every commit is [`BackendError::Poisoned`] until the directory
/// is opened again, and the failed one may be there then.
///
/// Of wrong bytes in its log the engine finds some; others look like the end of a log that a crash
/// has cut, and the directory opens as it was before the batch that they are in.
///
/// ```
/// use lease_backend::FjallBackend;
/// use lease_core::{Backend, Epoch, WriteBatch};
///
/// let dir = tempfile::tempdir()?;
/// let backend = FjallBackend::open(dir.path().join("leases"))?;
/// let mut batch = WriteBatch::default();
/// batch.put_epoch(Epoch::new(3));
/// backend.commit(&batch)?;
/// assert_eq!(backend.load(&mut |_| {})?, Epoch::new(3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FjallBackend {
    database: Database,
    leases: Keyspace,
    meta: Keyspace,
    host: Keyspace,
}

impl FjallBackend {
    /// Opens the directory at `path`, and creates it if there is none.
    ///
    /// # Errors
    ///
    /// - [`BackendError::Locked`]: it is open already.
    /// - [`BackendError::Foreign`]: it has keyspaces but not ours, or is of a newer format.
    /// - [`BackendError::Damaged`]: its bytes are wrong, see above.
    /// - [`BackendError::Io`]: everything else that the system says.
    ///
    /// ```
    /// use lease_backend::FjallBackend;
    /// use lease_core::BackendError;
    ///
    /// let dir = tempfile::tempdir()?;
    /// let first = FjallBackend::open(dir.path())?;
    /// let second = FjallBackend::open(dir.path());
    /// assert!(matches!(second, Err(BackendError::Locked(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self, BackendError> {
        // The engine panics over a path that cannot be made absolute, and over some damaged logs.
        let path =
            std::path::absolute(path).map_err(|error| BackendError::Io(HostError::new(error)))?;
        catch_unwind(|| Self::open_absolute(&path)).unwrap_or_else(|_| {
            let text = format!("fjall panicked over {}", path.display());
            Err(BackendError::Damaged(text))
        })
    }

    fn open_absolute(path: &Path) -> Result<Self, BackendError> {
        let database = Database::builder(path).open().map_err(error)?;
        if database.keyspace_count() > 0 && !database.keyspace_exists(META) {
            let text = "its keyspaces are somebody else's";
            return Err(BackendError::Foreign(text.to_owned()));
        }
        let keyspace = |name| {
            let opened = database.keyspace(name, KeyspaceCreateOptions::default);
            opened.map_err(error)
        };
        // This one first: it is what tells a store of ours.
        let meta = keyspace(META)?;
        let backend = Self {
            leases: keyspace("lease")?,
            host: keyspace("lease_host")?,
            meta,
            database,
        };
        backend.claim()?;
        Ok(backend)
    }

    fn claim(&self) -> Result<(), BackendError> {
        match self.meta.get(FORMAT).map_err(error)? {
            Some(format) if *format == FORMAT_VERSION => Ok(()),
            Some(_) => {
                let text = "its format is newer than this version reads";
                Err(BackendError::Foreign(text.to_owned()))
            }
            None => {
                let inserted = self.meta.insert(FORMAT, FORMAT_VERSION);
                let synced = inserted.and_then(|()| self.database.persist(PersistMode::SyncAll));
                synced.map_err(error)
            }
        }
    }

    /// What the writes leave of each row they touch. All writes of a transaction are of one moment
    /// to the engine, so that there must be one for each row.
    fn resolve(&self, writes: &[HostWrite]) -> Result<Changes, BackendError> {
        let mut changes = Changes::new();
        for write in writes {
            match write {
                HostWrite::Put { table, key, value } => {
                    changes.insert(host_key(table, key)?, Some(value.clone()));
                }
                HostWrite::Delete { table, key } => {
                    changes.insert(host_key(table, key)?, None);
                }
                HostWrite::DeleteRange { table, start, end } => {
                    let start = host_key(table, start)?;
                    let end = match end {
                        Some(end) => host_key(table, end)?,
                        None => end_of(table)?,
                    };
                    if start < end {
                        let changed = changes.range_mut(start.clone()..end.clone());
                        changed.for_each(|(_, value)| *value = None);
                        for guard in self.host.range(start..end) {
                            changes.insert(guard.key().map_err(error)?.to_vec(), None);
                        }
                    }
                }
            }
        }
        Ok(changes)
    }
}

impl Backend for FjallBackend {
    /// O(log n) for each write, O(n) for a deleted range of n rows.
    ///
    /// ```
    /// use lease_backend::FjallBackend;
    /// use lease_core::{Backend, Table, WriteBatch};
    ///
    /// let (dir, kv) = (tempfile::tempdir()?, Table::new("kv"));
    /// let mut batch = WriteBatch::default();
    /// batch.put(kv.clone(), "services/web/1", "10.0.0.7");
    /// FjallBackend::open(dir.path())?.commit(&batch)?;
    /// let backend = FjallBackend::open(dir.path())?;
    /// assert_eq!(backend.get(&kv, b"services/web/1")?, Some(b"10.0.0.7".to_vec()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn commit(&self, batch: &WriteBatch) -> Result<(), BackendError> {
        let mut transaction = self.database.batch().durability(Some(PersistMode::SyncAll));
        let mut leases = BTreeMap::new();
        leases.extend(batch.leases().iter().map(|write| (write.id(), write)));
        let mut value = Vec::new();
        for (id, write) in leases {
            match write {
                LeaseWrite::Put(lease) => {
                    row::encode(lease, &mut value);
                    transaction.insert(&self.leases, row::key(id), value.as_slice());
                }
                LeaseWrite::Delete(_) => transaction.remove(&self.leases, row::key(id)),
            }
        }
        for (key, value) in self.resolve(batch.host())? {
            match value {
                Some(value) => transaction.insert(&self.host, key, value),
                None => transaction.remove(&self.host, key),
            }
        }
        if let Some(epoch) = batch.epoch() {
            transaction.insert(&self.meta, EPOCH, epoch.get().to_be_bytes());
        }
        transaction.commit().map_err(error)
    }

    /// O(n).
    ///
    /// ```
    /// use lease_backend::FjallBackend;
    /// use lease_core::{Backend, Epoch, LeaseId, LeaseRow, Ttl, WriteBatch};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let backend = FjallBackend::open(dir.path())?;
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
        let snapshot = self.database.snapshot();
        let first_negative = i64::MIN.to_be_bytes();
        let negative = snapshot.range(&self.leases, first_negative..);
        for guard in negative.chain(snapshot.range(&self.leases, ..first_negative)) {
            let (key, value) = guard.into_inner().map_err(error)?;
            let key = <[u8; 8]>::try_from(&*key);
            let key = key.map_err(|_| damaged("the key of a lease row is not eight bytes"))?;
            if let Some(row) = row::decode(key, &value, strange)? {
                visit(row);
            }
        }
        let Some(epoch) = snapshot.get(&self.meta, EPOCH).map_err(error)? else {
            return Ok(Epoch::ZERO);
        };
        let epoch = <[u8; 8]>::try_from(&*epoch);
        let epoch = epoch.map_err(|_| damaged("the epoch is not eight bytes"))?;
        Ok(Epoch::new(u64::from_be_bytes(epoch)))
    }

    /// O(log n).
    ///
    /// ```
    /// use lease_backend::FjallBackend;
    /// use lease_core::{Backend, Table};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let backend = FjallBackend::open(dir.path())?;
    /// assert_eq!(backend.get(&Table::new("kv"), b"a")?, None, "there is no such table");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        let snapshot = self.database.snapshot();
        let value = snapshot
            .get(&self.host, host_key(table, key)?)
            .map_err(error)?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// O(n).
    ///
    /// ```
    /// use lease_backend::FjallBackend;
    /// use lease_core::{Backend, Table, WriteBatch};
    ///
    /// let (dir, kv) = (tempfile::tempdir()?, Table::new("kv"));
    /// let backend = FjallBackend::open(dir.path())?;
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
        let start = host_key(table, &[])?;
        let prefix_len = start.len();
        let rows = self
            .database
            .snapshot()
            .range(&self.host, start..end_of(table)?);
        for guard in rows {
            let (key, value) = guard.into_inner().map_err(error)?;
            visit(&key[prefix_len..], &value);
        }
        Ok(())
    }
}

impl fmt::Debug for FjallBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FjallBackend")
    }
}

type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The length of the table's name, the name, a zero and the key.
fn host_key(table: &Table, key: &[u8]) -> Result<Vec<u8>, BackendError> {
    let name = table.name().as_bytes();
    let host_key = [&[name.len() as u8], name, &[0], key].concat();
    if name.len() > u8::MAX.into() || host_key.len() > u16::MAX.into() {
        let error = HostError::new("the name or the key is too long");
        return Err(BackendError::Io(error));
    }
    Ok(host_key)
}

/// Behind every key of the table.
fn end_of(table: &Table) -> Result<Vec<u8>, BackendError> {
    let mut end = host_key(table, &[])?;
    end.pop();
    end.push(1);
    Ok(end)
}

fn damaged(text: &str) -> BackendError {
    BackendError::Damaged(text.to_owned())
}

fn error(error: fjall::Error) -> BackendError {
    match error {
        fjall::Error::Locked => BackendError::Locked("by this process or another".to_owned()),
        fjall::Error::InvalidVersion(_) => BackendError::Foreign(error.to_string()),
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
            BackendError::Io(HostError::new(error))
        }
        fjall::Error::Poisoned => BackendError::Poisoned("an earlier write failed".to_owned()),
        error => BackendError::Damaged(error.to_string()),
    }
}

const META: &str = "lease_meta";
const FORMAT: &str = "format";
const FORMAT_VERSION: [u8; 1] = [1];
const EPOCH: &str = "epoch";
