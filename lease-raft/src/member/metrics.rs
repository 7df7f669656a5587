use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

use super::MemberStatus;
use crate::MemberId;

/// What a member tells the recorder of the facade `metrics` that is installed, under the label `member`. A
/// [`Member`](crate::Member) tells it each second.
///
/// | metric | kind | what it says |
/// |---|---|---|
/// | `lease_raft_term` | gauge | the newest term that the member has heard of |
/// | `lease_raft_is_leader` | gauge | 1 if it leads, as far as it knows |
/// | `lease_raft_is_primary` | gauge | 1 if its lessor is the primary |
/// | `lease_raft_commit_lag` | gauge | entries in its log of which it does not know that they are committed |
/// | `lease_raft_apply_lag` | gauge | committed entries that it has not applied |
/// | `lease_raft_applied` | gauge | the index of the last entry that it has applied |
/// | `lease_raft_proposals_total` | counter | proposals that it has made |
/// | `lease_raft_proposals_in_flight` | gauge | those that it waits for |
/// | `lease_raft_confirmations_total` | counter | questions to a quorum whether it leads |
/// | `lease_raft_expired_in_flight` | gauge | batches of expired leases whose revoke is on its way |
/// | `lease_raft_expiry_lag_seconds` | gauge | how late the last of them was revoked |
///
/// What happens in its lessor is told by an observer such as `lease_core::metrics::FacadeMetrics`, see
/// [`MemberOptions::observer`](crate::MemberOptions::observer).
///
/// ```
/// use lease_raft::{Member, MemberMetrics};
///
/// /// For a recorder that is not the installed one.
/// fn tell(member: &Member) {
///     MemberMetrics::new(1).record(&member.status());
/// }
/// ```
#[derive(Clone)]
pub struct MemberMetrics {
    member: MemberId,
    term: Gauge,
    is_leader: Gauge,
    is_primary: Gauge,
    commit_lag: Gauge,
    apply_lag: Gauge,
    applied: Gauge,
    proposals: Counter,
    proposals_in_flight: Gauge,
    confirmations: Counter,
    expired_in_flight: Gauge,
    expiry_lag: Gauge,
}

impl MemberMetrics {
    /// Describes the metrics to the installed recorder, and registers them with it.
    #[must_use]
    pub fn new(member: MemberId) -> Self {
        let gauge = |name: &'static str, text: &'static str| {
            describe_gauge!(name, text);
            gauge!(name, "member" => member.to_string())
        };
        let counter = |name: &'static str, text: &'static str| {
            describe_counter!(name, text);
            counter!(name, "member" => member.to_string())
        };
        Self {
            member,
            term: gauge(
                "lease_raft_term",
                "The newest term that the member has heard of.",
            ),
            is_leader: gauge("lease_raft_is_leader", "Whether the member leads."),
            is_primary: gauge(
                "lease_raft_is_primary",
                "Whether the member's lessor is the primary.",
            ),
            commit_lag: gauge(
                "lease_raft_commit_lag",
                "Logged entries not known to be committed.",
            ),
            apply_lag: gauge(
                "lease_raft_apply_lag",
                "Committed entries that are not applied.",
            ),
            applied: gauge(
                "lease_raft_applied",
                "The index of the last entry that is applied.",
            ),
            proposals: counter("lease_raft_proposals_total", "Proposals of the member."),
            proposals_in_flight: gauge(
                "lease_raft_proposals_in_flight",
                "Proposals that it waits for.",
            ),
            confirmations: counter(
                "lease_raft_confirmations_total",
                "Questions to a quorum whether the member leads.",
            ),
            expired_in_flight: gauge(
                "lease_raft_expired_in_flight",
                "Batches of expired leases whose revoke is on its way.",
            ),
            expiry_lag: gauge(
                "lease_raft_expiry_lag_seconds",
                "How late the last batch of expired leases was revoked.",
            ),
        }
    }

    /// Tells how it is.
    pub fn record(&self, status: &MemberStatus) {
        let replica = &status.replica;
        self.term.set(replica.term as f64);
        // Not that of the engine, to which a leader that nobody hears is one for ever.
        let leads = replica.leader == Some(self.member);
        self.is_leader.set(flag(leads));
        self.is_primary.set(flag(replica.epoch.is_some()));
        self.commit_lag.set(status.commit_lag() as f64);
        self.apply_lag.set(status.apply_lag() as f64);
        self.applied.set(replica.applied as f64);
        self.proposals.absolute(replica.proposals);
        self.proposals_in_flight
            .set(replica.proposals_in_flight as f64);
        self.confirmations.absolute(replica.confirmations);
        self.expired_in_flight.set(replica.expired_in_flight as f64);
        self.expiry_lag.set(replica.expiry_lag.as_secs_f64());
    }
}

impl std::fmt::Debug for MemberMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemberMetrics")
    }
}

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}
