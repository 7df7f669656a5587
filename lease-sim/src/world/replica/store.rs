//! A member's store: that of production, on its simulated disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lease_core::{Backend, BackendError, Epoch, LeaseRow, Table, WriteBatch, probe};
use lease_raft::{Fill, RedbStore, Store, View};

use super::{Around, lock};

pub(super) struct WorldStore {
    redb: Arc<RedbStore>,
    around: Arc<Around>,
    // Whether the last commit has failed.
    has_failed: AtomicBool,
}

impl WorldStore {
    pub(super) fn new(redb: Arc<RedbStore>, around: &Arc<Around>) -> Self {
        Self {
            redb,
            around: Arc::clone(around),
            has_failed: AtomicBool::new(false),
        }
    }

    /// The next commit fails too, if that is what the disk is to do.
    fn note<T>(&self, result: &Result<T, BackendError>) {
        let is_failure = result.is_err();
        let was_failure = self.has_failed.swap(is_failure, Ordering::Relaxed);
        if !is_failure {
            return;
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
    }
}

impl Backend for WorldStore {
    fn commit(&self, batch: &WriteBatch) -> Result<(), BackendError> {
        let result = self.redb.commit(batch);
        self.note(&result);
        result
    }

    fn load(&self, visit: &mut dyn FnMut(LeaseRow)) -> Result<Epoch, BackendError> {
        self.redb.load(visit)
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
        let result = self.redb.replace(fill);
        self.note(&result);
        result
    }
}
