use std::time::Duration;

use lease_core::{Epoch, LessorStats};

use super::Inner;
use crate::MemberId;

/// What a member has counted since it was opened, and how far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ReplicaStats {
    /// The newest term that it has heard of.
    pub term: u64,
    /// The leader of that term, as far as it knows.
    pub leader: Option<MemberId>,
    /// Of which epoch it is the primary.
    pub epoch: Option<Epoch>,
    /// The index of the last entry that it has applied.
    pub applied: u64,
    /// Proposals that it has made.
    pub proposals: u64,
    /// Those of them that it waits for.
    pub proposals_in_flight: usize,
    /// Questions to a quorum whether it leads.
    pub confirmations: u64,
    /// Batches of expired leases whose revoke it has proposed and waits for.
    pub expired_in_flight: usize,
    /// How late the last batch of expired leases was revoked, counted from the expiry of the lease in it that
    /// waited longest.
    pub expiry_lag: Duration,
    /// What its lessor has counted.
    pub lessor: LessorStats,
}

impl Inner {
    pub(crate) fn stats(&self) -> ReplicaStats {
        let (epoch, lessor) = (self.lessor.primary_epoch(), self.lessor.stats());
        let state = self.state();
        let (proposals_in_flight, proposals) = state.proposals.counts();
        ReplicaStats {
            term: state.leadership.term,
            leader: state.leadership.leader,
            epoch,
            applied: state.applied,
            proposals,
            proposals_in_flight,
            confirmations: state.confirmations.asked,
            expired_in_flight: state.flights.expired,
            expiry_lag: state.flights.lag,
            lessor,
        }
    }
}
