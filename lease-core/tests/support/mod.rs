//! A backend in memory that fails when it is told to.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use lease_core::{
    Backend, BackendError, Epoch, HostError, HostWrite, LeaseId, LeaseRow, LeaseWrite, Table,
    WriteBatch,
};

#[derive(Debug, Default)]
pub(crate) struct TestBackend {
    store: Mutex<Store>,
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) rows: BTreeMap<LeaseId, LeaseRow>,
    pub(crate) host: BTreeMap<(String, Vec<u8>), Vec<u8>>,
    pub(crate) epoch: Epoch,
    pub(crate) commits: Vec<WriteBatch>,
    /// How many commits go well before one fails.
    pub(crate) fail_after: Option<usize>,
    pub(crate) panics: bool,
    /// Whether every commit fails.
    pub(crate) is_full: bool,
}

impl TestBackend {
    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn rows(&self) -> Vec<LeaseRow> {
        self.store().rows.values().copied().collect()
    }
}

impl Backend for TestBackend {
    fn commit(&self, batch: &WriteBatch) -> Result<(), BackendError> {
        let mut store = self.store();
        let is_full = store.is_full;
        match &mut store.fail_after {
            None if !is_full => {}
            None | Some(0) => {
                store.fail_after = None;
                assert!(!store.panics, "this backend panics");
                return Err(BackendError::Io(HostError::new("no space left")));
            }
            Some(left) => *left -= 1,
        }
        for write in batch.leases() {
            match write {
                LeaseWrite::Put(row) => drop(store.rows.insert(row.id, *row)),
                LeaseWrite::Delete(id) => drop(store.rows.remove(id)),
            }
        }
        for write in batch.host() {
            match write.clone() {
                HostWrite::Put { table, key, value } => {
                    store.host.insert((table.name().to_owned(), key), value);
                }
                HostWrite::Delete { table, key } => {
                    store.host.remove(&(table.name().to_owned(), key));
                }
                HostWrite::DeleteRange { .. } => unreachable!("no test deletes a range"),
            }
        }
        store.epoch = batch.epoch().unwrap_or(store.epoch);
        store.commits.push(batch.clone());
        Ok(())
    }

    fn load(&self, visit: &mut dyn FnMut(LeaseRow)) -> Result<Epoch, BackendError> {
        let store = self.store();
        store.rows.values().copied().for_each(visit);
        Ok(store.epoch)
    }

    fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        let place = (table.name().to_owned(), key.to_vec());
        Ok(self.store().host.get(&place).cloned())
    }

    fn scan(&self, table: &Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), BackendError> {
        for ((name, key), value) in &self.store().host {
            if name == table.name() {
                visit(key, value);
            }
        }
        Ok(())
    }
}
