use std::collections::BTreeMap;

use futures::channel::oneshot;

use super::Inner;

/// Who waits until an entry is applied.
#[derive(Default)]
pub(super) struct Waiters {
    // By the index of the entry, and a number of their own.
    all: BTreeMap<(u64, u64), oneshot::Sender<()>>,
    last: u64,
}

impl Waiters {
    fn begin(&mut self, index: u64) -> ((u64, u64), oneshot::Receiver<()>) {
        let (tell, told) = oneshot::channel();
        self.last += 1;
        let place = (index, self.last);
        self.all.insert(place, tell);
        (place, told)
    }

    /// Takes those whose entry is applied.
    pub(super) fn take_through(&mut self, applied: u64) -> Self {
        let later = self.all.split_off(&(applied.saturating_add(1), 0));
        Self {
            all: std::mem::replace(&mut self.all, later),
            last: self.last,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Tells them.
    pub(super) fn tell(self) {
        for one in self.all.into_values() {
            // Whoever has gone does not need to know.
            let _ = one.send(());
        }
    }
}

/// A place among those who wait, which is free when this is dropped: whoever gives up leaves nothing behind, also
/// if the entry never comes.
struct Place<'a> {
    inner: &'a Inner,
    place: (u64, u64),
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        let left = state.waiters.all.remove(&self.place);
        drop(state);
        drop(left);
    }
}

impl Inner {
    /// Waits until an entry is applied here. Returns whether it is: not if the member is stopped.
    pub(super) async fn wait_applied(&self, index: u64) -> bool {
        let (_place, told) = {
            let mut state = self.state();
            if state.applied >= index {
                return true;
            }
            if state.is_stopped {
                return false;
            }
            let (place, told) = state.waiters.begin(index);
            (Place { inner: self, place }, told)
        };
        told.await.is_ok()
    }
}

#[cfg(all(test, feature = "openraft", not(madsim)))]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use futures::FutureExt;
    use futures::future::BoxFuture;
    use lease_backend::RedbOptions;
    use lease_backend::testing::SimDisk;
    use lease_core::{SystemClock, WriteBatch};

    use crate::{
        Committed, MemberId, NoMachine, Parts, PeerAnswer, PeerError, Peers, RedbStore, Replica,
        ReplicaOptions, TokioRuntime,
    };

    struct Nobody;

    impl Peers for Nobody {
        fn ask(
            &self,
            _: MemberId,
            _: &'static str,
            _: Vec<u8>,
            _: Duration,
        ) -> BoxFuture<'static, Result<PeerAnswer, PeerError>> {
            std::future::pending().boxed()
        }
    }

    fn replica() -> Replica {
        let store = RedbStore::create_with_storage(RedbOptions::new(), SimDisk::new(1));
        let parts = Parts {
            member: 1,
            store: Arc::new(store.expect("a new store")),
            peers: Arc::new(Nobody),
            runtime: Arc::new(TokioRuntime),
            machine: Arc::new(NoMachine),
            clock: Arc::new(SystemClock::default()),
            observer: None,
            session: 1,
            options: ReplicaOptions::default(),
        };
        Replica::open(parts).expect("a new store")
    }

    #[test]
    fn who_gives_up_leaves_nothing_behind() {
        let replica = replica();
        let inner = &replica.inner;
        for index in [1, 1, 2, 900, u64::MAX] {
            let waits = inner.wait_applied(index);
            assert_eq!(waits.now_or_never(), None);
        }
        assert!(inner.state().waiters.is_empty());

        let mut first = Box::pin(inner.wait_applied(1));
        let mut second = Box::pin(inner.wait_applied(2));
        assert_eq!((&mut first).now_or_never(), None);
        assert_eq!((&mut second).now_or_never(), None);
        let blank = Committed {
            index: 1,
            entry: None,
            writes: WriteBatch::default(),
        };
        replica.apply(blank).expect("it is the next one");
        assert_eq!(first.now_or_never(), Some(true));
        assert_eq!((&mut second).now_or_never(), None);
        replica.stop().expect("the disk is there");
        assert_eq!(second.now_or_never(), Some(false));
    }
}
