//! What other threads of a member do while its lessor waits for one of its ports: one thread does it all, but
//! the lessor cannot tell.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lease_core::{
    Backend, BackendError, BackendLessor, Epoch, HostWrite, LeaseError, LeaseId, LeaseItem,
    LeaseRow, Lessor, Renewal, Table, WriteBatch, probe,
};
use rand::RngExt;

use super::{Around, lock};
use crate::event::{Came, Event, Name};
use crate::plan::Engine;

#[derive(Default)]
pub(super) struct Meanwhile {
    // What is done meanwhile has no meanwhile.
    is_busy: AtomicBool,
    // The number that was written last.
    written: AtomicU64,
    // The last epoch whose promotion is over here; 0 is none.
    over: AtomicU64,
    // The number in the snapshot that the store was just replaced by.
    brought: Mutex<Option<Option<Vec<u8>>>>,
}

/// The port that the lessor waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum During {
    Commit,
    Deletion,
    Observation,
    /// None.
    Rest,
}

/// The row that is written again and again while commits run.
const NUMBER: &[u8] = b"number";

fn numbers() -> Table {
    Table::new("numbers")
}

/// What is done.
#[derive(Clone, Copy)]
enum Deed {
    Renew,
    LookUp,
    Write,
    Attach,
    PollCheckpoints,
    Wait,
    Promote,
    Demote,
    DemoteLate,
}

/// Each as often as it stands here.
const DEEDS: [Deed; 19] = [
    Deed::Renew,
    Deed::Renew,
    Deed::Renew,
    Deed::LookUp,
    Deed::LookUp,
    Deed::Write,
    Deed::Write,
    Deed::Write,
    Deed::Write,
    Deed::Attach,
    Deed::Attach,
    Deed::PollCheckpoints,
    Deed::PollCheckpoints,
    Deed::Wait,
    Deed::Wait,
    Deed::Wait,
    Deed::Promote,
    Deed::Demote,
    Deed::DemoteLate,
];

/// So much more seldom something is done while no port is busy.
const AT_REST: u32 = 10;

impl Around {
    /// Does something, or nothing.
    pub(super) fn meanwhile(&self, during: During) {
        let is_rest = during == During::Rest;
        let renews = is_rest && self.is_suspended();
        let per_mille = match is_rest && !renews {
            true => self.world.parameters.meanwhile_per_mille / AT_REST,
            false => self.world.parameters.meanwhile_per_mille,
        };
        if per_mille == 0 || !self.world.happens(per_mille) {
            return;
        }
        if self.meanwhile.is_busy.swap(true, Ordering::Relaxed) {
            return;
        }
        let deed = match renews {
            true => Deed::Renew,
            false => DEEDS[lock(&self.world.noise).random_range(0..DEEDS.len())],
        };
        self.note_change();
        self.with_lessor(|lessor| match (deed, during) {
            (Deed::Renew, _) => self.renew_any(lessor),
            (Deed::LookUp, _) => self.look_up_all(lessor),
            (_, During::Observation) => {}
            (Deed::Write, During::Commit) => self.write_number(lessor),
            (Deed::Attach, During::Commit) => self.attach_again(lessor),
            (Deed::Write | Deed::Attach, _) => {}
            (Deed::PollCheckpoints, _) => self.poll_in_vain(lessor),
            (Deed::Wait, _) => self.wait_for_any(lessor),
            (Deed::Promote, _) => self.promote_wrongly(lessor),
            (Deed::Demote, _) => self.demote(lessor),
            (Deed::DemoteLate, _) => self.demote_late(lessor),
        });
        self.meanwhile.is_busy.store(false, Ordering::Relaxed);
    }

    fn any(&self, lessor: &BackendLessor) -> Option<LeaseRow> {
        let rows = lessor.rows();
        let is_there = !rows.is_empty();
        is_there.then(|| rows[lock(&self.world.noise).random_range(0..rows.len())])
    }

    fn renew_any(&self, lessor: &BackendLessor) {
        let Some(epoch) = lessor.primary_epoch() else {
            return;
        };
        let Some(lease) = self.any(lessor).and_then(|row| lessor.lookup(row.id)) else {
            return;
        };
        let has_time = lease.remaining().is_some_and(|left| !left.is_zero());
        let is_suspended = self.is_suspended();
        let renewal = lessor.try_renew(lease.id());
        let came_to = match renewal {
            Ok(Renewal::Renewed(_)) if !has_time && is_suspended => {
                probe::mark("raft: a lease whose time is up is renewed while expiry is suspended");
                Came::Renewed
            }
            Ok(Renewal::Renewed(_)) => {
                probe::mark("raft: a lease is renewed while a port is busy");
                Came::Renewed
            }
            Ok(Renewal::Reset(_)) => Came::Reset,
            Ok(_) => Came::Expiring,
            // It stops, and writes what is pending before it is no primary any more.
            Err(LeaseError::Stopped) => return,
            Err(_) => Came::Refused,
        };
        self.world.hear(Event::RenewalTried {
            node: self.node,
            epoch: epoch.get(),
            name: Name::new(lease.id(), lease.incarnation()),
            is_alive: has_time || is_suspended,
            came_to,
        });
    }

    /// What is listed is there, and nothing else.
    fn look_up_all(&self, lessor: &BackendLessor) {
        let rows = lessor.rows();
        let listed = lessor.leases();
        let has = |id: LeaseId| lessor.lookup(id).is_some();
        if rows.len() != listed.len() || !rows.iter().all(|row| has(row.id)) {
            self.object("a lease is listed and not there, while a port is busy".into());
        }
    }

    /// Where writes are batched, another command goes on while a commit runs, and its writes are newer
    /// than those of the commit, also if that fails.
    fn write_number(&self, lessor: &BackendLessor) {
        if self.world.parameters.durable {
            return;
        }
        let next = self.meanwhile.written.load(Ordering::Relaxed) + 1;
        let mut writes = WriteBatch::default();
        writes.put(numbers(), NUMBER, next.to_be_bytes());
        if lessor.write(writes).is_ok() {
            probe::mark("raft: something is written while a commit runs");
            self.meanwhile.written.store(next, Ordering::Relaxed);
        }
    }

    /// A batch has the newest number that was written, if it has one.
    pub(super) fn check_number(&self, batch: &WriteBatch) {
        let number = batch.host().iter().rev().find_map(|write| match write {
            HostWrite::Put { key, value, .. } if key.as_slice() == NUMBER => Some(value.clone()),
            _ => None,
        });
        let written = self.meanwhile.written.load(Ordering::Relaxed);
        if number.is_some_and(|number| number.as_slice() != written.to_be_bytes()) {
            self.object("a batch has an older write in the place of a newer one".into());
        }
    }

    /// A snapshot has taken the place of what was stored.
    pub(super) fn note_brought(&self, backend: &dyn Backend) -> Result<(), BackendError> {
        *lock(&self.meanwhile.brought) = Some(backend.get(&numbers(), NUMBER)?);
        Ok(())
    }

    /// Nothing of the state before is written on top of a snapshot.
    pub(super) fn check_brought(&self, backend: &dyn Backend) -> Result<(), BackendError> {
        let brought = lock(&self.meanwhile.brought).take();
        let number = backend.get(&numbers(), NUMBER)?;
        if brought.is_some_and(|brought| brought != number) {
            self.object("something of the old state is written on top of a snapshot".into());
        }
        Ok(())
    }

    /// An item that is attached is attached again, which changes nothing.
    fn attach_again(&self, lessor: &BackendLessor) {
        let leases = lessor.leases();
        let with_keys = leases.iter().find_map(|lease| {
            let lease = lessor.lookup(lease.id())?;
            Some((lease.id(), lease.keys().first()?.clone()))
        });
        if let Some((id, item)) = with_keys
            && !self.world.parameters.durable
        {
            let item = LeaseItem::new(item.as_bytes());
            let attached = lessor.attach(id, &[item]);
            // An epoch that begins keeps all others waiting, which one thread cannot; and it may be the
            // last commit of a stop.
            let is_excused =
                |error: &LeaseError| matches!(error, LeaseError::Reentrant | LeaseError::Stopped);
            if !attached.as_ref().err().is_none_or(is_excused) {
                let message = format!("an attach to lease {id} while a commit runs: {attached:?}");
                self.object(message);
            }
        }
    }

    /// Takes checkpoints, and loses them.
    fn poll_in_vain(&self, lessor: &BackendLessor) {
        let node = self.node;
        while let Some(batch) = lessor.poll_checkpoints() {
            probe::mark("raft: checkpoints are polled and lost");
            for checkpoint in &batch.records {
                let (Some(fence), Some(left)) = (checkpoint.fence, checkpoint.remaining) else {
                    continue;
                };
                let name = Name::new(checkpoint.id, fence.incarnation);
                self.world.hear(Event::CheckpointProposed {
                    node,
                    epoch: fence.epoch.get(),
                    name,
                    remaining_ms: left.as_secs() * 1000,
                });
                self.world.hear(Event::CheckpointLost { name });
            }
        }
    }

    fn wait_for_any(&self, lessor: &BackendLessor) {
        if let Some(epoch) = lessor.primary_epoch()
            && let Some(row) = self.any(lessor)
        {
            self.wait_for(lessor, epoch, row.id);
        }
    }

    /// A promotion that comes when its epoch is over, or before it has begun.
    fn promote_wrongly(&self, lessor: &BackendLessor) {
        let over = self.meanwhile.over.load(Ordering::Relaxed);
        let wrong = match over {
            0 => lessor.epoch().get() + 1,
            over => over,
        };
        if lessor.promote_to(Epoch::new(wrong), self.world.parameters.extend()) {
            self.object(format!(
                "it is promoted for epoch {wrong}, which is over or not begun"
            ));
        }
    }

    /// A thread that has heard of another leader comes while a port is busy.
    fn demote(&self, lessor: &BackendLessor) {
        // An engine that does not know of it would lead on.
        if self.world.parameters.engine == Engine::Log
            && let Some(epoch) = lessor.primary_epoch()
            && lessor.demote_from(epoch)
        {
            probe::mark("raft: a primary is demoted while a port is busy");
            self.member().post(super::Letter::StepDown);
            let (node, span) = (self.node, self.world.span(100, 2_000));
            self.world.later(span, move |world| world.elect(node));
        }
    }

    /// A demotion that comes when there is a newer promotion.
    fn demote_late(&self, lessor: &BackendLessor) {
        if let Some(epoch) = lessor.primary_epoch()
            && lessor.demote_from(Epoch::new(epoch.get() - 1))
        {
            self.object(format!("a late demotion ends that of epoch {epoch:?}"));
        }
    }

    /// Notes that the promotion of an epoch is over here; none may be promoted again after a snapshot.
    pub(super) fn note_over(&self, epoch: Option<u64>) {
        self.meanwhile
            .over
            .store(epoch.unwrap_or(0), Ordering::Relaxed);
    }
}

impl Around {
    pub(super) fn object(&self, message: String) {
        let node = self.node;
        self.world.hear(Event::Broken { node, message });
    }

    /// What the lessor says; nothing while it is built, or when it is gone.
    pub(super) fn with_lessor<T>(&self, asks: impl FnOnce(&BackendLessor) -> T) -> Option<T> {
        self.inside.get()?.with(asks)
    }
}
