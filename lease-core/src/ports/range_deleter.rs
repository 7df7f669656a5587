use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::{BoxError, Table, WriteBatch};

/// Makes the deletes of the keys of a revoked lease part of the revoke's own transaction.
///
/// It is called without any lock of the lessor held, and may call the lessor's queries.
pub trait RangeDeleter: Send + Sync {
    /// Starts deleting: what is put into `batch` is committed with the lease row, or not at all.
    ///
    /// # Errors
    ///
    /// An error refuses the revoke and is its cause.
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
    fn delete_range(&mut self, key: &[u8], end: Option<&[u8]>) -> Result<Deleted, BoxError>;

    /// Ends the transaction after the last delete. Not called after an error.
    ///
    /// # Errors
    ///
    /// An error refuses the revoke and is its cause.
    fn end(self: Box<Self>) -> Result<(), BoxError>;
}

/// What a [`TxnDelete`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Deleted {
    /// How many keys, as far as the host knows.
    pub keys: u64,
    /// The host's revision after it.
    pub revision: i64,
}

/// Deletes the items of a revoked lease from one table of the lessor's own backend: the range
/// deleter of a host that keeps its keys there.
#[derive(Clone, Debug)]
pub struct TableDeleter {
    table: Table,
}

impl TableDeleter {
    /// Deletes from `table`.
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
