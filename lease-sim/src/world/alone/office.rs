use lease_core::{Oversight, probe};

use super::watch::Notice;
use super::{Host, LATE_MS, LOOK_MS};
use crate::event::OwnTime;
use crate::world::clock::Round;

/// Whether the lessor is the primary, and what a host that promotes late must be told.
#[derive(Default)]
pub(super) struct Office {
    // When the host promotes it; it has, if there is no such time.
    due_ms: Option<u64>,
    // Whether the host has ever promoted this lessor.
    was_promoted: bool,
    // The first grant before that, and how many there were.
    since: Option<OwnTime>,
    pub(super) grants: u64,
    is_told: bool,
}

/// How long a host may grant before it promotes.
const PATIENCE_MS: u64 = 10_000;

impl Office {
    pub(super) const fn is_primary(&self) -> bool {
        self.due_ms.is_none()
    }

    pub(super) const fn note_promotion(&mut self) {
        (self.due_ms, self.was_promoted) = (None, true);
    }

    pub(super) const fn hurry(&mut self) {
        if self.due_ms.is_some() {
            self.due_ms = Some(0);
        }
    }
}

impl Host {
    /// The host promotes the lessor, or will in a while.
    pub(super) fn take_office(&mut self) {
        match self.alone.promotes_after_ms {
            0 => self.promote(),
            after_ms => {
                if probe::is_planted("alone-promotes-at-once") {
                    self.promote();
                }
                self.office.due_ms = Some(self.now_ms() + after_ms);
            }
        }
    }

    /// The host promotes the lessor, if it is time.
    pub(super) fn look_at_office(&mut self) {
        if self
            .office
            .due_ms
            .is_some_and(|due_ms| due_ms <= self.now_ms())
        {
            probe::mark("alone: a host promotes late");
            self.promote();
            self.count_leases();
        }
    }

    pub(super) fn note_grant(&mut self) {
        let now = self.between();
        let it = &mut self.office;
        if !it.is_primary() && !it.was_promoted {
            it.grants += 1;
            it.since.get_or_insert(now);
        }
    }

    /// Whatever no client has done, and the lessor tells.
    pub(super) fn note(&mut self, notice: Notice) {
        match notice {
            Notice::Expired(batch, items) => self.delivered(batch, &items),
            Notice::Overlooked(Oversight::NotTaken) => self.told_not_taken(),
            Notice::Overlooked(Oversight::NotPromoted) => self.told_not_promoted(),
            Notice::Failed(_) if self.now_ms() < self.disturbed_until_ms => {}
            Notice::Failed(what) if what.starts_with("Checkpointer") => self.told_refused += 1,
            Notice::Failed(what) if what.starts_with("RangeDeleter") => self.rows.told_refused += 1,
            notice => self.object(format!("the observer was told {notice:?}")),
        }
    }

    fn told_not_promoted(&mut self) {
        probe::mark("alone: a host grants and does not promote");
        let now = self.between();
        let it = &mut self.office;
        let since = it.since.filter(|_| !it.was_promoted && !it.is_told);
        it.is_told = true;
        if since.is_none_or(|since| since.from_ms + PATIENCE_MS > now.to_ms) {
            self.object(format!("it is told that nobody promotes since {since:?}"));
        }
    }

    /// Who has granted for ten seconds and has not promoted is told.
    pub(super) fn look_at_oversight(&mut self) {
        let now = self.clock.own_time(Round::Down);
        let it = &self.office;
        let since = it.since.filter(|_| !it.was_promoted && !it.is_told);
        if let Some(since) = since
            && now.from_ms > since.to_ms + PATIENCE_MS + LATE_MS + LOOK_MS
        {
            self.object(format!("nobody was told of grants since {since:?}"));
        }
    }
}
