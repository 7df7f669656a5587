//! What can be seen of a member.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lease_core::{BackendError, Epoch, Lessor, LessorStats, probe};
use madsim::time::sleep;

use super::machine::read_keys;
use super::meanwhile::During;
use super::{Around, Host, lock};
use crate::event::{Event, Glance, Name};
use crate::world::clock::Round;
use crate::world::shown;

/// What the checkers saw last, and when they look again at the latest.
#[derive(Default)]
pub(super) struct Seen {
    what: Option<(u64, Option<Epoch>, LessorStats)>,
    look_again_ms: u64,
    // The invariants may not hold any more, and when they were checked last.
    is_unchecked: bool,
    checked_ms: u64,
}

/// The invariants are checked this often, if anything has changed: it is a tenth of what a seed costs.
const CHECK_EVERY_MS: u64 = 100;

/// A member is looked at this often while nothing changes but the time: the time means something on a
/// primary alone.
const LOOK_AT_PRIMARY_MS: u64 = 200;

const LOOK_AT_OTHERS_MS: u64 = 1_000;

/// It is asked this often whether it is to be looked at.
const LOOK_EVERY_MS: u64 = 100;

/// A member that was held up is itself again after this time.
const CALM_AFTER_MS: u64 = 100;

impl Seen {
    /// The checkers look again.
    pub(super) fn forget(&mut self) {
        self.what = None;
    }
}

impl Around {
    pub(super) fn is_suspended(&self) -> bool {
        self.is_suspended.load(Ordering::Relaxed)
    }

    /// Whether nothing holds the member up.
    pub(super) fn is_calm(&self) -> bool {
        let (is_slow, resumed_ms) = {
            let status = lock(&self.member().status);
            (status.slow_by > Duration::ZERO, status.resumed_ms)
        };
        let held_up_ms = self.held_up_ms.load(Ordering::Relaxed).max(resumed_ms);
        !is_slow && self.world.now_ms() >= held_up_ms + CALM_AFTER_MS
    }
}

impl Host {
    /// Looks again and again. A look that comes late was held up.
    pub(super) async fn look_again(self: Arc<Self>) {
        loop {
            let planned_ms = self.world().now_ms() + LOOK_EVERY_MS;
            sleep(Duration::from_millis(LOOK_EVERY_MS)).await;
            if self.world().now_ms() > planned_ms + 2 {
                probe::mark("raft: a member is held up");
                self.around.note_held_up(Duration::ZERO);
                // Whatever is late comes first.
                continue;
            }
            self.end_if_broken();
            self.around.meanwhile(During::Rest);
            self.look();
            self.end_if_broken();
        }
    }

    /// The digest of this member's replicated state; says where it is not as specified.
    pub(super) fn digest(&self) -> u64 {
        let state = self.lessor(shown::state);
        let index = self.replica.applied();
        if let Some(row) = self.world().difference(index, &state) {
            let node = self.around.node;
            self.world().hear(Event::Differs { node, index, row });
        }
        state.digest()
    }

    /// Compares the machine's own rows with what is specified after an entry. Keys that are attached
    /// without the machine have none.
    pub(super) fn check_rows(&self, index: u64) -> Result<(), BackendError> {
        let rows = read_keys(&*self.store)?;
        let rows: Vec<_> = rows.into_iter().filter(|(_, lease)| *lease != 0).collect();
        let specified: Vec<_> = {
            let log = lock(&self.world().log);
            let keys = log.history.state(index).keys.clone();
            keys.into_iter().filter(|(key, _)| *key < DIRECT).collect()
        };
        if rows != specified {
            self.object(format!(
                "the rows of keys are {rows:?} after entry {index} and must be {specified:?}"
            ));
        }
        Ok(())
    }

    /// Lets the checkers look.
    pub(super) fn look(&self) {
        let world = self.world();
        let now_ms = world.now_ms();
        if now_ms <= lock(&self.around.member().status).resumed_ms + 1 {
            // Whatever is late comes first.
            return;
        }
        self.lessor(|lessor| self.around.tell_waits(lessor, true));
        let stats = self.lessor(|lessor| lessor.stats());
        let primary = self.lessor(|lessor| lessor.primary_epoch());
        let what = (self.replica.applied(), primary, stats);
        let is_to_be_checked = {
            let mut seen = lock(&self.seen);
            let has_changed = seen.what != Some(what);
            seen.is_unchecked |= has_changed;
            let is_to_be_checked = seen.is_unchecked && now_ms >= seen.checked_ms + CHECK_EVERY_MS;
            if !has_changed && !is_to_be_checked && now_ms < seen.look_again_ms {
                return;
            }
            if is_to_be_checked {
                (seen.is_unchecked, seen.checked_ms) = (false, now_ms);
            }
            seen.what = Some(what);
            seen.look_again_ms = now_ms
                + match primary {
                    Some(_) => LOOK_AT_PRIMARY_MS,
                    None => LOOK_AT_OTHERS_MS,
                };
            is_to_be_checked
        };
        if is_to_be_checked {
            self.check();
        }
        if primary.is_some() && self.around.is_calm() {
            self.check_leadership(now_ms);
        }
        if stats.clock_regressions > 0 {
            probe::mark("raft: a clock goes back");
        }
        let capacity = world.parameters.expired_capacity;
        let is_full = self.lessor(|lessor| lessor.expired_leases().len()) >= capacity;
        let has_room = !self.around.is_full.swap(is_full, Ordering::Relaxed) && !is_full;
        let leases = self.lessor(|lessor| lessor.leases());
        let shown = leases.iter().map(|lease| {
            let left = lease.remaining().map(|left| left.as_millis() as u64);
            let name = Name::new(lease.id(), lease.incarnation());
            (name, left, lease.ttl().as_secs() * 1000)
        });
        let member = self.around.member();
        let glance = Glance {
            node: self.around.node,
            primary: primary.map(Epoch::get),
            clock: member.clock.own_time(Round::Down),
            epoch: self.lessor(|lessor| lessor.epoch()).get(),
            waiting: stats.waiting,
            ticks: self.ticks(),
            changes: self.around.changes.load(Ordering::Relaxed),
            expires: self.around.is_calm() && !self.around.is_suspended() && has_room,
            leases: shown.collect(),
        };
        let ids = leases.iter().map(|lease| lease.id().get());
        *lock(&member.leases) = ids.collect();
        world.look(&glance);
    }

    /// Who knows that it does not lead is no primary.
    fn check_leadership(&self, now_ms: u64) {
        let told_after_ms = CALM_AFTER_MS + self.world().parameters.promotion_lag_ms;
        if let Some(deposed_ms) = self.engine.deposed_ms()
            && deposed_ms + told_after_ms < now_ms
        {
            self.object(format!(
                "it is a primary, and knows since {deposed_ms} ms that it does not lead"
            ));
        }
    }

    fn check(&self) {
        if let Some(message) = self.lessor(shown::broken) {
            self.object(message);
        }
    }
}

/// From this key on they are attached and detached without the machine.
pub(super) const DIRECT: u8 = 4;
