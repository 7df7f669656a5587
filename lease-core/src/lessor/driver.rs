use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};

use super::state::Oversleepers;
use super::{Driver, Durability, Shared};
use crate::{ExpiredBatch, Timestamp};

/// Wakes the threads of a lessor before they would wake by themselves.
#[derive(Default)]
pub(crate) struct Wakers {
    driver: Waker,
    writer: Waker,
    checkpointer: Waker,
}

struct Waker(Sender<()>, Receiver<()>);

impl Waker {
    fn wake(&self) {
        // A full channel means that it is about to wake.
        let _ = self.0.try_send(());
    }
}

impl Default for Waker {
    fn default() -> Self {
        let (sender, receiver) = bounded(1);
        Self(sender, receiver)
    }
}

impl Wakers {
    /// Wakes those that have something to do before they would wake by themselves.
    pub(super) fn wake(&self, writer: bool, oversleepers: Oversleepers) {
        if writer {
            self.writer.wake();
        }
        if oversleepers.driver {
            self.driver.wake();
        }
        if oversleepers.checkpointer {
            self.checkpointer.wake();
        }
    }

    pub(super) fn wake_writer(&self) {
        self.writer.wake();
    }

    pub(super) fn wake_checkpointer(&self) {
        self.checkpointer.wake();
    }

    pub(super) fn wake_all(&self) {
        self.driver.wake();
        self.wake_writer();
        self.wake_checkpointer();
    }
}

/// The threads of a lessor: one that waits for expiries, one that proposes checkpoints, and, if
/// writes are batched, one that commits them. Each sleeps until it has something to do.
pub(super) struct Threads {
    running: Mutex<Vec<Running>>,
}

struct Running {
    handle: JoinHandle<()>,
    // Disconnects when the thread ends.
    end: Receiver<()>,
}

impl Threads {
    pub(super) fn start(shared: &Arc<Shared>) -> Self {
        let mut running = Vec::new();
        if shared.options.driver == Driver::Threads {
            running.push(Running::spawn("lease-driver", shared, run_driver));
            running.push(Running::spawn("lease-checkpoints", shared, run_checkpoints));
            if let Durability::Batched { .. } = shared.options.durability {
                running.push(Running::spawn("lease-writer", shared, run_writer));
            }
        }
        Self {
            running: Mutex::new(running),
        }
    }

    /// Waits for the threads, which have been told to stop, and leaves alone those that take
    /// longer than `timeout`, as well as the one that asks.
    pub(super) fn join(&self, timeout: Duration) {
        let running = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *running)
        };
        for thread in running {
            thread.join(thread::current().id(), timeout);
        }
    }
}

impl Running {
    #[expect(
        clippy::disallowed_methods,
        reason = "these are the lessor's own threads"
    )]
    fn spawn(name: &str, shared: &Arc<Shared>, run: fn(&Shared)) -> Self {
        let (alive, end) = bounded(0);
        let shared = Arc::clone(shared);
        let handle = thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                let _alive: Sender<()> = alive;
                run(&shared);
            })
            .expect("the system has room for a thread");
        Self { handle, end }
    }

    #[expect(clippy::disallowed_methods, reason = "stopping waits in real time")]
    fn join(self, asker: ThreadId, timeout: Duration) {
        if self.handle.thread().id() == asker {
            return;
        }
        if self.end.recv_timeout(timeout) == Err(RecvTimeoutError::Disconnected) {
            // The thread has ended; whatever it panicked with was reported by then.
            let _ = self.handle.join();
        }
    }
}

fn run_driver(shared: &Shared) {
    while !shared.is_stopped() {
        let next = shared.drive_expiry();
        let waiting = shared.state.with(|state| state.outbox.waiting.take());
        match waiting {
            None => shared.sleep(&shared.wakers.driver, next),
            Some(batch) => shared.offer(batch),
        }
    }
}

fn run_writer(shared: &Shared) {
    while !shared.is_stopped() {
        let next = shared.drive_flush();
        shared.sleep(&shared.wakers.writer, next);
    }
}

fn run_checkpoints(shared: &Shared) {
    while !shared.is_stopped() {
        let next = shared.drive_checkpoints();
        shared.sleep(&shared.wakers.checkpointer, next);
    }
}

impl Shared {
    pub(super) fn is_stopped(&self) -> bool {
        self.state.read(|state| state.is_stopped)
    }

    #[expect(clippy::disallowed_methods, reason = "the driver sleeps in real time")]
    fn sleep(&self, waker: &Waker, until: Option<Timestamp>) {
        match until {
            // The sender is held by `self`, and an early end of the sleep does no harm.
            None => {
                let _ = waker.1.recv();
            }
            Some(until) => {
                let span = until.saturating_duration_since(self.clock.precise_now());
                let _ = waker.1.recv_timeout(span.min(LONGEST_SLEEP));
            }
        }
    }

    /// Waits until the host takes a batch and so makes room for this one, or until something else
    /// is to be done.
    fn offer(&self, batch: ExpiredBatch) {
        let name = (batch.epoch, batch.number);
        select! {
            send(self.expired.0, batch.clone()) -> sent => {
                if sent.is_ok() {
                    self.state.with(|state| state.outbox.sent.push_back(name));
                    self.observe(|observer| observer.expired(&batch));
                }
            }
            recv(self.wakers.driver.1) -> _ => {
                self.state.with(|state| state.outbox.waiting = Some(batch));
            }
        }
    }
}

/// A timer further away is set again when this has passed.
const LONGEST_SLEEP: Duration = Duration::from_secs(24 * 60 * 60);
