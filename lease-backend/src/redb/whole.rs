//! The state as a whole: all tables of the lessor's and the host's, read and replaced.

use lease_core::{BackendError, WriteBatch};
use redb::{ReadTransaction, ReadableTable, Table, TableHandle, WriteTransaction};

use super::apply::apply_recording;
use super::failure::Failure;
use super::tables::{EPOCH, LEASE, META, bytes_table};
use crate::row;

/// Visits every row of the lessor's tables and of the host's tables of bytes, but for those in
/// `but`: table by table in the order of their names, rows in the order of their keys. The epoch is
/// the row `epoch` of `lease_meta`, eight bytes big-endian.
///
/// O(n).
///
/// # Errors
///
/// The first that `visit` returns; [`BackendError::Foreign`] for a table that is not of bytes and not
/// in `but`; and the errors of redb.
///
/// ```
/// use lease_backend::RedbBackend;
/// use lease_backend::redb::visit;
/// use lease_core::{Backend, Epoch, Table, WriteBatch};
///
/// let dir = tempfile::tempdir()?;
/// let backend = RedbBackend::open(dir.path().join("leases.redb"))?;
/// let mut batch = WriteBatch::default();
/// batch.put(Table::new("kv"), "a", "1");
/// batch.put_epoch(Epoch::new(3));
/// backend.commit(&batch)?;
///
/// let mut tables = Vec::new();
/// let view = backend.view()?;
/// visit(view.transaction(), &[], &mut |table, _, _| Ok(tables.push(table.to_owned())))?;
/// assert_eq!(tables, ["kv", "lease_meta"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn visit(
    transaction: &ReadTransaction,
    but: &[&str],
    visit: &mut VisitRow<'_>,
) -> Result<(), BackendError> {
    visit_rows(transaction, but, visit).map_err(|failure| failure.error)
}

/// Sees a row: the name of its table, its key and its value.
pub type VisitRow<'v> = dyn FnMut(&str, &[u8], &[u8]) -> Result<(), BackendError> + 'v;

fn visit_rows(
    transaction: &ReadTransaction,
    but: &[&str],
    visit: &mut VisitRow<'_>,
) -> Result<(), Failure> {
    let mut names: Vec<String> = transaction
        .list_tables()?
        .map(|table| table.name().to_owned())
        .filter(|name| !but.contains(&name.as_str()))
        .collect();
    names.sort_unstable();
    for name in &names {
        if name == LEASE.name() {
            for entry in transaction.open_table(LEASE)?.iter()? {
                let (key, value) = entry?;
                visit(name, &key.value(), value.value())?;
            }
        } else if name == META.name() {
            if let Some(epoch) = transaction.open_table(META)?.get(EPOCH)? {
                visit(name, EPOCH.as_bytes(), &epoch.value().to_be_bytes())?;
            }
        } else {
            for entry in transaction.open_table(bytes_table(name))?.iter()? {
                let (key, value) = entry?;
                visit(name, key.value(), value.value())?;
            }
        }
    }
    Ok(())
}

/// Replaces, in a write transaction of the host's, what [`visit`] visits.
///
/// ```
/// use lease_backend::RedbBackend;
/// use lease_backend::redb::Refill;
/// use lease_core::{Backend, Table, WriteBatch};
///
/// let dir = tempfile::tempdir()?;
/// let (backend, kv) = (RedbBackend::open(dir.path().join("leases.redb"))?, Table::new("kv"));
/// let mut batch = WriteBatch::default();
/// batch.put(kv.clone(), "old", "1");
/// backend.commit(&batch)?;
/// backend.write(|transaction| {
///     let mut refill = Refill::begin(transaction, &[])?;
///     refill.put("kv", b"new", b"2")?;
///     refill.write(&WriteBatch::default())
/// })?;
/// assert_eq!(backend.get(&kv, b"old")?, None);
/// assert_eq!(backend.get(&kv, b"new")?, Some(b"2".to_vec()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Refill<'t> {
    transaction: &'t WriteTransaction,
    but: Vec<String>,
    open: Option<Open<'t>>,
}

/// The table that the last row went to.
enum Open<'t> {
    Lease(Table<'t, [u8; 8], &'static [u8]>),
    Host(String, Table<'t, &'static [u8], &'static [u8]>),
}

impl<'t> Refill<'t> {
    /// Empties all tables but those in `but`, and keeps which store it is. No table may be open in
    /// the transaction.
    ///
    /// # Errors
    ///
    /// Those of redb.
    ///
    /// ```
    /// use lease_backend::RedbBackend;
    /// use lease_backend::redb::Refill;
    /// use lease_core::{Backend, Epoch, WriteBatch};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let backend = RedbBackend::open(dir.path().join("leases.redb"))?;
    /// let mut batch = WriteBatch::default();
    /// batch.put_epoch(Epoch::new(3));
    /// backend.commit(&batch)?;
    /// backend.write(|transaction| Refill::begin(transaction, &[]).map(drop))?;
    /// assert_eq!(backend.load(&mut |_| {})?, Epoch::ZERO);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn begin(transaction: &'t WriteTransaction, but: &[&str]) -> Result<Self, Failure> {
        let tables: Vec<_> = transaction.list_tables()?.collect();
        for table in tables {
            if table.name() == META.name() {
                transaction.open_table(META)?.remove(EPOCH)?;
            } else if !but.contains(&table.name()) {
                transaction.delete_table(table)?;
            }
        }
        transaction.open_table(LEASE)?;
        Ok(Self {
            transaction,
            but: but.iter().map(|name| (*name).to_owned()).collect(),
            open: None,
        })
    }

    /// Puts a row as [`visit`] has brought it. O(log n), and fastest table by table.
    ///
    /// # Errors
    ///
    /// [`BackendError::Damaged`] if `visit` does not bring such a row; and the errors of redb.
    ///
    /// ```
    /// use lease_backend::RedbBackend;
    /// use lease_backend::redb::Refill;
    /// use lease_core::BackendError;
    ///
    /// let dir = tempfile::tempdir()?;
    /// let backend = RedbBackend::open(dir.path().join("leases.redb"))?;
    /// let refilled = backend.write(|transaction| {
    ///     Refill::begin(transaction, &[])?.put("lease", b"seven", b"")
    /// });
    /// assert!(matches!(refilled, Err(BackendError::Damaged(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn put(&mut self, table: &str, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        if table == META.name() {
            let epoch = value.try_into().ok().filter(|_| key == EPOCH.as_bytes());
            let epoch = epoch.ok_or_else(|| strange(table, "no such row"))?;
            let mut meta = self.transaction.open_table(META)?;
            meta.insert(EPOCH, u64::from_be_bytes(epoch))?;
            return Ok(());
        }
        match self.table(table)? {
            Open::Lease(leases) => {
                let key = key
                    .try_into()
                    .map_err(|_| strange(table, "a key that is no id"))?;
                row::decode(key, value, &mut |_| {})?;
                leases.insert(key, value)?;
            }
            Open::Host(_, rows) => {
                rows.insert(key, value)?;
            }
        }
        Ok(())
    }

    /// Writes a batch on top of the rows.
    ///
    /// # Errors
    ///
    /// Those of redb.
    ///
    /// ```
    /// use lease_backend::RedbBackend;
    /// use lease_backend::redb::Refill;
    /// use lease_core::{Backend, Epoch, WriteBatch};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let backend = RedbBackend::open(dir.path().join("leases.redb"))?;
    /// let mut batch = WriteBatch::default();
    /// batch.put_epoch(Epoch::new(3));
    /// backend.write(|transaction| Refill::begin(transaction, &[])?.write(&batch))?;
    /// assert_eq!(backend.load(&mut |_| {})?, Epoch::new(3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write(&mut self, batch: &WriteBatch) -> Result<(), Failure> {
        self.open = None;
        apply_recording(self.transaction, batch, &mut None)
    }

    fn table(&mut self, name: &str) -> Result<&mut Open<'t>, Failure> {
        let is_open = match &self.open {
            Some(Open::Lease(_)) => name == LEASE.name(),
            Some(Open::Host(open, _)) => open == name,
            None => false,
        };
        if !is_open {
            self.open = None;
            self.open = Some(self.opened(name)?);
        }
        Ok(self.open.as_mut().expect("it was opened above"))
    }

    fn opened(&self, name: &str) -> Result<Open<'t>, Failure> {
        if name == LEASE.name() {
            return Ok(Open::Lease(self.transaction.open_table(LEASE)?));
        }
        if name.is_empty() || self.but.iter().any(|but| but == name) {
            return Err(strange(name, "the table is not of the state"));
        }
        let rows = self.transaction.open_table(bytes_table(name))?;
        Ok(Open::Host(name.to_owned(), rows))
    }
}

impl std::fmt::Debug for Refill<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refill").field("but", &self.but).finish()
    }
}

fn strange(table: &str, why: &str) -> Failure {
    BackendError::Damaged(format!("a row for table {table:?}: {why}")).into()
}
