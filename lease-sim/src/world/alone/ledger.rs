use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lease_core::{
    Backend, BackendError, Epoch, HostWrite, LeaseRow, LeaseWrite, StrangeRow, Table, WriteBatch,
    probe,
};

use super::rows::{NUMBER, rows};
use super::{Host, LATE_MS};
use crate::event::OwnTime;

/// A backend, and what it has been given to keep.
pub(super) struct Ledger {
    backend: Arc<dyn Backend>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    leases: BTreeMap<i64, LeaseRow>,
    number: Option<Vec<u8>>,
    commits: Commits,
}

/// How often a backend was given something to keep.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Commits {
    done: u64,
    failed: u64,
}

/// What is not durable yet.
#[derive(Default)]
pub(super) struct Undone {
    // By the lessor's own clock, and after how many commits.
    since: Option<(OwnTime, Commits)>,
    // Whether the last commit of a stop has failed, so that nobody knows what is stored.
    is_lost: bool,
}

impl Undone {
    pub(super) const fn is_lost(&self) -> bool {
        self.is_lost
    }
}

impl Ledger {
    pub(super) fn of(backend: Arc<dyn Backend>) -> Self {
        Self {
            backend,
            kept: Mutex::default(),
        }
    }

    pub(super) fn commits(&self) -> Commits {
        self.kept().commits
    }

    /// What a lessor has read is durable.
    fn begin(&self, leases: Vec<LeaseRow>) {
        let leases = leases.into_iter().map(|row| (row.id.get(), row));
        // Of a disk that fails nothing is known.
        let number = self.backend.get(&rows(), NUMBER).ok().flatten();
        let mut kept = self.kept();
        (kept.leases, kept.number) = (leases.collect(), number);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn keep(&mut self, batch: &WriteBatch) {
        for write in batch.leases() {
            match write {
                LeaseWrite::Put(row) => drop(self.leases.insert(row.id.get(), *row)),
                LeaseWrite::Delete(id) => drop(self.leases.remove(&id.get())),
            }
        }
        let mut numbers = batch.host().iter().filter_map(|write| match write {
            HostWrite::Put { table, key, value } if *table == rows() && key == NUMBER => {
                Some(value.clone())
            }
            _ => None,
        });
        self.number = numbers.next_back().or(self.number.take());
    }
}

impl Backend for Ledger {
    fn commit(&self, batch: &WriteBatch) -> Result<(), BackendError> {
        let result = self.backend.commit(batch);
        let mut kept = self.kept();
        match &result {
            Ok(()) => {
                kept.commits.done += 1;
                kept.keep(batch);
            }
            Err(_) => kept.commits.failed += 1,
        }
        drop(kept);
        result
    }

    fn load(&self, visit: &mut dyn FnMut(LeaseRow)) -> Result<Epoch, BackendError> {
        self.backend.load(visit)
    }

    fn load_telling(
        &self,
        visit: &mut dyn FnMut(LeaseRow),
        strange: &mut dyn FnMut(StrangeRow),
    ) -> Result<Epoch, BackendError> {
        self.backend.load_telling(visit, strange)
    }

    fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        self.backend.get(table, key)
    }

    fn scan(&self, table: &Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), BackendError> {
        self.backend.scan(table, visit)
    }
}

impl Host {
    /// What the lessor has read of its store is durable.
    pub(super) fn begin_ledger(&mut self) {
        self.backend.begin(self.lessor.rows());
        self.undone = Undone::default();
    }

    /// Whether all that the lessor shows is durable. Checkpoints need not be, if they are kept out of the
    /// store.
    fn is_durable(&self) -> bool {
        let shown = self.lessor.rows();
        let kept = self.backend.kept();
        let is_kept = |row: &LeaseRow| {
            let kept = kept.leases.get(&row.id.get());
            kept.is_some_and(|kept| match self.alone.stores_checkpoints {
                true => kept == row,
                false => kept.ttl == row.ttl,
            })
        };
        let number = self.rows.number();
        let has_number = number.is_none_or(|number| kept.number.as_deref() == Some(&number[..]));
        has_number && shown.len() == kept.leases.len() && shown.iter().all(is_kept)
    }

    /// Notes whether something is not durable.
    pub(super) fn note_undone(&mut self) {
        let commits = self.backend.commits();
        let is_disturbed = self.now_ms() < self.disturbed_until_ms;
        let now = self.between();
        self.undone.since = match self.undone.since {
            _ if self.is_durable() => None,
            Some((since, then)) if then == commits && !is_disturbed => Some((since, then)),
            _ => Some((now, commits)),
        };
    }

    /// What is not durable waits no longer than it may: for no commit where each command is, for one where
    /// a write starts one, else for the interval.
    pub(super) fn look_at_undone(&mut self) {
        let Some((since, commits)) = self.undone.since else {
            return;
        };
        let most_ms = match (self.parameters.durable, self.alone.max_writes) {
            (true, _) | (_, 1) => 0,
            _ => self.parameters.commit_interval_ms,
        };
        let now = self.clock.own_time(crate::world::clock::Round::Down);
        let is_late = now.from_ms > since.to_ms + most_ms + LATE_MS;
        if is_late && self.now_ms() >= self.disturbed_until_ms {
            self.object(format!(
                "what was acknowledged is not durable since {since:?}, after {commits:?}"
            ));
        }
    }

    /// A stop has left nothing behind, or has told that its last commit failed.
    pub(super) fn look_at_last_commit(&mut self, is_failure_told: bool) {
        let is_durable = self.is_durable();
        self.undone.is_lost = is_failure_told || !is_durable;
        if is_durable {
            return;
        }
        probe::mark("alone: the last commit of a stop fails");
        let is_disturbed = self.now_ms() < self.disturbed_until_ms;
        if !is_disturbed || !is_failure_told {
            self.object("a stop has lost what was acknowledged, and nobody was told");
        }
    }
}
