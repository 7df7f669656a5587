use std::future::poll_fn;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::task::{Context, Poll, Waker};

use openraft::async_runtime::watch::{RecvError, SendError, Watch, WatchReceiver, WatchSender};

/// A value that others follow, as tokio's, but that it wakes them in the order in which they came to be.
pub(crate) struct OrderedWatch;

pub(crate) struct Sender<T>(Arc<Shared<T>>);

pub(crate) struct Receiver<T> {
    shared: Arc<Shared<T>>,
    id: u64,
    /// The version that was seen last.
    seen: u64,
}

pub(crate) struct Ref<'a, T>(RwLockReadGuard<'a, T>);

struct Shared<T> {
    /// Whoever looks at it may look again meanwhile.
    value: RwLock<T>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    version: u64,
    senders: usize,
    receivers: usize,
    next_id: u64,
    /// Who waits, in the order in which they came to be: a few, again and again.
    wakers: Vec<(u64, Waker)>,
}

impl Watch for OrderedWatch {
    type Sender<T: Send + Sync> = Sender<T>;
    type Receiver<T: Send + Sync> = Receiver<T>;
    type Ref<'a, T: Send + 'a> = Ref<'a, T>;

    fn channel<T: Send + Sync>(init: T) -> (Sender<T>, Receiver<T>) {
        let shared = Arc::new(Shared {
            value: RwLock::new(init),
            state: Mutex::default(),
        });
        let receiver = Receiver::new(&shared, 0);
        shared.state().senders = 1;
        (Sender(shared), receiver)
    }
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn borrow(&self) -> Ref<'_, T> {
        Ref(self.value.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Wakes without the lock, because a waker may poll at once.
    fn wake(&self, change: impl FnOnce(&mut State)) {
        let wakers = {
            let mut state = self.state();
            change(&mut state);
            std::mem::take(&mut state.wakers)
        };
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

impl<T: Send + Sync> WatchSender<OrderedWatch, T> for Sender<T> {
    fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.0.state().receivers == 0 {
            return Err(SendError(value));
        }
        self.send_if_modified(|current| {
            *current = value;
            true
        });
        Ok(())
    }

    fn send_if_modified<F: FnOnce(&mut T) -> bool>(&self, modify: F) -> bool {
        let is_modified = {
            let mut value = self.0.value.write().unwrap_or_else(PoisonError::into_inner);
            modify(&mut value)
        };
        if is_modified {
            self.0.wake(|state| state.version += 1);
        }
        is_modified
    }

    fn borrow_watched(&self) -> Ref<'_, T> {
        self.0.borrow()
    }

    fn subscribe(&self) -> Receiver<T> {
        let version = self.0.state().version;
        Receiver::new(&self.0, version)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.state().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.wake(|state| state.senders -= 1);
    }
}

impl State {
    fn await_change(&mut self, id: u64, waker: &Waker) {
        match self.place_of(id) {
            Ok(at) => self.wakers[at].1.clone_from(waker),
            Err(at) => self.wakers.insert(at, (id, waker.clone())),
        }
    }

    fn forget(&mut self, id: u64) {
        if let Ok(at) = self.place_of(id) {
            self.wakers.remove(at);
        }
    }

    fn place_of(&self, id: u64) -> Result<usize, usize> {
        self.wakers.binary_search_by_key(&id, |(id, _)| *id)
    }
}

impl<T> Receiver<T> {
    fn new(shared: &Arc<Shared<T>>, seen: u64) -> Self {
        let mut state = shared.state();
        state.receivers += 1;
        state.next_id += 1;
        Self {
            shared: Arc::clone(shared),
            id: state.next_id,
            seen,
        }
    }

    fn poll_changed(&mut self, context: &mut Context<'_>) -> Poll<Result<(), RecvError>> {
        let mut state = self.shared.state();
        if state.version > self.seen {
            self.seen = state.version;
            return Poll::Ready(Ok(()));
        }
        if state.senders == 0 {
            return Poll::Ready(Err(RecvError(())));
        }
        state.await_change(self.id, context.waker());
        Poll::Pending
    }
}

impl<T: Send + Sync> WatchReceiver<OrderedWatch, T> for Receiver<T> {
    async fn changed(&mut self) -> Result<(), RecvError> {
        poll_fn(|context| self.poll_changed(context)).await
    }

    fn borrow_watched(&self) -> Ref<'_, T> {
        self.shared.borrow()
    }

    fn borrow_and_update(&mut self) -> Ref<'_, T> {
        self.seen = self.shared.state().version;
        self.shared.borrow()
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self::new(&self.shared, self.seen)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.receivers -= 1;
        state.forget(self.id);
    }
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
