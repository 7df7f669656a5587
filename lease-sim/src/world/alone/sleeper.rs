use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Whoever polls a future, each time as another task.
#[derive(Default)]
pub(super) struct Sleeper {
    last: Option<Arc<Rung>>,
}

#[derive(Default)]
struct Rung(AtomicBool);

impl Wake for Rung {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Sleeper {
    /// Polls the future. Returns also whether it has come to its end, and the task that had polled it last was not
    /// woken: that would have slept on.
    pub(super) fn poll<F: Future + ?Sized>(
        &mut self,
        future: Pin<&mut F>,
    ) -> (Poll<F::Output>, bool) {
        let rung = Arc::new(Rung::default());
        let waker = Waker::from(Arc::clone(&rung));
        let polled = future.poll(&mut Context::from_waker(&waker));
        let last = self.last.replace(rung);
        let is_woken = last.is_none_or(|last| last.0.load(Ordering::Relaxed));
        let overslept = polled.is_ready() && !is_woken;
        (polled, overslept)
    }
}
