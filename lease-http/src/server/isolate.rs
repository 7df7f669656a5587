use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// The host's code has panicked.
#[derive(Debug)]
pub(super) struct Panicked;

/// Runs a future of the host's, and makes a panic an error.
pub(super) async fn isolate<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    poll_fn(
        move |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => {
                // To drop it would run code of the host's again, which may panic again.
                std::mem::forget(panic);
                Poll::Ready(Err(Panicked))
            }
        },
    )
    .await
}
