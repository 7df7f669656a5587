use lease_core::{BackendError, Epoch, LeaseRow, StrangeRow, Table};
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, TableError};

use super::failure::Failure;
use super::tables::{EPOCH, FIRST_NEGATIVE, LEASE, META, host_table};
use crate::row;

/// What [`Backend::load_telling`](lease_core::Backend::load_telling) does, in a read transaction of
/// the host's: calls `visit` with every lease row by ascending id, and `strange` with what is not as a
/// lessor writes it, and returns the stored epoch.
///
/// O(n).
///
/// # Errors
///
/// [`BackendError::Damaged`] if a row does not decode, and the errors of redb.
///
/// ```
/// use lease_backend::redb::load;
/// use lease_core::Epoch;
/// use redb::ReadableDatabase;
///
/// let storage = redb::backends::InMemoryBackend::new();
/// let database = redb::Builder::new().create_with_backend(storage)?;
/// let mut rows = Vec::new();
/// // A database that nobody has prepared is an empty one.
/// let mut warn = |strange| eprintln!("warning: {strange}");
/// let epoch = load(&database.begin_read()?, &mut |row| rows.push(row), &mut warn)?;
/// assert_eq!((epoch, rows.len()), (Epoch::ZERO, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn load(
    transaction: &ReadTransaction,
    visit: &mut dyn FnMut(LeaseRow),
    strange: &mut dyn FnMut(StrangeRow),
) -> Result<Epoch, BackendError> {
    load_rows(transaction, visit, strange).map_err(|failure| failure.error)
}

pub(super) fn load_rows(
    transaction: &ReadTransaction,
    visit: &mut dyn FnMut(LeaseRow),
    strange: &mut dyn FnMut(StrangeRow),
) -> Result<Epoch, Failure> {
    if let Some(leases) = existing(transaction.open_table(LEASE))? {
        let by_signed_id = leases
            .range(FIRST_NEGATIVE..)?
            .chain(leases.range(..FIRST_NEGATIVE)?);
        for entry in by_signed_id {
            let (key, value) = entry?;
            if let Some(row) = row::decode(key.value(), value.value(), strange)? {
                visit(row);
            }
        }
    }
    let Some(meta) = existing(transaction.open_table(META))? else {
        return Ok(Epoch::ZERO);
    };
    let epoch = meta.get(EPOCH)?;
    Ok(epoch.map_or(Epoch::ZERO, |epoch| Epoch::new(epoch.value())))
}

pub(super) fn get(
    transaction: &ReadTransaction,
    table: &Table,
    key: &[u8],
) -> Result<Option<Vec<u8>>, Failure> {
    let Some(rows) = existing(transaction.open_table(host_table(table)))? else {
        return Ok(None);
    };
    Ok(rows.get(key)?.map(|value| value.value().to_vec()))
}

pub(super) fn scan(
    transaction: &ReadTransaction,
    table: &Table,
    visit: &mut dyn FnMut(&[u8], &[u8]),
) -> Result<(), Failure> {
    let Some(rows) = existing(transaction.open_table(host_table(table)))? else {
        return Ok(());
    };
    for entry in rows.iter()? {
        let (key, value) = entry?;
        visit(key.value(), value.value());
    }
    Ok(())
}

/// A table that nobody has written to is an empty one.
fn existing<K: redb::Key, V: redb::Value>(
    opened: Result<ReadOnlyTable<K, V>, TableError>,
) -> Result<Option<ReadOnlyTable<K, V>>, Failure> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
