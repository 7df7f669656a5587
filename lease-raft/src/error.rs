use std::error::Error;

use lease_core::LeaseError;

/// Why a call of a replicated lessor has not ended well.
///
/// ```
/// use lease_raft::ReplicaError;
///
/// /// Whether to ask again is safe for what must not happen twice.
/// fn may_ask_again(error: &ReplicaError) -> bool {
///     !matches!(error, ReplicaError::Unknown)
/// }
/// assert!(may_ask_again(&ReplicaError::DeadlineExceeded));
/// ```
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicaError {
    /// The lessor has refused.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The deadline came first. What was asked for has not happened, and will not; but a renewal, which may be
    /// repeated any number of times, may have happened.
    #[error("no leader has taken the request before its deadline")]
    DeadlineExceeded,
    /// The deadline came first, or the member was stopped, when what was asked for was under way: it may
    /// have happened, or still happen.
    #[error("the outcome is not known: the request was under way")]
    Unknown,
    /// As many proposals of this member as there may be are under way already.
    #[error("too many proposals of this member are under way")]
    Busy,
    /// The entry would be longer than [`max_entry_bytes`](crate::ReplicaOptions::max_entry_bytes). Nothing has
    /// happened.
    #[error("the request is {bytes} bytes long, and no more than {limit} are taken")]
    TooLong {
        /// How long it would be.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// The answer of another member would be longer than a message may be. What was asked for is at this member too:
    /// [`lookup`](crate::ReplicatedLessor::lookup) has the items of a lease without a message.
    #[error(
        "the answer of the primary would be longer than {limit} bytes: look the lease up at this member"
    )]
    AnswerTooLong {
        /// How long it may be.
        limit: usize,
    },
    /// The member was stopped.
    #[error("the member was stopped")]
    Stopped,
}

/// What an error says, and what its causes say. Some say it themselves already.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}
