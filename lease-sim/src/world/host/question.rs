use lease_core::{Incarnation, LeaseId, Ttl, probe};
use lease_http::ClientError;
use lease_http::messages::{Call, Keys, Renew, TimeToLive};

use crate::wire::{Ask, HttpAnswer, Reply};

/// What the primary has told of a lease.
#[derive(Clone, Copy)]
pub(super) struct Told {
    pub(super) id: LeaseId,
    pub(super) incarnation: Incarnation,
    pub(super) left_ms: u64,
    pub(super) ttl: Ttl,
}

/// What members ask the primary, as lease-http asks it.
#[derive(Clone, Copy)]
pub(super) enum Question {
    Renew(Renew),
    TimeToLive(TimeToLive),
}

impl Question {
    /// What is forwarded of what clients ask.
    pub(super) fn of(ask: Ask) -> Option<Self> {
        let keys = Keys::List;
        match ask {
            Ask::Renew { id } => Some(Self::Renew(Renew(id))),
            Ask::TimeToLive { id } => Some(Self::TimeToLive(TimeToLive { id, keys })),
            _ => None,
        }
    }

    pub(super) const fn id(&self) -> LeaseId {
        match self {
            Self::Renew(Renew(id)) | Self::TimeToLive(TimeToLive { id, .. }) => *id,
        }
    }

    pub(super) fn encode(&self) -> (&'static str, Vec<u8>) {
        match self {
            Self::Renew(call) => (Renew::PATH, call.encode()),
            Self::TimeToLive(call) => (TimeToLive::PATH, call.encode()),
        }
    }

    pub(super) fn take(&self, answer: &HttpAnswer) -> Result<Told, ClientError> {
        let read = match (self.read(answer), answer.about) {
            (Err(ClientError::IdMismatch(_)), Some((id, _)))
                if probe::is_planted("host-takes-answer-for-another") =>
            {
                self.about(id).read(answer)
            }
            (read, _) => read,
        };
        let (left_ms, ttl) = read?;
        let (id, incarnation) = answer.about.expect("a good answer is about a lease");
        Ok(Told {
            id,
            incarnation,
            left_ms,
            ttl,
        })
    }

    /// What remains, and the TTL.
    fn read(&self, answer: &HttpAnswer) -> Result<(u64, Ttl), ClientError> {
        let HttpAnswer { status, body, .. } = answer;
        match self {
            Self::Renew(call) => {
                let ttl = call.read(*status, body)?;
                Ok((ttl.as_secs() * 1000, ttl))
            }
            Self::TimeToLive(call) => {
                let times = call.read(*status, body)?;
                let left_secs = u64::try_from(times.remaining_secs).unwrap_or(0);
                Ok((left_secs * 1000, times.granted))
            }
        }
    }

    /// The same question about another lease.
    const fn about(&self, id: LeaseId) -> Self {
        match self {
            Self::Renew(_) => Self::Renew(Renew(id)),
            Self::TimeToLive(TimeToLive { keys, .. }) => {
                Self::TimeToLive(TimeToLive { id, keys: *keys })
            }
        }
    }

    pub(super) const fn reply(&self, told: Option<Told>) -> Reply {
        match (self, told) {
            (_, None) => Reply::Refused,
            (Self::Renew(_), Some(told)) => Reply::Alive {
                incarnation: told.incarnation,
                ttl: told.ttl,
            },
            (Self::TimeToLive(_), Some(_)) => Reply::Done,
        }
    }
}
