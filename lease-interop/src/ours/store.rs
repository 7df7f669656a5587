use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use lease_backend::{MemoryBackend, RedbBackend};
use lease_core::Backend;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tempfile::TempDir;

use crate::trace::Row;

/// Where our lessor keeps its rows.
pub(crate) trait Store {
    fn name(&self) -> &'static str;

    /// The rows as they were left.
    fn open(&mut self) -> Result<Arc<dyn Backend>>;

    /// What was opened, a second time.
    fn again(&mut self) -> Result<Arc<dyn Backend>>;

    /// Nobody has it open any more.
    fn close(&mut self);

    /// The key and value of each row, in the order of the keys' bytes.
    fn rows(&mut self) -> Result<Vec<Row>>;

    /// Another store of this kind, with these rows.
    fn other(&self, rows: &[Row]) -> Result<Arc<dyn Backend>>;
}

#[derive(Default)]
pub(crate) struct MemoryStore(MemoryBackend);

impl Store for MemoryStore {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn open(&mut self) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(self.0.clone()))
    }

    fn again(&mut self) -> Result<Arc<dyn Backend>> {
        self.open()
    }

    fn close(&mut self) {}

    fn rows(&mut self) -> Result<Vec<Row>> {
        Ok(self.0.dump())
    }

    fn other(&self, rows: &[Row]) -> Result<Arc<dyn Backend>> {
        let other = MemoryBackend::new();
        other.put_dump(rows.iter().cloned())?;
        Ok(Arc::new(other))
    }
}

/// A file of redb's.
pub(crate) struct RedbStore {
    folder: TempDir,
    backend: Option<Arc<RedbBackend>>,
}

const LEASE: TableDefinition<'static, [u8; 8], &'static [u8]> = TableDefinition::new("lease");

impl RedbStore {
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        Ok(Self {
            folder,
            backend: None,
        })
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("leases.redb")
    }
}

impl Store for RedbStore {
    fn name(&self) -> &'static str {
        "redb"
    }

    fn open(&mut self) -> Result<Arc<dyn Backend>> {
        let backend = Arc::new(RedbBackend::open(self.path())?);
        self.backend = Some(backend.clone());
        Ok(backend)
    }

    fn again(&mut self) -> Result<Arc<dyn Backend>> {
        Ok(self.backend.clone().context("it is open")?)
    }

    fn close(&mut self) {
        self.backend = None;
    }

    fn rows(&mut self) -> Result<Vec<Row>> {
        // A copy, since the lessor has the file open.
        let copy = self.folder.path().join("copy.redb");
        std::fs::copy(self.path(), &copy)?;
        let database = Database::open(&copy)?;
        let transaction = database.begin_read()?;
        let table = transaction.open_table(LEASE)?;
        let rows = table.iter()?.map(|entry| {
            let (key, value) = entry?;
            Ok((key.value(), value.value().to_vec()))
        });
        rows.collect()
    }

    fn other(&self, rows: &[Row]) -> Result<Arc<dyn Backend>> {
        let path = self.folder.path().join("other.redb");
        if path.exists() {
            std::fs::remove_file(&path)?;
        }
        drop(RedbBackend::open(&path)?);
        let database = Database::open(&path)?;
        let transaction = database.begin_write()?;
        for (key, value) in rows {
            let mut table = transaction.open_table(LEASE)?;
            table.insert(key, value.as_slice())?;
        }
        transaction.commit()?;
        drop(database);
        Ok(Arc::new(RedbBackend::open(&path)?))
    }
}
