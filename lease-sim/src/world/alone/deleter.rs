use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lease_core::{
    BoxError, Deleted, LeaseItem, RangeDeleter, TableDeleter, TxnDelete, WriteBatch, probe,
};

use super::rows::kept;

/// Deletes the rows of items with their lease. Of an item that it holds on to it does so only when it has been
/// asked several times, if the lessor asks by itself.
pub(super) struct Deleter {
    table: TableDeleter,
    // Whether it holds on to anything in this world.
    refuses: bool,
    // Whether the lessor asks by itself.
    is_driven: AtomicBool,
    asked: AtomicU64,
    refused: AtomicU64,
}

/// What it holds on to, and how often it has to be asked.
const HELD_ON: &[u8] = &[3];
const ASKED: u64 = 3;

/// How much longer a lease may live that has had such an item: the lessor comes again after a quarter of the default
/// interval.
pub(super) const HELD_ON_MS: u64 = ASKED * 1_000;

pub(super) fn held_on() -> LeaseItem {
    LeaseItem::from(HELD_ON)
}

/// Whether one of the items is held on to.
pub(super) fn has_held_on(items: &BTreeSet<LeaseItem>) -> bool {
    items.contains(HELD_ON)
}

impl Deleter {
    pub(super) fn new(refuses: bool) -> Self {
        Self {
            table: TableDeleter::new(kept()),
            refuses,
            is_driven: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    pub(super) const fn refuses(&self) -> bool {
        self.refuses
    }

    /// From now on the lessor asks by itself, or not.
    pub(super) fn set_driven(&self, is_driven: bool) {
        self.is_driven.store(is_driven, Ordering::Relaxed);
    }

    /// How often it has refused since that was asked last.
    pub(super) fn take_refused(&self) -> u64 {
        self.refused.swap(0, Ordering::Relaxed)
    }

    fn holds_on(&self, key: &[u8]) -> bool {
        let may = self.refuses && self.is_driven.load(Ordering::Relaxed) && key == HELD_ON;
        may && !(self.asked.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(ASKED)
    }
}

impl RangeDeleter for Deleter {
    fn begin<'t>(&'t self, batch: &'t mut WriteBatch) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
        Ok(Box::new(Txn {
            deleter: self,
            inner: self.table.begin(batch)?,
        }))
    }
}

struct Txn<'t> {
    deleter: &'t Deleter,
    inner: Box<dyn TxnDelete + 't>,
}

impl TxnDelete for Txn<'_> {
    fn delete_range(&mut self, key: &[u8], end: Option<&[u8]>) -> Result<Deleted, BoxError> {
        if self.deleter.holds_on(key) {
            probe::mark("alone: a range deleter refuses what has expired");
            self.deleter.refused.fetch_add(1, Ordering::Relaxed);
            return Err("it is still in use".into());
        }
        self.inner.delete_range(key, end)
    }

    fn end(self: Box<Self>) -> Result<(), BoxError> {
        self.inner.end()
    }
}
