use lease_core::{Checkpoint, LeaseId, Revocation, Ttl};
use lease_pb::leaseraftpb;
use lease_pb::leaseraftpb::entry::Request as Wire;
use prost::Message;

/// What the log carries: an entry of lease-raft's, read without its code.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Entry {
    /// What it asks for.
    pub(crate) request: Request,
    /// What it says of its proposal; a duplicate says the same.
    pub(crate) stamp: Stamp,
}

/// Which proposal of which life of a member an entry is.
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
    /// A new epoch, which has the index of the entry.
    BeginEpoch {
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
    /// Keys, and the lease that they are attached to, without the machine.
    Attach {
        /// The lease.
        id: LeaseId,
        /// The keys.
        keys: Vec<u8>,
    },
    /// Keys that are taken from a lease, without the machine.
    Detach {
        /// The lease.
        id: LeaseId,
        /// The keys.
        keys: Vec<u8>,
    },
}

/// The command of the world's own machine.
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

impl Entry {
    /// The entry of the bytes that a member proposes.
    ///
    /// # Panics
    ///
    /// On any other bytes: the simulated network does not corrupt them.
    #[must_use]
    pub(crate) fn decode(bytes: &[u8]) -> Self {
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
            // Members of a replicated lessor count from 1.
            Wire::Lead(lead) => Request::BeginEpoch {
                node: lead.member as usize - 1,
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
        Self { request, stamp }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_member_proposes_is_read() {
        let read = |request| {
            let entry = leaseraftpb::Entry {
                session: 7,
                number: 5,
                settled: 3,
                applied: 9,
                request: Some(request),
            };
            Entry::decode(&entry.encode_to_vec())
        };
        let id = LeaseId::new(-4).expect("not zero");
        let lead = leaseraftpb::Leadership { member: 3, term: 2 };
        let stamp = Stamp {
            session: 7,
            number: 5,
            settled: 3,
            applied: 9,
        };
        let begin = Request::BeginEpoch { node: 2 };
        let expected = Entry {
            request: begin,
            stamp,
        };
        assert_eq!(read(Wire::Lead(lead)), expected);
        let command = [&[7], &id.get().to_be_bytes()[..]].concat();
        let put = Request::Put {
            key: 7,
            lease: Some(id),
        };
        assert_eq!(read(Wire::Host(command)).request, put);
    }
}
