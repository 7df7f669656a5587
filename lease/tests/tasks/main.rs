//! The handle for tasks on tokio's single thread, which must never be blocked.
#![expect(
    clippy::disallowed_methods,
    reason = "the tests wait in real time for what must not block"
)]

mod blocking;
mod commands;
mod events;
mod held_up;
mod many;
mod shutdown;
mod support;

use std::future::Future;
use std::time::Duration;

/// Runs a test on one thread. If that is blocked, or what it waits for never comes, it fails after a time
/// that nothing takes.
fn on_one_thread(test: impl Future<Output = ()> + Send + 'static) {
    let (tell, told) = std::sync::mpsc::channel();
    let runner = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime is made");
        runtime.block_on(test);
        let _ = tell.send(());
    });
    match told.recv_timeout(LONG) {
        Ok(()) => {}
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("the thread is blocked"),
        Err(_) => std::panic::resume_unwind(runner.join().expect_err("it has panicked")),
    }
}

const LONG: Duration = Duration::from_secs(60);
