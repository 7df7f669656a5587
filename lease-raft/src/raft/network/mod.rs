//! What members ask each other, over [`Peers`](crate::Peers) alone.

mod acknowledged;
mod answer;
mod client;
mod incoming;
mod messages;

pub(crate) use answer::Answerer;
pub(crate) use client::Network;

use lease_pb::leaseraftpb as pb;

/// Who a member is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
    pub(crate) cluster: String,
    pub(crate) member: u64,
}

impl Identity {
    fn header(&self, to: u64) -> pb::RaftHeader {
        pb::RaftHeader {
            cluster: self.cluster.clone(),
            from: self.member,
            to,
        }
    }

    /// Refuses what is for somebody else, or from somebody else than it says.
    fn check(&self, from: u64, header: Option<&pb::RaftHeader>) -> Result<(), String> {
        let Some(header) = header else {
            return Err("the message does not say whose it is".to_owned());
        };
        if header.cluster != self.cluster {
            return Err(format!(
                "the message is for cluster {:?}, and this is a member of {:?}",
                header.cluster, self.cluster
            ));
        }
        if header.to != self.member {
            return Err(format!(
                "the message is for member {}, and this is member {}",
                header.to, self.member
            ));
        }
        if header.from != from {
            return Err(format!("member {from} says that it is {}", header.from));
        }
        Ok(())
    }
}

/// The status of HTTP for somebody who was there and is not any more: a member that was removed.
pub(crate) const GONE: u16 = 410;

pub(crate) const APPEND: &str = "/raft/append";
pub(crate) const VOTE: &str = "/raft/vote";
pub(crate) const PRE_VOTE: &str = "/raft/prevote";
pub(crate) const TRANSFER: &str = "/raft/transfer";
pub(crate) const SNAPSHOT: &str = "/raft/snapshot";
pub(crate) const PATHS: [&str; 5] = [APPEND, VOTE, PRE_VOTE, TRANSFER, SNAPSHOT];
