use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lease_core::{
    BackendLessor, Epoch, HostWrite, LeaseError, LeaseItem, Lessor, LessorEvent, Observer, Renewal,
    WriteBatch, probe,
};
use rand::RngExt;

use super::meta;
use super::ports::Surroundings;
use crate::event::{Event, Name};
use crate::world::lock;

/// What other threads of the host do while the lessor waits for its ports: one thread does it all, but
/// the lessor cannot tell.
#[derive(Default)]
pub(super) struct Meanwhile {
    // What is done meanwhile has no meanwhile.
    is_busy: AtomicBool,
    // The number that was written last.
    written: AtomicU64,
}

/// The port that the lessor waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum During {
    Commit,
    Deletion,
    Observation,
}

/// The row that is written again and again while commits run.
const NUMBER: &[u8] = b"number";

/// What is done.
#[derive(Clone, Copy)]
enum Deed {
    Renew,
    LookUp,
    Write,
    Attach,
    PollCheckpoints,
    Promote,
    Demote,
}

/// Each as often as it stands here.
const DEEDS: [Deed; 16] = [
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
    Deed::Promote,
    Deed::Promote,
    Deed::Demote,
];

impl Surroundings {
    /// Does something, or nothing.
    pub(super) fn meanwhile(&self, during: During) {
        let per_mille = self.world.parameters.meanwhile_per_mille;
        if per_mille == 0 || !self.world.happens(per_mille) {
            return;
        }
        let Some(lessor) = self.lessor() else {
            return;
        };
        if self.meanwhile.is_busy.swap(true, Ordering::Relaxed) {
            return;
        }
        let deed = DEEDS[lock(&self.world.noise).random_range(0..DEEDS.len())];
        match (deed, during) {
            (Deed::Renew, _) => self.renew_any(&lessor),
            (Deed::LookUp, _) => self.look_up_all(&lessor),
            (_, During::Observation) => {}
            (Deed::Write, During::Commit) => self.write_number(&lessor),
            (Deed::Attach, During::Commit) => self.attach_again(&lessor),
            (Deed::Write | Deed::Attach, _) => {}
            (Deed::PollCheckpoints, _) => self.poll_in_vain(&lessor),
            (Deed::Promote, _) => self.promote(&lessor),
            (Deed::Demote, _) => self.demote(&lessor),
        }
        self.meanwhile.is_busy.store(false, Ordering::Relaxed);
    }

    fn renew_any(&self, lessor: &BackendLessor) {
        let rows = lessor.rows();
        let Some(epoch) = lessor.primary_epoch().filter(|_| !rows.is_empty()) else {
            return;
        };
        let row = rows[lock(&self.world.noise).random_range(0..rows.len())];
        let before = lessor.lookup(row.id);
        if let (Ok(Renewal::Renewed(ttl)), Some(lease)) = (lessor.try_renew(row.id), before) {
            probe::mark("host: a lease is renewed while a port is busy");
            let name = Name::new(row.id, lease.incarnation());
            self.world.hear_renewed(self.node, epoch.get(), name, ttl);
        }
    }

    /// What is listed is there, and nothing else.
    fn look_up_all(&self, lessor: &BackendLessor) {
        let rows = lessor.rows();
        let listed = lessor.leases();
        let has = |id| lessor.lookup(id).is_some();
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
        writes.put(meta(), NUMBER, next.to_be_bytes());
        if lessor.write(writes).is_ok() {
            probe::mark("host: something is written while a commit runs");
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
            probe::mark("host: checkpoints are polled while a port is busy");
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

    /// The host's thread for changes of the role comes while a port is busy.
    fn promote(&self, lessor: &BackendLessor) {
        let member = &self.world.members[self.node];
        let leads = member
            .leads()
            .filter(|leads| *leads == lessor.epoch().get());
        let Some(epoch) = leads else {
            return;
        };
        let extend = self.world.parameters.extend();
        if lessor.promote_to(Epoch::new(epoch), extend) {
            probe::mark("host: a member is promoted while a port is busy");
            lock(&member.status).primary = Some(epoch);
            let node = self.node;
            self.world.hear(Event::Promoted { node, epoch });
            self.world.hear_all_counted(node, &lessor.rows());
        }
    }

    fn demote(&self, lessor: &BackendLessor) {
        if let Some(epoch) = lessor.primary_epoch()
            && lessor.demote_from(epoch)
        {
            probe::mark("host: a primary is demoted while a port is busy");
            let node = self.node;
            lock(&self.world.members[node].status).primary = None;
            self.world.hear(Event::Demoted { node });
        }
    }
}

/// The observer of a member whose host is busy meanwhile.
pub(super) struct Watcher(pub(super) std::sync::Arc<Surroundings>);

impl Observer for Watcher {
    fn observe(&self, _: &LessorEvent<'_>) {
        self.0.meanwhile(During::Observation);
    }
}
