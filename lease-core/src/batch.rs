use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::{Epoch, LeaseId, LeaseRow};

/// Writes that a backend applies together or not at all.
///
/// The lessor puts a command's lease rows into it, the host its own rows: its keys, the index of
/// the applied log entry. Writes are blind: deleting what is not there is no error.
///
/// ```
/// use lease_core::{Table, WriteBatch};
///
/// let mut batch = WriteBatch::default();
/// batch.put(Table::new("meta"), "applied", 17_u64.to_be_bytes());
/// assert_eq!(batch.len(), 1);
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WriteBatch {
    leases: Vec<LeaseWrite>,
    host: Vec<HostWrite>,
    epoch: Option<Epoch>,
}

/// A change of one lease row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeaseWrite {
    /// Insert or replace the row.
    Put(LeaseRow),
    /// Remove the row of this id.
    Delete(LeaseId),
}

impl LeaseWrite {
    /// The id of the row.
    #[must_use]
    pub const fn id(&self) -> LeaseId {
        match self {
            Self::Put(row) => row.id,
            Self::Delete(id) => *id,
        }
    }
}

/// A change in a table of the host's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HostWrite {
    /// Insert or replace a row.
    Put {
        /// Where.
        table: Table,
        /// The row's key.
        key: Vec<u8>,
        /// The row's value.
        value: Vec<u8>,
    },
    /// Remove a row.
    Delete {
        /// Where.
        table: Table,
        /// The row's key.
        key: Vec<u8>,
    },
    /// Remove the rows whose key is at least `start` and below `end`.
    DeleteRange {
        /// Where.
        table: Table,
        /// The first key.
        start: Vec<u8>,
        /// Past the last key; `None` is to the end of the table.
        end: Option<Vec<u8>>,
    },
}

/// The name of a host's table in a backend.
///
/// It is not empty, because not every engine has a table without a name. The names `lease` and
/// `lease_meta` are the lessor's own.
///
/// ```
/// use lease_core::Table;
///
/// assert_eq!(Table::new("keys").name(), "keys");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
// Invariant: not empty, and none of `LESSOR_TABLES`.
pub struct Table(Cow<'static, str>);

impl Table {
    /// The table called `name`.
    ///
    /// # Panics
    ///
    /// If `name` is empty or one of the lessor's own tables.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        let name = name.into();
        assert!(!name.is_empty(), "a table needs a name");
        assert!(
            !LESSOR_TABLES.contains(&&*name),
            "table {name} belongs to the lessor"
        );
        Self(name)
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

const LESSOR_TABLES: [&str; 2] = ["lease", "lease_meta"];

impl WriteBatch {
    /// Inserts or replaces a row of the host's.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.host.push(HostWrite::Put {
            table,
            key: key.into(),
            value: value.into(),
        });
    }

    /// Removes a row of the host's.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.host.push(HostWrite::Delete {
            table,
            key: key.into(),
        });
    }

    /// Removes the rows of the host's from `start` up to but not including `end`.
    pub fn delete_range(&mut self, table: Table, start: impl Into<Vec<u8>>, end: Option<Vec<u8>>) {
        self.host.push(HostWrite::DeleteRange {
            table,
            start: start.into(),
            end,
        });
    }

    /// Inserts or replaces a lease row.
    pub fn put_lease(&mut self, row: LeaseRow) {
        self.leases.push(LeaseWrite::Put(row));
    }

    /// Removes a lease row.
    pub fn delete_lease(&mut self, id: LeaseId) {
        self.leases.push(LeaseWrite::Delete(id));
    }

    /// Stores the epoch.
    pub const fn put_epoch(&mut self, epoch: Epoch) {
        self.epoch = Some(epoch);
    }

    /// Adds the writes of `other` behind those of this batch and leaves `other` empty.
    pub fn append(&mut self, other: &mut Self) {
        self.leases.append(&mut other.leases);
        self.host.append(&mut other.host);
        self.epoch = other.epoch.take().or(self.epoch);
    }

    /// Keeps only the last write of each lease row and sorts them by id, which is the order that
    /// tree-shaped stores write fastest.
    pub fn coalesce(&mut self) {
        self.leases.reverse();
        self.leases.sort_by_key(LeaseWrite::id);
        self.leases.dedup_by_key(|write| write.id());
    }

    /// The writes of lease rows, to be applied in this order.
    #[must_use]
    pub fn leases(&self) -> &[LeaseWrite] {
        &self.leases
    }

    /// The writes of the host's, to be applied in this order.
    #[must_use]
    pub fn host(&self) -> &[HostWrite] {
        &self.host
    }

    /// The epoch to store, if any.
    #[must_use]
    pub const fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// How many writes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.leases.len() + self.host.len() + usize::from(self.epoch.is_some())
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ttl;

    fn row(number: i64, ttl: Ttl) -> LeaseRow {
        LeaseRow::new(LeaseId::new(number).expect("not zero"), ttl)
    }

    fn table() -> Table {
        Table::new("kv")
    }

    #[test]
    fn every_kind_of_write_counts() {
        let mut batch = WriteBatch::default();
        assert!(batch.is_empty());
        batch.put_epoch(Epoch::ZERO);
        assert_eq!((batch.len(), batch.is_empty()), (1, false));
        for number in 1..=3 {
            batch.put_lease(row(number, Ttl::MIN));
        }
        batch.put(table(), "a", "b");
        batch.delete(table(), "c");
        assert_eq!(batch.len(), 6);
        assert_eq!(table().name(), "kv");
        let mut all = WriteBatch::default();
        all.delete_range(table(), "d", None);
        all.put_epoch(Epoch::new(7));
        all.append(&mut batch);
        assert!(batch.is_empty(), "it was moved");
        assert_eq!(all.len(), 7);
        assert_eq!(all.epoch(), Some(Epoch::ZERO), "the later one");
        let tables = all.host().iter().map(|write| match write {
            HostWrite::DeleteRange { start, .. } => &**start,
            HostWrite::Put { key, .. } | HostWrite::Delete { key, .. } => &**key,
        });
        assert!(tables.eq([b"d", b"a", b"c"]), "in the order of the calls");
        all.append(&mut WriteBatch::default());
        assert_eq!(all.epoch(), Some(Epoch::ZERO), "nothing is not an epoch");
    }

    #[test]
    fn the_last_write_of_a_lease_stays() {
        let mut batch = WriteBatch::default();
        batch.put_lease(row(2, Ttl::MIN));
        batch.put_lease(row(1, Ttl::MIN));
        batch.delete_lease(row(2, Ttl::MIN).id);
        batch.put_lease(row(1, Ttl::MAX));
        batch.coalesce();
        let expected = [
            LeaseWrite::Put(row(1, Ttl::MAX)),
            LeaseWrite::Delete(row(2, Ttl::MIN).id),
        ];
        assert_eq!(batch.leases(), expected);
    }

    #[test]
    #[should_panic(expected = "a table needs a name")]
    fn a_table_needs_a_name() {
        let _ = Table::new("");
    }

    #[test]
    #[should_panic(expected = "belongs to the lessor")]
    fn the_lessors_tables_are_its_own() {
        let _ = Table::new("lease");
    }
}
