//! What the lessor of a replica tells its observer, as events of the world.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lease_core::{
    BackendLessor, Epoch, ExpiredBatch, LeaseId, Lessor, LessorEvent, Observer, probe,
};

use super::meanwhile::During;
use super::{Around, lock};
use crate::event::{Event, Name};

pub(super) struct Watcher(pub(super) Weak<Around>);

impl Observer for Watcher {
    fn observe(&self, event: &LessorEvent<'_>) {
        let Some(around) = self.0.upgrade() else {
            return;
        };
        // While it is built it has nothing to tell.
        let Some(inside) = around.inside.get() else {
            return;
        };
        // What is told of one that is gone is nothing.
        let _ = inside.with(|lessor| around.hear(lessor, event));
        around.meanwhile(During::Observation);
    }
}

impl Around {
    fn hear(&self, lessor: &BackendLessor, event: &LessorEvent<'_>) {
        match event {
            LessorEvent::Promoted(epoch) => self.promoted(lessor, *epoch),
            LessorEvent::Demoted => {
                probe::mark("raft: a primary is demoted");
                let epoch = lock(&self.member().status).primary.take();
                self.note_over(epoch);
                self.world.hear(Event::Demoted { node: self.node });
            }
            LessorEvent::Renewed { id, ttl } => {
                if let (Some(name), Some(epoch)) = (name(lessor, *id), lessor.primary_epoch()) {
                    let epoch = epoch.get();
                    self.world.hear_renewed(self.node, epoch, name, *ttl);
                }
            }
            LessorEvent::Granted { id, ttl } => {
                if let (Some(name), Some(_)) = (name(lessor, *id), lessor.primary_epoch()) {
                    let no_more = Duration::ZERO;
                    self.world.hear_counted(self.node, name, *ttl, no_more);
                }
            }
            LessorEvent::Expired { batch, .. } => {
                self.expired(batch);
                self.note_room(lessor);
            }
            _ => {}
        }
    }

    fn promoted(&self, lessor: &BackendLessor, epoch: Epoch) {
        let rows = lessor.rows();
        if !rows.is_empty() {
            probe::mark("raft: a member with leases is promoted");
        }
        let (node, epoch) = (self.node, epoch.get());
        lock(&self.member().status).primary = Some(epoch);
        self.world.hear(Event::Promoted { node, epoch });
        self.world.hear_all_counted(node, &rows);
    }

    /// Who has no room for more expired leases gets the next ones later.
    fn note_room(&self, lessor: &BackendLessor) {
        if lessor.expired_leases().len() >= self.world.parameters.expired_capacity {
            self.is_full.store(true, Ordering::Relaxed);
        }
    }

    fn expired(&self, batch: &ExpiredBatch) {
        if batch.leases.len() > 1 {
            probe::mark("raft: several leases expire in one batch");
        }
        while batch.leases.len() > 1 && probe::is_planted("observer-hangs") {
            std::hint::spin_loop();
        }
        let most = self.world.parameters.expired_batch as usize;
        if batch.leases.len() > most {
            let count = batch.leases.len();
            self.object(format!(
                "{count} leases are delivered at once, and not {most}"
            ));
        }
        self.tell_time();
        for lease in &batch.leases {
            self.note_change();
            self.world.hear(Event::Delivered {
                node: self.node,
                epoch: batch.epoch.get(),
                name: Name::new(lease.id, lease.incarnation),
                attempt: lease.attempt,
            });
        }
    }
}

fn name(lessor: &BackendLessor, id: LeaseId) -> Option<Name> {
    let lease = lessor.lookup(id)?;
    Some(Name::new(id, lease.incarnation()))
}
