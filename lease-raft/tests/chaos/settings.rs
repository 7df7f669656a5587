//! How the members keep time, and what is planted in them.

use std::time::Duration;

/// Elections that also a busy machine holds in time.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(100);
pub(crate) const MIN_ELECTION: Duration = Duration::from_millis(500);
pub(crate) const MAX_ELECTION: Duration = Duration::from_millis(800);

/// How much longer a lease lives after a change of the leader: as long as an election takes.
pub(crate) const EXTEND: Duration = Duration::from_secs(2);

/// After how long a member tries again to have an expired lease revoked, if it does not know what came of it.
pub(crate) const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// How long a member tries to do what it is asked.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(2);
pub(crate) const RENEW_TIMEOUT: Duration = Duration::from_secs(1);
pub(crate) const JOIN_TIMEOUT: Duration = Duration::from_secs(60);

/// After how long a quorum that is there again has an election behind it.
pub(crate) const ELECTION: Duration = Duration::from_secs(4);

/// How late an abandoned lease may go after its TTL and an election.
pub(crate) const SLACK: Duration = Duration::from_secs(1);

/// After how long without an answer a cluster with a quorum has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The TTLs of leases that are kept alive are up to this, and one second less. In the longest pause nobody may
/// renew.
pub(crate) const MAX_TTL: Duration = Duration::from_secs(6);

/// How often leases are renewed that are kept alive, through each member.
pub(crate) const KEEP_INTERVAL: Duration = Duration::from_millis(500);

/// A bug that is planted in every member, to show that it is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Planted {
    /// A grant is acknowledged before it is committed.
    EarlyGrant,
    /// Renewals of several leases are answered from the member's own table.
    OwnTable,
    /// A read does not ask whether there is something newer.
    OldReads,
    /// A lease that was revoked is granted again.
    GrantsAgain,
    /// What nobody keeps alive, its member does.
    HoldsOn,
    /// A member has other leases than the others.
    Differs,
}

impl Planted {
    pub(crate) const ALL: [Self; 6] = [
        Self::EarlyGrant,
        Self::OwnTable,
        Self::OldReads,
        Self::GrantsAgain,
        Self::HoldsOn,
        Self::Differs,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::EarlyGrant => "early-grant",
            Self::OwnTable => "own-table",
            Self::OldReads => "old-reads",
            Self::GrantsAgain => "grants-again",
            Self::HoldsOn => "holds-on",
            Self::Differs => "differs",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|planted| planted.name() == name)
    }
}
