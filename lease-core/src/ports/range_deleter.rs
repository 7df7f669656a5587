use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::{BoxError, Table, WriteBatch};

/// Makes the deletes of the keys of a revoked lease part of the revoke's own transaction.
///
/// It is called without any lock of the lessor held, and may call the lessor's queries.
///
/// ```
/// # use lease_core::{BoxError, Deleted, RangeDeleter, Table, TxnDelete, WriteBatch};
/// /// Keeps a tombstone of each key instead of the key.
/// struct Tombstones;
///
/// struct Txn<'t>(&'t mut WriteBatch);
///
/// impl RangeDeleter for Tombstones {
///     fn begin<'t>(
///         &'t self,
///         batch: &'t mut WriteBatch,
///     ) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
///         Ok(Box::new(Txn(batch)))
///     }
/// }
///
/// impl TxnDelete for Txn<'_> {
///     fn delete_range(&mut self, key: &[u8], _: Option<&[u8]>) -> Result<Deleted, BoxError> {
///         self.0.put(Table::new("kv"), key, "");
///         Ok(Deleted { keys: 1, ..Deleted::default() })
///     }
///     fn end(self: Box<Self>) -> Result<(), BoxError> {
///         Ok(())
///     }
/// }
/// # let mut batch = WriteBatch::default();
/// # Tombstones.begin(&mut batch)?.delete_range(b"a", None)?;
/// # assert_eq!(batch.len(), 1);
/// # Ok::<(), BoxError>(())
/// ```
pub trait RangeDeleter: Send + Sync {
    /// Starts deleting: what is put into `batch` is committed with the lease row, or not at all. Rows that
    /// are the lessor's own refuse the revoke ([`ReservedRows`](crate::LeaseError::ReservedRows)).
    ///
    /// # Errors
    ///
    /// An error refuses the revoke and is its cause.
    ///
    /// ```
    /// # use lease_core::{BoxError, RangeDeleter, Table, TableDeleter, WriteBatch};
    /// let deleter = TableDeleter::new(Table::new("kv"));
    /// let mut batch = WriteBatch::default();
    /// let mut deletes = deleter.begin(&mut batch)?;
    /// deletes.delete_range(b"services/web/1", None)?;
    /// deletes.end()?;
    /// assert_eq!(batch.len(), 1);
    /// # Ok::<(), BoxError>(())
    /// ```
    fn begin<'t>(&'t self, batch: &'t mut WriteBatch) -> Result<Box<dyn TxnDelete + 't>, BoxError>;
}

/// A transaction of the host's that can only delete.
pub trait TxnDelete {
    /// Deletes the keys from `key` up to but not including `end`; without an `end` the one key.
    /// The lessor calls it with each item of the lease in sorted order, so that the stores of all
    /// members get the same bytes.
    ///
    /// # Errors
    ///
    /// An error refuses the revoke and is its cause.
    ///
    /// ```
    /// # use lease_core::{BoxError, HostWrite, RangeDeleter, Table, TableDeleter, WriteBatch};
    /// # let deleter = TableDeleter::new(Table::new("kv"));
    /// # let mut batch = WriteBatch::default();
    /// # let mut deletes = deleter.begin(&mut batch)?;
    /// deletes.delete_range(b"a", None)?; // the key `a`
    /// deletes.delete_range(b"b", Some(b"d"))?; // the keys from `b` to before `d`
    /// # deletes.end()?;
    /// # assert!(matches!(batch.host()[1], HostWrite::DeleteRange { .. }));
    /// # Ok::<(), BoxError>(())
    /// ```
    fn delete_range(&mut self, key: &[u8], end: Option<&[u8]>) -> Result<Deleted, BoxError>;

    /// Ends the transaction after the last delete. Not called after an error.
    ///
    /// # Errors
    ///
    /// An error refuses the revoke and is its cause.
    ///
    /// ```
    /// # use lease_core::{BoxError, RangeDeleter, Table, TableDeleter, WriteBatch};
    /// # let deleter = TableDeleter::new(Table::new("kv"));
    /// # let mut batch = WriteBatch::default();
    /// let mut deletes = deleter.begin(&mut batch)?;
    /// for key in ["a", "b"] {
    ///     deletes.delete_range(key.as_bytes(), None)?;
    /// }
    /// deletes.end()?; // the batch is the caller's again
    /// assert_eq!(batch.len(), 2);
    /// # Ok::<(), BoxError>(())
    /// ```
    fn end(self: Box<Self>) -> Result<(), BoxError>;
}

/// What a [`TxnDelete`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Deleted {
    /// How many keys, as far as the host knows.
    pub keys: u64,
    /// The host's revision after it.
    pub revision: i64,
}

/// Deletes the items of a revoked lease from one table of the lessor's own backend: the range
/// deleter of a host that keeps its keys there.
///
/// ```
/// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend, Table, TableDeleter};
/// # use lease_core::WriteBatch;
/// # use std::sync::Arc;
/// let kv = Table::new("kv");
/// let lessor = BackendLessor::builder(Arc::new(NullBackend))
///     .range_deleter(Arc::new(TableDeleter::new(kv.clone())))
///     .build()?;
/// let id = LeaseId::try_from(7)?;
/// lessor.grant(id, 60)?;
/// let mut writes = WriteBatch::default();
/// writes.put(kv, "services/web/1", "10.0.0.7");
/// lessor.attach_with(id, &["services/web/1".into()], writes)?;
/// lessor.revoke(id)?; // deletes the row too, in the same commit
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TableDeleter {
    table: Table,
}

impl TableDeleter {
    /// Deletes from `table`.
    ///
    /// ```
    /// # use lease_core::{BoxError, RangeDeleter, Table, TableDeleter, WriteBatch};
    /// let deleter = TableDeleter::new(Table::new("kv"));
    /// let mut batch = WriteBatch::default();
    /// deleter.begin(&mut batch)?.delete_range(b"services/web/1", None)?;
    /// assert_eq!(batch.host().len(), 1);
    /// # Ok::<(), BoxError>(())
    /// ```
    #[must_use]
    pub const fn new(table: Table) -> Self {
        Self { table }
    }
}

impl RangeDeleter for TableDeleter {
    fn begin<'t>(&'t self, batch: &'t mut WriteBatch) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
        Ok(Box::new(TableDelete {
            table: &self.table,
            batch,
        }))
    }
}

struct TableDelete<'t> {
    table: &'t Table,
    batch: &'t mut WriteBatch,
}

impl TxnDelete for TableDelete<'_> {
    fn delete_range(&mut self, key: &[u8], end: Option<&[u8]>) -> Result<Deleted, BoxError> {
        match end {
            None => self.batch.delete(self.table.clone(), key),
            Some(end) => self
                .batch
                .delete_range(self.table.clone(), key, Some(Vec::from(end))),
        }
        Ok(Deleted::default())
    }

    fn end(self: Box<Self>) -> Result<(), BoxError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HostWrite;

    #[test]
    fn keys_and_ranges_are_deleted_from_the_table() {
        let table = Table::new("kv");
        let mut batch = WriteBatch::default();
        let deleter = TableDeleter::new(table.clone());
        let mut deletes = deleter.begin(&mut batch).expect("it cannot fail");
        deletes.delete_range(b"a", None).expect("it cannot fail");
        deletes
            .delete_range(b"b", Some(b"d"))
            .expect("it cannot fail");
        deletes.end().expect("it cannot fail");
        let expected = [
            HostWrite::Delete {
                table: table.clone(),
                key: Vec::from(b"a"),
            },
            HostWrite::DeleteRange {
                table,
                start: Vec::from(b"b"),
                end: Some(Vec::from(b"d")),
            },
        ];
        assert_eq!(batch.host(), expected);
    }
}
