use std::time::Duration;

use futures::future::BoxFuture;

use crate::Runtime;

/// The [`Runtime`] of a simulation on madsim: time is virtual, and what waits for a disk runs in place.
///
/// What it spawns is of the node that spawns it, and is dropped when that is killed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MadsimRuntime;

impl Runtime for MadsimRuntime {
    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        Box::pin(madsim::time::sleep(span))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        madsim::task::spawn(task);
    }

    fn block(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        Box::pin(async move { work() })
    }
}
