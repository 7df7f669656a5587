//! Somebody who waits for the end of leases, beside the replica.

use lease_core::{BackendLessor, Epoch, LeaseId, Lessor, TicketOutcome, Wait, probe};

use super::{Around, lock};
use crate::event::{Event, Name, Told};

pub(super) struct Waiting {
    name: Name,
    epoch: Epoch,
    wait: Wait,
}

/// As many wait at most.
const MOST: usize = 8;

impl Around {
    pub(super) fn wait_for(&self, lessor: &BackendLessor, epoch: Epoch, id: LeaseId) {
        let mut waits = lock(&self.waits);
        if waits.len() < MOST
            && let (Some(wait), Some(lease)) = (lessor.wait(id), lessor.lookup(id))
        {
            let name = Name::new(id, lease.incarnation());
            waits.push(Waiting { name, epoch, wait });
        }
    }

    /// Tells the checkers what the lessor says to those who wait, where that is news or all is over.
    pub(super) fn tell_waits(&self, lessor: &BackendLessor, is_running: bool) {
        let waits = std::mem::take(&mut *lock(&self.waits));
        let mut kept = Vec::new();
        for waiting in waits {
            let id = waiting.wait.lease();
            let lease = lessor.lookup(id);
            let is_there = lease.is_some_and(|it| Name::new(id, it.incarnation()) == waiting.name);
            let is_primary = is_running && lessor.primary_epoch() == Some(waiting.epoch);
            let told = match waiting.wait.try_outcome() {
                None if is_there && is_primary => {
                    kept.push(waiting);
                    continue;
                }
                None => Told::Nothing,
                Some(TicketOutcome::NotPrimary) => Told::NotPrimary,
                Some(_) => Told::Gone,
            };
            probe::mark(match told {
                _ if !is_running => "raft: a stop ends a wait",
                Told::NotPrimary => "raft: a demotion ends a wait",
                _ => "raft: a revoke ends a wait",
            });
            self.world.hear(Event::WaitTold {
                node: self.node,
                name: waiting.name,
                told,
                is_there,
                is_primary,
            });
        }
        lock(&self.waits).append(&mut kept);
    }
}
