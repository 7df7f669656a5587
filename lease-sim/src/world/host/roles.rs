use std::sync::Arc;
use std::time::Duration;

use lease_core::{Epoch, probe};

use super::{Host, hear, lock};
use crate::event::Event;
use crate::world::member::Letter;

impl Host {
    /// The first entry of a term has been applied.
    pub(super) fn epoch_begins(&mut self, epoch: u64, leader: usize) {
        self.demote_from(epoch - 1);
        if leader == self.node {
            if self.member().leads() == Some(epoch) {
                self.promote_soon(epoch);
            }
            return;
        }
        let mut status = lock(&self.member().status);
        if status.leads.is_some_and(|led| led < epoch) {
            status.leads = None;
        }
    }

    /// The host's thread for changes of the role comes late, and once more with what is long past.
    fn promote_soon(&mut self, epoch: u64) {
        let lag = self.world.span(0, self.world.parameters.promotion_lag_ms);
        if lag == Duration::ZERO {
            self.promote(epoch);
        }
        let (world, node) = (Arc::clone(&self.world), self.node);
        let ended = lock(&self.member().status).ended;
        self.world.later(lag + Duration::from_millis(1), move |_| {
            let member = &world.members[node];
            // The thread ends with its process.
            if lock(&member.status).ended == ended {
                member.post(Letter::Promote(epoch));
                member.post(Letter::DemoteLate(epoch - 1));
            }
        });
    }

    /// Becomes the primary of an epoch, unless that is long over.
    pub(super) fn promote(&mut self, epoch: u64) {
        let extend = self.world.parameters.extend();
        if self.lessor.promote_to(Epoch::new(epoch), extend) {
            if !self.lessor.rows().is_empty() {
                probe::mark("host: a member with leases is promoted");
            }
            lock(&self.member().status).primary = Some(epoch);
            let node = self.node;
            hear(self, Event::Promoted { node, epoch });
            self.world.hear_all_counted(node, &self.lessor.rows());
        }
    }

    /// Ceases to be the primary of an epoch or an older one.
    pub(super) fn demote_from(&mut self, epoch: u64) {
        if self.lessor.demote_from(Epoch::new(epoch)) {
            probe::mark("host: a primary is demoted");
            self.note_demotion();
        }
    }

    /// Ceases, once more, to be the primary of an epoch that is long over.
    pub(super) fn demote_late(&mut self, epoch: u64) {
        match self.lessor.primary_epoch() {
            Some(present) if probe::is_planted("demote-any-epoch") => {
                self.demote_from(present.get());
            }
            _ => self.demote_from(epoch),
        }
    }

    pub(super) fn step_down(&mut self) {
        if let Some(epoch) = self.lessor.primary_epoch() {
            probe::mark("host: a primary steps down");
            self.demote_from(epoch.get());
        }
    }

    pub(super) fn note_demotion(&self) {
        lock(&self.member().status).primary = None;
        hear(self, Event::Demoted { node: self.node });
    }
}
