//! A store that hangs when it is told to, and a future that is watched while it is polled.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use lease::{
    AsyncLessor, Backend, BackendError, BackendLessor, BackendLessorBuilder, Epoch, ExpiryMode,
    HostError, ItemMode, LeaseRow, Lessor, MemoryBackend, Table, WriteBatch,
};
use tokio::sync::Notify;

/// A store in memory whose commits can be held up or refused.
#[derive(Default)]
pub(crate) struct Store {
    inner: MemoryBackend,
    gate: Gate,
    pub(crate) commits: AtomicUsize,
    /// Whether each commit takes its time.
    pub(crate) is_slow: AtomicBool,
}

/// A place that threads are held up at while it is closed.
#[derive(Default)]
pub(crate) struct Gate {
    mode: Mutex<Mode>,
    changed: Condvar,
    arrived: Notify,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mode {
    #[default]
    Open,
    Closed,
    Refuses,
}

impl Gate {
    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
        self.changed.notify_all();
    }

    /// Waits until a thread is held up.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    pub(crate) fn pass(&self) -> Result<(), HostError> {
        let mode = self.mode.lock().unwrap_or_else(PoisonError::into_inner);
        if *mode == Mode::Closed {
            self.arrived.notify_one();
        }
        let is_closed = |mode: &mut Mode| *mode == Mode::Closed;
        let mode = self.changed.wait_while(mode, is_closed);
        match *mode.unwrap_or_else(PoisonError::into_inner) {
            Mode::Refuses => Err(HostError::new("the disk is full")),
            _ => Ok(()),
        }
    }
}

impl Store {
    pub(crate) fn set(&self, mode: Mode) {
        self.gate.set(mode);
    }

    /// Waits until a commit hangs.
    pub(crate) async fn hangs(&self) {
        self.gate.arrived().await;
    }
}

impl Backend for Store {
    fn commit(&self, batch: &WriteBatch) -> Result<(), BackendError> {
        self.gate.pass().map_err(BackendError::Io)?;
        if self.is_slow.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.inner.commit(batch)
    }

    fn load(&self, visit: &mut dyn FnMut(LeaseRow)) -> Result<Epoch, BackendError> {
        self.inner.load(visit)
    }

    fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        self.inner.get(table, key)
    }

    fn scan(&self, table: &Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), BackendError> {
        self.inner.scan(table, visit)
    }
}

/// A primary whose items are stored, over a store that can be made to hang.
pub(crate) fn lessor_with(
    build: impl FnOnce(BackendLessorBuilder) -> BackendLessorBuilder,
) -> (AsyncLessor, Arc<Store>) {
    let store = Arc::new(Store::default());
    let builder = BackendLessor::builder(store.clone())
        .expiry(ExpiryMode::AutoRevoke)
        .items(ItemMode::Stored);
    let lessor = build(builder).build().expect("an empty store is read");
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    (AsyncLessor::new(lessor).expect("there is room"), store)
}

pub(crate) fn lessor() -> (AsyncLessor, Arc<Store>) {
    lessor_with(|builder| builder)
}

/// Polls a future, and fails if one poll takes long: what blocks blocks for ever here, and fails by the
/// test's own deadline.
pub(crate) async fn watched<F: Future>(future: F) -> F::Output {
    Watched(Box::pin(future)).await
}

struct Watched<F>(Pin<Box<F>>);

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let before = Instant::now();
        let polled = self.0.as_mut().poll(cx);
        let took = before.elapsed();
        assert!(took < LONGEST_POLL, "a poll took {took:?}");
        polled
    }
}

/// It takes microseconds; a machine that is busy may take the processor away for longer.
const LONGEST_POLL: Duration = Duration::from_millis(250);

/// Polls a future once.
pub(crate) async fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// How many threads this process has.
#[cfg(target_os = "linux")]
pub(crate) fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task");
    tasks.expect("there is /proc").count()
}
