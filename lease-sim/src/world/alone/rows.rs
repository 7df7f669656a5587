use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lease_core::{Backend, LeaseError, LeaseItem, Table, WriteBatch, probe};

use super::Host;
use super::deleter::Deleter;
use super::strange::stored_items;

/// The host's rows, as far as it knows them.
pub(super) struct Rows {
    /// How many writes there were; of a commit that has failed nobody knows.
    written: Option<u64>,
    // What they have left.
    table: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The items that have a row which goes with their lease.
    kept: Option<BTreeSet<LeaseItem>>,
    /// What deletes those.
    pub(super) deleter: Arc<Deleter>,
    /// The grants of which it may have refused the revoke.
    pub(super) held_on: BTreeSet<u64>,
    /// How often it was told that it has refused.
    pub(super) told_refused: u64,
}

impl Rows {
    pub(super) fn new(deleter_refuses: bool) -> Self {
        Self {
            written: Some(0),
            table: BTreeMap::new(),
            kept: Some(BTreeSet::new()),
            deleter: Arc::new(Deleter::new(deleter_refuses)),
            held_on: BTreeSet::new(),
            told_refused: 0,
        }
    }

    /// The number that was written last, if that is known and there is one.
    pub(super) fn number(&self) -> Option<[u8; 8]> {
        let written = self.written.filter(|written| *written > 0);
        written.map(u64::to_be_bytes)
    }
}

/// A table that counts the writes, and holds what they do.
pub(super) fn rows() -> Table {
    Table::new("rows")
}

/// The rows of items.
pub(super) fn kept() -> Table {
    Table::new("kept")
}

pub(super) const NUMBER: &[u8] = b"number";

/// How many rows there are beside the number.
const PLACES: u8 = 16;

impl Host {
    /// What the host writes with its next command: a number that counts these, and rows that are put, deleted
    /// alone, and deleted in ranges.
    pub(super) fn number(&self) -> WriteBatch {
        let mut writes = WriteBatch::default();
        let next = self.rows.written.unwrap_or(0) + 1;
        if self.rows.written.is_none_or(|written| written == 0) {
            writes.delete_range(rows(), "", None);
        }
        let place = |number: u64| [(number % u64::from(PLACES)) as u8];
        writes.put(rows(), NUMBER, next.to_be_bytes());
        writes.put(rows(), place(next), next.to_be_bytes());
        if next % 3 == 1 {
            writes.delete(rows(), place(next * 7));
        }
        if next % 5 == 2 && !probe::is_planted("alone-ranges-not-deleted") {
            let start = place(next * 11);
            let end = next
                .is_multiple_of(2)
                .then(|| vec![start[0].saturating_add(4)]);
            // The number stays, which is behind all of them.
            let end = end.unwrap_or_else(|| NUMBER.to_vec());
            writes.delete_range(rows(), start, Some(end));
        }
        writes
    }

    /// The same, of a program that has one table of numbers.
    fn count(&mut self) {
        let next = self.rows.written.unwrap_or(0) + 1;
        let table = &mut self.rows.table;
        if self.rows.written.is_none_or(|written| written == 0) {
            table.clear();
        }
        let place = |number: u64| (number % u64::from(PLACES)) as u8;
        table.insert(NUMBER.to_vec(), next.to_be_bytes().to_vec());
        table.insert(vec![place(next)], next.to_be_bytes().to_vec());
        if next % 3 == 1 {
            table.remove(&[place(next * 7)][..]);
        }
        if next % 5 == 2 {
            let first = place(next * 11);
            let last = if next.is_multiple_of(2) {
                first + 3
            } else {
                PLACES
            };
            for at in first..=last {
                table.remove(&[at][..]);
            }
        }
        self.rows.written = Some(next);
    }

    pub(super) fn wrote(&mut self, done: &Result<(), LeaseError>) {
        probe::mark("alone: a row is written with a command");
        match done {
            Ok(()) => self.count(),
            // Nothing of a commit that has failed is there. Others write later, and may have written this.
            Err(_) if self.parameters.durable => {}
            Err(_) => self.rows.written = None,
        }
    }

    /// The host writes rows, and nothing else.
    pub(super) fn write(&mut self) {
        probe::mark("alone: a host writes alone");
        let written = self.lessor.write(self.number());
        self.wrote(&written);
        self.expect("a write", &written, None);
    }

    /// Of writes that may be lost nobody knows.
    pub(super) fn forget_rows(&mut self) {
        self.rows.written = None;
        self.rows.kept = None;
    }

    /// The rows are as new as the commands that they were written with.
    pub(super) fn look_at_rows(&mut self) {
        if let Some(written) = self.rows.written.filter(|written| *written > 0) {
            let found = self.scan(&rows());
            let number = self.backend.get(&rows(), NUMBER);
            if found != self.rows.table || number.is_ok_and(|it| it.as_ref() != found.get(NUMBER)) {
                let text = format!(
                    "of {written} writes {found:?} is left of {:?}",
                    self.rows.table
                );
                self.object(text);
            }
        }
        let found: BTreeSet<_> = self.scan(&kept()).into_keys().map(LeaseItem::new).collect();
        if self.rows.kept.as_ref().is_some_and(|kept| *kept != found) {
            self.object(format!(
                "the rows of items are {found:?}, and not {:?}",
                self.rows.kept
            ));
        }
        self.rows.kept = Some(found);
    }

    /// After commits that have failed, and one that has not, the store has what the lessor has, and not what
    /// was refused.
    pub(super) fn look_at_store(&mut self) {
        let before = self.rows.written;
        self.write();
        if !self.parameters.durable || self.rows.written == before {
            return;
        }
        probe::mark("alone: a store is looked at after commits that failed");
        let mut found = BTreeMap::new();
        let loaded = self.backend.load(&mut |row| {
            found.insert(row.id, row.ttl);
        });
        let rows = self.lessor.rows();
        let must: BTreeMap<_, _> = rows.iter().map(|row| (row.id, row.ttl)).collect();
        if loaded.is_ok() && found != must {
            self.object(format!(
                "after a commit that failed {found:?} is stored of {must:?}"
            ));
        }
        self.look_at_rows();
    }

    /// Of the items that the lessor stores each has a row, and none else.
    pub(super) fn look_at_stored_items(&mut self) {
        if self.alone.replays_items || self.undone.is_lost() {
            return;
        }
        let found = self.scan(&stored_items());
        let held = self.held.values().flat_map(|held| &held.items);
        let held: BTreeSet<_> = held.map(|item| item.as_bytes().to_vec()).collect();
        if !held.iter().eq(found.keys()) && self.now_ms() >= self.disturbed_until_ms {
            self.object(format!(
                "the items {:?} are stored of {held:?}",
                found.keys()
            ));
        }
    }

    /// What is stored is known again.
    pub(super) fn read_rows(&mut self) {
        let found = self.scan(&kept()).into_keys().map(LeaseItem::new);
        self.rows.kept = Some(found.collect());
    }

    fn scan(&self, table: &Table) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            found.insert(key.to_vec(), value.to_vec());
        };
        // Of a disk that fails nothing is known.
        let _ = self.backend.scan(table, &mut visit);
        found
    }

    /// The rows of these items, which go with their lease.
    pub(super) fn with_rows_of(&self, mut writes: WriteBatch, items: &[LeaseItem]) -> WriteBatch {
        if self.alone.keeps_rows {
            for item in items {
                writes.put(kept(), item.as_bytes(), "");
            }
        }
        writes
    }

    /// Rows of items were written with an attach.
    pub(super) fn wrote_rows_of(&mut self, items: &[LeaseItem], done: &Result<(), LeaseError>) {
        if !self.alone.keeps_rows {
            return;
        }
        probe::mark("alone: a host keeps the rows of items");
        match (&mut self.rows.kept, done) {
            (Some(kept), Ok(())) => kept.extend(items.iter().cloned()),
            _ => self.rows.kept = None,
        }
    }

    /// Somebody is told when the rows of an item cannot be deleted, once for its lease: if others were to go with
    /// that, they go without it.
    pub(super) fn look_at_deleter(&mut self) {
        let refused = self.rows.deleter.take_refused();
        let told = std::mem::take(&mut self.rows.told_refused);
        // Of what fails while the disk does nobody keeps count.
        let is_disturbed = self.now_ms() < self.disturbed_until_ms;
        if !is_disturbed && (told > refused || told == 0 && refused > 1) {
            self.object(format!(
                "{refused} revokes were refused, and {told} of them told"
            ));
        }
    }

    /// A lease is gone, and the rows of its items with it.
    pub(super) fn gone_with(&mut self, items: &BTreeSet<LeaseItem>) {
        if let Some(kept) = self.rows.kept.as_mut().filter(|_| self.alone.keeps_rows) {
            kept.retain(|item| !items.contains(item));
        }
    }
}
