//! The members that were removed. Their ids are never used again: one that comes back without what it has
//! acknowledged could split the cluster.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, PoisonError};

use lease_core::{Backend, Table, WriteBatch};

use super::config::Membership;
use super::log::as_io;
use crate::redb_store::RedbStore;
use crate::watch::Watch;

/// Those of whom a member knows, in the order of the log.
pub(crate) struct Removed {
    member: u64,
    all: Mutex<BTreeSet<u64>>,
    is_own: Watch<bool>,
}

impl Removed {
    pub(crate) fn new(member: u64) -> Self {
        Self {
            member,
            all: Mutex::default(),
            is_own: Watch::new(false),
        }
    }

    pub(crate) fn contains(&self, member: u64) -> bool {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.contains(&member)
    }

    pub(super) fn add(&self, members: impl IntoIterator<Item = u64>) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(members);
        let is_own = all.contains(&self.member);
        drop(all);
        if is_own {
            self.hear();
        }
    }

    /// Another member says that this one was removed, which is not told to who was.
    pub(crate) fn hear(&self) {
        self.is_own.set(true);
    }

    /// Whether this member was removed, as far as it knows.
    #[cfg(feature = "grpc")]
    pub(crate) fn is_own(&self) -> bool {
        self.is_own.get()
    }

    /// Waits until it is known that this member was removed.
    #[cfg(feature = "grpc")]
    pub(crate) async fn wait(&self) {
        use futures::StreamExt;

        let mut changes = self.is_own.changes();
        while changes.next().await != Some(true) {}
    }

    /// Adds those that are stored.
    pub(super) fn load(&self, store: &RedbStore, table: &Table) -> io::Result<()> {
        let mut all = Vec::new();
        let scanned = store.scan(table, &mut |key, _| {
            let id = key.strip_prefix(KEY).and_then(|id| id.try_into().ok());
            all.extend(id.map(u64::from_be_bytes));
        });
        scanned.map_err(|error| as_io(&error))?;
        self.add(all);
        Ok(())
    }
}

/// Who is a member before an entry, and not after it.
pub(super) fn gone(before: &Membership, after: &Membership) -> Vec<u64> {
    let members = before.nodes().map(|(member, _)| *member);
    let gone = members.filter(|member| after.get_node(member).is_none());
    gone.collect()
}

pub(super) fn put(writes: &mut WriteBatch, table: &Table, member: u64) {
    let key = [KEY, &member.to_be_bytes()].concat();
    writes.put(table.clone(), key, []);
}

const KEY: &[u8] = b"removed ";
