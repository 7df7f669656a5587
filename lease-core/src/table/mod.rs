mod arena;
pub(crate) mod attachments;
mod hash;
pub(crate) mod record;
pub(crate) mod records;
mod remainders;
pub(crate) mod shards;

use alloc::vec::Vec;

use attachments::Attachments;
use record::Record;
use records::Records;
pub(crate) use remainders::{Remainder, Remainders};

use crate::probe::planted;
use crate::{
    Checkpoint, Epoch, ExpiryFence, Incarnation, LeaseError, LeaseId, LeaseItem, LeaseRow,
};

/// The replicated part of a lessor: ids, TTLs, remaining TTLs, incarnations, attachments and the
/// epoch.
///
/// It is a function of the applied commands alone. It knows no time, no role and no configuration.
#[derive(Clone, Debug)]
pub(crate) struct LeaseTable {
    pub(crate) records: Records,
    pub(crate) attachments: Attachments,
    pub(crate) remainders: Remainders,
    epoch: Epoch,
    // The epoch that was begun since this table was made, and not recovered: only that is sure to be
    // of this lessor alone.
    own_epoch: Epoch,
    granted: u64,
}

impl LeaseTable {
    pub(crate) fn new(hash_seed: u64) -> Self {
        Self {
            records: Records::new(hash_seed),
            attachments: Attachments::new(hash_seed),
            remainders: Remainders::new(hash_seed),
            epoch: Epoch::ZERO,
            own_epoch: Epoch::ZERO,
            granted: 0,
        }
    }

    /// The newest epoch that any applied command has named.
    pub(crate) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The epoch that was begun here and not recovered, zero if none was.
    #[cfg(feature = "std")]
    pub(crate) const fn own_epoch(&self) -> Epoch {
        self.own_epoch
    }

    /// Begins an epoch; it never falls.
    pub(crate) fn begin_epoch(&mut self, epoch: Epoch) {
        self.epoch = self.epoch.max(epoch);
        self.own_epoch = self.epoch;
    }

    /// Takes over the epoch of a store.
    pub(crate) fn restore_epoch(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }

    /// Adds a lease, whose id is free. O(1), if no items of an earlier one are left to
    /// [`sweep`](Self::sweep).
    pub(crate) fn grant(&mut self, record: Record) -> &mut Record {
        if self.is_sweeping() && self.attachments.names_doomed(record.id(), &[]) {
            self.finish_sweep();
        }
        self.records.insert(record)
    }

    /// The next incarnation when all up to number `claimed` are given, and its number.
    pub(crate) fn count_incarnation(&self, claimed: u64) -> (Incarnation, u64) {
        let number = self.granted.max(claimed) + 1;
        (Incarnation::counted(self.own_epoch, number), number)
    }

    /// A grant whose incarnation counts this number was applied.
    pub(crate) fn note_count(&mut self, counted: Option<u64>) {
        self.granted = self.granted.max(counted.unwrap_or(0));
    }

    /// Adds the lease of a stored row.
    pub(crate) fn restore(&mut self, row: &LeaseRow) -> Result<(), LeaseError> {
        if self.records.get(row.id).is_some() {
            return Err(LeaseError::LeaseExists);
        }
        let incarnation = row
            .incarnation
            .unwrap_or(Incarnation::counted(Epoch::ZERO, 0));
        self.records
            .insert(Record::new(row.id, row.ttl, incarnation));
        self.remainders.set(
            row.id,
            Remainder {
                remaining: row.remaining.map(|left| left.min(row.ttl)),
                generation: row.checkpoint_generation,
            },
        );
        Ok(())
    }

    /// Removes a lease and detaches its items. O(k), but no more than
    /// [`ITEMS_PER_STEP`](attachments::ITEMS_PER_STEP): what is beyond is left to
    /// [`sweep`](Self::sweep), and nothing finds it any more.
    pub(crate) fn remove(&mut self, id: LeaseId) -> Option<Record> {
        // Looked for before the record is asked, so that the cache misses of both overlap.
        let items = self.attachments.list(id);
        let record = self.records.remove(id)?;
        if let Some(items) = items {
            self.attachments.detach_all(id, items);
        }
        self.remainders.remove(id);
        Some(record)
    }

    /// Frees a bounded part of what [`remove`](Self::remove) has left behind. Returns whether there
    /// is more. A command that touches what is left does all of it first.
    pub(crate) fn sweep(&mut self) -> bool {
        self.attachments.sweep()
    }

    /// Whether [`sweep`](Self::sweep) has something to do. O(1).
    pub(crate) const fn is_sweeping(&self) -> bool {
        self.attachments.is_sweeping()
    }

    fn finish_sweep(&mut self) {
        while self.is_sweeping() {
            self.sweep();
        }
    }

    /// Refuses an attach that must not be applied.
    pub(crate) fn check_attach(
        &self,
        id: LeaseId,
        items: &[LeaseItem],
        limit: Option<usize>,
    ) -> Result<(), LeaseError> {
        let record = self.records.get(id).ok_or(LeaseError::LeaseNotFound)?;
        let is_too_long = |item: &LeaseItem| item.as_bytes().len() > LeaseItem::MAX_LEN;
        if items.iter().any(is_too_long) {
            return Err(LeaseError::ItemTooLong);
        }
        if let Some(limit) = limit
            && (record.has_items() || items.len() > limit)
        {
            self.attachments.check_limit(id, items, limit)?;
        }
        Ok(())
    }

    /// Attaches items to a lease, if it is there; see [`check_attach`](Self::check_attach).
    pub(crate) fn attach(&mut self, id: LeaseId, items: &[LeaseItem]) {
        if self.is_sweeping() && self.attachments.names_doomed(id, items) {
            self.finish_sweep();
        }
        let Some(record) = self.records.get_mut(id) else {
            return;
        };
        if !items.is_empty() {
            record.set_has_items(true);
        }
        for item in items {
            if let Some(emptied) = self.attachments.attach(id, item) {
                self.note_emptied(emptied);
            }
        }
    }

    /// Detaches those of the items that belong to the lease.
    pub(crate) fn detach(&mut self, id: LeaseId, items: &[LeaseItem]) {
        for item in items {
            let id = match planted!("detach-by-anyone") {
                true => self.attachments.lease_of(item.as_bytes()).unwrap_or(id),
                false => id,
            };
            if let Some(emptied) = self.attachments.detach(id, item.as_bytes()) {
                self.note_emptied(emptied);
            }
        }
    }

    fn note_emptied(&mut self, lease: LeaseId) {
        if let Some(record) = self.records.get_mut(lease) {
            record.set_has_items(false);
        }
    }

    /// Whether an expiry-revoke with this fence still means what it meant when the lease was delivered.
    pub(crate) fn admits(&self, record: &Record, fence: Option<ExpiryFence>) -> bool {
        fence.is_none_or(|fence| {
            let is_of_grant =
                fence.incarnation == record.incarnation() || planted!("incarnation-unfenced");
            let is_of_epoch = fence.epoch >= self.epoch || planted!("epoch-unfenced");
            is_of_grant && is_of_epoch
        })
    }

    /// What the lease's remainder is after the checkpoint if it was `old` before, or `None` if the
    /// checkpoint is void.
    pub(crate) fn remainder_after(
        &self,
        old: Remainder,
        checkpoint: &Checkpoint,
    ) -> Option<Remainder> {
        let record = self.records.get(checkpoint.id)?;
        let is_valid = checkpoint.fence.is_none_or(|fence| {
            fence.epoch >= self.epoch
                && fence.incarnation == record.incarnation()
                && (fence.generation == old.generation || planted!("checkpoint-overtakes-renew"))
        });
        let generation = match checkpoint.remaining {
            None => old.generation.wrapping_add(1),
            Some(_) => old.generation,
        };
        is_valid.then(|| Remainder {
            remaining: checkpoint.remaining.map(|left| left.min(record.ttl())),
            generation,
        })
    }

    /// The row of a lease with this remainder.
    pub(crate) fn row(record: &Record, remainder: Remainder) -> LeaseRow {
        LeaseRow {
            id: record.id(),
            ttl: record.ttl(),
            remaining: remainder.remaining,
            incarnation: record
                .incarnation()
                .as_supplied()
                .and_then(Incarnation::supplied),
            checkpoint_generation: remainder.generation,
        }
    }

    /// The rows of all leases, by id. O(n log n).
    pub(crate) fn rows(&self) -> Vec<LeaseRow> {
        let mut rows: Vec<_> = self
            .records
            .iter()
            .map(|record| Self::row(record, self.remainders.get(record.id())))
            .collect();
        rows.sort_unstable_by_key(|row| row.id);
        rows
    }

    /// Checks what must hold between the parts. O(n).
    ///
    /// # Panics
    ///
    /// If it does not.
    pub(crate) fn check_invariants(&self) {
        self.attachments
            .check_invariants(|id| self.records.get(id).is_some());
        let mut len = 0;
        for record in self.records.iter() {
            let has_items = self.attachments.count(record.id()) > 0;
            assert_eq!(record.has_items(), has_items, "{}", record.id());
            len += 1;
        }
        assert_eq!(len, self.records.len(), "leases are counted");
        self.remainders.check_invariants(|id| {
            let record = self.records.get(id);
            record.map(Record::ttl)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::attachments::ITEMS_PER_STEP;
    use super::*;
    use crate::Ttl;

    const LEN: usize = 5 * ITEMS_PER_STEP;

    fn id(number: i64) -> LeaseId {
        LeaseId::new(number).expect("not zero")
    }

    fn item(number: usize) -> LeaseItem {
        LeaseItem::from(&number.to_be_bytes()[..])
    }

    fn grant(table: &mut LeaseTable, number: i64) {
        let incarnation = Incarnation::counted(Epoch::ZERO, 1);
        table.grant(Record::new(id(number), Ttl::MIN, incarnation));
    }

    /// Lease 1 with many items and lease 2 with few.
    fn table() -> LeaseTable {
        let mut table = LeaseTable::new(0);
        let many: Vec<_> = (0..LEN).map(item).collect();
        let few: Vec<_> = (LEN..LEN + 10).map(item).collect();
        for (number, items) in [(1, &many), (2, &few)] {
            grant(&mut table, number);
            table.attach(id(number), items);
        }
        table.check_invariants();
        table
    }

    /// As [`table`], after the removal of lease 1.
    fn swept_table() -> LeaseTable {
        let mut table = table();
        table.remove(id(1)).expect("it is there");
        table.check_invariants();
        assert!(table.is_sweeping());
        table
    }

    #[test]
    fn many_items_are_gone_at_once_and_swept_in_steps() {
        let mut table = swept_table();
        assert_eq!(table.attachments.len(), 10);
        assert_eq!(table.attachments.count(id(1)), 0);
        assert!(table.attachments.items(id(1)).is_empty());
        assert_eq!(table.attachments.lease_of(item(7).as_bytes()), None);
        let few = table.attachments.lease_of(item(LEN).as_bytes());
        assert_eq!(few, Some(id(2)));
        table.remove(id(2)).expect("it is there");
        let mut steps = 1;
        while table.sweep() {
            table.check_invariants();
            steps += 1;
        }
        assert!((5..8).contains(&steps), "{steps}");
        assert!(!table.is_sweeping());
    }

    #[test]
    fn a_command_that_comes_too_early_sweeps_first() {
        let commands: [fn(&mut LeaseTable); 2] = [
            |table| grant(table, 1),
            |table| table.attach(id(2), &[item(7)]),
        ];
        for command in commands {
            let mut table = swept_table();
            command(&mut table);
            assert!(!table.is_sweeping());
            table.check_invariants();
            assert_eq!(table.attachments.count(id(1)), 0);
        }
    }

    #[test]
    fn a_command_that_touches_nothing_of_it_goes_on_beside_a_sweep() {
        let mut table = swept_table();
        grant(&mut table, 3);
        table.attach(id(3), &[item(LEN), item(2 * LEN)]);
        table.detach(id(2), &[item(LEN + 1)]);
        table.check_invariants();
        assert!(table.is_sweeping());
        assert_eq!(table.attachments.count(id(2)), 8);
        assert_eq!(table.attachments.count(id(3)), 2);
        while table.sweep() {
            table.check_invariants();
        }
        assert_eq!(table.attachments.len(), 10);
    }

    #[test]
    fn an_item_of_more_than_a_gibibyte_is_refused() {
        let table = table();
        let long = LeaseItem::new(alloc::vec![0; LeaseItem::MAX_LEN + 1]);
        let refused = table.check_attach(id(2), &[item(7), long], None);
        assert_eq!(refused, Err(LeaseError::ItemTooLong));
        let owner = table.attachments.lease_of(item(7).as_bytes());
        assert_eq!(owner, Some(id(1)), "nothing has changed");
    }
}
