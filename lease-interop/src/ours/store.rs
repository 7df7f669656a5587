use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use lease_backend::{MemoryBackend, RedbBackend};
use lease_core::Backend;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tempfile::TempDir;

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
}

pub(crate) type Row = ([u8; 8], Vec<u8>);

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
}
