//! The state machine of openraft: a [`Replica`] behind a small trait.
//!
//! The state is durable of itself, so that a snapshot is not kept: it is a view of the state, taken when
//! somebody wants one, and "building" one only makes sure that the entries may be purged.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{Stream, StreamExt};
use lease_core::{Backend, BackendError, LeaseError, Table, WriteBatch};
use lease_pb::Message;
use openraft::storage::EntryResponder;
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};

use super::blocking::blocking;
use super::codec;
use super::config::{
    Entry, LogId, Proposal, Snapshot, SnapshotMeta, StoredMembership, Types, position,
};
use super::log::as_io;
use super::removed::{self, Removed};
use super::snapshot::SnapshotData;
use crate::error::with_causes;
use crate::redb_store::RedbStore;
use crate::{ApplyError, Committed, InstallError, Replica, Runtime};

/// What is replicated. A [`Replica`] is one; tests have a smaller one.
pub(crate) trait Machine: Send + Sync + 'static {
    /// The position of the last entry that was applied, from 1.
    fn applied(&self) -> u64;

    /// Applies the next entry. It may wait for the disk.
    fn apply(&self, entry: Committed<'_>) -> Result<(), ApplyError>;

    /// The state as of now, and durable.
    fn snapshot(&self) -> Result<Box<dyn MachineSnapshot>, LeaseError>;

    /// Reads a snapshot through, and changes nothing. Returns of which entry it is.
    fn check(&self, bytes: &mut dyn io::Read) -> Result<u64, InstallError>;

    /// Replaces the state, unless it is newer. Returns whether it did.
    fn install(&self, bytes: &mut dyn io::Read, writes: &WriteBatch) -> Result<bool, InstallError>;
}

/// The state as of one moment.
pub(crate) trait MachineSnapshot: Send {
    fn index(&self) -> u64;
    fn write(&self, to: &mut dyn io::Write) -> io::Result<()>;
}

impl Machine for Replica {
    fn applied(&self) -> u64 {
        self.applied()
    }

    fn apply(&self, entry: Committed<'_>) -> Result<(), ApplyError> {
        self.apply(entry)
    }

    fn snapshot(&self) -> Result<Box<dyn MachineSnapshot>, LeaseError> {
        Ok(Box::new(self.snapshot()?))
    }

    fn check(&self, bytes: &mut dyn io::Read) -> Result<u64, InstallError> {
        self.check(bytes)
    }

    fn install(&self, bytes: &mut dyn io::Read, writes: &WriteBatch) -> Result<bool, InstallError> {
        self.install(bytes, writes)
    }
}

impl MachineSnapshot for crate::Snapshot {
    fn index(&self) -> u64 {
        self.index()
    }

    fn write(&self, to: &mut dyn io::Write) -> io::Result<()> {
        self.write(to)
    }
}

/// Applies entries in order, one batch at a time, where that keeps no task waiting.
pub(crate) struct StateMachine {
    machine: Arc<dyn Machine>,
    store: Arc<RedbStore>,
    runtime: Arc<dyn Runtime>,
    removed: Arc<Removed>,
    applied: Option<LogId>,
    membership: StoredMembership,
}

impl StateMachine {
    /// Reads where the state stands.
    ///
    /// # Errors
    ///
    /// If the store cannot be read, or the state is not that of its log.
    pub(crate) async fn open(
        machine: Arc<dyn Machine>,
        store: Arc<RedbStore>,
        runtime: Arc<dyn Runtime>,
        removed: Arc<Removed>,
    ) -> io::Result<Self> {
        let (reading, known) = (Arc::clone(&store), Arc::clone(&removed));
        let read = move || {
            known.load(&reading, &table())?;
            read_rows(&reading)
        };
        let (applied, membership) = blocking(&*runtime, read).await??;
        let this = Self {
            machine,
            store,
            runtime,
            removed,
            applied,
            membership,
        };
        this.check_position()?;
        Ok(this)
    }

    fn check_position(&self) -> io::Result<()> {
        let expected = self.position();
        let found = self.machine.applied();
        if found == expected {
            return Ok(());
        }
        Err(damaged(&format!(
            "the state is that of entry {found}, and says that it is that of {expected}"
        )))
    }

    fn position(&self) -> u64 {
        self.applied.map_or(0, |applied| position(applied.index()))
    }

    /// A view of the state, which is that of the last entry that was applied, because entries are
    /// applied by nobody else.
    async fn view(&self) -> io::Result<Snapshot> {
        let machine = Arc::clone(&self.machine);
        let view = blocking(&*self.runtime, move || machine.snapshot())
            .await?
            .map_err(|error| io::Error::other(with_causes(&error)))?;
        if view.index() != self.position() {
            return Err(damaged(&format!(
                "a snapshot of entry {} after {} was applied",
                view.index(),
                self.position()
            )));
        }
        Ok(Snapshot {
            meta: SnapshotMeta {
                last_log_id: self.applied,
                last_membership: self.membership.clone(),
            },
            snapshot: SnapshotData::View(view),
        })
    }

    async fn apply_batch(&mut self, batch: Vec<EntryResponder<Types>>) -> io::Result<()> {
        let Some((last, _)) = batch.last() else {
            return Ok(());
        };
        let applied = last.log_id;
        let membership = batch.iter().rev().find_map(|(entry, _)| stored(entry));
        let (machine, removed) = (Arc::clone(&self.machine), Arc::clone(&self.removed));
        let mut members = self.membership.membership().clone();
        let apply_all = move || {
            batch.into_iter().try_for_each(|(entry, responder)| {
                let mut gone = Vec::new();
                if let EntryPayload::Membership(now) = &entry.payload {
                    gone = removed::gone(&members, now);
                    members = now.clone();
                }
                apply_one(&*machine, &entry, &gone)?;
                removed.add(gone);
                if let Some(responder) = responder {
                    responder.send(());
                }
                Ok(())
            })
        };
        blocking(&*self.runtime, apply_all)
            .await?
            .map_err(|error: ApplyError| {
                let error = with_causes(&error);
                tracing::error!(error, "an entry cannot be applied: the member stops");
                io::Error::other(error)
            })?;
        self.applied = Some(applied);
        if let Some(membership) = membership {
            self.membership = membership;
        }
        Ok(())
    }
}

impl openraft::storage::RaftStateMachine<Types> for StateMachine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        let mut batches = entries.ready_chunks(MAX_BATCH);
        while let Some(batch) = batches.next().await {
            let batch: io::Result<Vec<_>> = batch.into_iter().collect();
            self.apply_batch(batch?).await?;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder(Mutex::new(Some(self.view().await)))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotData,
    ) -> io::Result<()> {
        let last = meta
            .last_log_id
            .ok_or_else(|| damaged(&"a snapshot without an entry"))?;
        let mut writes = WriteBatch::default();
        put_applied(&mut writes, &last);
        put_membership(&mut writes, &meta.last_membership);
        let (machine, store) = (Arc::clone(&self.machine), Arc::clone(&self.store));
        let removed = Arc::clone(&self.removed);
        let install = move || -> io::Result<bool> {
            let mut spool = snapshot.into_spool(store.path())?;
            let mut reader = spool.reader()?;
            let installed = machine.install(&mut reader, &writes);
            let installed = installed.map_err(|error| io::Error::other(with_causes(&error)))?;
            removed.load(&store, &table())?;
            Ok(installed)
        };
        if blocking(&*self.runtime, install).await?? {
            self.applied = Some(last);
            self.membership = meta.last_membership.clone();
        }
        self.check_position()
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        match self.applied {
            Some(_) => self.view().await.map(Some),
            None => Ok(None),
        }
    }
}

/// A view that was taken when the builder was asked for.
pub(crate) struct SnapshotBuilder(Mutex<Option<io::Result<Snapshot>>>);

impl RaftSnapshotBuilder<Types> for SnapshotBuilder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        self.0
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .unwrap_or_else(|| Err(io::Error::other("a builder builds one snapshot")))
    }
}

fn apply_one(machine: &dyn Machine, entry: &Entry, gone: &[u64]) -> Result<(), ApplyError> {
    let mut writes = WriteBatch::default();
    for member in gone {
        removed::put(&mut writes, &table(), *member);
    }
    put_applied(&mut writes, &entry.log_id);
    if let Some(membership) = stored(entry) {
        put_membership(&mut writes, &membership);
    }
    machine.apply(Committed {
        index: position(entry.log_id.index()),
        entry: match &entry.payload {
            EntryPayload::Normal(Proposal(bytes)) => Some(bytes.as_ref()),
            _ => None,
        },
        writes,
    })
}

fn stored(entry: &Entry) -> Option<StoredMembership> {
    match &entry.payload {
        EntryPayload::Membership(membership) => Some(StoredMembership::new(
            Some(entry.log_id),
            membership.clone(),
        )),
        _ => None,
    }
}

fn put_applied(writes: &mut WriteBatch, id: &LogId) {
    writes.put(table(), APPLIED, codec::log_id(id).encode_to_vec());
}

fn put_membership(writes: &mut WriteBatch, membership: &StoredMembership) {
    let row = codec::stored_membership(membership).encode_to_vec();
    writes.put(table(), MEMBERSHIP, row);
}

fn read_rows(store: &RedbStore) -> io::Result<(Option<LogId>, StoredMembership)> {
    let row = |key| store.get(&table(), key).map_err(|error| as_io(&error));
    let applied = row(APPLIED)?
        .map(|row| codec::decode(&row).and_then(codec::read_log_id))
        .transpose()
        .map_err(|error| damaged(&error))?;
    let membership = row(MEMBERSHIP)?
        .map(|row| codec::decode(&row).and_then(codec::read_stored_membership))
        .transpose()
        .map_err(|error| damaged(&error))?;
    Ok((applied, membership.unwrap_or_default()))
}

/// The last entry that is in the state.
pub(crate) fn last_applied(store: &RedbStore) -> io::Result<Option<LogId>> {
    Ok(read_rows(store)?.0)
}

fn damaged(why: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(BackendError::Damaged(why.to_string()))
}

/// The table with what openraft must know of the state.
fn table() -> Table {
    Table::new("lease_raft_openraft")
}

const APPLIED: &[u8] = b"applied";
const MEMBERSHIP: &[u8] = b"membership";

/// How many entries are applied at a time.
const MAX_BATCH: usize = 1024;
