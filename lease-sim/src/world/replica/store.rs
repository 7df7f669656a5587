//! A member's store: that of production, on its simulated disk. It watches what the lessor shows while
//! something is written, and bugs are planted into it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use lease_core::{
    Backend, BackendError, Epoch, HostWrite, LeaseRow, LeaseWrite, Table, Ttl, WriteBatch, probe,
};
use lease_raft::{Fill, RedbStore, Store, View};

use super::meanwhile::During;
use super::{Around, lock};

pub(super) struct WorldStore {
    redb: Arc<RedbStore>,
    around: Arc<Around>,
    // What a wrong store has acknowledged and not written.
    held: Mutex<WriteBatch>,
    // Whether the last commit has failed.
    has_failed: AtomicBool,
}

impl WorldStore {
    pub(super) fn new(redb: Arc<RedbStore>, around: &Arc<Around>) -> Self {
        Self {
            redb,
            around: Arc::clone(around),
            held: Mutex::default(),
            has_failed: AtomicBool::new(false),
        }
    }

    /// Where every entry is written at once, the lessor shows what is written and no more: a command whose
    /// rows are on their way has not happened.
    fn compare(&self) {
        let mut rows = Vec::new();
        let Ok(epoch) = self.redb.load(&mut |row| rows.push(row)) else {
            return;
        };
        let shown = self
            .around
            .with_lessor(|lessor| (lessor.epoch(), lessor.rows()));
        if shown.is_some_and(|shown| shown != (epoch, rows)) {
            let message = "the lessor shows what is not written, or not what is";
            self.around.object(message.into());
        }
    }

    /// The next commit fails too, if that is what the disk is to do. Returns whether this one has, and the
    /// last one before it.
    fn note<T>(&self, result: &Result<T, BackendError>) -> bool {
        let is_failure = result.is_err();
        let was_failure = self.has_failed.swap(is_failure, Ordering::Relaxed);
        if !is_failure {
            return false;
        }
        if was_failure {
            probe::mark("raft: two commits in a row fail");
        }
        let member = self.around.member();
        let mut status = lock(&member.status);
        if status.more_disk_errors > 0 {
            status.more_disk_errors -= 1;
            drop(status);
            lock(&member.disk).fail_after(1);
        }
        was_failure
    }

    fn is_durable(&self) -> bool {
        self.around.world.parameters.durable
    }
}

impl Backend for WorldStore {
    fn commit(&self, batch: &WriteBatch) -> Result<(), BackendError> {
        if self.is_durable() {
            self.compare();
        }
        self.around.check_number(batch);
        self.around.meanwhile(During::Commit);
        if self.around.is_stopping() && probe::is_planted("stop-forgets-writes") {
            return Ok(());
        }
        if probe::is_planted("two-transactions") {
            let (own, host) = split(batch);
            self.redb.commit(&host)?;
            return self.redb.commit(&own);
        }
        if probe::is_planted("acknowledged-before-written") {
            let before = std::mem::replace(&mut *lock(&self.held), batch.clone());
            return self.redb.commit(&before);
        }
        let result = if probe::is_planted("row-of-a-revoked-lease-stays") {
            self.redb.commit(&without_deletes(batch))
        } else {
            self.redb.commit(batch)
        };
        let is_second = self.note(&result);
        if is_second && probe::is_planted("second-failure-hidden") {
            return Ok(());
        }
        let is_hidden = if self.is_durable() {
            probe::is_planted("failed-commit-takes-effect")
        } else {
            probe::is_planted("failed-batch-dropped")
        };
        if is_hidden { Ok(()) } else { result }
    }

    fn load(&self, visit: &mut dyn FnMut(LeaseRow)) -> Result<Epoch, BackendError> {
        self.redb.load(&mut |mut row| {
            if probe::is_planted("remaining-lost") {
                row.remaining = None;
            }
            let is_far = [i64::MIN, i64::MAX].contains(&row.id.get());
            if probe::is_planted("long-ttls-cut") {
                row.ttl = row
                    .ttl
                    .min(Ttl::new(i64::from(u32::MAX)).expect("it is legal"));
            }
            let is_lost = row.id.get() < 0 && probe::is_planted("negative-ids-lost")
                || is_far && probe::is_planted("far-ids-lost");
            if !is_lost {
                visit(row);
            }
        })
    }

    fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        self.redb.get(table, key)
    }

    fn scan(&self, table: &Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), BackendError> {
        self.redb.scan(table, visit)
    }
}

impl Store for WorldStore {
    fn view(&self) -> Result<Box<dyn View>, BackendError> {
        self.redb.view()
    }

    fn replace(
        &self,
        fill: &mut dyn FnMut(&mut dyn Fill) -> Result<(), BackendError>,
    ) -> Result<(), BackendError> {
        self.around.meanwhile(During::Commit);
        let result = self.redb.replace(fill);
        self.note(&result);
        result?;
        self.around.note_brought(&*self.redb)
    }
}

/// The lessor's own writes of a batch and the host's, apart.
fn split(batch: &WriteBatch) -> (WriteBatch, WriteBatch) {
    let (mut own, mut host) = (WriteBatch::default(), WriteBatch::default());
    for write in batch.leases() {
        match write {
            LeaseWrite::Put(row) => own.put_lease(*row),
            LeaseWrite::Delete(id) => own.delete_lease(*id),
        }
    }
    if let Some(epoch) = batch.epoch() {
        own.put_epoch(epoch);
    }
    for write in batch.host().iter().cloned() {
        match write {
            HostWrite::Put { table, key, value } => host.put(table, key, value),
            HostWrite::Delete { table, key } => host.delete(table, key),
            HostWrite::DeleteRange { table, start, end } => host.delete_range(table, start, end),
        }
    }
    (own, host)
}

/// A batch that deletes no key, without its deletes of lease rows.
fn without_deletes(batch: &WriteBatch) -> WriteBatch {
    let deletes_keys = |write: &HostWrite| matches!(write, HostWrite::Delete { .. });
    if batch.host().iter().any(deletes_keys) {
        return batch.clone();
    }
    let (_, mut kept) = split(batch);
    for write in batch.leases() {
        if let LeaseWrite::Put(row) = write {
            kept.put_lease(*row);
        }
    }
    if let Some(epoch) = batch.epoch() {
        kept.put_epoch(epoch);
    }
    kept
}
