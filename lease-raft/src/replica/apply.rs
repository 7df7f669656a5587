use std::sync::Arc;

use lease_core::{
    Answer, BackendLessor, Command, HostWrite, LeaseError, LeaseId, Lessor, WriteBatch,
};

use super::proposals::Outcome;
use super::sessions::Admission;
use super::{APPLIED, Applying, CLUSTER, Inner, Replica};
use crate::entry::{Entry, Request};
use crate::machine::Leases;
use crate::probe::planted;
use crate::store::{is_reserved, meta};

/// An entry that the engine has committed.
#[derive(Debug)]
pub struct Committed<'e> {
    /// Its index: one more than that of the last one.
    pub index: u64,
    /// What was [proposed](crate::Engine::propose); `None` for an entry of the engine's own.
    pub entry: Option<&'e [u8]>,
    /// What the engine writes in the same transaction.
    pub writes: WriteBatch,
}

/// Why an entry is not applied. The member cannot go on before it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The entry is not the next one.
    #[error("entry {found} is not the one after entry {applied}")]
    OutOfOrder {
        /// The last one that was applied.
        applied: u64,
        /// The one that came.
        found: u64,
    },
    /// The entry says what this version does not know.
    #[error("entry {index} cannot be read by this version: {reason}")]
    Unreadable {
        /// Which one.
        index: u64,
        /// Why.
        reason: String,
    },
    /// The member has [failed](Replica::failure) before.
    #[error("the member has failed: {0}")]
    Failed(String),
    /// The lessor could not write, or was stopped. The entry may be applied again.
    #[error(transparent)]
    Lease(#[from] LeaseError),
}

impl Replica {
    /// Applies the next entry of the log, once: an entry that was applied already is left out. It may
    /// wait for the disk. Callers in other threads wait for each other.
    ///
    /// # Errors
    ///
    /// [`ApplyError`].
    pub fn apply(&self, entry: Committed<'_>) -> Result<(), ApplyError> {
        self.inner.apply(entry)
    }
}

impl Inner {
    fn apply(self: &Arc<Self>, committed: Committed<'_>) -> Result<(), ApplyError> {
        let mut applying = self.applying();
        if let Some(reason) = self.state().failure.clone() {
            return Err(ApplyError::Failed(reason));
        }
        let Committed {
            index,
            entry,
            writes,
        } = committed;
        if index <= applying.applied {
            return Ok(());
        }
        if index != applying.applied + 1 {
            return Err(ApplyError::OutOfOrder {
                applied: applying.applied,
                found: index,
            });
        }
        let entry = entry.map(Entry::decode).transpose();
        let entry = entry.map_err(|reason| ApplyError::Unreadable { index, reason })?;
        let outcome = self.execute(&mut applying, index, entry.as_ref(), writes)?;
        applying.applied = index;
        self.note_applied(index, entry, outcome);
        Ok(())
    }

    fn execute(
        &self,
        applying: &mut Applying,
        index: u64,
        entry: Option<&Entry>,
        mut writes: WriteBatch,
    ) -> Result<Outcome, LeaseError> {
        writes.put(meta(), APPLIED, index.to_be_bytes());
        if planted!("raft-applied-index-apart") {
            let apart = std::mem::take(&mut writes);
            self.store.commit(&apart).map_err(LeaseError::Backend)?;
        }
        if index == 1 {
            writes.put(meta(), CLUSTER, self.options.cluster.as_bytes());
        }
        let Some(entry) = entry else {
            self.lessor.write(writes)?;
            return Ok(Outcome::Void);
        };
        let admitted = match applying.sessions.admit(index, entry, &mut writes) {
            Admission::New(admitted) => admitted,
            Admission::Known => {
                self.lessor.write(writes)?;
                return Ok(Outcome::Void);
            }
            Admission::TooOld => {
                self.lessor.write(writes)?;
                return Ok(Outcome::TooOld);
            }
        };
        let outcome = self.execute_admitted(index, entry, writes)?;
        applying.sessions.note(admitted);
        Ok(outcome)
    }

    fn execute_admitted(
        &self,
        index: u64,
        entry: &Entry,
        mut writes: WriteBatch,
    ) -> Result<Outcome, LeaseError> {
        if let Some(mut command) = entry.request.command(index) {
            if let (Command::Grant(grant), true) = (&mut command, planted!("raft-min-ttl-at-apply"))
            {
                grant.ttl = grant.ttl.max(self.options.config.min_ttl);
            }
            return Ok(match self.lessor.apply(&command, writes)? {
                Answer::Epoch(Ok(epoch)) => Outcome::Led(epoch),
                answer => Outcome::Answer(answer),
            });
        }
        let Request::Host(command) = &entry.request else {
            unreachable!("all but the host's own are commands of the lessor's");
        };
        let mut decided = self.machine.decide(index, command, &View(&self.lessor));
        let without = writes.clone();
        let mut tables = decided.writes.host().iter().map(HostWrite::table);
        let is_reserved = tables.any(is_reserved);
        writes.append(&mut decided.writes);
        let written = match (&decided.command, is_reserved) {
            (_, true) => Err(LeaseError::ReservedRows),
            (None, false) => self.lessor.write(writes),
            (Some(command), false) => self.lessor.apply(command, writes).map(|answer| {
                if answer.is_refusal() {
                    tracing::error!(index, ?answer, "the host's machine was refused");
                }
            }),
        };
        if matches!(written, Err(LeaseError::ReservedRows)) {
            tracing::error!(index, "the host's machine writes rows that are not its own");
            self.lessor.write(without)?;
            return Ok(Outcome::Reserved);
        }
        written?;
        self.machine.apply(index, command, &decided.answer);
        Ok(Outcome::Host(decided.answer))
    }

    /// Tells everybody who waits for it that an entry is applied.
    fn note_applied(self: &Arc<Self>, index: u64, entry: Option<Entry>, outcome: Outcome) {
        let (waiter, waiters) = {
            let mut state = self.state();
            state.applied = index;
            let waiter = entry
                .as_ref()
                .filter(|entry| entry.session == self.session)
                .and_then(|entry| state.proposals.take(entry, &outcome));
            let waiters = (!state.waiters.is_empty()).then(|| state.waiters.take_through(index));
            (waiter, waiters)
        };
        if let (Outcome::Led(epoch), Some(entry)) = (&outcome, &entry)
            && let Request::Lead { term, .. } = entry.request
        {
            self.epoch_begins(*epoch, term, waiter.is_some());
        }
        if let Some(waiter) = waiter {
            // Whoever has gone does not need to know.
            let _ = waiter.send(outcome);
        }
        if let Some(waiters) = waiters {
            waiters.tell();
        }
        self.look_for_checkpoints();
    }
}

/// What the host's machine sees.
struct View<'a>(&'a BackendLessor);

impl Leases for View<'_> {
    fn contains(&self, id: LeaseId) -> bool {
        self.0.time_to_live(id).is_some()
    }

    fn get_lease(&self, item: &[u8]) -> Option<LeaseId> {
        self.0.get_lease(item)
    }
}
