use lease_core::{
    Checkpoint, Command, Epoch, Grant, Incarnation, LeaseId, LeaseItem, Revocation, Ttl,
};
use lease_pb::Message;
use lease_pb::etcdserverpb::LeaseGrantRequest;
use lease_pb::leaseraftpb::entry::Request as Wire;
use lease_pb::leaseraftpb::{self, Checkpoints, Items, Leadership, Revocations};

use crate::MemberId;

/// What the log carries.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Entry {
    /// Names the life of the member that has proposed it.
    pub(crate) session: u64,
    /// Names the proposal in its session: it may come twice.
    pub(crate) number: u64,
    /// Nobody waits for a proposal up to this number any more.
    pub(crate) settled: u64,
    /// How far its member had applied the log.
    pub(crate) applied: u64,
    pub(crate) request: Request,
}

/// What an entry asks for.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Request {
    /// Its incarnation is the index of the entry.
    Grant {
        id: LeaseId,
        ttl: Ttl,
    },
    Revoke(Vec<Revocation>),
    Attach {
        id: LeaseId,
        items: Vec<LeaseItem>,
    },
    Detach {
        id: LeaseId,
        items: Vec<LeaseItem>,
    },
    Checkpoint(Vec<Checkpoint>),
    /// A member begins to lead in a term. The index of the entry is the epoch that begins.
    Lead {
        member: MemberId,
        term: u64,
    },
    /// A command of the host's own.
    Host(Vec<u8>),
}

impl Entry {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let message = leaseraftpb::Entry {
            session: self.session,
            number: self.number,
            settled: self.settled,
            applied: self.applied,
            request: Some(self.request.to_wire()),
        };
        message.encode_to_vec()
    }

    /// # Errors
    ///
    /// Why the bytes are no entry that this version knows.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let message = leaseraftpb::Entry::decode(bytes).map_err(|error| error.to_string())?;
        let request = message.request.ok_or("it asks for nothing that is known")?;
        Ok(Self {
            session: message.session,
            number: message.number,
            settled: message.settled,
            applied: message.applied,
            request: Request::from_wire(request)?,
        })
    }
}

impl Request {
    /// What it is called where calls are traced.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Grant { .. } => "grant",
            Self::Revoke(_) => "revoke",
            Self::Attach { .. } => "attach",
            Self::Detach { .. } => "detach",
            Self::Checkpoint(_) => "checkpoint",
            Self::Lead { .. } => "lead",
            Self::Host(_) => "propose",
        }
    }

    /// The lease that it is about, if it is about one.
    pub(crate) fn lease(&self) -> Option<LeaseId> {
        match self {
            Self::Grant { id, .. } | Self::Attach { id, .. } | Self::Detach { id, .. } => Some(*id),
            Self::Revoke(revocations) => match &revocations[..] {
                [one] => Some(one.id),
                _ => None,
            },
            Self::Checkpoint(_) | Self::Lead { .. } | Self::Host(_) => None,
        }
    }

    fn to_wire(&self) -> Wire {
        match self {
            Self::Grant { id, ttl } => Wire::Grant(LeaseGrantRequest {
                id: id.get(),
                ttl: ttl.get(),
            }),
            Self::Revoke(revocations) => Wire::Revoke(Revocations {
                revocations: revocations.iter().map(Into::into).collect(),
            }),
            Self::Attach { id, items } => Wire::Attach(items_to_wire(*id, items)),
            Self::Detach { id, items } => Wire::Detach(items_to_wire(*id, items)),
            Self::Checkpoint(checkpoints) => Wire::Checkpoint(Checkpoints {
                checkpoints: checkpoints.iter().map(Into::into).collect(),
            }),
            Self::Lead { member, term } => Wire::Lead(Leadership {
                member: *member,
                term: *term,
            }),
            Self::Host(bytes) => Wire::Host(bytes.clone()),
        }
    }

    fn from_wire(wire: Wire) -> Result<Self, String> {
        Ok(match wire {
            Wire::Grant(LeaseGrantRequest { id, ttl }) => Self::Grant {
                id: lease_id(id)?,
                ttl: Ttl::new(ttl).map_err(|error| error.to_string())?,
            },
            Wire::Revoke(Revocations { revocations }) => {
                let revocations = revocations.iter().map(Revocation::try_from);
                let revocations = revocations.collect::<Result<_, _>>();
                Self::Revoke(revocations.map_err(|error| error.to_string())?)
            }
            Wire::Attach(items) => {
                let (id, items) = items_from_wire(items)?;
                Self::Attach { id, items }
            }
            Wire::Detach(items) => {
                let (id, items) = items_from_wire(items)?;
                Self::Detach { id, items }
            }
            Wire::Checkpoint(Checkpoints { checkpoints }) => {
                let checkpoints = checkpoints.iter().map(Checkpoint::try_from);
                let checkpoints = checkpoints.collect::<Result<_, _>>();
                Self::Checkpoint(checkpoints.map_err(|error| error.to_string())?)
            }
            Wire::Lead(Leadership { member, term }) => Self::Lead { member, term },
            Wire::Host(bytes) => Self::Host(bytes),
        })
    }

    /// The lessor's command, unless the entry is the host's own.
    pub(crate) fn command(&self, index: u64) -> Option<Command> {
        Some(match self {
            Self::Grant { id, ttl } => Command::Grant(Grant {
                id: *id,
                ttl: *ttl,
                incarnation: Incarnation::supplied(index),
            }),
            Self::Revoke(revocations) => Command::Revoke(revocations.clone()),
            Self::Attach { id, items } => Command::Attach {
                id: *id,
                items: items.clone(),
            },
            Self::Detach { id, items } => Command::Detach {
                id: *id,
                items: items.clone(),
            },
            Self::Checkpoint(checkpoints) => Command::Checkpoint(checkpoints.clone()),
            Self::Lead { .. } => Command::BeginEpoch(Epoch::new(index)),
            Self::Host(_) => return None,
        })
    }
}

fn lease_id(id: i64) -> Result<LeaseId, String> {
    LeaseId::try_from(id).map_err(|error| error.to_string())
}

fn items_to_wire(id: LeaseId, items: &[LeaseItem]) -> Items {
    Items {
        id: id.get(),
        items: items.iter().map(|item| item.as_bytes().to_vec()).collect(),
    }
}

fn items_from_wire(wire: Items) -> Result<(LeaseId, Vec<LeaseItem>), String> {
    let items = wire.items.into_iter().map(LeaseItem::new).collect();
    Ok((lease_id(wire.id)?, items))
}

#[cfg(test)]
mod tests {
    use lease_core::{CheckpointFence, ExpiryFence};

    use super::*;

    fn id(number: i64) -> LeaseId {
        LeaseId::new(number).expect("not zero")
    }

    #[test]
    fn entries_come_back_as_they_were() {
        let epoch = Epoch::new(9);
        let incarnation = Incarnation::supplied(4).expect("small");
        let items = vec![LeaseItem::new(*b"a"), LeaseItem::new(*b"")];
        let requests = [
            Request::Grant {
                id: id(-7),
                ttl: Ttl::MAX,
            },
            Request::Revoke(vec![
                Revocation::by_user(id(1)),
                Revocation {
                    id: id(2),
                    fence: Some(ExpiryFence { incarnation, epoch }),
                },
            ]),
            Request::Attach {
                id: id(1),
                items: items.clone(),
            },
            Request::Detach { id: id(1), items },
            Request::Checkpoint(vec![
                Checkpoint::new(id(1), None),
                Checkpoint {
                    fence: Some(CheckpointFence {
                        incarnation,
                        epoch,
                        generation: 3,
                    }),
                    ..Checkpoint::new(id(2), Some(Ttl::MIN))
                },
            ]),
            Request::Lead { member: 3, term: 8 },
            Request::Host(vec![0, 255]),
        ];
        for request in requests {
            let entry = Entry {
                session: u64::MAX,
                number: 5,
                settled: 4,
                applied: 99,
                request,
            };
            assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
        }
    }

    #[test]
    fn what_is_no_entry_is_said() {
        let nothing = leaseraftpb::Entry::default().encode_to_vec();
        assert!(
            Entry::decode(&nothing)
                .expect_err("empty")
                .contains("nothing")
        );
        let zero = leaseraftpb::Entry {
            request: Some(Wire::Grant(LeaseGrantRequest { id: 0, ttl: 1 })),
            ..Default::default()
        };
        assert!(Entry::decode(&zero.encode_to_vec()).is_err());
        assert!(Entry::decode(&[0xff; 3]).is_err());
    }
}
