use lease_core::{Checkpoint, Command, Epoch, Grant, Incarnation, LeaseId, Revocation, Ttl};
use lease_pb::etcdserverpb::{LeaseCheckpoint, LeaseGrantRequest, LeaseRevokeRequest};
use prost::Message;

/// What the simulated log carries, as encoded bytes.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Entry {
    /// Names the proposal; a duplicate has the same number.
    pub(crate) proposal: u64,
    /// What it asks for.
    pub(crate) request: Request,
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
}

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
        Self { proposal, request }
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
            Request::Put { .. } => return None,
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
