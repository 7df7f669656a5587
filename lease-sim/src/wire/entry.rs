use lease_core::{Checkpoint, Command, Epoch, Grant, Incarnation, LeaseId, Revocation, Ttl};
use lease_pb::etcdserverpb::{LeaseCheckpoint, LeaseGrantRequest, LeaseRevokeRequest};
use lease_pb::leaseraftpb;
use lease_pb::leaseraftpb::entry::Request as Wire;
use prost::Message;

/// What the simulated log carries, as encoded bytes.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Entry {
    /// Names the proposal; a duplicate has the same number.
    pub(crate) proposal: u64,
    /// What it asks for.
    pub(crate) request: Request,
    /// What an entry of lease-raft's says of its proposal.
    pub(crate) stamp: Option<Stamp>,
}

/// Which proposal of which life of a member an entry of lease-raft's is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    /// The life of the member.
    pub(crate) session: u64,
    /// The proposal in it.
    pub(crate) number: u64,
    /// Nobody waits for those up to this one any more.
    pub(crate) settled: u64,
    /// How far the member had applied the log.
    pub(crate) applied: u64,
}

/// What a log entry asks for.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Request {
    /// A grant; its incarnation is the index of the entry.
    Grant {
        /// The id.
        id: LeaseId,
        /// The TTL.
        ttl: Ttl,
    },
    /// Revocations, by a user or by expiry.
    Revoke(Vec<Revocation>),
    /// Checkpoints.
    Checkpoint(Vec<Checkpoint>),
    /// A new term and its leader.
    BeginEpoch {
        /// The term.
        epoch: Epoch,
        /// The leader.
        node: usize,
    },
    /// A key, and the lease that it is attached to.
    Put {
        /// The key.
        key: u8,
        /// Its lease.
        lease: Option<LeaseId>,
    },
    /// Keys, and the lease that they are attached to; in lease-raft's log alone.
    Attach {
        /// The lease.
        id: LeaseId,
        /// The keys.
        keys: Vec<u8>,
    },
    /// Keys that are taken from a lease; in lease-raft's log alone.
    Detach {
        /// The lease.
        id: LeaseId,
        /// The keys.
        keys: Vec<u8>,
    },
}

/// The command of the world's own machine, in lease-raft's log.
#[cfg(madsim)]
pub(crate) fn put_command(key: u8, lease: Option<LeaseId>) -> Vec<u8> {
    let lease = lease.map_or(0, LeaseId::get).to_be_bytes();
    [&[key], &lease[..]].concat()
}

/// What such a command says.
pub(crate) fn read_put(command: &[u8]) -> (u8, Option<LeaseId>) {
    let (key, lease) = command.split_at(1);
    let lease = lease.try_into().expect("a put has a lease");
    (key[0], LeaseId::new(i64::from_be_bytes(lease)))
}

/// The tag of a fixed number of eight bytes in field 1.
const SESSION: u8 = 0x09;

#[derive(Clone, PartialEq, Message)]
struct EntryMessage {
    #[prost(uint64, tag = "1")]
    proposal: u64,
    #[prost(message, optional, tag = "2")]
    grant: Option<LeaseGrantRequest>,
    #[prost(message, repeated, tag = "3")]
    revoke: Vec<LeaseRevokeRequest>,
    #[prost(message, repeated, tag = "4")]
    checkpoint: Vec<LeaseCheckpoint>,
    #[prost(uint64, tag = "5")]
    epoch: u64,
    #[prost(uint64, tag = "6")]
    node: u64,
    #[prost(bytes = "vec", tag = "7")]
    key: Vec<u8>,
    #[prost(int64, tag = "8")]
    lease: i64,
}

impl Entry {
    /// The bytes.
    #[must_use]
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut message = EntryMessage {
            proposal: self.proposal,
            ..EntryMessage::default()
        };
        match &self.request {
            Request::Grant { id, ttl } => {
                message.grant = Some(LeaseGrantRequest {
                    id: id.get(),
                    ttl: ttl.get(),
                });
            }
            Request::Revoke(revocations) => {
                message.revoke = revocations.iter().map(Into::into).collect();
            }
            Request::Checkpoint(checkpoints) => {
                message.checkpoint = checkpoints.iter().map(Into::into).collect();
            }
            Request::BeginEpoch { epoch, node } => {
                message.epoch = epoch.get();
                message.node = *node as u64;
            }
            Request::Put { key, lease } => {
                message.key = vec![*key];
                message.lease = lease.map_or(0, LeaseId::get);
            }
            request => unreachable!("{request:?} is for lease-raft's log"),
        }
        message.encode_to_vec()
    }

    /// The entry of bytes that [`encode`](Self::encode) made.
    ///
    /// # Panics
    ///
    /// On any other bytes: the simulated network does not corrupt them.
    #[must_use]
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        // The first field of an entry of lease-raft's, and of no other.
        if bytes.first() == Some(&SESSION) {
            return Self::replicated(bytes);
        }
        let message = EntryMessage::decode(bytes).expect("the network does not corrupt");
        let proposal = message.proposal;
        let request = if let Some(grant) = message.grant {
            Request::Grant {
                id: LeaseId::new(grant.id).expect("not zero"),
                ttl: Ttl::new(grant.ttl).expect("in range"),
            }
        } else if !message.revoke.is_empty() {
            let revocations = message.revoke.iter().map(Revocation::try_from);
            Request::Revoke(revocations.collect::<Result<_, _>>().expect("valid"))
        } else if !message.checkpoint.is_empty() {
            let checkpoints = message.checkpoint.iter().map(Checkpoint::try_from);
            Request::Checkpoint(checkpoints.collect::<Result<_, _>>().expect("valid"))
        } else if let [key] = message.key[..] {
            Request::Put {
                key,
                lease: LeaseId::new(message.lease),
            }
        } else {
            Request::BeginEpoch {
                epoch: Epoch::new(message.epoch),
                node: message.node as usize,
            }
        };
        Self {
            proposal,
            request,
            stamp: None,
        }
    }

    /// An entry of lease-raft's, read without its code.
    fn replicated(bytes: &[u8]) -> Self {
        let message = leaseraftpb::Entry::decode(bytes).expect("members propose entries");
        let id = |id| LeaseId::new(id).expect("not zero");
        let keys = |items: Vec<Vec<u8>>| items.into_iter().map(|item| item[0]).collect();
        let request = match message.request.expect("an entry asks for something") {
            Wire::Grant(grant) => Request::Grant {
                id: id(grant.id),
                ttl: Ttl::new(grant.ttl).expect("in range"),
            },
            Wire::Revoke(revoke) => {
                let revocations = revoke.revocations.iter().map(Revocation::try_from);
                Request::Revoke(revocations.collect::<Result<_, _>>().expect("valid"))
            }
            Wire::Checkpoint(checkpoint) => {
                let checkpoints = checkpoint.checkpoints.iter().map(Checkpoint::try_from);
                Request::Checkpoint(checkpoints.collect::<Result<_, _>>().expect("valid"))
            }
            Wire::Attach(items) => Request::Attach {
                id: id(items.id),
                keys: keys(items.items),
            },
            Wire::Detach(items) => Request::Detach {
                id: id(items.id),
                keys: keys(items.items),
            },
            Wire::Lead(lead) => Request::BeginEpoch {
                epoch: Epoch::new(lead.term),
                node: lead.member as usize,
            },
            Wire::Host(command) => {
                let (key, lease) = read_put(&command);
                Request::Put { key, lease }
            }
        };
        let stamp = Stamp {
            session: message.session,
            number: message.number,
            settled: message.settled,
            applied: message.applied,
        };
        Self {
            proposal: 0,
            request,
            stamp: Some(stamp),
        }
    }

    /// The lessor's command, unless the entry is the host's own.
    #[must_use]
    pub(crate) fn command(&self, index: u64) -> Option<Command> {
        Some(match &self.request {
            Request::Grant { id, ttl } => Command::Grant(Grant {
                id: *id,
                ttl: *ttl,
                incarnation: Incarnation::supplied(index),
            }),
            Request::Revoke(revocations) => Command::Revoke(revocations.clone()),
            Request::Checkpoint(checkpoints) => Command::Checkpoint(checkpoints.clone()),
            Request::BeginEpoch { epoch, .. } => Command::BeginEpoch(*epoch),
            Request::Put { .. } | Request::Attach { .. } | Request::Detach { .. } => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use lease_core::{CheckpointFence, ExpiryFence};

    use super::*;

    #[test]
    fn every_entry_comes_back() {
        let id = LeaseId::new(-4).expect("not zero");
        let incarnation = Incarnation::supplied(9).expect("small");
        let epoch = Epoch::new(3);
        let requests = [
            Request::Grant { id, ttl: Ttl::MAX },
            Request::Revoke(vec![
                Revocation::by_user(id),
                Revocation {
                    id,
                    fence: Some(ExpiryFence { incarnation, epoch }),
                },
            ]),
            Request::Checkpoint(vec![
                Checkpoint::new(id, None),
                Checkpoint {
                    id,
                    remaining: Some(Ttl::MIN),
                    fence: Some(CheckpointFence {
                        incarnation,
                        epoch,
                        generation: 2,
                    }),
                },
            ]),
            Request::BeginEpoch { epoch, node: 2 },
            Request::Put {
                key: 7,
                lease: Some(id),
            },
            Request::Put {
                key: 0,
                lease: None,
            },
        ];
        for request in requests {
            let entry = Entry {
                proposal: 5,
                request,
                stamp: None,
            };
            assert_eq!(Entry::decode(&entry.encode()), entry);
        }
    }

    #[test]
    fn a_grant_is_named_by_its_index() {
        let id = LeaseId::new(1).expect("not zero");
        let entry = |request| Entry {
            proposal: 5,
            request,
            stamp: None,
        };
        let grant = entry(Request::Grant { id, ttl: Ttl::MAX });
        let Some(Command::Grant(command)) = grant.command(9) else {
            panic!("a grant is a command");
        };
        assert_eq!(command.incarnation, Incarnation::supplied(9));
        let put = entry(Request::Put {
            key: 0,
            lease: None,
        });
        assert_eq!(put.command(9), None, "a put is the host's own");
    }
}
