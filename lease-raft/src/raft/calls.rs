//! Calls of openraft that may be given up.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::StreamExt;
use futures::channel::mpsc;
use futures::future::BoxFuture;
use openraft::async_runtime::WatchReceiver;

use super::config::Raft;
use crate::Runtime;

/// Calls openraft so that whoever waits may give up at any moment.
///
/// When openraft stops, the first call that notices waits for its end for all others. If that one were dropped,
/// nobody would be told of the end, and every later call would panic: it is brought to its end here.
#[derive(Clone)]
pub(crate) struct Calls {
    raft: Raft,
    given_up: mpsc::UnboundedSender<BoxFuture<'static, ()>>,
}

impl Calls {
    pub(crate) fn new(raft: Raft, runtime: &Arc<dyn Runtime>) -> Self {
        let (given_up, mut calls) = mpsc::unbounded();
        let ending = Arc::clone(runtime);
        runtime.spawn(Box::pin(async move {
            while let Some(call) = calls.next().await {
                ending.spawn(call);
            }
        }));
        Self { raft, given_up }
    }

    /// A call that is given up when it is dropped, unless openraft stops.
    pub(crate) fn call<F>(&self, call: impl FnOnce(Raft) -> F) -> Call<F>
    where
        F: Future + Send + 'static,
    {
        Call {
            call: Some(Box::pin(call(self.raft.clone()))),
            calls: self.clone(),
            is_kept: false,
            has_begun: false,
        }
    }

    /// A call that is brought to its end once it has begun, also if nobody waits for it: one that stops openraft, or
    /// that openraft warns of when it is given up.
    pub(crate) fn keep<F>(&self, call: impl FnOnce(Raft) -> F) -> Call<F>
    where
        F: Future + Send + 'static,
    {
        let mut call = self.call(call);
        call.is_kept = true;
        call
    }
}

pub(crate) struct Call<F: Future + Send + 'static> {
    /// `None` when it has ended.
    call: Option<Pin<Box<F>>>,
    calls: Calls,
    is_kept: bool,
    /// Else nothing has happened, and nothing will.
    has_begun: bool,
}

impl<F: Future + Send + 'static> Future for Call<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.has_begun = true;
        let Some(call) = &mut self.call else {
            return Poll::Pending;
        };
        let answered = call.as_mut().poll(context);
        if answered.is_ready() {
            self.call = None;
        }
        answered
    }
}

impl<F: Future + Send + 'static> Drop for Call<F> {
    fn drop(&mut self) {
        let Some(call) = self.call.take().filter(|_| self.has_begun) else {
            return;
        };
        // It says so before anybody can notice.
        let metrics = self.calls.raft.metrics();
        let is_kept = self.is_kept || metrics.borrow_watched().running_state.is_err();
        if is_kept {
            let ends = Box::pin(async move { drop(call.await) });
            // Without an engine there is nobody who could call it again.
            let _ = self.calls.given_up.unbounded_send(ends);
        }
    }
}
