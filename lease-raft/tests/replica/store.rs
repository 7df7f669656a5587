//! A store in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use lease_core::{
    Backend, BackendError, Epoch, HostWrite, LeaseRow, LeaseWrite, Table, WriteBatch,
};
use lease_pb::{Message, leasepb};
use lease_raft::{Fill, Store, View, VisitRow};

type Rows = BTreeMap<(String, Vec<u8>), Vec<u8>>;

#[derive(Default)]
pub(crate) struct MemoryStore {
    rows: Mutex<Rows>,
    fails: Mutex<bool>,
}

const LEASE: &str = "lease";
const EPOCH: (&str, &[u8]) = ("lease_meta", b"epoch");

impl MemoryStore {
    pub(crate) fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().expect("no panic")
    }

    /// Whether commits fail from now on.
    pub(crate) fn fail(&self, fails: bool) {
        *self.fails.lock().expect("no panic") = fails;
    }

    fn check(&self) -> Result<(), BackendError> {
        if *self.fails.lock().expect("no panic") {
            return Err(BackendError::Io(lease_core::HostError::new(
                "the disk is full",
            )));
        }
        Ok(())
    }
}

fn write(rows: &mut Rows, batch: &WriteBatch) {
    for write in batch.leases() {
        let key = (LEASE.to_owned(), write.id().get().to_be_bytes().to_vec());
        match write {
            LeaseWrite::Put(row) => rows.insert(key, leasepb::Lease::from(row).encode_to_vec()),
            LeaseWrite::Delete(_) => rows.remove(&key),
        };
    }
    for write in batch.host() {
        match write {
            HostWrite::Put { table, key, value } => {
                rows.insert((table.name().to_owned(), key.clone()), value.clone());
            }
            HostWrite::Delete { table, key } => {
                rows.remove(&(table.name().to_owned(), key.clone()));
            }
            HostWrite::DeleteRange { table, start, end } => rows.retain(|(name, key), _| {
                let is_in = name == table.name()
                    && key >= start
                    && end.as_ref().is_none_or(|end| key < end);
                !is_in
            }),
        }
    }
    if let Some(epoch) = batch.epoch() {
        let key = (EPOCH.0.to_owned(), EPOCH.1.to_vec());
        rows.insert(key, epoch.get().to_be_bytes().to_vec());
    }
}

impl Backend for MemoryStore {
    fn commit(&self, batch: &WriteBatch) -> Result<(), BackendError> {
        self.check()?;
        write(&mut self.rows(), batch);
        Ok(())
    }

    fn load(&self, visit: &mut dyn FnMut(LeaseRow)) -> Result<Epoch, BackendError> {
        let rows = self.rows();
        for ((table, _), value) in &*rows {
            if table == LEASE {
                let lease = leasepb::Lease::decode(&value[..]).expect("it was encoded here");
                visit(LeaseRow::try_from(&lease).expect("it was a row"));
            }
        }
        let epoch = rows.get(&(EPOCH.0.to_owned(), EPOCH.1.to_vec()));
        let epoch = epoch.map_or(0, |bytes| {
            u64::from_be_bytes(bytes[..].try_into().expect("eight bytes"))
        });
        Ok(Epoch::new(epoch))
    }

    fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        let key = (table.name().to_owned(), key.to_vec());
        Ok(self.rows().get(&key).cloned())
    }

    fn scan(&self, table: &Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), BackendError> {
        for ((name, key), value) in &*self.rows() {
            if name == table.name() {
                visit(key, value);
            }
        }
        Ok(())
    }
}

impl Store for MemoryStore {
    fn view(&self) -> Result<Box<dyn View>, BackendError> {
        Ok(Box::new(MemoryView(self.rows().clone())))
    }

    fn replace(
        &self,
        fill: &mut dyn FnMut(&mut dyn Fill) -> Result<(), BackendError>,
    ) -> Result<(), BackendError> {
        let mut filling = Filling::default();
        fill(&mut filling)?;
        self.check()?;
        *self.rows() = filling.0;
        Ok(())
    }
}

struct MemoryView(Rows);

impl View for MemoryView {
    fn visit(&self, visit: &mut VisitRow<'_>) -> Result<(), BackendError> {
        let mut rows = self.0.iter();
        rows.try_for_each(|((table, key), value)| visit(table, key, value))
    }
}

#[derive(Default)]
struct Filling(Rows);

impl Fill for Filling {
    fn put(&mut self, table: &str, key: &[u8], value: &[u8]) -> Result<(), BackendError> {
        self.0
            .insert((table.to_owned(), key.to_vec()), value.to_vec());
        Ok(())
    }

    fn write(&mut self, batch: &WriteBatch) -> Result<(), BackendError> {
        write(&mut self.0, batch);
        Ok(())
    }
}
