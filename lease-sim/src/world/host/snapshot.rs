use std::sync::Arc;

use lease_backend::RedbBackend;
use lease_backend::testing::SimDisk;
use lease_core::{Backend, Epoch, Lessor, WriteBatch, probe};

use super::ports::Store;
use super::{APPLIED, Host, keys, lock, meta, read_keys};
use crate::plan::End;
use crate::wire::{Message, Snapshot};

impl Host {
    /// Sends this member's whole state to another one.
    pub(super) fn send_snapshot(&self, to: usize) {
        if self.lessor.flush().is_err() {
            return;
        }
        let Ok(keys) = read_keys(&*self.backend) else {
            return;
        };
        let mut rows = self.lessor.rows();
        if probe::is_planted("host-snapshot-forgets-checkpoints") {
            rows.iter_mut().for_each(|row| row.remaining = None);
        }
        let snapshot = Snapshot {
            index: self.applied,
            epoch: self.epoch(),
            rows,
            keys,
        };
        self.send(End::Node(to), &Message::Snapshot(snapshot));
    }

    /// Takes another member's state in the place of its own, unless its own is newer. The state
    /// comes as a new store, which takes the place of the old one as a whole.
    pub(super) fn install(&mut self, snapshot: &Snapshot) {
        lock(&self.member().status).wants_snapshot_until_ms = 0;
        if snapshot.index <= self.applied {
            return;
        }
        if self.lessor.primary_epoch().is_some() {
            probe::mark("host: a primary gets a snapshot");
        }
        let disk = SimDisk::new(self.world.seed ^ snapshot.index);
        let redb = RedbBackend::create_with_storage(disk.clone()).expect("the new disk is sound");
        let mut writes = WriteBatch::default();
        writes.put(meta(), APPLIED, snapshot.index.to_be_bytes());
        writes.put_epoch(Epoch::new(snapshot.epoch));
        for row in &snapshot.rows {
            writes.put_lease(*row);
        }
        for (key, lease) in &snapshot.keys {
            writes.put(keys(), [*key], lease.to_be_bytes());
        }
        redb.commit(&writes).expect("the new disk is sound");
        let backend = Arc::new(Store::new(redb, &self.around));
        if self.lessor.recover(backend.clone(), None).is_err() {
            // What is pending for the old store could not be written; the snapshot comes again.
            return;
        }
        probe::mark("host: a snapshot is installed");
        *lock(&self.member().disk) = disk;
        self.backend = backend;
        self.inbox = self.inbox.split_off(&(snapshot.index + 1));
        let was_primary = self.member().primary_epoch().is_some();
        if was_primary && self.lessor.primary_epoch().is_none() {
            self.note_demotion();
        }
        self.recover(false).expect("the new disk is sound");
        self.fetch();
    }
}
