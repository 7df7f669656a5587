use std::fmt;

use lease_core::{LeaseId, Ttl};
use lease_pb::Message;
use lease_pb::etcdserverpb::{
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseTimeToLiveRequest,
};
use lease_pb::leasehttppb::{Refusal, RefusalReason, RenewBatchRequest, RenewBatchResponse};
use lease_pb::leasepb::{LeaseInternalRequest, LeaseInternalResponse};

use super::reply::UNKNOWN_PATH;
use super::{
    LEASE_BATCH_PREFIX, LEASE_INTERNAL_PREFIX, LEASE_PREFIX, LeaseTimes, MAX_RESPONSE_LEN,
};
use crate::ClientError;

/// A question to the primary, and how its answer is read.
///
/// ```
/// use lease_core::LeaseId;
/// use lease_http::ClientError;
/// use lease_http::messages::{Call, Renew};
///
/// let call = Renew(LeaseId::try_from(7)?);
/// assert_eq!((Renew::PATH, call.encode()), ("/leases", vec![0x08, 7]));
/// assert_eq!(call.read(200, &[0x10, 7, 0x18, 60])?.as_secs(), 60);
/// assert_eq!(call.read(404, b"lease not found\n"), Err(ClientError::NotFound));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Call {
    /// What a good answer says.
    type Answer;

    /// The path that it is posted to.
    const PATH: &'static str;

    /// The body of the request.
    fn encode(&self) -> Vec<u8>;

    /// Reads the answer.
    ///
    /// # Errors
    ///
    /// Every [`ClientError`] that is not a transport's own.
    fn read(&self, status: u16, body: &[u8]) -> Result<Self::Answer, ClientError>;
}

/// Which kind of question it is.
///
/// ```
/// use lease_http::messages::{Kind, Request};
///
/// let request = Request::Renew(None);
/// assert_eq!(request.kind(), Kind::Renew);
/// assert_eq!(request.kind().name(), "renew");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Kind {
    /// A renewal.
    Renew,
    /// For the time to live.
    TimeToLive,
    /// Many renewals.
    RenewBatch,
}

impl Kind {
    /// Its name as the label of a metric.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Renew => "renew",
            Self::TimeToLive => "time_to_live",
            Self::RenewBatch => "renew_batch",
        }
    }
}

/// As etcd's error texts have it.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Renew => "renew",
            Self::TimeToLive => "TTL",
            Self::RenewBatch => "batch",
        })
    }
}

/// Whether the attached items are listed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Keys {
    /// They are not.
    Omit,
    /// They are.
    List,
}

/// Renew a lease. The answer is its TTL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Renew(pub LeaseId);

impl Call for Renew {
    type Answer = Ttl;

    const PATH: &'static str = LEASE_PREFIX;

    fn encode(&self) -> Vec<u8> {
        LeaseKeepAliveRequest { id: self.0.get() }.encode_to_vec()
    }

    fn read(&self, status: u16, body: &[u8]) -> Result<Ttl, ClientError> {
        let answer: LeaseKeepAliveResponse = read_message(status, body)?;
        if answer.id != self.0.get() {
            return Err(ClientError::IdMismatch(Kind::Renew));
        }
        read_ttl(answer.ttl)
    }
}

/// Tell how long a lease has left.
///
/// ```
/// use lease_core::LeaseId;
/// use lease_http::messages::{Call, Keys, TimeToLive};
///
/// let call = TimeToLive { id: LeaseId::try_from(7)?, keys: Keys::List };
/// let times = call.read(200, &[0x0a, 9, 0x10, 7, 0x18, 59, 0x20, 60, 0x2a, 1, b'a'])?;
/// assert_eq!((times.remaining_secs, times.granted.as_secs()), (59, 60));
/// assert_eq!(times.keys, ["a".into()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeToLive {
    /// The lease.
    pub id: LeaseId,
    /// Whether its items are wanted too.
    pub keys: Keys,
}

impl Call for TimeToLive {
    type Answer = LeaseTimes;

    const PATH: &'static str = LEASE_INTERNAL_PREFIX;

    fn encode(&self) -> Vec<u8> {
        let inner = LeaseTimeToLiveRequest {
            id: self.id.get(),
            keys: self.keys == Keys::List,
        };
        let request = LeaseInternalRequest {
            lease_time_to_live_request: Some(inner),
        };
        request.encode_to_vec()
    }

    fn read(&self, status: u16, body: &[u8]) -> Result<LeaseTimes, ClientError> {
        let answer: LeaseInternalResponse = read_message(status, body)?;
        let inner = answer.lease_time_to_live_response;
        let inner = inner.ok_or(ClientError::Empty)?;
        if inner.id != self.id.get() {
            return Err(ClientError::IdMismatch(Kind::TimeToLive));
        }
        LeaseTimes::of(self.id, inner)
    }
}

/// Renew leases, at most [`MAX_BATCH`](super::MAX_BATCH) of them. The answer has one for each, in
/// their order.
///
/// ```
/// use lease_core::LeaseId;
/// use lease_http::ClientError;
/// use lease_http::messages::{Call, RenewBatch};
///
/// let ids = [LeaseId::try_from(1)?, LeaseId::try_from(2)?];
/// let unknown = RenewBatch(&ids).read(404, b"404 page not found\n");
/// assert_eq!(unknown, Err(ClientError::NoBatches)); // as etcd answers
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RenewBatch<'a>(pub &'a [LeaseId]);

/// What became of each lease of a [`RenewBatch`].
pub type BatchAnswer = Vec<Result<Ttl, ClientError>>;

impl Call for RenewBatch<'_> {
    type Answer = BatchAnswer;

    const PATH: &'static str = LEASE_BATCH_PREFIX;

    fn encode(&self) -> Vec<u8> {
        let ids = self.0.iter().map(|id| id.get()).collect();
        RenewBatchRequest { ids }.encode_to_vec()
    }

    fn read(&self, status: u16, body: &[u8]) -> Result<BatchAnswer, ClientError> {
        let is_unknown = match status {
            404 | 405 => true,
            400 => body.starts_with(UNKNOWN_PATH.as_bytes()),
            _ => false,
        };
        if is_unknown {
            return Err(ClientError::NoBatches);
        }
        let answer: RenewBatchResponse = read_message(status, body)?;
        let asked = self.0.iter().map(|id| id.get());
        if !asked.eq(answer.ids.iter().copied()) {
            return Err(ClientError::IdMismatch(Kind::RenewBatch));
        }
        each_answer(&answer)
    }
}

fn each_answer(answer: &RenewBatchResponse) -> Result<BatchAnswer, ClientError> {
    if answer.ttls.len() != answer.ids.len() {
        return Err(ClientError::Contradiction);
    }
    let mut answers: Vec<_> = answer.ttls.iter().map(|ttl| read_ttl(*ttl)).collect();
    let mut left = answers.iter().filter(|answer| answer.is_err()).count();
    for refusal in &answer.refusals {
        let place = usize::try_from(refusal.place).ok();
        match place.and_then(|place| answers.get_mut(place)) {
            Some(answer @ Err(ClientError::TtlOutOfRange(0))) => {
                *answer = Err(read_refusal(refusal));
            }
            _ => return Err(ClientError::Contradiction),
        }
        left -= 1;
    }
    if left == 0 {
        Ok(answers)
    } else {
        Err(ClientError::Contradiction)
    }
}

fn read_refusal(refusal: &Refusal) -> ClientError {
    match RefusalReason::try_from(refusal.reason) {
        Ok(RefusalReason::NotFound) => ClientError::NotFound,
        Ok(RefusalReason::NotPrimary) => ClientError::Demoted,
        Ok(RefusalReason::MustWait) => ClientError::MustWait,
        Ok(RefusalReason::Failed) | Err(_) => ClientError::refused(200, refusal.text.as_bytes()),
    }
}

fn read_message<M: Message + Default>(status: u16, body: &[u8]) -> Result<M, ClientError> {
    if body.len() > MAX_RESPONSE_LEN {
        return Err(ClientError::TooLarge);
    }
    match status {
        200 => M::decode(body).map_err(ClientError::Malformed),
        404 => Err(ClientError::NotFound),
        408 => Err(ClientError::NotCaughtUp),
        _ if is_not_primary(body) => Err(ClientError::Demoted),
        _ => Err(ClientError::refused(status, body)),
    }
}

fn is_not_primary(body: &[u8]) -> bool {
    body.trim_ascii_end() == ClientError::Demoted.to_string().as_bytes()
}

fn read_ttl(secs: i64) -> Result<Ttl, ClientError> {
    Ttl::new(secs).map_err(|_| ClientError::TtlOutOfRange(secs))
}
