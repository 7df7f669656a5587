use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lease_core::{
    Backend, BackendError, Epoch, HostWrite, LeaseId, LeaseRow, LeaseWrite, StrangeRow, Table,
    WriteBatch,
};

use crate::packed_row::PackedRow;
use crate::row;

/// Rows in memory: for tests, simulations and hosts that rebuild their leases from a log.
///
/// A clone shares the rows, so that a lessor can be "restarted" on them. A lease takes 32 bytes in
/// a B-tree, 52 to 66 with the tree's empty places (ids at random, ids in order). `visit` closures
/// are called under the store's lock: they must not call the backend.
///
/// ```
/// use lease_backend::MemoryBackend;
/// use lease_core::{Backend, LeaseId, LeaseRow, Ttl, WriteBatch};
///
/// let backend = MemoryBackend::new();
/// let mut batch = WriteBatch::default();
/// batch.put_lease(LeaseRow::new(LeaseId::new(7).expect("not zero"), Ttl::new(60)?));
/// backend.commit(&batch)?;
/// assert_eq!(backend.clone().dump(), [(
///     [0, 0, 0, 0, 0, 0, 0, 7],
///     vec![8, 7, 16, 60],
/// )]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct MemoryBackend {
    store: Arc<Mutex<Store>>,
}

#[derive(Default)]
struct Store {
    leases: BTreeMap<LeaseId, PackedRow>,
    host: BTreeMap<Table, Rows>,
    epoch: Epoch,
    /// Which commit from now fails: 1 is the next one, 0 is none.
    #[cfg(feature = "testing")]
    failing_commit: u64,
}

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

impl MemoryBackend {
    /// An empty store.
    ///
    /// ```
    /// use lease_backend::MemoryBackend;
    ///
    /// assert_eq!(MemoryBackend::new().lease_count(), 0);
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many leases are stored. O(1).
    ///
    /// ```
    /// use lease_backend::MemoryBackend;
    /// use lease_core::{Backend, LeaseId, LeaseRow, Ttl, WriteBatch};
    ///
    /// let backend = MemoryBackend::new();
    /// let id = LeaseId::new(7).expect("not zero");
    /// let mut batch = WriteBatch::default();
    /// batch.put_lease(LeaseRow::new(id, Ttl::new(60)?));
    /// backend.commit(&batch)?;
    /// assert_eq!(backend.lease_count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn lease_count(&self) -> usize {
        self.lock().leases.len()
    }

    /// Every lease row, key and value, byte for byte and in the order of etcd's bucket `lease`:
    /// by the unsigned bytes of the key, so that negative ids come last. O(n).
    ///
    /// ```
    /// use lease_backend::MemoryBackend;
    /// use lease_core::{Backend, LeaseId, LeaseRow, Ttl, WriteBatch};
    ///
    /// let backend = MemoryBackend::new();
    /// let mut batch = WriteBatch::default();
    /// for number in [-1, 1] {
    ///     let id = LeaseId::new(number).expect("not zero");
    ///     batch.put_lease(LeaseRow::new(id, Ttl::new(60)?));
    /// }
    /// backend.commit(&batch)?;
    /// let keys: Vec<_> = backend.dump().into_iter().map(|(key, _)| key).collect();
    /// assert_eq!(keys, [[0, 0, 0, 0, 0, 0, 0, 1], [255; 8]]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn dump(&self) -> Vec<([u8; 8], Vec<u8>)> {
        let store = self.lock();
        let (negative, positive): (Vec<_>, Vec<_>) =
            store.leases.iter().partition(|(id, _)| id.get() < 0);
        let encoded = |(id, packed): (&LeaseId, &PackedRow)| {
            let mut value = Vec::new();
            row::encode(&packed.unpack(*id), &mut value);
            (row::key(*id), value)
        };
        positive.into_iter().chain(negative).map(encoded).collect()
    }

    /// Puts rows in as [`dump`](Self::dump) lists them, those of etcd's bucket for instance. Returns
    /// what no lessor would have written, see [`StrangeRow`]. O(n log n).
    ///
    /// # Errors
    ///
    /// [`BackendError::Damaged`] if a row does not decode; then nothing is put in.
    ///
    /// ```
    /// use lease_backend::MemoryBackend;
    /// use lease_core::RowFault;
    ///
    /// let backend = MemoryBackend::new();
    /// // Of the lease 7 with a TTL of 60 s more remains than that.
    /// let strange = backend.put_dump([([0, 0, 0, 0, 0, 0, 0, 7], [8, 7, 16, 60, 24, 61])])?;
    /// assert_eq!(strange[0].fault, RowFault::RemainingTooLong { secs: 61, ttl_secs: 60 });
    /// assert_eq!(backend.lease_count(), 1);
    /// # Ok::<(), lease_core::BackendError>(())
    /// ```
    pub fn put_dump<V: AsRef<[u8]>>(
        &self,
        rows: impl IntoIterator<Item = ([u8; 8], V)>,
    ) -> Result<Vec<StrangeRow>, BackendError> {
        let (mut leases, mut told) = (Vec::new(), Vec::new());
        let mut strange = |one| told.push(one);
        for (key, value) in rows {
            leases.extend(row::decode(key, value.as_ref(), &mut strange)?);
        }
        let packed = leases.iter().map(|row| (row.id, PackedRow::pack(row)));
        self.lock().leases.extend(packed);
        Ok(told)
    }

    /// Makes the `n`-th commit from now fail with [`BackendError::Io`] and leave nothing; zero
    /// takes the order back. Shared by all clones.
    ///
    /// ```
    /// use lease_backend::MemoryBackend;
    /// use lease_core::{Backend, WriteBatch};
    ///
    /// let backend = MemoryBackend::new();
    /// backend.fail_after(2);
    /// let commits = [(); 3].map(|()| backend.commit(&WriteBatch::default()).is_ok());
    /// assert_eq!(commits, [true, false, true]);
    /// ```
    #[cfg(feature = "testing")]
    pub fn fail_after(&self, n: u64) {
        self.lock().failing_commit = n;
    }

    /// No reader leaves a half-made change behind, so that a panicked `visit` spoils nothing.
    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for MemoryBackend {
    /// O(log n) for each write.
    ///
    /// ```
    /// use lease_backend::MemoryBackend;
    /// use lease_core::{Backend, Table, WriteBatch};
    ///
    /// let backend = MemoryBackend::new();
    /// let mut batch = WriteBatch::default();
    /// batch.put(Table::new("kv"), "services/web/1", "10.0.0.7");
    /// backend.commit(&batch)?;
    /// assert_eq!(backend.get(&Table::new("kv"), b"services/web/1")?, Some(b"10.0.0.7".to_vec()));
    /// # Ok::<(), lease_core::BackendError>(())
    /// ```
    fn commit(&self, batch: &WriteBatch) -> Result<(), BackendError> {
        let mut store = self.lock();
        #[cfg(feature = "testing")]
        store.count_down()?;
        store.apply(batch);
        Ok(())
    }

    /// O(n).
    ///
    /// ```
    /// use lease_backend::MemoryBackend;
    /// use lease_core::{Backend, Epoch, LeaseId, LeaseRow, Ttl, WriteBatch};
    ///
    /// let backend = MemoryBackend::new();
    /// let mut batch = WriteBatch::default();
    /// for number in [1, -1] {
    ///     batch.put_lease(LeaseRow::new(LeaseId::try_from(number)?, Ttl::new(60)?));
    /// }
    /// batch.put_epoch(Epoch::new(3));
    /// backend.commit(&batch)?;
    /// let mut ids = Vec::new();
    /// assert_eq!(backend.load(&mut |row| ids.push(row.id.get()))?, Epoch::new(3));
    /// assert_eq!(ids, [-1, 1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn load(&self, visit: &mut dyn FnMut(LeaseRow)) -> Result<Epoch, BackendError> {
        let store = self.lock();
        for (id, packed) in &store.leases {
            visit(packed.unpack(*id));
        }
        Ok(store.epoch)
    }

    /// O(log n).
    ///
    /// ```
    /// use lease_backend::MemoryBackend;
    /// use lease_core::{Backend, Table};
    ///
    /// let backend = MemoryBackend::new();
    /// assert_eq!(backend.get(&Table::new("kv"), b"a")?, None, "there is no such table");
    /// # Ok::<(), lease_core::BackendError>(())
    /// ```
    fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        let store = self.lock();
        Ok(store
            .host
            .get(table)
            .and_then(|rows| rows.get(key))
            .cloned())
    }

    /// O(n).
    ///
    /// ```
    /// use lease_backend::MemoryBackend;
    /// use lease_core::{Backend, Table, WriteBatch};
    ///
    /// let (backend, kv) = (MemoryBackend::new(), Table::new("kv"));
    /// let mut batch = WriteBatch::default();
    /// batch.put(kv.clone(), "b", "2");
    /// batch.put(kv.clone(), "a", "1");
    /// backend.commit(&batch)?;
    /// let mut keys = Vec::new();
    /// backend.scan(&kv, &mut |key, _| keys.push(key.to_vec()))?;
    /// assert_eq!(keys, [b"a", b"b"]);
    /// # Ok::<(), lease_core::BackendError>(())
    /// ```
    fn scan(&self, table: &Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), BackendError> {
        let store = self.lock();
        for (key, value) in store.host.get(table).into_iter().flatten() {
            visit(key, value);
        }
        Ok(())
    }
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackend")
            .field("leases", &self.lease_count())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Nothing in here can fail, which is what makes a batch atomic.
    fn apply(&mut self, batch: &WriteBatch) {
        for write in batch.leases() {
            match write {
                LeaseWrite::Put(row) => {
                    self.leases.insert(row.id, PackedRow::pack(row));
                }
                LeaseWrite::Delete(id) => {
                    self.leases.remove(id);
                }
            }
        }
        for write in batch.host() {
            self.apply_host(write);
        }
        self.epoch = batch.epoch().unwrap_or(self.epoch);
    }

    fn apply_host(&mut self, write: &HostWrite) {
        match write {
            HostWrite::Put { table, key, value } => {
                let rows = self.host.entry(table.clone()).or_default();
                rows.insert(key.clone(), value.clone());
            }
            HostWrite::Delete { table, key } => {
                if let Some(rows) = self.host.get_mut(table) {
                    rows.remove(key);
                }
            }
            HostWrite::DeleteRange { table, start, end } => {
                if let Some(rows) = self.host.get_mut(table) {
                    remove_range(rows, start, end.as_ref());
                }
            }
        }
    }

    #[cfg(feature = "testing")]
    fn count_down(&mut self) -> Result<(), BackendError> {
        if self.failing_commit == 0 {
            return Ok(());
        }
        self.failing_commit -= 1;
        if self.failing_commit > 0 {
            return Ok(());
        }
        let error = std::io::Error::other("injected failure of a commit");
        Err(BackendError::Io(lease_core::HostError::new(error)))
    }
}

/// Costs O(log n) for each removed row, whatever the size of the table.
fn remove_range(rows: &mut Rows, start: &Vec<u8>, end: Option<&Vec<u8>>) {
    if end.is_some_and(|end| end <= start) {
        return;
    }
    let bounds = (
        Bound::Included(start),
        end.map_or(Bound::Unbounded, Bound::Excluded),
    );
    rows.extract_if(bounds, |_, _| true).for_each(drop);
}
