use std::collections::BTreeMap;

use lease_backend::RedbBackend;
use lease_core::{Backend, BackendError, Table};

use crate::op::Op;

/// How many threads a child has. Each has leases and keys of its own.
pub(crate) const THREADS: usize = 4;

/// Ids and keys of a thread are below the next one's.
pub(crate) const SPAN: i64 = 1_000_000;

pub(crate) fn sessions() -> Table {
    Table::new("sessions")
}

pub(crate) fn keys() -> Table {
    Table::new("keys")
}

/// What a thread's leases are, in memory as on disk.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct State {
    /// What remains of each lease, if a checkpoint has said so, and the host's row of it.
    pub(crate) leases: BTreeMap<i64, (Option<i64>, Option<u64>)>,
    /// The lease that the row of each key names.
    pub(crate) keys: BTreeMap<u64, i64>,
}

impl State {
    pub(crate) fn apply(&mut self, op: Op) {
        match op {
            Op::Grant { id, stamp } => _ = self.leases.insert(id, (None, Some(stamp))),
            Op::Revoke { id } => {
                self.leases.remove(&id);
                self.keys.retain(|_, lease| *lease != id);
            }
            Op::Attach { id, key } => _ = self.keys.insert(key, id),
            Op::Detach { key, .. } => _ = self.keys.remove(&key),
            Op::Checkpoint { id, remaining } => {
                if let Some((old, _)) = self.leases.get_mut(&id) {
                    *old = Some(remaining);
                }
            }
            Op::Flush => {}
        }
    }
}

/// What the file holds of each thread.
pub(crate) fn read(backend: &RedbBackend) -> Result<Vec<State>, BackendError> {
    let mut states = vec![State::default(); THREADS];
    backend.load(&mut |row| {
        let remaining = row.remaining.map(lease_core::Ttl::get);
        let id = row.id.get();
        states[thread_of(id)].leases.insert(id, (remaining, None));
    })?;
    backend.scan(&sessions(), &mut |key, value| {
        let (id, stamp) = (number(key) as i64, number(value));
        // A row without its lease is as wrong as a lease without its row.
        let lease = states[thread_of(id)]
            .leases
            .entry(id)
            .or_insert((Some(-1), None));
        lease.1 = Some(stamp);
    })?;
    backend.scan(&keys(), &mut |key, value| {
        let (key, id) = (number(key), number(value) as i64);
        states[thread_of(key as i64)].keys.insert(key, id);
    })?;
    Ok(states)
}

fn thread_of(number: i64) -> usize {
    usize::try_from(number / SPAN).map_or(0, |thread| thread.min(THREADS - 1))
}

fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_be_bytes)
}
