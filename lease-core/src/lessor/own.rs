use std::collections::{BTreeSet, VecDeque};

use super::Driver;
use super::job::Decided;
use crate::LeaseId;

/// The commands that a lessor gives itself: revokes of what has expired, checkpoints, and resets that
/// renewals wait for.
///
/// They take their place in the line as those of the host's do, but no thread stands there: when one
/// is decided it is left here for the thread that carries out its kind. So one that has to wait for
/// another command of its lease holds up nothing else, and comes when it is its turn.
#[derive(Default)]
pub(super) struct OwnCommands {
    expiries: VecDeque<Box<Decided>>,
    // Those for which the host's range deleter is called: it may take its time.
    deletions: VecDeque<Box<Decided>>,
    checkpoints: VecDeque<Box<Decided>>,
    // The leases whose revoke is on its way: one that is delivered again is not revoked twice.
    pub(super) revoking: BTreeSet<LeaseId>,
}

/// Which of a lessor's own commands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Revokes of leases that have expired and that the host has nothing to delete for.
    Expiries,
    /// Revokes for which the host's range deleter is called.
    Deletions,
    /// Checkpoints and resets.
    Checkpoints,
}

impl OwnCommands {
    pub(super) const fn of(&self, kind: Kind) -> &VecDeque<Box<Decided>> {
        match kind {
            Kind::Expiries => &self.expiries,
            Kind::Deletions => &self.deletions,
            Kind::Checkpoints => &self.checkpoints,
        }
    }

    pub(super) const fn of_mut(&mut self, kind: Kind) -> &mut VecDeque<Box<Decided>> {
        match kind {
            Kind::Expiries => &mut self.expiries,
            Kind::Deletions => &mut self.deletions,
            Kind::Checkpoints => &mut self.checkpoints,
        }
    }

    /// Whether the thread that revokes what has expired has something to carry out.
    pub(super) fn has_expiries(&self, driver: Driver) -> bool {
        // Deletions have a thread of their own, if there are threads.
        !self.expiries.is_empty() || driver == Driver::Manual && !self.deletions.is_empty()
    }

    pub(super) fn has_checkpoints(&self) -> bool {
        !self.checkpoints.is_empty()
    }
}
