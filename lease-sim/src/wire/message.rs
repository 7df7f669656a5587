use std::fmt;

use lease_core::{Incarnation, LeaseId, Ttl};
use prost::Message as _;

use crate::plan::Look;

/// A message between a member, the log and the clients.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Message {
    /// A client asks a member.
    Ask { call: u64, ask: Ask },
    /// A member answers a client.
    Reply { call: u64, reply: Reply },
    /// A member asks the log to take in an entry.
    Propose { proposal: u64, entry: Vec<u8> },
    /// The log has taken in the entry.
    Proposed { proposal: u64, index: u64 },
    /// The log will never take in the entry.
    Rejected { proposal: u64 },
    /// A member asks whether it still leads the term.
    Confirm { call: u64, epoch: u64 },
    /// Whether it does, and how long the log is.
    Confirmed { call: u64, leads: bool, length: u64 },
    /// A member asks for the entries from an index on.
    Fetch { from: u64 },
    /// Entries of the log, how long it is, and who leads it in which term.
    Entries {
        first: u64,
        entries: Vec<Vec<u8>>,
        length: u64,
        term: u64,
        leader: usize,
    },
    /// A snapshot of lease-raft's, or what has come of it.
    State { bytes: Vec<u8> },
    /// A member posts a request of lease-http's to another one.
    HttpRequest {
        call: u64,
        path: String,
        body: Vec<u8>,
    },
    /// What it is answered.
    HttpAnswer { call: u64, answer: HttpAnswer },
}

/// What a client asks of a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ask {
    Grant { id: LeaseId, ttl: i64 },
    Renew { id: LeaseId },
    Revoke { id: LeaseId },
    Put { key: u8, lease: Option<LeaseId> },
    TimeToLive { id: LeaseId },
    GrantNew { ttl: i64 },
    RenewMany { id: LeaseId, count: u8 },
    Look { id: LeaseId, how: Look },
}

/// What a member answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    /// The lease has its whole TTL.
    Alive { incarnation: Incarnation, ttl: Ttl },
    /// It is done.
    Done,
    /// It was refused.
    Refused,
    /// Ask another member.
    NotPrimary,
}

/// An answer of lease-http's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct HttpAnswer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// All messages in one; which fields mean something follows from the kind.
#[derive(Clone, PartialEq, prost::Message)]
struct Wire {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(uint64, tag = "2")]
    call: u64,
    #[prost(uint64, tag = "3")]
    index: u64,
    #[prost(uint64, tag = "4")]
    epoch: u64,
    #[prost(bool, tag = "5")]
    yes: bool,
    #[prost(bytes = "vec", repeated, tag = "6")]
    entries: Vec<Vec<u8>>,
    #[prost(uint32, tag = "7")]
    what: u32,
    #[prost(int64, tag = "8")]
    lease: i64,
    #[prost(int64, tag = "9")]
    ttl: i64,
    #[prost(uint32, tag = "10")]
    key: u32,
    #[prost(uint64, tag = "11")]
    incarnation: u64,
    #[prost(string, tag = "12")]
    path: String,
    #[prost(bytes = "vec", tag = "13")]
    body: Vec<u8>,
}

impl Message {
    /// Whether it is a question of a member to another one, or the answer.
    #[cfg(madsim)]
    pub(crate) const fn is_of_http(&self) -> bool {
        matches!(self, Self::HttpRequest { .. } | Self::HttpAnswer { .. })
    }

    /// The bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut wire = Wire::default();
        match self {
            Self::Ask { call, ask } => {
                (wire.kind, wire.call) = (1, *call);
                ask.put(&mut wire);
            }
            Self::Reply { call, reply } => {
                (wire.kind, wire.call) = (2, *call);
                reply.put(&mut wire);
            }
            Self::Propose { proposal, entry } => {
                (wire.kind, wire.call) = (3, *proposal);
                wire.entries = vec![entry.clone()];
            }
            Self::Proposed { proposal, index } => {
                (wire.kind, wire.call, wire.index) = (4, *proposal, *index);
            }
            Self::Rejected { proposal } => {
                (wire.kind, wire.call) = (5, *proposal);
            }
            Self::Confirm { call, epoch } => {
                (wire.kind, wire.call, wire.epoch) = (6, *call, *epoch);
            }
            Self::Confirmed {
                call,
                leads,
                length,
            } => {
                (wire.kind, wire.call, wire.yes, wire.index) = (7, *call, *leads, *length);
            }
            Self::Fetch { from } => {
                (wire.kind, wire.index) = (8, *from);
            }
            Self::Entries {
                first,
                entries,
                length,
                term,
                leader,
            } => {
                (wire.kind, wire.index, wire.call) = (9, *first, *length);
                (wire.epoch, wire.what) = (*term, *leader as u32);
                wire.entries.clone_from(entries);
            }
            Self::HttpRequest { call, path, body } => {
                (wire.kind, wire.call) = (10, *call);
                wire.path.clone_from(path);
                wire.body.clone_from(body);
            }
            Self::HttpAnswer { call, answer } => {
                (wire.kind, wire.call) = (11, *call);
                wire.what = u32::from(answer.status);
                wire.body.clone_from(&answer.body);
            }
            Self::State { bytes } => {
                wire.kind = 12;
                wire.body.clone_from(bytes);
            }
        }
        wire.encode_to_vec()
    }

    /// The message of bytes that [`encode`](Self::encode) made; the simulated network does not
    /// corrupt them.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let mut wire = Wire::decode(bytes).expect("the network does not corrupt");
        let call = wire.call;
        match wire.kind {
            1 => Self::Ask {
                call,
                ask: Ask::take(&wire),
            },
            2 => Self::Reply {
                call,
                reply: Reply::take(&wire),
            },
            3 => Self::Propose {
                proposal: call,
                entry: wire.entries.pop().expect("a proposal has an entry"),
            },
            4 => Self::Proposed {
                proposal: call,
                index: wire.index,
            },
            5 => Self::Rejected { proposal: call },
            6 => Self::Confirm {
                call,
                epoch: wire.epoch,
            },
            7 => Self::Confirmed {
                call,
                leads: wire.yes,
                length: wire.index,
            },
            8 => Self::Fetch { from: wire.index },
            9 => Self::Entries {
                first: wire.index,
                entries: wire.entries,
                length: call,
                term: wire.epoch,
                leader: wire.what as usize,
            },
            10 => Self::HttpRequest {
                call,
                path: wire.path,
                body: wire.body,
            },
            11 => Self::HttpAnswer {
                call,
                answer: HttpAnswer {
                    status: wire.what as u16,
                    body: wire.body,
                },
            },
            12 => Self::State { bytes: wire.body },
            kind => unreachable!("no message is of kind {kind}"),
        }
    }
}

impl Ask {
    fn put(self, wire: &mut Wire) {
        match self {
            Self::Grant { id, ttl } => (wire.what, wire.lease, wire.ttl) = (1, id.get(), ttl),
            Self::Renew { id } => (wire.what, wire.lease) = (2, id.get()),
            Self::Revoke { id } => (wire.what, wire.lease) = (3, id.get()),
            Self::Put { key, lease } => {
                (wire.what, wire.key) = (4, u32::from(key));
                wire.lease = lease.map_or(0, LeaseId::get);
            }
            Self::TimeToLive { id } => (wire.what, wire.lease) = (5, id.get()),
            Self::GrantNew { ttl } => (wire.what, wire.ttl) = (6, ttl),
            Self::RenewMany { id, count } => {
                (wire.what, wire.lease, wire.key) = (7, id.get(), u32::from(count));
            }
            Self::Look { id, how } => {
                (wire.what, wire.lease, wire.key) = (8, id.get(), how as u32);
            }
        }
    }

    fn take(wire: &Wire) -> Self {
        let lease = LeaseId::new(wire.lease);
        let id = || lease.expect("clients name a lease");
        match wire.what {
            1 => Self::Grant {
                id: id(),
                ttl: wire.ttl,
            },
            2 => Self::Renew { id: id() },
            3 => Self::Revoke { id: id() },
            4 => Self::Put {
                key: wire.key as u8,
                lease,
            },
            5 => Self::TimeToLive { id: id() },
            6 => Self::GrantNew { ttl: wire.ttl },
            7 => Self::RenewMany {
                id: id(),
                count: wire.key as u8,
            },
            _ => Self::Look {
                id: id(),
                how: Look::ALL[wire.key as usize],
            },
        }
    }
}

impl Reply {
    fn put(self, wire: &mut Wire) {
        match self {
            Self::Alive { incarnation, ttl } => {
                (wire.what, wire.incarnation) = (1, incarnation.get());
                wire.ttl = ttl.get();
            }
            Self::Done => wire.what = 2,
            Self::Refused => wire.what = 3,
            Self::NotPrimary => wire.what = 4,
        }
    }

    fn take(wire: &Wire) -> Self {
        match wire.what {
            1 => Self::Alive {
                incarnation: Incarnation::from_wire(wire.incarnation),
                ttl: Ttl::new(wire.ttl).expect("members answer with a legal TTL"),
            },
            2 => Self::Done,
            3 => Self::Refused,
            _ => Self::NotPrimary,
        }
    }
}

/// In words, for the trace.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask { ask, .. } => write!(f, "{ask:?}"),
            Self::Reply { reply, .. } => write!(f, "{reply:?}"),
            Self::Propose { entry, .. } => {
                write!(f, "propose {:?}", super::Entry::decode(entry).request)
            }
            Self::Proposed { index, .. } => write!(f, "it is entry {index}"),
            Self::Rejected { .. } => f.write_str("rejected"),
            Self::Confirm { epoch, .. } => write!(f, "do I lead term {epoch}?"),
            Self::Confirmed { leads, length, .. } => {
                let answer = if *leads { "yes" } else { "no" };
                write!(f, "{answer}, and the log has {length} entries")
            }
            Self::Fetch { from } => write!(f, "entries from {from}, please"),
            Self::Entries {
                first,
                entries,
                length,
                ..
            } => write!(f, "{} of {length} entries from {first}", entries.len()),
            Self::State { bytes } => write!(f, "snapshot of {} bytes", bytes.len()),
            Self::HttpRequest { path, body, .. } => write!(f, "POST {path} {body:02x?}"),
            Self::HttpAnswer { answer, .. } => {
                let HttpAnswer { status, body } = answer;
                match std::str::from_utf8(body) {
                    Ok(text) if *status != 200 => write!(f, "{status} {}", text.trim_end()),
                    _ => write!(f, "{status} {body:02x?}"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_comes_back() {
        let id = LeaseId::new(-4).expect("not zero");
        let incarnation = Incarnation::supplied(9).expect("small");
        let ttl = Ttl::MAX;
        let mut messages = vec![
            Message::Propose {
                proposal: 7,
                entry: vec![1, 2],
            },
            Message::Proposed {
                proposal: 7,
                index: 8,
            },
            Message::Rejected { proposal: 7 },
            Message::Confirm { call: 7, epoch: 8 },
            Message::Confirmed {
                call: 7,
                leads: true,
                length: 8,
            },
            Message::Fetch { from: 7 },
            Message::Entries {
                first: 7,
                entries: vec![vec![1], vec![2]],
                length: 9,
                term: 3,
                leader: 2,
            },
            Message::HttpRequest {
                call: 7,
                path: "/leases".into(),
                body: vec![8, 1],
            },
        ];
        messages.push(Message::HttpAnswer {
            call: 7,
            answer: HttpAnswer {
                status: 404,
                body: vec![1, 2],
            },
        });
        messages.push(Message::State { bytes: vec![3] });
        let asks = [
            Ask::Grant { id, ttl: -7 },
            Ask::Renew { id },
            Ask::Revoke { id },
            Ask::Put {
                key: 255,
                lease: Some(id),
            },
            Ask::Put {
                key: 0,
                lease: None,
            },
            Ask::TimeToLive { id },
        ];
        let replies = [
            Reply::Alive { incarnation, ttl },
            Reply::Done,
            Reply::Refused,
            Reply::NotPrimary,
        ];
        messages.extend(asks.map(|ask| Message::Ask { call: 7, ask }));
        messages.extend(replies.map(|reply| Message::Reply { call: 7, reply }));
        for message in messages {
            assert_eq!(Message::decode(&message.encode()), message);
        }
    }
}
