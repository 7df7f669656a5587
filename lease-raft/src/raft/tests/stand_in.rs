use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use lease_core::{Backend, BackendError, LeaseError, Table, WriteBatch};

use crate::raft::machine::{Machine, MachineSnapshot};
use crate::redb_store::RedbStore;
use crate::{ApplyError, Committed, InstallError, Store, View};

/// A replica that remembers what was applied, and commits behind it as a lessor does.
pub(super) struct Tally {
    store: Arc<RedbStore>,
    state: Mutex<State>,
    /// Whether entries may be left out, as openraft's suite does.
    is_lenient: bool,
    /// How many snapshots were installed.
    pub(super) installed: AtomicU64,
}

#[derive(Default)]
struct State {
    applied: u64,
    pending: WriteBatch,
}

/// How many entries are committed at a time.
const BATCH: u64 = 64;

fn rows() -> Table {
    Table::new("tally")
}

fn meta() -> Table {
    Table::new("tally_meta")
}

impl Tally {
    #[cfg(not(madsim))]
    pub(super) fn open(store: &Arc<RedbStore>) -> Arc<Self> {
        Self::open_as(store, false)
    }

    pub(super) fn open_lenient(store: &Arc<RedbStore>) -> Arc<Self> {
        Self::open_as(store, true)
    }

    fn open_as(store: &Arc<RedbStore>, is_lenient: bool) -> Arc<Self> {
        let applied = store.get(&meta(), b"applied").expect("the store works");
        let applied = applied.map_or(0, |row| number(&row));
        Arc::new(Self {
            store: Arc::clone(store),
            state: Mutex::new(State {
                applied,
                ..State::default()
            }),
            is_lenient,
            installed: AtomicU64::new(0),
        })
    }

    /// What was proposed and applied, in order.
    #[cfg(not(madsim))]
    pub(super) fn proposals(&self) -> Vec<Vec<u8>> {
        self.flush().expect("the store works");
        let mut proposals = Vec::new();
        let visit = &mut |_: &[u8], row: &[u8]| proposals.push(row.to_vec());
        self.store.scan(&rows(), visit).expect("the store works");
        proposals
    }

    fn flush(&self) -> Result<(), BackendError> {
        let mut state = self.state.lock().expect("no panic");
        let pending = std::mem::take(&mut state.pending);
        self.store.commit(&pending)
    }
}

impl Machine for Tally {
    fn applied(&self) -> u64 {
        self.state.lock().expect("no panic").applied
    }

    fn apply(&self, mut entry: Committed<'_>) -> Result<(), ApplyError> {
        let mut state = self.state.lock().expect("no panic");
        if !self.is_lenient && entry.index != state.applied + 1 {
            return Err(ApplyError::OutOfOrder {
                applied: state.applied,
                found: entry.index,
            });
        }
        state.applied = entry.index;
        state.pending.append(&mut entry.writes);
        let index = entry.index.to_be_bytes();
        state.pending.put(meta(), "applied", index);
        if let Some(proposal) = entry.entry {
            state.pending.put(rows(), index, proposal);
        }
        let is_due = entry.index.is_multiple_of(BATCH);
        drop(state);
        if is_due {
            let failed = |error| ApplyError::Unreadable {
                index: entry.index,
                reason: format!("{error}"),
            };
            self.flush().map_err(failed)?;
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<Box<dyn MachineSnapshot>, LeaseError> {
        self.flush().map_err(LeaseError::Backend)?;
        Ok(Box::new(Taken {
            index: self.applied(),
            view: self.store.view().map_err(LeaseError::Backend)?,
        }))
    }

    fn check(&self, bytes: &mut dyn Read) -> Result<u64, InstallError> {
        let mut all = Vec::new();
        let read = bytes.read_to_end(&mut all);
        read.map_err(|error| InstallError::Damaged(error.to_string()))?;
        Ok(applied(&all))
    }

    fn install(&self, bytes: &mut dyn Read, writes: &WriteBatch) -> Result<bool, InstallError> {
        let damaged = |error: io::Error| InstallError::Damaged(error.to_string());
        let mut all = Vec::new();
        bytes.read_to_end(&mut all).map_err(damaged)?;
        let mut state = self.state.lock().expect("no panic");
        state.pending = WriteBatch::default();
        let mut applied = None;
        let replaced = self.store.replace(&mut |fill| {
            let mut rest = all.as_slice();
            while !rest.is_empty() {
                let mut part = || take(&mut rest);
                let (table, key, value) = (part(), part(), part());
                let table = String::from_utf8(table).expect("a name");
                if (table.as_str(), key.as_slice()) == ("tally_meta", b"applied") {
                    applied = Some(number(&value));
                }
                fill.put(&table, &key, &value)?;
            }
            fill.write(writes)
        });
        replaced.map_err(LeaseError::Backend)?;
        state.applied = applied.expect("it says where it is");
        self.installed.fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }
}

struct Taken {
    index: u64,
    view: Box<dyn View>,
}

impl MachineSnapshot for Taken {
    fn index(&self) -> u64 {
        self.index
    }

    fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        let mut bytes = Vec::new();
        let visited = self.view.visit(&mut |table, key, value| {
            for part in [table.as_bytes(), key, value] {
                bytes.extend((part.len() as u32).to_be_bytes());
                bytes.extend(part);
            }
            Ok(())
        });
        visited.map_err(io::Error::other)?;
        to.write_all(&bytes)
    }
}

fn take(rest: &mut &[u8]) -> Vec<u8> {
    let (len, tail) = rest.split_first_chunk().expect("a length");
    let (part, tail) = tail.split_at(u32::from_be_bytes(*len) as usize);
    *rest = tail;
    part.to_vec()
}

fn number(row: &[u8]) -> u64 {
    u64::from_be_bytes(row.try_into().expect("eight bytes"))
}

/// Where a snapshot says that it is.
fn applied(mut rest: &[u8]) -> u64 {
    let mut applied = None;
    while !rest.is_empty() {
        let mut part = || take(&mut rest);
        let (table, key, value) = (part(), part(), part());
        if (&*table, &*key) == (b"tally_meta", b"applied") {
            applied = Some(number(&value));
        }
    }
    applied.expect("it says where it is")
}
