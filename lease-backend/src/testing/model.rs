use std::collections::BTreeMap;

use lease_core::{
    Backend, BackendError, Epoch, HostWrite, LeaseId, LeaseRow, LeaseWrite, Table, WriteBatch,
};

/// What a store should contain, in the simplest form.
///
/// ```
/// use lease_backend::MemoryBackend;
/// use lease_backend::testing::{Model, Workload};
/// use lease_core::Backend;
///
/// let mut workload = Workload::new(1);
/// let (backend, mut model) = (MemoryBackend::new(), Model::default());
/// for _ in 0..100 {
///     let batch = workload.batch(5);
///     backend.commit(&batch)?;
///     model.apply(&batch);
/// }
/// assert_eq!(Model::read(&backend, workload.tables())?, model);
/// # Ok::<(), lease_core::BackendError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Model {
    /// The lease rows by id.
    pub leases: BTreeMap<LeaseId, LeaseRow>,
    /// The host's rows by table and key. A table without rows is not there.
    pub host: BTreeMap<Table, BTreeMap<Vec<u8>, Vec<u8>>>,
    /// The epoch.
    pub epoch: Epoch,
}

impl Model {
    /// All that a backend has in its lease table and in `tables`. O(n).
    ///
    /// # Errors
    ///
    /// Those of the backend.
    ///
    /// ```
    /// use lease_backend::MemoryBackend;
    /// use lease_backend::testing::Model;
    /// use lease_core::Table;
    ///
    /// let model = Model::read(&MemoryBackend::new(), &[Table::new("kv")])?;
    /// assert_eq!(model, Model::default());
    /// # Ok::<(), lease_core::BackendError>(())
    /// ```
    pub fn read(backend: &dyn Backend, tables: &[Table]) -> Result<Self, BackendError> {
        let mut model = Self::default();
        model.epoch = backend.load(&mut |row| {
            model.leases.insert(row.id, row);
        })?;
        for table in tables {
            let mut rows = BTreeMap::new();
            backend.scan(table, &mut |key, value| {
                rows.insert(key.to_vec(), value.to_vec());
            })?;
            if !rows.is_empty() {
                model.host.insert(table.clone(), rows);
            }
        }
        Ok(model)
    }

    /// Applies a batch. O(n) for each deleted range.
    ///
    /// ```
    /// use lease_backend::testing::Model;
    /// use lease_core::{Table, WriteBatch};
    ///
    /// let (mut model, kv) = (Model::default(), Table::new("kv"));
    /// let mut batch = WriteBatch::default();
    /// batch.put(kv.clone(), "a", "1");
    /// model.apply(&batch);
    /// assert_eq!(model.host[&kv].len(), 1);
    /// ```
    pub fn apply(&mut self, batch: &WriteBatch) {
        for write in batch.leases() {
            match write {
                LeaseWrite::Put(row) => self.leases.insert(row.id, *row),
                LeaseWrite::Delete(id) => self.leases.remove(id),
            };
        }
        for write in batch.host() {
            self.apply_host(write);
        }
        self.host.retain(|_, rows| !rows.is_empty());
        self.epoch = batch.epoch().unwrap_or(self.epoch);
    }

    fn apply_host(&mut self, write: &HostWrite) {
        match write {
            HostWrite::Put { table, key, value } => {
                let rows = self.host.entry(table.clone()).or_default();
                rows.insert(key.clone(), value.clone());
            }
            HostWrite::Delete { table, key } => {
                let rows = self.host.entry(table.clone()).or_default();
                rows.remove(key);
            }
            HostWrite::DeleteRange { table, start, end } => {
                let rows = self.host.entry(table.clone()).or_default();
                let is_below_end = |key: &Vec<u8>| end.as_ref().is_none_or(|end| key < end);
                rows.retain(|key, _| key < start || !is_below_end(key));
            }
        }
    }
}
