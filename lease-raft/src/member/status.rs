use super::Core;
use crate::{EngineStatus, ReplicaStats};

/// What a member has counted, and how far it is.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct MemberStatus {
    /// What it is in the cluster, and how far its log is.
    pub engine: EngineStatus,
    /// What its replica has counted.
    pub replica: ReplicaStats,
    /// Why it has stopped by itself.
    pub failure: Option<String>,
}

impl MemberStatus {
    /// How many entries are in its log of which it does not know that they are committed.
    #[must_use]
    pub const fn commit_lag(&self) -> u64 {
        self.engine.logged.saturating_sub(self.engine.committed)
    }

    /// How many committed entries it has not applied yet.
    #[must_use]
    pub const fn apply_lag(&self) -> u64 {
        self.engine.committed.saturating_sub(self.replica.applied)
    }
}

impl Core {
    pub(super) fn status(&self) -> MemberStatus {
        MemberStatus {
            engine: self.engine.status(),
            replica: self.lessor.stats(),
            failure: self.failure.get().cloned(),
        }
    }
}
