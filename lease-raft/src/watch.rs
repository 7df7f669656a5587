//! A value that others follow. Unlike tokio's, it wakes in an order that a simulation can repeat.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::Stream;

/// Sets the value.
pub(crate) struct Watch<T>(Arc<Mutex<State<T>>>);

/// The value now, and after each change. Changes may be left out, but not the last one. It ends when
/// the [`Watch`] is dropped, after the last value.
pub(crate) struct Changes<T> {
    state: Arc<Mutex<State<T>>>,
    id: u64,
    /// The version that was seen last.
    seen: u64,
}

struct State<T> {
    value: T,
    /// From 1.
    version: u64,
    is_over: bool,
    next_id: u64,
    /// Those who wait, in the order in which they came to be.
    wakers: BTreeMap<u64, Waker>,
}

impl<T: Clone + PartialEq> Watch<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(State {
            value,
            version: 1,
            is_over: false,
            next_id: 0,
            wakers: BTreeMap::new(),
        })))
    }

    /// Sets the value, and wakes those who wait if it is another one.
    pub(crate) fn set(&self, value: T) {
        let mut state = lock(&self.0);
        if state.value == value {
            return;
        }
        state.value = value;
        state.version += 1;
        wake(state);
    }

    pub(crate) fn get(&self) -> T {
        lock(&self.0).value.clone()
    }

    pub(crate) fn changes(&self) -> Changes<T> {
        let mut state = lock(&self.0);
        state.next_id += 1;
        Changes {
            state: Arc::clone(&self.0),
            id: state.next_id,
            seen: 0,
        }
    }

    /// Ends all streams.
    pub(crate) fn end(&self) {
        let mut state = lock(&self.0);
        state.is_over = true;
        wake(state);
    }
}

impl<T: Clone> Stream for Changes<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let this = &mut *self;
        let mut state = lock(&this.state);
        if state.version > this.seen {
            this.seen = state.version;
            return Poll::Ready(Some(state.value.clone()));
        }
        if state.is_over {
            return Poll::Ready(None);
        }
        state.wakers.insert(this.id, context.waker().clone());
        Poll::Pending
    }
}

impl<T> Drop for Changes<T> {
    fn drop(&mut self) {
        lock(&self.state).wakers.remove(&self.id);
    }
}

/// Wakes without the lock, because a waker may poll at once.
fn wake<T>(mut state: MutexGuard<'_, State<T>>) {
    let wakers = std::mem::take(&mut state.wakers);
    drop(state);
    wakers.into_values().for_each(Waker::wake);
}

fn lock<T>(state: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};

    use super::*;

    #[test]
    fn the_value_now_then_changes_but_the_last_one_never_left_out_then_the_end() {
        let watch = Watch::new(1);
        let mut changes = watch.changes();
        let mut next = || changes.next().now_or_never();
        assert_eq!(next(), Some(Some(1)));
        assert_eq!(next(), None);
        watch.set(1);
        assert_eq!(next(), None, "it is the same value");
        watch.set(2);
        watch.set(3);
        assert_eq!(next(), Some(Some(3)));
        watch.set(4);
        watch.end();
        assert_eq!(next(), Some(Some(4)));
        assert_eq!(next(), Some(None));
        assert_eq!(watch.get(), 4);
    }

    #[tokio::test]
    async fn those_who_wait_are_woken() {
        let watch = Watch::new(1);
        let mut waiting: Vec<_> = (0..3)
            .map(|_| {
                let mut changes = watch.changes();
                assert_eq!(changes.next().now_or_never(), Some(Some(1)));
                changes
            })
            .collect();
        let all = futures::future::join_all(waiting.iter_mut().map(StreamExt::next));
        let setting = async { watch.set(2) };
        assert_eq!(futures::join!(all, setting).0, [Some(2); 3]);
    }
}
