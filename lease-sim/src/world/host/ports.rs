//! What the lessor asks of its host: a store and a range deleter. They watch what the lessor shows
//! while one of its commands is decided and not applied, and bugs are planted into them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use lease_backend::RedbBackend;
use lease_core::{
    Backend, BackendError, BackendLessor, BoxError, Deleted, Epoch, HostWrite, LeaseError,
    LeaseItem, LeaseRow, LeaseWrite, Lessor, RangeDeleter, Renewal, Table, TableDeleter, Ttl,
    TxnDelete, WriteBatch, probe,
};

use super::keys;
use super::meanwhile::{During, Meanwhile};
use crate::event::{Event, Name};
use crate::world::{World, lock};

/// A member as its ports see it.
pub(super) struct Surroundings {
    pub(super) world: Arc<World>,
    pub(super) node: usize,
    // None while the lessor is being built.
    lessor: Mutex<Weak<BackendLessor>>,
    is_stopping: AtomicBool,
    pub(super) meanwhile: Meanwhile,
}

impl Surroundings {
    pub(super) fn new(world: &Arc<World>, node: usize) -> Arc<Self> {
        Arc::new(Self {
            world: Arc::clone(world),
            node,
            lessor: Mutex::default(),
            is_stopping: AtomicBool::new(false),
            meanwhile: Meanwhile::default(),
        })
    }

    pub(super) fn set_lessor(&self, lessor: &Arc<BackendLessor>) {
        *lock(&self.lessor) = Arc::downgrade(lessor);
    }

    pub(super) fn note_stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    pub(super) fn lessor(&self) -> Option<Arc<BackendLessor>> {
        lock(&self.lessor).upgrade()
    }

    pub(super) fn object(&self, message: String) {
        let node = self.node;
        self.world.hear(Event::Broken { node, message });
    }
}

/// The store of a member.
pub(super) struct Store {
    redb: RedbBackend,
    around: Arc<Surroundings>,
    // What a wrong store has acknowledged and not written.
    held: Mutex<WriteBatch>,
    // Whether the last commit has failed.
    has_failed: AtomicBool,
}

impl Store {
    pub(super) fn new(redb: RedbBackend, around: &Arc<Surroundings>) -> Self {
        Self {
            redb,
            around: Arc::clone(around),
            held: Mutex::default(),
            has_failed: AtomicBool::new(false),
        }
    }

    /// Where every command is durable, the lessor shows what is written and no more: a command whose
    /// rows are on their way has not happened.
    fn compare(&self) {
        let Some(lessor) = self.around.lessor() else {
            return;
        };
        let mut rows = Vec::new();
        let Ok(epoch) = self.redb.load(&mut |row| rows.push(row)) else {
            return;
        };
        if (lessor.epoch(), lessor.rows()) != (epoch, rows) {
            let message = "the lessor shows what is not written, or not what is";
            self.around.object(message.into());
        }
    }

    /// A commit has failed: the next one does too, if that is what the disk is to do. Returns whether
    /// this one was not the first.
    fn fail_again(&self) -> bool {
        let member = &self.around.world.members[self.around.node];
        let was_second = self.has_failed.swap(true, Ordering::Relaxed);
        let mut status = lock(&member.status);
        if status.more_disk_errors > 0 {
            status.more_disk_errors -= 1;
            drop(status);
            lock(&member.disk).fail_after(1);
        }
        if was_second {
            probe::mark("host: two commits in a row fail");
        }
        was_second
    }

    fn is_durable(&self) -> bool {
        self.around.world.parameters.durable
    }
}

impl Backend for Store {
    fn commit(&self, batch: &WriteBatch) -> Result<(), BackendError> {
        if self.is_durable() {
            self.compare();
        }
        self.around.check_number(batch);
        self.around.meanwhile(During::Commit);
        let is_stopping = self.around.is_stopping.load(Ordering::Relaxed);
        if is_stopping && probe::is_planted("stop-forgets-writes") {
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
        if result.is_ok() {
            self.has_failed.store(false, Ordering::Relaxed);
        }
        let is_second = result.is_err() && self.fail_again();
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

/// Deletes the keys of revoked leases, and calls the lessor back meanwhile.
pub(super) struct Deleter {
    keys: TableDeleter,
    around: Arc<Surroundings>,
}

impl Deleter {
    pub(super) fn new(around: &Arc<Surroundings>) -> Self {
        Self {
            keys: TableDeleter::new(keys()),
            around: Arc::clone(around),
        }
    }
}

impl RangeDeleter for Deleter {
    fn begin<'t>(&'t self, batch: &'t mut WriteBatch) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
        Ok(Box::new(Delete {
            keys: self.keys.begin(batch)?,
            around: &self.around,
        }))
    }
}

struct Delete<'t> {
    keys: Box<dyn TxnDelete + 't>,
    around: &'t Surroundings,
}

impl TxnDelete for Delete<'_> {
    fn delete_range(&mut self, key: &[u8], end: Option<&[u8]>) -> Result<Deleted, BoxError> {
        if let Some(lessor) = self.around.lessor() {
            self.around.look_inside(&lessor, key);
        }
        self.around.meanwhile(During::Deletion);
        self.keys.delete_range(key, end)
    }

    fn end(self: Box<Self>) -> Result<(), BoxError> {
        self.keys.end()
    }
}

impl Surroundings {
    /// A revoke that is decided and not written has changed nothing, and keeps other commands away
    /// from its leases.
    fn look_inside(&self, lessor: &BackendLessor, key: &[u8]) {
        let lease = lessor.get_lease(key).and_then(|id| lessor.lookup(id));
        let Some(lease) = lease else {
            self.object(format!("key {key:?} is detached before it is deleted"));
            return;
        };
        let id = lease.id();
        let inside = lessor.attach(id, &[LeaseItem::new(key)]);
        if inside == Err(LeaseError::Reentrant) {
            probe::mark("host: a command inside of another one is refused");
        } else {
            self.object(format!(
                "an attach to lease {id} inside of its revoke: {inside:?}"
            ));
        }
        let Some(epoch) = lessor.primary_epoch() else {
            return;
        };
        match lessor.try_renew(id) {
            Ok(Renewal::Renewed(ttl)) => {
                probe::mark("host: a lease is renewed while its revoke is written");
                let name = Name::new(id, lease.incarnation());
                self.world.hear_renewed(self.node, epoch.get(), name, ttl);
            }
            Ok(_) => {}
            Err(error) => self.object(format!(
                "a renewal inside of a revoke of lease {id}: {error}"
            )),
        }
    }
}
