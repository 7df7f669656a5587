use std::collections::BTreeMap;

use super::{draw, panic_silently};
use crate::sync::thread::{ThreadId, current, yield_now};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, lock};
use crate::{
    Backend, BackendError, Epoch, HostError, HostWrite, LeaseId, LeaseRow, LeaseWrite, Table,
    WriteBatch,
};

/// A store in memory that others can see into while it works, and that fails, panics or hangs when
/// it is told to.
#[derive(Default)]
pub(super) struct Store {
    contents: Mutex<Contents>,
    changed: Condvar,
}

#[derive(Default)]
pub(super) struct Contents {
    pub(super) rows: BTreeMap<LeaseId, LeaseRow>,
    /// Each item and the lease that it was attached to. To put the negative of a lease's id deletes
    /// the row if it is that lease's.
    pub(super) items: BTreeMap<Vec<u8>, i64>,
    /// What a lessor that stores the items has stored: each item, and its lease.
    pub(super) stored: BTreeMap<Vec<u8>, i64>,
    pub(super) epoch: Epoch,
    /// What was committed, oldest first.
    pub(super) log: Vec<WriteBatch>,
    /// One of so many commits fails, and of those that fail every second one panics; 0 is none.
    pub(super) fails_one_in: usize,
    /// Whether commits that begin an epoch fail.
    pub(super) refuses_epochs: bool,
    /// Whether commits hang until they are let go.
    pub(super) hangs: bool,
    /// Whether loading fails.
    pub(super) refuses_to_load: bool,
    /// Who commits.
    pub(super) writer: Option<ThreadId>,
    /// Who hangs.
    pub(super) hanging: Vec<ThreadId>,
}

/// Where the items are.
pub(super) fn items_table() -> Table {
    Table::new("items")
}

/// Where a lessor that stores the items has them.
fn lessors_table() -> Table {
    Table::new("lease_items")
}

impl Store {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(super) fn contents(&self) -> MutexGuard<'_, Contents> {
        lock(&self.contents)
    }

    /// Waits until the contents are so.
    pub(super) fn wait_until(&self, is_so: impl Fn(&Contents) -> bool) {
        let mut contents = self.contents();
        while !is_so(&contents) {
            let woken = self.changed.wait(contents);
            contents = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Changes what it does or holds.
    pub(super) fn change(&self, change: impl FnOnce(&mut Contents)) {
        change(&mut self.contents());
        self.changed.notify_all();
    }

    /// How many transactions were committed.
    pub(super) fn mark(&self) -> usize {
        self.contents().log.len()
    }

    /// Whether a transaction since then has a write of this kind.
    pub(super) fn has_since(&self, mark: usize, is_it: impl Fn(&WriteBatch) -> bool) -> bool {
        self.contents().log[mark..].iter().any(is_it)
    }

    /// Makes it empty, if that does not fail.
    pub(super) fn replace(&self, succeeds: bool) -> Result<(), BackendError> {
        yield_now();
        if !succeeds {
            return Err(BackendError::Damaged("on purpose".to_owned()));
        }
        self.change(|contents| *contents = Contents::default());
        yield_now();
        Ok(())
    }

    fn try_commit(&self, batch: &WriteBatch) -> Result<(), BackendError> {
        let fails_one_in = self.contents().fails_one_in;
        if fails_one_in > 0 && draw(fails_one_in) == 0 {
            if draw(2) == 0 {
                panic_silently();
            }
            return Err(BackendError::Io(HostError::new("no space left")));
        }
        if self.contents().refuses_epochs && batch.epoch().is_some() {
            return Err(BackendError::Io(HostError::new("no space left")));
        }
        if self.contents().hangs {
            let me = current().id();
            self.change(|contents| contents.hanging.push(me));
            self.wait_until(|contents| !contents.hangs);
            self.change(|contents| contents.hanging.retain(|other| *other != me));
        }
        self.change(|contents| contents.write(batch));
        Ok(())
    }
}

impl Contents {
    fn write(&mut self, batch: &WriteBatch) {
        for write in batch.leases() {
            match write {
                LeaseWrite::Put(row) => drop(self.rows.insert(row.id, *row)),
                LeaseWrite::Delete(id) => drop(self.rows.remove(id)),
            }
        }
        for write in batch.host() {
            if write.table() == &lessors_table() {
                self.write_stored(write);
                continue;
            }
            match write.clone() {
                HostWrite::Put { key, value, .. } => {
                    let id = i64::from_be_bytes(value.try_into().expect("an id"));
                    if id > 0 {
                        self.items.insert(key, id);
                    } else if self.items.get(&key) == Some(&-id) {
                        self.items.remove(&key);
                    }
                }
                HostWrite::Delete { key, .. } => drop(self.items.remove(&key)),
                HostWrite::DeleteRange { .. } => unreachable!("nobody deletes a range"),
            }
        }
        if let Some(epoch) = batch.epoch() {
            assert!(epoch > self.epoch, "INV-4: an epoch comes twice");
            self.epoch = epoch;
        }
        self.log.push(batch.clone());
        for (item, id) in self.items.iter().chain(&self.stored) {
            let id = LeaseId::new(*id).expect("not zero");
            assert!(
                self.rows.contains_key(&id),
                "INV-22: item {item:?} outlives lease {id}"
            );
        }
    }

    fn write_stored(&mut self, write: &HostWrite) {
        match write.clone() {
            HostWrite::Put { key, value, .. } => {
                let id = i64::from_be_bytes(value.try_into().expect("an id"));
                self.stored.insert(key, id);
            }
            HostWrite::Delete { key, .. } => drop(self.stored.remove(&key)),
            HostWrite::DeleteRange { .. } => unreachable!("a lessor deletes no range"),
        }
    }
}

impl Backend for Store {
    fn commit(&self, batch: &WriteBatch) -> Result<(), BackendError> {
        let me = current().id();
        let other = self.contents().writer.replace(me);
        assert_eq!(other, None, "one writer at a time");
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            yield_now();
            let result = self.try_commit(batch);
            yield_now();
            result
        }));
        self.contents().writer = None;
        result.unwrap_or_else(|_| panic_silently())
    }

    fn load(&self, visit: &mut dyn FnMut(LeaseRow)) -> Result<Epoch, BackendError> {
        yield_now();
        let contents = self.contents();
        if contents.refuses_to_load {
            return Err(BackendError::Damaged("on purpose".to_owned()));
        }
        let (rows, epoch) = (contents.rows.clone(), contents.epoch);
        drop(contents);
        rows.into_values().for_each(visit);
        yield_now();
        Ok(epoch)
    }

    fn get(&self, _: &Table, _: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        Ok(None)
    }

    fn scan(&self, table: &Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), BackendError> {
        assert_eq!(*table, lessors_table(), "nobody reads the host's");
        let stored = self.contents().stored.clone();
        for (item, id) in &stored {
            visit(item, &id.to_be_bytes());
        }
        Ok(())
    }
}
