use std::time::Duration;

use futures::future::BoxFuture;

use crate::Runtime;

/// The [`Runtime`] of a program that runs on tokio.
///
/// It uses the tokio runtime that polls it, and panics outside of any.
///
/// ```
/// use lease_raft::{Runtime, TokioRuntime};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// TokioRuntime.sleep(std::time::Duration::from_millis(1)).await;
/// TokioRuntime.block(Box::new(|| ())).await;
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TokioRuntime;

impl Runtime for TokioRuntime {
    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(span))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    fn block(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let working = tokio::task::spawn_blocking(work);
        // Whoever waits for what the work brings sees that it has panicked.
        Box::pin(async move { drop(working.await) })
    }
}
