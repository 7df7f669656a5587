//! Openraft's types as messages, and back. What comes from a disk or a peer is checked here.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use lease_pb::leaseraftpb::{self as pb, raft_entry};
use lease_pb::{DecodeError, Message};
use openraft::EntryPayload;
use openraft::impls::BasicNode;

use super::config::{Entry, LogId, Membership, Proposal, SnapshotMeta, StoredMembership, Vote};

/// Why bytes are not the message that they should be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum CodecError {
    #[error("the message does not decode: {0}")]
    Undecodable(#[from] DecodeError),
    #[error("the message has no {0}")]
    Missing(&'static str),
    #[error("the message is strange: {0}")]
    Strange(String),
}

pub(crate) fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, CodecError> {
    Ok(M::decode(bytes)?)
}

pub(crate) fn vote(vote: &Vote) -> pb::RaftVote {
    pb::RaftVote {
        term: vote.leader_id().term,
        member: vote.leader_id().voted_for,
        committed: vote.is_committed(),
    }
}

pub(crate) fn read_vote(vote: Option<pb::RaftVote>) -> Result<Vote, CodecError> {
    let vote = vote.ok_or(CodecError::Missing("vote"))?;
    Ok(match vote.committed {
        true => Vote::new_committed(vote.term, vote.member),
        false => Vote::new(vote.term, vote.member),
    })
}

/// A vote that another member has sent. Its term may be later than the one that is known here, as after a long
/// absence, but not by more than a cluster can have had: each term is an election, and a vote for the last term of
/// all would be the end of every member that has taken it for true.
pub(crate) fn read_sent_vote(known: u64, vote: Option<pb::RaftVote>) -> Result<Vote, CodecError> {
    let vote = read_vote(vote)?;
    let term = vote.leader_id().term;
    if term > known.saturating_add(MAX_LEAP) || term > u64::MAX - MAX_LEAP {
        let text = format!("the term {term}, where {known} is known");
        return Err(CodecError::Strange(text));
    }
    Ok(vote)
}

pub(crate) fn log_id(id: &LogId) -> pb::RaftLogId {
    pb::RaftLogId {
        term: term_of(id),
        index: id.index(),
    }
}

pub(crate) fn term_of(id: &LogId) -> u64 {
    id.committed_leader_id().term
}

/// The last index of all is nobody's, so that there is always a next one.
pub(crate) fn read_log_id(id: pb::RaftLogId) -> Result<LogId, CodecError> {
    if id.index >= u64::MAX - 1 {
        return Err(CodecError::Strange(format!("an entry {}", id.index)));
    }
    Ok(LogId::new_term_index(id.term, id.index))
}

pub(crate) fn read_some_log_id(id: Option<pb::RaftLogId>) -> Result<Option<LogId>, CodecError> {
    id.map(read_log_id).transpose()
}

pub(crate) fn membership(membership: &Membership) -> pb::RaftMembership {
    let voters = membership.get_joint_config().iter();
    let nodes = membership.nodes();
    pb::RaftMembership {
        voters: voters
            .map(|members| pb::RaftVoters {
                members: members.iter().copied().collect(),
            })
            .collect(),
        nodes: nodes
            .map(|(member, node)| pb::RaftNode {
                member: *member,
                address: node.addr.clone(),
            })
            .collect(),
    }
}

pub(crate) fn read_membership(
    membership: Option<pb::RaftMembership>,
) -> Result<Membership, CodecError> {
    let membership = membership.ok_or(CodecError::Missing("membership"))?;
    // What a member has before it belongs to a cluster.
    if membership.voters.is_empty() && membership.nodes.is_empty() {
        return Ok(Membership::default());
    }
    let voters: Vec<BTreeSet<u64>> = membership
        .voters
        .into_iter()
        .map(|voters| voters.members.into_iter().collect())
        .collect();
    let nodes: BTreeMap<u64, BasicNode> = membership
        .nodes
        .into_iter()
        .map(|node| (node.member, BasicNode::new(node.address)))
        .collect();
    Membership::new(voters, nodes).map_err(|error| CodecError::Strange(error.to_string()))
}

pub(crate) fn stored_membership(stored: &StoredMembership) -> pb::RaftStoredMembership {
    pb::RaftStoredMembership {
        id: stored.log_id().as_ref().map(log_id),
        membership: Some(membership(stored.membership())),
    }
}

pub(crate) fn read_stored_membership(
    stored: pb::RaftStoredMembership,
) -> Result<StoredMembership, CodecError> {
    let id = read_some_log_id(stored.id)?;
    Ok(StoredMembership::new(
        id,
        read_membership(stored.membership)?,
    ))
}

pub(crate) fn entry(entry: &Entry) -> pb::RaftEntry {
    pb::RaftEntry {
        id: Some(log_id(&entry.log_id)),
        payload: match &entry.payload {
            EntryPayload::Blank => None,
            EntryPayload::Normal(Proposal(bytes)) => {
                Some(raft_entry::Payload::Proposal(bytes.to_vec()))
            }
            EntryPayload::Membership(members) => {
                Some(raft_entry::Payload::Membership(membership(members)))
            }
        },
    }
}

pub(crate) fn read_entry(entry: pb::RaftEntry) -> Result<Entry, CodecError> {
    let id = entry.id.ok_or(CodecError::Missing("id of an entry"))?;
    Ok(Entry {
        log_id: read_log_id(id)?,
        payload: match entry.payload {
            None => EntryPayload::Blank,
            Some(raft_entry::Payload::Proposal(bytes)) => {
                EntryPayload::Normal(Proposal(Bytes::from(bytes)))
            }
            Some(raft_entry::Payload::Membership(membership)) => {
                EntryPayload::Membership(read_membership(Some(membership))?)
            }
        },
    })
}

pub(crate) fn snapshot_meta(meta: &SnapshotMeta, len: u64, checksum: u32) -> pb::SnapshotMeta {
    pb::SnapshotMeta {
        last: meta.last_log_id.as_ref().map(log_id),
        membership: Some(stored_membership(&meta.last_membership)),
        len,
        checksum,
    }
}

pub(crate) fn read_snapshot_meta(meta: pb::SnapshotMeta) -> Result<SnapshotMeta, CodecError> {
    let last = meta
        .last
        .ok_or(CodecError::Missing("last entry of a snapshot"))?;
    let stored = meta.membership.ok_or(CodecError::Missing("membership"))?;
    Ok(SnapshotMeta {
        last_log_id: Some(read_log_id(last)?),
        last_membership: read_stored_membership(stored)?,
    })
}

/// How many terms a member may have missed: at ten elections a second, those of thirteen years.
const MAX_LEAP: u64 = 1 << 32;
