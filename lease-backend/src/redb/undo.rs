use lease_core::Table;
use redb::WriteTransaction;

use super::failure::Failure;
use super::tables::{EPOCH, LEASE, META, host_table};

/// What a batch replaced, to be put back if the outcome of its commit is unknown.
///
/// When the last sync of a commit fails, the commit may turn out to be there when the database is
/// opened again. Putting back what was before is right in both cases, so that nobody needs to find
/// out, and commits carry no number for it. Recording costs nothing measurable: redb hands out the
/// replaced value with each write.
#[derive(Default)]
pub(super) struct Undo {
    leases: Vec<([u8; 8], Option<Vec<u8>>)>,
    host: Vec<(Table, Vec<u8>, Option<Vec<u8>>)>,
    /// The inner `None` is an epoch that was absent.
    epoch: Option<Option<u64>>,
}

impl Undo {
    pub(super) fn lease(&mut self, key: [u8; 8], old: Option<Vec<u8>>) {
        self.leases.push((key, old));
    }

    pub(super) fn host(&mut self, table: &Table, key: &[u8], old: Option<Vec<u8>>) {
        self.host.push((table.clone(), key.to_vec(), old));
    }

    pub(super) const fn epoch(&mut self, old: Option<u64>) {
        self.epoch = Some(old);
    }

    /// Puts everything back, the last write first.
    pub(super) fn apply(&self, transaction: &WriteTransaction) -> Result<(), Failure> {
        #[cfg(madsim)]
        if lease_core::probe::is_planted("failed-commit-not-undone") {
            return Ok(());
        }
        let mut leases = transaction.open_table(LEASE)?;
        for (key, old) in self.leases.iter().rev() {
            match old {
                Some(old) => leases.insert(key, old.as_slice())?,
                None => leases.remove(key)?,
            };
        }
        for (table, key, old) in self.host.iter().rev() {
            let mut rows = transaction.open_table(host_table(table))?;
            match old {
                Some(old) => rows.insert(key.as_slice(), old.as_slice())?,
                None => rows.remove(key.as_slice())?,
            };
        }
        if let Some(old) = self.epoch {
            let mut meta = transaction.open_table(META)?;
            match old {
                Some(old) => meta.insert(EPOCH, old)?,
                None => meta.remove(EPOCH)?,
            };
        }
        Ok(())
    }
}
