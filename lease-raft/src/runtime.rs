use std::time::Duration;

use futures::future::BoxFuture;

/// What a [`Replica`](crate::Replica) needs of the host's executor. Tokio is one; the simulation brings
/// its own, in which time is virtual.
pub trait Runtime: Send + Sync + 'static {
    /// Ends when the time has passed.
    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()>;

    /// Runs a task until it ends, also when nobody waits for it.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Runs what may wait for a disk, where it keeps no task waiting.
    fn block(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()>;
}
