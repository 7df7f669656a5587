use std::io;

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
    let work = Box::new(move || drop(sender.send(work())));
    runtime.block(work).await;
    receiver
        .await
        .map_err(|_| io::Error::other("the work has panicked, or was not run"))
}
