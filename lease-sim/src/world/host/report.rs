use lease_core::{Lease, Lessor, probe};

use super::{Host, PUNCTUAL_MS, hear, lock};
use crate::event::{Event, Glance, Name};
use crate::world::clock::Round;
use crate::world::shown;

/// A member is looked at this often while nothing changes but the time.
const LOOK_EVERY_MS: u64 = 100;

impl Host {
    /// The replicated epoch, which is on disk or on its way there.
    pub(super) fn epoch(&self) -> u64 {
        self.lessor.epoch().get()
    }

    /// The digest of this member's replicated state; says where it is not as specified.
    pub(super) fn digest(&self) -> u64 {
        let state = shown::state(&self.lessor);
        if let Some(row) = self.world.difference(self.applied, &state) {
            let (node, index) = (self.node, self.applied);
            hear(self, Event::Differs { node, index, row });
        }
        state.digest()
    }

    /// Shows this member to the checkers, if anything has changed or some time has passed.
    pub(super) fn look(&mut self) {
        let now_ms = self.world.now_ms();
        let stats = self.lessor.stats();
        let seen = (self.applied, self.lessor.primary_epoch(), stats);
        let has_changed = self.seen != Some(seen);
        if !has_changed && now_ms < self.look_again_ms {
            return;
        }
        self.seen = Some(seen);
        self.look_again_ms = now_ms + LOOK_EVERY_MS;
        if has_changed {
            self.check();
        }
        let is_punctual = self.is_punctual(PUNCTUAL_MS);
        if !is_punctual {
            probe::mark("host: a member is held up");
        }
        let leases = self.lessor.leases();
        let shown = leases.iter().map(|lease| {
            let left = remaining_ms(lease);
            let name = Name::new(lease.id(), lease.incarnation());
            (name, left, lease.ttl().as_secs() * 1000)
        });
        if stats.clock_regressions > 0 {
            probe::mark("host: a clock goes back");
        }
        let glance = Glance {
            node: self.node,
            primary: self.lessor.primary_epoch().map(|epoch| epoch.get()),
            clock: self.member().clock.own_time(Round::Down),
            epoch: self.epoch(),
            waiting: stats.waiting,
            waits: self.waits.len(),
            ticks: self.ticks,
            changes: self.changes,
            expires: is_punctual && !self.is_suspended && !self.is_lingering(),
            leases: shown.collect(),
        };
        let ids = leases.iter().map(|lease| lease.id().get());
        *lock(&self.member().leases) = ids.collect();
        self.world.look(&glance);
    }

    /// Whether it has come at most so much later than it was to.
    pub(super) fn is_punctual(&self, late_ms: u64) -> bool {
        self.world.now_ms() <= self.planned_ms + late_ms
    }

    fn check(&self) {
        if let Some(message) = shown::broken(&self.lessor) {
            let node = self.node;
            hear(self, Event::Broken { node, message });
        }
    }
}

/// What remains of a lease, `None` while it is demoted.
pub(super) fn remaining_ms(lease: &Lease) -> Option<u64> {
    lease.remaining().map(|left| left.as_millis() as u64)
}
