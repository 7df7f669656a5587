use std::future::Future;

use tracing::field::display;
use tracing::{Instrument, Span};

use crate::ReplicaError;

/// Lets a call go on within its span, whose field `outcome` says in the end what has come of it.
pub(super) async fn traced<T>(
    span: Span,
    call: impl Future<Output = Result<T, ReplicaError>>,
) -> Result<T, ReplicaError> {
    let answer = call.instrument(span.clone()).await;
    match &answer {
        Ok(_) => span.record("outcome", "answered"),
        Err(error) => span.record("outcome", display(error)),
    };
    answer
}

/// The span of a call: what it is, at which member, and which lease it is about.
macro_rules! call_span {
    ($what:expr, $member:expr, $lease:expr) => {
        tracing::debug_span!(
            "call",
            what = $what,
            member = $member,
            lease = $lease.map(tracing::field::display),
            outcome = tracing::field::Empty,
        )
    };
}
pub(super) use call_span;
