use lease_core::{LeaseError, LeaseId};
use lease_pb::etcdserverpb::LeaseKeepAliveRequest;
use lease_pb::leasehttppb::RenewBatchRequest;
use lease_pb::leasepb::LeaseInternalRequest;
use lease_pb::{DecodeError, Message};

use super::path::unescape;
use super::{
    Keys, Kind, LEASE_BATCH_PREFIX, LEASE_INTERNAL_PREFIX, LEASE_PREFIX, MAX_REQUEST_LEN, Reply,
};

/// What a member asks the primary.
///
/// An id of `None` is etcd's 0, which no lease has.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Request {
    /// Renew a lease.
    Renew(Option<LeaseId>),
    /// Tell how long a lease has left.
    TimeToLive {
        /// The lease.
        id: Option<LeaseId>,
        /// Whether its keys are wanted too.
        keys: Keys,
    },
    /// Renew many leases.
    RenewBatch(Vec<LeaseId>),
}

/// Whether a request has a method that is served: `POST` alone. It is looked at first.
///
/// # Errors
///
/// The reply that says so, 405.
///
/// ```
/// use lease_http::messages::check_method;
///
/// assert!(check_method("POST").is_ok());
/// assert_eq!(check_method("GET").expect_err("no POST").status(), 405);
/// ```
pub fn check_method(method: &str) -> Result<(), Reply> {
    if method == "POST" {
        Ok(())
    } else {
        Err(Reply::method_not_allowed())
    }
}

/// Which lease a request is about. It is looked at when the member has caught up.
///
/// # Errors
///
/// The reply that there is none, 404: no lease has etcd's id 0.
///
/// ```
/// use lease_core::LeaseId;
/// use lease_http::messages::{Kind, check_lease};
///
/// let id = LeaseId::new(7);
/// assert_eq!(check_lease(Kind::Renew, id).ok(), id);
/// let reply = check_lease(Kind::Renew, None).expect_err("no such lease");
/// assert_eq!(reply.status(), 404);
/// ```
pub fn check_lease(kind: Kind, id: Option<LeaseId>) -> Result<LeaseId, Reply> {
    id.ok_or_else(|| Reply::refused(kind, &LeaseError::LeaseNotFound))
}

impl Request {
    /// Reads what was posted to `path`, which may have escapes such as `%6c` but no query. O(n).
    ///
    /// # Errors
    ///
    /// The reply that says why not, as etcd's handler words it: 413 for a body above
    /// [`MAX_REQUEST_LEN`], then 400 for an unknown path, then 400 for a body that does not decode.
    /// Also 400, where etcd panics, is a question for the time to live without its inner message.
    ///
    /// ```
    /// use lease_http::messages::{LEASE_PREFIX, Request};
    ///
    /// assert_eq!(Request::decode(LEASE_PREFIX, &[])?, Request::Renew(None));
    /// let reply = Request::decode("/foo", &[]).expect_err("no such path");
    /// assert_eq!(reply.body(), b"unknown request path \"/foo\"\n");
    /// # Ok::<(), lease_http::messages::Reply>(())
    /// ```
    pub fn decode(path: &str, body: &[u8]) -> Result<Self, Reply> {
        if body.len() > MAX_REQUEST_LEN {
            return Err(Reply::too_large());
        }
        let path = unescape(path);
        let request = match &path[..] {
            path if path == LEASE_PREFIX.as_bytes() => decode_renewal(body),
            path if path == LEASE_INTERNAL_PREFIX.as_bytes() => decode_time_to_live(body),
            path if path == LEASE_BATCH_PREFIX.as_bytes() => decode_batch(body),
            _ => return Err(Reply::unknown_path(&path)),
        };
        request.map_err(|Malformed| Reply::malformed())
    }

    /// Which kind of question it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Renew(_) => Kind::Renew,
            Self::TimeToLive { .. } => Kind::TimeToLive,
            Self::RenewBatch(_) => Kind::RenewBatch,
        }
    }
}

struct Malformed;

impl From<DecodeError> for Malformed {
    fn from(_: DecodeError) -> Self {
        Self
    }
}

fn decode_renewal(body: &[u8]) -> Result<Request, Malformed> {
    let request = LeaseKeepAliveRequest::decode(body)?;
    Ok(Request::Renew(LeaseId::new(request.id)))
}

fn decode_time_to_live(body: &[u8]) -> Result<Request, Malformed> {
    let request = LeaseInternalRequest::decode(body)?;
    let inner = request.lease_time_to_live_request.ok_or(Malformed)?;
    Ok(Request::TimeToLive {
        id: LeaseId::new(inner.id),
        keys: if inner.keys { Keys::List } else { Keys::Omit },
    })
}

fn decode_batch(body: &[u8]) -> Result<Request, Malformed> {
    let request = RenewBatchRequest::decode(body)?;
    let ids: Option<_> = request.ids.into_iter().map(LeaseId::new).collect();
    ids.map(Request::RenewBatch).ok_or(Malformed)
}
