use std::future::Future;

use http_body::Body;
use lease_core::LeaseError;

use super::Handler;
#[cfg(feature = "metrics")]
use super::metrics::{Counting, RunningTimer};
use crate::messages::{Kind, Outcome, Reply};

/// What a request waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wait {
    /// That this member has applied what is committed.
    Applied,
    /// The lease.
    Lease,
}

/// Tells the host's metrics and traces of one request, whether it ends or its caller goes away.
pub(super) struct Watch {
    #[cfg(feature = "metrics")]
    counting: Option<Counting>,
    #[cfg(feature = "tracing")]
    span: tracing::Span,
}

/// Answers a request under the eyes of whoever watches.
pub(super) async fn watched<W, F, B>(handler: &Handler<W>, request: http::Request<B>) -> Reply
where
    W: Fn() -> F,
    F: Future<Output = Result<(), LeaseError>>,
    B: Body,
{
    let mut watch = Watch::begin(handler);
    #[cfg(feature = "tracing")]
    {
        use tracing::Instrument as _;

        let span = watch.span.clone();
        handler.answer(request, &mut watch).instrument(span).await
    }
    #[cfg(not(feature = "tracing"))]
    handler.answer(request, &mut watch).await
}

impl Watch {
    #[cfg_attr(
        not(feature = "metrics"),
        expect(unused_variables, reason = "nobody counts")
    )]
    fn begin<W>(handler: &Handler<W>) -> Self {
        Self {
            #[cfg(feature = "metrics")]
            counting: handler.metrics.clone().map(Counting::begin),
            #[cfg(feature = "tracing")]
            span: tracing::debug_span!(
                target: "lease_http",
                "request",
                kind = tracing::field::Empty,
                outcome = tracing::field::Empty,
            ),
        }
    }

    /// The request was read, and is one of these.
    #[cfg_attr(
        not(any(feature = "metrics", feature = "tracing")),
        expect(unused_variables, reason = "nobody watches")
    )]
    pub(super) fn set_kind(&mut self, kind: Kind) {
        #[cfg(feature = "metrics")]
        if let Some(counting) = &mut self.counting {
            counting.set_kind(kind);
        }
        #[cfg(feature = "tracing")]
        self.span.record("kind", kind.name());
    }

    /// There is an answer.
    #[cfg_attr(
        not(any(feature = "metrics", feature = "tracing")),
        expect(unused_variables, reason = "nobody watches")
    )]
    pub(super) fn end(&mut self, outcome: Outcome) {
        #[cfg(feature = "metrics")]
        if let Some(counting) = &mut self.counting {
            counting.set_outcome(outcome);
        }
        #[cfg(feature = "tracing")]
        self.span.record("outcome", outcome.name());
    }

    /// Takes the time until it is dropped.
    #[cfg_attr(
        not(feature = "metrics"),
        expect(unused_variables, reason = "nobody counts")
    )]
    pub(super) fn timer(&self, wait: Wait) -> Timer {
        Timer {
            #[cfg(feature = "metrics")]
            _running: self.counting.as_ref().map(|counting| counting.timer(wait)),
        }
    }
}

/// Takes the time of a wait.
pub(super) struct Timer {
    #[cfg(feature = "metrics")]
    _running: Option<RunningTimer>,
}
