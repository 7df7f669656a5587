use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Hears what wakes a connection.
///
/// hyper's parts wake each other while the connection that they are parts of is polled. A task that is
/// woken so is put behind all others when it was polled, and an idle thread is woken to take it over.
/// Polled through a bell it just goes on.
#[derive(Default)]
pub(crate) struct Bell {
    heard: Mutex<Heard>,
}

#[derive(Default)]
enum Heard {
    #[default]
    Nothing,
    Something,
    /// Nothing, and when there is something this is woken.
    Sleeping(Waker),
}

impl Bell {
    /// Polls with the bell's own waker, and again if that was woken meanwhile; `waker` is made of this
    /// bell.
    pub(crate) fn poll<R>(
        &self,
        waker: &Waker,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        let mut own = Context::from_waker(waker);
        for _ in 0..ROUNDS {
            self.swap(Heard::Nothing);
            if let Poll::Ready(result) = poll(&mut own) {
                return Poll::Ready(result);
            }
            if self.is_quiet(cx.waker()) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether nothing was heard; then this is woken later.
    fn is_quiet(&self, waker: &Waker) -> bool {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let is_quiet = matches!(*heard, Heard::Nothing);
        if is_quiet {
            *heard = Heard::Sleeping(waker.clone());
        }
        is_quiet
    }

    fn swap(&self, heard: Heard) -> Heard {
        let mut before = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        mem::replace(&mut *before, heard)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Heard::Sleeping(waker) = self.swap(Heard::Something) {
            waker.wake();
        }
    }
}

/// After so many the task lets others in: tokio wakes whoever has used up its share of the time, again
/// and again until it does.
const ROUNDS: usize = 4;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Polls what wakes itself so often before it is pending. Returns how often it was polled, and the
    /// task woken.
    fn polls_and_wakes(self_wakes: usize) -> (usize, usize) {
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        let wakes = Arc::new(Wakes::default());
        let task = Waker::from(Arc::clone(&wakes));
        let mut polls = 0;
        let poll = bell.poll(&waker, &mut Context::from_waker(&task), |own| {
            polls += 1;
            if polls <= self_wakes {
                own.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        });
        assert!(poll.is_pending());
        (polls, wakes.0.load(Ordering::Relaxed))
    }

    #[test]
    fn what_wakes_itself_goes_on_and_does_not_go_on_for_ever() {
        assert_eq!(polls_and_wakes(0), (1, 0));
        assert_eq!(polls_and_wakes(2), (3, 0));
        assert_eq!(polls_and_wakes(usize::MAX), (ROUNDS, 1));
    }

    #[test]
    fn whoever_waits_is_woken_once() {
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        let wakes = Arc::new(Wakes::default());
        let task = Waker::from(Arc::clone(&wakes));
        let pending = |_: &mut Context<'_>| Poll::<()>::Pending;
        for round in 1..=3 {
            let mut cx = Context::from_waker(&task);
            assert!(bell.poll(&waker, &mut cx, pending).is_pending());
            assert_eq!(wakes.0.load(Ordering::Relaxed), round - 1);
            waker.wake_by_ref();
            waker.wake_by_ref();
            assert_eq!(wakes.0.load(Ordering::Relaxed), round);
        }
    }
}
