use std::collections::BTreeMap;

use lease_core::{BackendError, HostWrite, LeaseWrite, WriteBatch};
use redb::{Table, WriteTransaction};

use super::failure::Failure;
use super::tables::{EPOCH, LEASE, META, host_table};
use super::undo::Undo;
use crate::row;

/// Applies a batch inside a write transaction of the host's, which commits it or not.
///
/// The database must have been [prepared](super::prepare). The tables that the batch names, `lease`
/// and `lease_meta` must not be open in the transaction. O(log n) for each write.
///
/// # Errors
///
/// Those of redb. The transaction is then fit only to be aborted.
///
/// ```
/// use lease_backend::redb::{apply, load, prepare};
/// use lease_core::{LeaseId, LeaseRow, Ttl, WriteBatch};
/// use redb::ReadableDatabase;
///
/// let storage = redb::backends::InMemoryBackend::new();
/// let database = redb::Builder::new().create_with_backend(storage)?;
/// let mut batch = WriteBatch::default();
/// batch.put_lease(LeaseRow::new(LeaseId::new(7).expect("not zero"), Ttl::new(60)?));
///
/// let transaction = database.begin_write()?;
/// prepare(&transaction)?;
/// apply(&transaction, &batch)?;
/// transaction.commit()?;
///
/// let mut rows = 0;
/// load(&database.begin_read()?, &mut |_| rows += 1, &mut |_| ())?;
/// assert_eq!(rows, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn apply(transaction: &WriteTransaction, batch: &WriteBatch) -> Result<(), BackendError> {
    apply_recording(transaction, batch, &mut None).map_err(|failure| failure.error)
}

/// Applies a batch and records what it replaces.
pub(super) fn apply_recording(
    transaction: &WriteTransaction,
    batch: &WriteBatch,
    undo: &mut Option<Undo>,
) -> Result<(), Failure> {
    apply_leases(transaction, batch.leases(), undo)?;
    apply_host(transaction, batch.host(), undo)?;
    if let Some(epoch) = batch.epoch() {
        let mut meta = transaction.open_table(META)?;
        let old = meta.insert(EPOCH, epoch.get())?.map(|old| old.value());
        if let Some(undo) = undo {
            undo.epoch(old);
        }
    }
    Ok(())
}

fn apply_leases(
    transaction: &WriteTransaction,
    writes: &[LeaseWrite],
    undo: &mut Option<Undo>,
) -> Result<(), Failure> {
    if writes.is_empty() {
        return Ok(());
    }
    let mut leases = transaction.open_table(LEASE)?;
    let mut value = Vec::new();
    for write in writes {
        let key = row::key(write.id());
        let old = match write {
            LeaseWrite::Put(lease) => {
                row::encode(lease, &mut value);
                leases.insert(key, value.as_slice())?
            }
            LeaseWrite::Delete(_) => leases.remove(key)?,
        };
        if let Some(undo) = undo {
            undo.lease(key, old.map(|old| old.value().to_vec()));
        }
    }
    Ok(())
}

/// Each table is opened once, however its writes are mixed with those of others.
fn apply_host(
    transaction: &WriteTransaction,
    writes: &[HostWrite],
    undo: &mut Option<Undo>,
) -> Result<(), Failure> {
    let mut tables: BTreeMap<&str, BytesTable<'_>> = BTreeMap::new();
    for write in writes {
        let (HostWrite::Put { table, .. }
        | HostWrite::Delete { table, .. }
        | HostWrite::DeleteRange { table, .. }) = write;
        if !tables.contains_key(table.name()) {
            let opened = transaction.open_table(host_table(table))?;
            tables.insert(table.name(), opened);
        }
        let rows = tables
            .get_mut(table.name())
            .expect("the table was opened above");
        match write {
            HostWrite::Put { table, key, value } => {
                let old = rows.insert(key.as_slice(), value.as_slice())?;
                if let Some(undo) = undo {
                    undo.host(table, key, old.map(|old| old.value().to_vec()));
                }
            }
            HostWrite::Delete { table, key } => {
                let old = rows.remove(key.as_slice())?;
                if let Some(undo) = undo {
                    undo.host(table, key, old.map(|old| old.value().to_vec()));
                }
            }
            HostWrite::DeleteRange { table, start, end } => {
                let mut record = |key: &[u8], value: &[u8]| {
                    if let Some(undo) = undo {
                        undo.host(table, key, Some(value.to_vec()));
                    }
                    false
                };
                match end {
                    Some(end) if end <= start => {}
                    Some(end) => {
                        rows.retain_in(start.as_slice()..end.as_slice(), &mut record)?;
                    }
                    None => rows.retain_in(start.as_slice().., &mut record)?,
                }
            }
        }
    }
    Ok(())
}

type BytesTable<'txn> = Table<'txn, &'static [u8], &'static [u8]>;
