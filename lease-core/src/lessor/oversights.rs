use std::time::Duration;

use super::Shared;
use super::state::State;
use crate::Timestamp;
use crate::observer::{LessorEvent, Oversight};
use crate::primary::earlier;

/// What a host seems to have forgotten, so that its leases live for ever.
#[derive(Default)]
pub(super) struct Oversights {
    was_promoted: bool,
    // When the host granted first without ever having promoted.
    unpromoted_since: Option<Timestamp>,
    // How many grants there were so.
    unpromoted_grants: u64,
    // How often a batch lay too long.
    not_taken: u64,
    has_told_not_promoted: bool,
    has_told_not_taken: bool,
}

/// How long a batch may lie, and a host may grant before it promotes, until somebody is told.
const PATIENCE: Duration = Duration::from_secs(10);

/// One that was found, and whether it is the first of its kind.
pub(super) struct Found {
    oversight: Oversight,
    is_first: bool,
}

impl Oversights {
    pub(super) const fn promoted(&mut self) {
        self.was_promoted = true;
    }

    pub(super) const fn counts(&self) -> (u64, u64) {
        (self.unpromoted_grants, self.not_taken)
    }

    fn unpromoted_due(&self) -> Option<Timestamp> {
        let is_told = self.was_promoted || self.has_told_not_promoted;
        let since = self.unpromoted_since.filter(|_| !is_told)?;
        Some(since.saturating_add(PATIENCE))
    }
}

impl State {
    /// When to look whether the host has forgotten something.
    pub(super) fn next_oversight(&self) -> Option<Timestamp> {
        earlier(self.oversights.unpromoted_due(), self.untaken_due())
    }

    fn untaken_due(&self) -> Option<Timestamp> {
        let since = self.outbox.lies_since()?;
        // What a demotion has left means nothing.
        let since = self.core.is_primary().then_some(since)?;
        Some(since.saturating_add(PATIENCE))
    }

    /// What the host seems to have forgotten, once for each time.
    pub(super) fn find_oversight(&mut self, now: Timestamp) -> Option<Found> {
        let is_due = |due: Option<Timestamp>| due.is_some_and(|due| due <= now);
        if is_due(self.oversights.unpromoted_due()) {
            self.oversights.has_told_not_promoted = true;
            return Some(Found {
                oversight: Oversight::NotPromoted,
                is_first: true,
            });
        }
        if is_due(self.untaken_due()) {
            self.outbox.note_told();
            self.oversights.not_taken += 1;
            let has_told = &mut self.oversights.has_told_not_taken;
            return Some(Found {
                oversight: Oversight::NotTaken,
                is_first: !std::mem::replace(has_told, true),
            });
        }
        None
    }
}

impl Shared {
    /// Notes that the host has granted a lease, and not its log. Returns whether the lease's time runs.
    pub(super) fn note_granted(&self) -> bool {
        let is_fine = |state: &State| (state.core.is_primary(), state.oversights.was_promoted);
        let (is_primary, was_promoted) = self.state.read(is_fine);
        if !is_primary && !was_promoted {
            let now = self.time_or_last();
            self.state.with(|state| {
                let oversights = &mut state.oversights;
                oversights.unpromoted_since.get_or_insert(now);
                oversights.unpromoted_grants += 1;
            });
        }
        is_primary
    }

    pub(super) fn tell_oversight(&self, found: &Found) {
        #[cfg(feature = "tracing")]
        if found.is_first {
            // Who has forgotten to promote has given no observer either.
            crate::metrics::warn_of(found.oversight);
        }
        #[cfg(not(feature = "tracing"))]
        let _ = found.is_first;
        self.observe(|| LessorEvent::Overlooked(found.oversight));
    }
}
