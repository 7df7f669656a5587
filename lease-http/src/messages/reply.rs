use std::error::Error;
use std::fmt;

use lease_core::{Lease, LeaseError, LeaseId, LeaseIdError, LeaseItem, Renewal, TimeToLive, Ttl};
use lease_pb::Message;
use lease_pb::etcdserverpb::{LeaseKeepAliveResponse, LeaseTimeToLiveResponse, ResponseHeader};
use lease_pb::leasehttppb::{Refusal, RefusalReason, RenewBatchResponse};
use lease_pb::leasepb::LeaseInternalResponse;

use super::path::quote;
use super::{CONTENT_TYPE, Keys, Kind};
use crate::ClientError;

/// What the handler answers: a status, a content type and a body, byte for byte etcd's.
///
/// A refusal is an error, so that `?` ends a request with it.
///
/// ```
/// use lease_http::messages::{CONTENT_TYPE, Outcome, Reply};
/// use lease_core::{LeaseId, Ttl};
///
/// let reply = Reply::renewed(LeaseId::try_from(7)?, Ttl::new(60)?);
/// assert_eq!((reply.status(), reply.content_type()), (200, CONTENT_TYPE));
/// assert_eq!(reply.body(), [0x10, 7, 0x18, 60]);
///
/// let refusal = Reply::not_caught_up();
/// assert_eq!((refusal.status(), refusal.outcome()), (408, Outcome::NotCaughtUp));
/// assert_eq!(refusal.to_string(), "408 not_caught_up");
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    status: u16,
    outcome: Outcome,
    body: Vec<u8>,
}

/// How a request ended, for metrics.
///
/// ```
/// use lease_http::messages::Outcome;
///
/// assert_eq!(Outcome::NotPrimary.name(), "not_primary");
/// assert_eq!(Outcome::ALL.len(), 9);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It was answered; of a batch, every lease got its own answer.
    Answered,
    /// There is no such lease.
    NotFound,
    /// This member is no primary.
    NotPrimary,
    /// This member had not applied in time what is committed.
    NotCaughtUp,
    /// The path or the body is nothing that the handler knows.
    Malformed,
    /// The body was too large.
    TooLarge,
    /// The method is not `POST`.
    MethodNotAllowed,
    /// The lessor or the host failed, or the wait for the end of the lease was too long.
    Failed,
    /// The caller went away before there was an answer.
    Gone,
}

impl Outcome {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 9] = [
        Self::Answered,
        Self::NotFound,
        Self::NotPrimary,
        Self::NotCaughtUp,
        Self::Malformed,
        Self::TooLarge,
        Self::MethodNotAllowed,
        Self::Failed,
        Self::Gone,
    ];

    /// Its name as the label of a metric.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::NotFound => "not_found",
            Self::NotPrimary => "not_primary",
            Self::NotCaughtUp => "not_caught_up",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Failed => "failed",
            Self::Gone => "gone",
        }
    }
}

impl Reply {
    /// The lease has its whole TTL again.
    #[must_use]
    pub fn renewed(id: LeaseId, ttl: Ttl) -> Self {
        let answer = LeaseKeepAliveResponse {
            header: None,
            id: id.get(),
            ttl: ttl.get(),
        };
        Self::answer(&answer)
    }

    /// What became of a renewal: the lease's TTL or the lessor's error, or nothing within
    /// [`Timeouts::lease`](super::Timeouts::lease).
    ///
    /// ```
    /// use lease_core::{LeaseError, LeaseId, Ttl};
    /// use lease_http::messages::{Kind, Reply};
    ///
    /// let id = LeaseId::try_from(7)?;
    /// let ttl = Ttl::new(60)?;
    /// assert_eq!(Reply::to_renewal(id, Some(Ok(ttl))), Reply::renewed(id, ttl));
    /// let late = Reply::refused(Kind::Renew, &LeaseError::DeadlineExceeded);
    /// assert_eq!(Reply::to_renewal(id, None), late);
    /// # Ok::<(), LeaseError>(())
    /// ```
    #[must_use]
    pub fn to_renewal(id: LeaseId, renewed: Option<Result<Ttl, LeaseError>>) -> Self {
        match renewed.unwrap_or(Err(LeaseError::DeadlineExceeded)) {
            Ok(ttl) => Self::renewed(id, ttl),
            Err(error) => Self::refused(Kind::Renew, &error),
        }
    }

    /// The lessor, or the host before it, has refused: 404 if there is no such lease, or the id is 0;
    /// for any other reason 400, or 500 where the time to live was asked for, with the error's text.
    ///
    /// ```
    /// use lease_core::{LeaseError, LeaseIdError};
    /// use lease_http::messages::{Kind, Reply};
    ///
    /// let demoted = LeaseError::NotPrimary;
    /// assert_eq!(Reply::refused(Kind::Renew, &demoted).status(), 400);
    /// assert_eq!(Reply::refused(Kind::TimeToLive, &demoted).status(), 500);
    /// assert_eq!(Reply::refused(Kind::Renew, &demoted).body(), b"not a primary lessor\n");
    /// let zero = LeaseError::from(LeaseIdError::Zero);
    /// assert_eq!(Reply::refused(Kind::Renew, &zero).body(), b"lease not found\n");
    /// ```
    #[must_use]
    pub fn refused(kind: Kind, error: &LeaseError) -> Self {
        let otherwise = match kind {
            Kind::Renew | Kind::RenewBatch => 400,
            Kind::TimeToLive => 500,
        };
        let error = as_etcd(error);
        let (outcome, status) = match error {
            LeaseError::LeaseNotFound => (Outcome::NotFound, 404),
            LeaseError::NotPrimary => (Outcome::NotPrimary, otherwise),
            _ => (Outcome::Failed, otherwise),
        };
        Self::refusal(outcome, status, &error.to_string())
    }

    /// How long a lease has left, in whole seconds rounded down, what it was granted and, if they
    /// are wanted, its keys: 404 if there is none, 500 if this member is no primary. O(keys).
    ///
    /// ```
    /// use lease_core::{Lease, LeaseId, Ttl};
    /// use lease_http::messages::{Keys, Reply};
    ///
    /// assert_eq!(Reply::time_to_live(None, Keys::Omit).status(), 404);
    /// let lease = Lease::new(LeaseId::try_from(7)?, Ttl::new(60)?); // that nobody counts down
    /// assert_eq!(Reply::time_to_live(Some(&lease), Keys::Omit).status(), 500);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn time_to_live(lease: Option<&Lease>, keys: Keys) -> Self {
        let Some(lease) = lease else {
            return Self::refused(Kind::TimeToLive, &LeaseError::LeaseNotFound);
        };
        let keys = match keys {
            Keys::Omit => &[],
            Keys::List => lease.keys(),
        };
        Self::times(lease.id(), &lease.time_to_live(), keys)
    }

    /// As [`time_to_live`](Self::time_to_live) without the keys, which then are not looked up. O(1).
    ///
    /// ```
    /// use lease_core::{Lease, LeaseId, Ttl};
    /// use lease_http::messages::{Keys, Reply};
    ///
    /// let lease = Lease::new(LeaseId::try_from(7)?, Ttl::new(60)?);
    /// let reply = Reply::time_left(lease.id(), Some(lease.time_to_live()));
    /// assert_eq!(reply, Reply::time_to_live(Some(&lease), Keys::Omit));
    /// assert_eq!(Reply::time_left(lease.id(), None).status(), 404);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn time_left(id: LeaseId, left: Option<TimeToLive>) -> Self {
        match left {
            Some(left) => Self::times(id, &left, &[]),
            None => Self::refused(Kind::TimeToLive, &LeaseError::LeaseNotFound),
        }
    }

    fn times(id: LeaseId, left: &TimeToLive, keys: &[LeaseItem]) -> Self {
        let Some(remaining) = left.remaining() else {
            return Self::refused(Kind::TimeToLive, &LeaseError::NotPrimary);
        };
        let answer = LeaseTimeToLiveResponse {
            header: Some(ResponseHeader::default()),
            id: id.get(),
            ttl: i64::try_from(remaining.as_secs()).unwrap_or(i64::MAX),
            granted_ttl: left.ttl().get(),
            keys: keys.iter().map(|key| key.as_bytes().to_vec()).collect(),
        };
        Self::answer(&LeaseInternalResponse {
            lease_time_to_live_response: Some(answer),
        })
    }

    /// What became of each renewal of a batch. One that would have to wait is refused, so that it
    /// does not keep the others. O(n).
    ///
    /// # Panics
    ///
    /// If there are not as many answers as ids.
    ///
    /// ```
    /// use lease_core::{LeaseError, LeaseId, Renewal, Ttl};
    /// use lease_http::ClientError;
    /// use lease_http::messages::{Call, RenewBatch, Reply};
    ///
    /// let ids = [LeaseId::try_from(1)?, LeaseId::try_from(2)?];
    /// let ttl = Ttl::new(60)?;
    /// let answers = [Ok(Renewal::Renewed(ttl)), Err(LeaseError::LeaseNotFound)];
    /// let reply = Reply::batch(&ids, &answers);
    ///
    /// let read = RenewBatch(&ids).read(reply.status(), reply.body())?;
    /// assert_eq!(read, [Ok(ttl), Err(ClientError::NotFound)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn batch(ids: &[LeaseId], answers: &[Result<Renewal, LeaseError>]) -> Self {
        assert_eq!(ids.len(), answers.len(), "each lease has an answer");
        let ttl = |answer: &_| match answer {
            Ok(Renewal::Renewed(ttl)) => ttl.get(),
            _ => 0,
        };
        Self::answer(&RenewBatchResponse {
            ids: ids.iter().map(|id| id.get()).collect(),
            ttls: answers.iter().map(ttl).collect(),
            refusals: (0..).zip(answers).filter_map(refusal).collect(),
        })
    }

    /// Whether this member has applied what is committed, so that its lessor may be asked: what its
    /// host's wait has come to, or nothing within [`Timeouts::applied`](super::Timeouts::applied).
    ///
    /// # Errors
    ///
    /// The reply that says why not: [`not_caught_up`](Self::not_caught_up) if the time is up,
    /// [`refused`](Self::refused) if the host has failed.
    ///
    /// ```
    /// use lease_core::LeaseError;
    /// use lease_http::messages::{Kind, Outcome, Reply};
    ///
    /// let outcome = |applied| Reply::check_applied(Kind::Renew, applied).map_err(|it| it.outcome());
    /// assert_eq!(outcome(Some(Ok(()))), Ok(()));
    /// assert_eq!(outcome(Some(Err(LeaseError::NotPrimary))), Err(Outcome::NotPrimary));
    /// assert_eq!(outcome(None), Err(Outcome::NotCaughtUp));
    /// ```
    pub fn check_applied(kind: Kind, applied: Option<Result<(), LeaseError>>) -> Result<(), Self> {
        match applied {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(Self::refused(kind, &error)),
            None => Err(Self::not_caught_up()),
        }
    }

    /// 408 with etcd's text: this member has not applied in time what is committed.
    #[must_use]
    pub fn not_caught_up() -> Self {
        let text = ClientError::NotCaughtUp.to_string();
        Self::refusal(Outcome::NotCaughtUp, 408, &text)
    }

    /// 400: the body did not come in time, or its connection broke.
    #[cfg(feature = "server")]
    pub(crate) fn unreadable() -> Self {
        Self::refusal(Outcome::Malformed, 400, "error reading body")
    }

    /// 413: the body is above [`MAX_REQUEST_LEN`](super::MAX_REQUEST_LEN).
    pub(crate) fn too_large() -> Self {
        Self::refusal(Outcome::TooLarge, 413, "request body too large")
    }

    /// 500: code of the host's has panicked.
    #[cfg(feature = "server")]
    pub(crate) fn broken() -> Self {
        Self::refusal(Outcome::Failed, 500, "the host has panicked")
    }

    /// 500: the items of a lease that has many could not be copied in time.
    #[cfg(feature = "server")]
    pub(crate) fn items_not_copied() -> Self {
        let text = "deadline exceeded while waiting for the lease's items";
        Self::refusal(Outcome::Failed, 500, text)
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::refusal(Outcome::MethodNotAllowed, 405, "Method Not Allowed")
    }

    pub(super) fn unknown_path(path: &[u8]) -> Self {
        let text = format!("{UNKNOWN_PATH} {}", quote(path));
        Self::refusal(Outcome::Malformed, 400, &text)
    }

    pub(super) fn malformed() -> Self {
        Self::refusal(Outcome::Malformed, 400, "error unmarshalling request")
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The content type: [`CONTENT_TYPE`] of a message, plain text of a refusal.
    #[must_use]
    pub const fn content_type(&self) -> &'static str {
        if self.is_refusal() {
            "text/plain; charset=utf-8"
        } else {
            CONTENT_TYPE
        }
    }

    /// Whether it is no answer but says why there is none. Its body is a line of text, and it has
    /// the header `X-Content-Type-Options: nosniff`.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        self.status != 200
    }

    /// How the request ended.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body, without a copy.
    #[must_use]
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }

    fn answer(message: &impl Message) -> Self {
        Self {
            status: 200,
            outcome: Outcome::Answered,
            body: message.encode_to_vec(),
        }
    }

    fn refusal(outcome: Outcome, status: u16, text: &str) -> Self {
        Self {
            status,
            outcome,
            body: format!("{text}\n").into_bytes(),
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.outcome.name())
    }
}

impl Error for Reply {}

/// How the text about an unknown path begins.
pub(super) const UNKNOWN_PATH: &str = "unknown request path";

/// Etcd knows id 0 as one that no lease has.
fn as_etcd(error: &LeaseError) -> &LeaseError {
    match error {
        LeaseError::InvalidLeaseId(LeaseIdError::Zero) => &LeaseError::LeaseNotFound,
        error => error,
    }
}

fn refusal((place, answer): (u32, &Result<Renewal, LeaseError>)) -> Option<Refusal> {
    let (reason, text) = match answer.as_ref().map_err(as_etcd) {
        Ok(Renewal::Renewed(_)) => return None,
        Ok(_) => (RefusalReason::MustWait, String::new()),
        Err(LeaseError::LeaseNotFound) => (RefusalReason::NotFound, String::new()),
        Err(LeaseError::NotPrimary) => (RefusalReason::NotPrimary, String::new()),
        Err(error) => (RefusalReason::Failed, error.to_string()),
    };
    Some(Refusal {
        place,
        reason: reason.into(),
        text,
    })
}
