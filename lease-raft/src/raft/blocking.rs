use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures::channel::oneshot;

use crate::Runtime;

/// Runs what may wait for a disk, and brings back what it returns.
///
/// # Errors
///
/// If the work has panicked, or the runtime has ended before it.
pub(crate) async fn blocking<T: Send + 'static>(
    runtime: &dyn Runtime,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (sender, receiver) = oneshot::channel();
    // Nothing that has panicked goes on: whoever waits ends with it.
    let work = AssertUnwindSafe(work);
    let work = Box::new(move || drop(sender.send(catch_unwind(work))));
    runtime.block(work).await;
    let done = receiver.await;
    let done = done.map_err(|_| io::Error::other("the work was not run"))?;
    done.map_err(|panic| io::Error::other(format!("the work has panicked: {}", said(&*panic))))
}

/// What a panic has said.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it does not say why")
}
