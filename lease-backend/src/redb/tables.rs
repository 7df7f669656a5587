use lease_core::Table;
use redb::TableDefinition;

pub(super) const LEASE: TableDefinition<'static, [u8; 8], &'static [u8]> =
    TableDefinition::new("lease");

pub(super) const META: TableDefinition<'static, &'static str, u64> =
    TableDefinition::new("lease_meta");

/// The row of [`META`] that says how to read the other tables.
pub(super) const FORMAT: &str = "format";

/// The row of [`META`] with the epoch, absent before the first promotion.
pub(super) const EPOCH: &str = "epoch";

/// The rows of [`META`] with the two halves of the id that tells this store from others. Versions
/// of this crate that do not know them leave them alone.
pub(super) const STORE_HIGH: &str = "store_high";
pub(super) const STORE_LOW: &str = "store_low";

/// The value of [`FORMAT`] that this version writes, and the newest that it reads.
pub(super) const FORMAT_VERSION: u64 = 1;

/// The first key of a negative id; in a table ordered by unsigned bytes they come last.
pub(super) const FIRST_NEGATIVE: [u8; 8] = i64::MIN.to_be_bytes();

/// How redb calls a host's table, whose name is not empty: redb has no table without one.
pub(super) fn host_table(table: &Table) -> TableDefinition<'_, &'static [u8], &'static [u8]> {
    bytes_table(table.name())
}

/// A table of bytes. Its name is not empty.
pub(super) const fn bytes_table(name: &str) -> TableDefinition<'_, &'static [u8], &'static [u8]> {
    TableDefinition::new(name)
}
