use alloc::borrow::Cow;
#[cfg(feature = "serde")]
use alloc::string::String;
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct WriteBatch {
    leases: Vec<LeaseWrite>,
    host: Vec<HostWrite>,
    epoch: Option<Epoch>,
}

/// A change of one lease row.
///
/// ```
/// # use lease_core::{LeaseId, LeaseRow, LeaseWrite, Ttl, WriteBatch};
/// # use std::collections::BTreeMap;
/// # let mut batch = WriteBatch::default();
/// # batch.put_lease(LeaseRow::new(LeaseId::try_from(7)?, Ttl::new(60)?));
/// // How a backend applies them.
/// let mut rows = BTreeMap::new();
/// for write in batch.leases() {
///     match write {
///         LeaseWrite::Put(row) => rows.insert(row.id, *row),
///         LeaseWrite::Delete(id) => rows.remove(id),
///     };
/// }
/// assert_eq!(rows.len(), 1);
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum LeaseWrite {
    /// Insert or replace the row.
    Put(LeaseRow),
    /// Remove the row of this id.
    Delete(LeaseId),
}

impl LeaseWrite {
    /// The id of the row.
    ///
    /// ```
    /// # use lease_core::{LeaseId, LeaseRow, LeaseWrite, Ttl};
    /// # let id = LeaseId::try_from(7)?;
    /// let put = LeaseWrite::Put(LeaseRow::new(id, Ttl::new(60)?));
    /// assert_eq!(put.id(), LeaseWrite::Delete(id).id());
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn id(&self) -> LeaseId {
        match self {
            Self::Put(row) => row.id,
            Self::Delete(id) => *id,
        }
    }
}

/// A change in a table of the host's.
///
/// ```
/// # use lease_core::{HostWrite, Table, WriteBatch};
/// # use std::collections::BTreeMap;
/// # let mut batch = WriteBatch::default();
/// # batch.put(Table::new("kv"), "a", "b");
/// // How a backend with one table applies them.
/// let mut rows = BTreeMap::new();
/// for write in batch.host().iter().cloned() {
///     match write {
///         HostWrite::Put { key, value, .. } => drop(rows.insert(key, value)),
///         HostWrite::Delete { key, .. } => drop(rows.remove(&key)),
///         HostWrite::DeleteRange { start, end, .. } => {
///             rows.retain(|key, _| *key < start || end.as_ref().is_some_and(|end| key >= end));
///         }
///     }
/// }
/// assert_eq!(rows.len(), 1);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum HostWrite {
    /// Insert or replace a row.
    Put {
        /// Where.
        table: Table,
        /// The row's key.
        #[cfg_attr(feature = "serde", serde(with = "crate::formats::bytes"))]
        key: Vec<u8>,
        /// The row's value.
        #[cfg_attr(feature = "serde", serde(with = "crate::formats::bytes"))]
        value: Vec<u8>,
    },
    /// Remove a row.
    Delete {
        /// Where.
        table: Table,
        /// The row's key.
        #[cfg_attr(feature = "serde", serde(with = "crate::formats::bytes"))]
        key: Vec<u8>,
    },
    /// Remove the rows whose key is at least `start` and below `end`.
    DeleteRange {
        /// Where.
        table: Table,
        /// The first key.
        #[cfg_attr(feature = "serde", serde(with = "crate::formats::bytes"))]
        start: Vec<u8>,
        /// Past the last key; `None` is to the end of the table.
        #[cfg_attr(feature = "serde", serde(with = "crate::formats::maybe_bytes"))]
        end: Option<Vec<u8>>,
    },
}

impl HostWrite {
    /// The table that it changes.
    ///
    /// ```
    /// # use lease_core::{Table, WriteBatch};
    /// let mut batch = WriteBatch::default();
    /// batch.delete(Table::new("kv"), "a");
    /// assert_eq!(batch.host()[0].table().name(), "kv");
    /// ```
    #[must_use]
    pub const fn table(&self) -> &Table {
        match self {
            Self::Put { table, .. }
            | Self::Delete { table, .. }
            | Self::DeleteRange { table, .. } => table,
        }
    }
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
    ///
    /// ```
    /// use lease_core::Table;
    ///
    /// let tenant = 12;
    /// assert_eq!(Table::new(format!("kv-{tenant}")).name(), "kv-12");
    /// ```
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

    /// As [`new`](Self::new), or `None` for a name that no table of a host's has.
    #[cfg(feature = "serde")]
    pub(crate) fn try_new(name: String) -> Option<Self> {
        let is_free = !name.is_empty() && !LESSOR_TABLES.contains(&&*name);
        is_free.then(|| Self(name.into()))
    }

    /// The name.
    ///
    /// ```
    /// use lease_core::Table;
    ///
    /// assert_eq!(Table::new("kv").name(), "kv");
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

const LESSOR_TABLES: [&str; 2] = ["lease", "lease_meta"];

impl WriteBatch {
    /// Inserts or replaces a row of the host's.
    ///
    /// ```
    /// # use lease_core::{HostWrite, Table, WriteBatch};
    /// let mut batch = WriteBatch::default();
    /// batch.put(Table::new("kv"), "services/web/1", "10.0.0.7");
    /// assert!(matches!(&batch.host()[0], HostWrite::Put { value, .. } if value == b"10.0.0.7"));
    /// ```
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.host.push(HostWrite::Put {
            table,
            key: key.into(),
            value: value.into(),
        });
    }

    /// Removes a row of the host's.
    ///
    /// ```
    /// # use lease_core::{HostWrite, Table, WriteBatch};
    /// let mut batch = WriteBatch::default();
    /// batch.delete(Table::new("kv"), "services/web/1");
    /// let [HostWrite::Delete { key, .. }] = batch.host() else { panic!("one write") };
    /// assert_eq!(key, b"services/web/1");
    /// ```
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.host.push(HostWrite::Delete {
            table,
            key: key.into(),
        });
    }

    /// Removes the rows of the host's from `start` up to but not including `end`; without an `end`
    /// to the end of the table.
    ///
    /// ```
    /// # use lease_core::{Table, WriteBatch};
    /// let mut batch = WriteBatch::default();
    /// batch.delete_range(Table::new("kv"), "services/", Some(b"services0".to_vec()));
    /// batch.delete_range(Table::new("sessions"), "", None); // all rows
    /// assert_eq!(batch.len(), 2);
    /// ```
    pub fn delete_range(&mut self, table: Table, start: impl Into<Vec<u8>>, end: Option<Vec<u8>>) {
        self.host.push(HostWrite::DeleteRange {
            table,
            start: start.into(),
            end,
        });
    }

    /// Inserts or replaces a lease row.
    ///
    /// ```
    /// # use lease_core::{LeaseId, LeaseRow, LeaseWrite, Ttl, WriteBatch};
    /// let row = LeaseRow::new(LeaseId::try_from(7)?, Ttl::new(60)?);
    /// let mut batch = WriteBatch::default();
    /// batch.put_lease(row);
    /// assert_eq!(batch.leases(), [LeaseWrite::Put(row)]);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn put_lease(&mut self, row: LeaseRow) {
        self.leases.push(LeaseWrite::Put(row));
    }

    /// Removes a lease row.
    ///
    /// ```
    /// # use lease_core::{LeaseId, LeaseWrite, WriteBatch};
    /// let mut batch = WriteBatch::default();
    /// batch.delete_lease(LeaseId::try_from(7)?);
    /// assert_eq!(batch.leases(), [LeaseWrite::Delete(LeaseId::try_from(7)?)]);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn delete_lease(&mut self, id: LeaseId) {
        self.leases.push(LeaseWrite::Delete(id));
    }

    /// Stores the epoch; a later one in the same batch takes its place.
    ///
    /// ```
    /// # use lease_core::{Epoch, WriteBatch};
    /// let mut batch = WriteBatch::default();
    /// batch.put_epoch(Epoch::new(3));
    /// batch.put_epoch(Epoch::new(4));
    /// assert_eq!((batch.epoch(), batch.len()), (Some(Epoch::new(4)), 1));
    /// ```
    pub const fn put_epoch(&mut self, epoch: Epoch) {
        self.epoch = Some(epoch);
    }

    /// Adds the writes of `other` behind those of this batch and leaves `other` empty.
    ///
    /// ```
    /// # use lease_core::{Table, WriteBatch};
    /// let (mut batch, mut other) = (WriteBatch::default(), WriteBatch::default());
    /// batch.put(Table::new("kv"), "a", "1");
    /// other.delete(Table::new("kv"), "a");
    /// batch.append(&mut other);
    /// assert_eq!((batch.len(), other.len()), (2, 0), "the row is gone in the end");
    /// ```
    pub fn append(&mut self, other: &mut Self) {
        self.leases.append(&mut other.leases);
        self.host.append(&mut other.host);
        self.epoch = other.epoch.take().or(self.epoch);
    }

    /// Keeps only the last write of each lease row and sorts them by id, which is the order that
    /// tree-shaped stores write fastest. The host's writes stay as they are. O(n log n).
    ///
    /// ```
    /// # use lease_core::{LeaseId, LeaseRow, LeaseWrite, Ttl, WriteBatch};
    /// let id = LeaseId::try_from(7)?;
    /// let mut batch = WriteBatch::default();
    /// batch.put_lease(LeaseRow::new(id, Ttl::new(60)?));
    /// batch.delete_lease(id);
    /// batch.coalesce();
    /// assert_eq!(batch.leases(), [LeaseWrite::Delete(id)]);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn coalesce(&mut self) {
        self.leases.reverse();
        self.leases.sort_by_key(LeaseWrite::id);
        self.leases.dedup_by_key(|write| write.id());
    }

    /// The writes of lease rows, to be applied in this order.
    ///
    /// ```
    /// # use lease_core::{LeaseId, LeaseWrite, WriteBatch};
    /// let mut batch = WriteBatch::default();
    /// batch.delete_lease(LeaseId::try_from(7)?);
    /// for write in batch.leases() {
    ///     assert!(matches!(write, LeaseWrite::Delete(_)));
    /// }
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn leases(&self) -> &[LeaseWrite] {
        &self.leases
    }

    /// The writes of the host's, to be applied in this order.
    ///
    /// ```
    /// # use lease_core::{Table, WriteBatch};
    /// let mut batch = WriteBatch::default();
    /// batch.put(Table::new("meta"), "applied", 17_u64.to_be_bytes());
    /// assert_eq!((batch.host().len(), batch.leases().len()), (1, 0));
    /// ```
    #[must_use]
    pub fn host(&self) -> &[HostWrite] {
        &self.host
    }

    /// The epoch to store, if any.
    ///
    /// ```
    /// # use lease_core::{Epoch, WriteBatch};
    /// let mut batch = WriteBatch::default();
    /// assert_eq!(batch.epoch(), None, "the stored one stays");
    /// batch.put_epoch(Epoch::new(3));
    /// assert_eq!(batch.epoch(), Some(Epoch::new(3)));
    /// ```
    #[must_use]
    pub const fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// How many writes.
    ///
    /// ```
    /// # use lease_core::{Epoch, LeaseId, Table, WriteBatch};
    /// let mut batch = WriteBatch::default();
    /// batch.delete_lease(LeaseId::try_from(7)?);
    /// batch.delete(Table::new("kv"), "a");
    /// batch.put_epoch(Epoch::new(3));
    /// assert_eq!(batch.len(), 3);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.leases.len() + self.host.len() + usize::from(self.epoch.is_some())
    }

    /// Whether there is nothing to write.
    ///
    /// ```
    /// # use lease_core::{Epoch, WriteBatch};
    /// let mut batch = WriteBatch::default();
    /// assert!(batch.is_empty());
    /// batch.put_epoch(Epoch::ZERO);
    /// assert!(!batch.is_empty());
    /// ```
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
