//! A backend of our own: a file of JSON that is written anew by each commit.
//!
//! Run it with `cargo run -p lease --features serde,testing --example a_backend`.
#![expect(clippy::print_stdout, reason = "an example talks")]

// ANCHOR: backend
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use lease::prelude::*;
use lease::{
    Backend, BackendError, Epoch, HostError, HostWrite, LeaseRow, LeaseWrite, Table, WriteBatch,
};
use serde::{Deserialize, Serialize};

struct JsonBackend {
    path: PathBuf,
    rows: Mutex<Rows>,
}

#[derive(Clone, Default, Deserialize, Serialize)]
struct Rows {
    epoch: Epoch,
    leases: BTreeMap<LeaseId, LeaseRow>,
    // Keys and values are any bytes, which `LeaseItem` writes as text.
    host: BTreeMap<Table, BTreeMap<LeaseItem, LeaseItem>>,
}

impl JsonBackend {
    fn open(path: &Path) -> io::Result<Self> {
        let rows = match fs::read(path) {
            Ok(text) => serde_json::from_slice(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Rows::default(),
            Err(error) => return Err(error),
        };
        Ok(Self {
            path: path.to_owned(),
            rows: Mutex::new(rows),
        })
    }

    /// The old file or the new one is there, whatever happens in between.
    fn write(&self, rows: &Rows) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec_pretty(rows)?)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)
    }
}

impl Backend for JsonBackend {
    fn commit(&self, batch: &WriteBatch) -> Result<(), BackendError> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = rows.clone();
        batch.leases().iter().for_each(|write| changed.lease(write));
        batch.host().iter().for_each(|write| changed.host(write));
        changed.epoch = batch.epoch().unwrap_or(rows.epoch);
        let written = self.write(&changed);
        written.map_err(|error| BackendError::Io(HostError::new(error)))?;
        *rows = changed; // only now it is to be seen
        Ok(())
    }

    fn load(&self, visit: &mut dyn FnMut(LeaseRow)) -> Result<Epoch, BackendError> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.leases.values().for_each(|row| visit(*row));
        Ok(rows.epoch)
    }

    fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let value = rows.host.get(table).and_then(|rows| rows.get(key));
        Ok(value.map(|value| value.as_bytes().to_vec()))
    }

    fn scan(&self, table: &Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), BackendError> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in rows.host.get(table).into_iter().flatten() {
            visit(key.as_bytes(), value.as_bytes());
        }
        Ok(())
    }
}

impl Rows {
    fn lease(&mut self, write: &LeaseWrite) {
        match write {
            LeaseWrite::Put(row) => drop(self.leases.insert(row.id, *row)),
            LeaseWrite::Delete(id) => drop(self.leases.remove(id)),
        }
    }

    fn host(&mut self, write: &HostWrite) {
        match write.clone() {
            HostWrite::Put { table, key, value } => {
                let rows = self.host.entry(table).or_default();
                rows.insert(key.into(), value.into());
            }
            HostWrite::Delete { table, key } => {
                if let Some(rows) = self.host.get_mut(&table) {
                    rows.remove(&*key);
                }
            }
            HostWrite::DeleteRange { table, start, end } => {
                let is_inside =
                    |key: &[u8]| key >= &*start && end.as_ref().is_none_or(|end| key < &**end);
                if let Some(rows) = self.host.get_mut(&table) {
                    rows.retain(|key, _| !is_inside(key.as_bytes()));
                }
            }
        }
    }
}
// ANCHOR_END: backend

// ANCHOR: main
fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::temp_dir().join(format!("leases-{}.json", std::process::id()));
    // The suite wants a fresh store for each property, and opens it more than once.
    let mut held = 0;
    for property in lease::backend::conformance::properties() {
        drop(fs::remove_file(&path));
        property.check(&|| JsonBackend::open(&path).expect("it opens"));
        held += 1;
    }
    println!("all properties hold: {}", held > 0);

    fs::remove_file(&path)?;
    let lessor = BackendLessor::standalone(Arc::new(JsonBackend::open(&path)?))?;
    lessor.grant(LeaseId::try_from(7)?, 60)?;
    drop(lessor);
    println!("{}", fs::read_to_string(&path)?);
    fs::remove_file(&path)?;
    Ok(())
}
// ANCHOR_END: main
