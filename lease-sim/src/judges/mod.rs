//! What must hold in every run, one judge a file. A judge is told what happens and raises
//! objections; it knows nothing of the code that it judges.

mod early_loss;
mod fencing;
mod liveness;
mod one_primary;
mod renew_excludes_expiry;
mod same_state;

pub use early_loss::EarlyLoss;
pub use fencing::Fencing;
pub use liveness::Liveness;
pub use one_primary::OnePrimary;
pub use renew_excludes_expiry::RenewExcludesExpiry;
pub use same_state::SameState;

use lease_core::{Epoch, Incarnation, LeaseId};

/// Which grant of which id.
pub type Name = (LeaseId, Incarnation);

/// What the judges are told.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// A client was told that its grant or renewal succeeded; it asked at `asked_ms`.
    Acknowledged {
        /// Which lease.
        name: Name,
        /// When the client asked.
        asked_ms: u64,
        /// The TTL that it was promised.
        ttl_ms: u64,
    },
    /// A member renewed a lease.
    Renewed {
        /// The member's epoch.
        epoch: Epoch,
        /// Which lease.
        name: Name,
    },
    /// A member handed a lease out as expired.
    HandedOut {
        /// The member's epoch.
        epoch: Epoch,
        /// Which lease.
        name: Name,
    },
    /// A grant took effect.
    Granted {
        /// Which lease.
        name: Name,
    },
    /// A revoke took effect, by expiry if an epoch ordered it.
    Revoked {
        /// Which lease.
        name: Name,
        /// The epoch that ordered it.
        by: Option<Epoch>,
    },
    /// An epoch began.
    Began {
        /// Which.
        epoch: Epoch,
    },
    /// A member became the primary.
    Promoted {
        /// Which member.
        node: usize,
        /// The epoch.
        epoch: Epoch,
    },
    /// A member has applied the log up to an index.
    Applied {
        /// Which member.
        node: usize,
        /// The index.
        index: u64,
        /// The digest of its replicated state.
        digest: u64,
    },
    /// A member failed its own check of its invariants, or paniced.
    Broken {
        /// Which member.
        node: usize,
        /// What it said.
        message: String,
    },
    /// The run has ended with everything healed for long enough.
    Ended {
        /// The leases that are left on a member.
        left: Vec<(usize, LeaseId)>,
        /// The members that have not applied the whole log.
        behind: Vec<usize>,
    },
}

/// One property.
pub trait Judge: Send {
    /// Its name, as in docs/invariants.
    fn name(&self) -> &'static str;

    /// Looks at an event at a virtual time, and objects if it must not have happened.
    fn hear(&mut self, at_ms: u64, event: &Event) -> Option<String>;
}

/// All judges.
pub(crate) fn all() -> Vec<Box<dyn Judge>> {
    vec![
        Box::new(EarlyLoss::default()),
        Box::new(RenewExcludesExpiry::default()),
        Box::new(Fencing::default()),
        Box::new(OnePrimary::default()),
        Box::new(SameState::default()),
        Box::new(Liveness),
    ]
}

#[cfg(test)]
pub(crate) mod testing {
    use lease_core::{Incarnation, LeaseId};

    use super::{Event, Judge, Name};

    pub(crate) fn name(id: i64, incarnation: u64) -> Name {
        let id = LeaseId::new(id).expect("not zero");
        (id, Incarnation::supplied(incarnation).expect("small"))
    }

    /// Whether the judge objects to any of the events, each at its time.
    pub(crate) fn objects(mut judge: impl Judge, events: &[(u64, Event)]) -> bool {
        let objections = events
            .iter()
            .filter_map(|(at_ms, event)| judge.hear(*at_ms, event));
        objections.count() > 0
    }
}
