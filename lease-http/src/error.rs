use lease_core::HostError;
use lease_pb::DecodeError;

use crate::messages::{Kind, MAX_RESPONSE_LEN};

/// Why a question to another member got no good answer.
///
/// Where etcd's client has the same error, the text is etcd's.
///
/// ```
/// use lease_http::ClientError;
///
/// assert_eq!(ClientError::NotFound.to_string(), "lease not found");
/// assert!(!ClientError::NotFound.asks_another(), "the lease is gone");
/// assert!(ClientError::Demoted.asks_another(), "the primary may know");
/// ```
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The primary knows no such lease.
    #[error("lease not found")]
    NotFound,
    /// The member is no primary, or not any more. Etcd's client does not tell this one from others.
    #[error("not a primary lessor")]
    Demoted,
    /// The member has not applied in time what is committed: etcd's `ErrLeaseHTTPTimeout`.
    #[error("waiting for node to catch up its applied index has timed out")]
    NotCaughtUp,
    /// The member could not be reached, went away before it had answered as a whole, or took too
    /// long. Whether it has done what was asked is not known.
    #[error("the member cannot be reached")]
    Unreachable(#[source] HostError),
    /// The address of the member is none.
    #[error("not an address of a member")]
    BadUrl(#[source] HostError),
    /// The member refused, with any other status or text. Of the text at most 1,024 bytes are kept.
    #[error("lease: unknown error({text})")]
    Refused {
        /// The HTTP status, 200 inside a batch.
        status: u16,
        /// What it said.
        text: String,
    },
    /// The answer is for another lease.
    #[error("lease: {0} id mismatch")]
    IdMismatch(Kind),
    /// The answer does not decode.
    #[error("lease: {0}")]
    Malformed(DecodeError),
    /// The answer lacks its inner message, which makes etcd's client panic.
    #[error("lease: the answer is empty")]
    Empty,
    /// The answer has a TTL, in seconds, that no lease can have.
    #[error("lease: a TTL of {0} s is out of range")]
    TtlOutOfRange(i64),
    /// The parts of a batch's answer do not fit together.
    #[error("lease: the answer contradicts itself")]
    Contradiction,
    /// The answer is above [`MAX_RESPONSE_LEN`].
    #[error("lease: response body exceeds {MAX_RESPONSE_LEN} bytes limit")]
    TooLarge,
    /// The renewal would have to wait, which a batch does not: ask for this lease alone.
    #[error("the renewal has to wait: ask for this lease alone")]
    MustWait,
    /// The member does not know renewals in batches: ask one by one.
    #[error("the member knows no batches")]
    NoBatches,
}

impl ClientError {
    /// Whether the question is worth asking another member, or this one again after a while. If not,
    /// the answer would be the same, or the question itself is to be put otherwise.
    #[must_use]
    pub const fn asks_another(&self) -> bool {
        !matches!(
            self,
            Self::NotFound | Self::BadUrl(_) | Self::MustWait | Self::NoBatches
        )
    }

    pub(crate) fn refused(status: u16, body: &[u8]) -> Self {
        let text = &body[..body.len().min(MAX_TEXT_LEN)];
        Self::Refused {
            status,
            text: String::from_utf8_lossy(text).into_owned(),
        }
    }
}

const MAX_TEXT_LEN: usize = 1024;
