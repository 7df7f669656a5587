//! What openraft is told about our types.

use std::fmt;

use bytes::Bytes;
use openraft::impls::{BasicNode, leader_id_std};
use openraft::type_config::alias::{
    EntryOf, LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf, VoteOf,
};

use super::snapshot::SnapshotData;

openraft::declare_raft_types!(
    /// One leader at most leads in a term: the term is the epoch that fences, so that openraft's own
    /// default, in which two may, would not do.
    pub(crate) Types:
        D = Proposal,
        R = (),
        NodeId = u64,
        Node = BasicNode,
        Term = u64,
        LeaderId = leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = super::runtime::OpenraftRuntime,
);

pub(crate) type Entry = EntryOf<Types>;
pub(crate) type LogId = LogIdOf<Types>;
pub(crate) type Vote = VoteOf<Types>;
pub(crate) type Membership = openraft::Membership<u64, BasicNode>;
pub(crate) type StoredMembership = StoredMembershipOf<Types>;
pub(crate) type SnapshotMeta = SnapshotMetaOf<Types>;
pub(crate) type Snapshot = SnapshotOf<Types, SnapshotData>;
pub(crate) type Raft = openraft::Raft<Types, super::machine::StateMachine>;

/// What was proposed. A clone is cheap.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proposal(pub(crate) Bytes);

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// How everybody but openraft counts entries: from 1, so that 0 is before the first one.
pub(crate) const fn position(index: u64) -> u64 {
    index + 1
}
