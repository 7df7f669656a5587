use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, select};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use lease_core::{Lessor, Timestamp};

use super::{Inner, Replica};
use crate::probe::planted;
use crate::{Engine, Leadership};

/// What a member wakes up for.
enum News {
    /// Who leads.
    Leadership(Leadership),
    /// The engine has ended.
    EngineEnded,
    /// The lessor has something to do, or it is time to look.
    Time,
}

impl News {
    fn of(leadership: Option<Leadership>) -> Self {
        leadership.map_or(Self::EngineEnded, Self::Leadership)
    }
}

impl Replica {
    /// Does what a member does by itself, until it is stopped or the engine ends: it drives the lessor,
    /// becomes the primary and ceases to be, and has revoked what has expired. Dropped it stands still.
    ///
    /// # Panics
    ///
    /// If it was run before.
    pub async fn run(&self, engine: Arc<dyn Engine>) {
        let leadership = engine.leadership();
        let is_first = self.inner.engine.set(engine).is_ok();
        assert!(is_first, "a member is run once");
        Arc::clone(&self.inner).run(leadership).await;
    }
}

impl Inner {
    async fn run(self: Arc<Self>, mut leadership: BoxStream<'static, Leadership>) {
        while let Some(nudged) = self.expect_nudge() {
            let wakeup = self.tick().await;
            let news = match self.propose_due() {
                // A long backlog keeps nobody from hearing who leads.
                true => leadership
                    .next()
                    .now_or_never()
                    .map_or(News::Time, News::of),
                false => self.wait_for_news(&mut leadership, nudged, wakeup).await,
            };
            match news {
                News::Leadership(news) => self.hear_leadership(news),
                News::EngineEnded => break,
                News::Time => {}
            }
        }
        let last = self.state().leadership;
        self.hear_leadership(Leadership {
            leader: None,
            ..last
        });
    }

    /// Has the member look again if checkpoints are due earlier than it has planned for, of which the lessor
    /// wakes nobody.
    pub(super) fn look_for_checkpoints(&self) {
        let Some(next) = self.lessor.next_checkpoint() else {
            return;
        };
        let is_earlier = self.state().planned.is_none_or(|planned| next < planned);
        if is_earlier && !planted!("raft-checkpoints-not-planned") {
            self.nudge();
        }
    }

    /// Has the member look whether there is something to do.
    pub(super) fn nudge(&self) {
        // If there is none the member is going to look.
        let nudge = self.state().nudge.take();
        // Without the lock, since whoever is woken may go on at once.
        drop(nudge);
    }

    /// Ends with the next nudge, before which the member looks what there is to do. `None` if it is stopped.
    fn expect_nudge(&self) -> Option<oneshot::Receiver<()>> {
        let mut state = self.state();
        let (nudge, nudged) = oneshot::channel();
        state.nudge = Some(nudge);
        (!state.is_stopped).then_some(nudged)
    }

    /// Drives the lessor, which may wait for the disk. Returns when something is due again.
    async fn tick(self: &Arc<Self>) -> Option<Timestamp> {
        let (tell, told) = oneshot::channel();
        let inner = Arc::clone(self);
        let ticks = Box::new(move || {
            let _ = tell.send(inner.lessor.tick());
        });
        self.runtime.block(ticks).await;
        told.await.ok().flatten()
    }

    async fn wait_for_news(
        &self,
        leadership: &mut BoxStream<'static, Leadership>,
        nudged: oneshot::Receiver<()>,
        wakeup: Option<Timestamp>,
    ) -> News {
        // Nothing but this says when checkpoints are due. What changes from here on is looked at again, also if it is
        // due later than what was planned before.
        self.state().planned = None;
        let checkpoint = self.lessor.next_checkpoint();
        let checkpoint = checkpoint.filter(|_| !planted!("raft-checkpoints-not-planned"));
        self.state().planned = checkpoint;
        let due = wakeup.into_iter().chain(checkpoint).min();
        let span = self.time_until(due);
        let moved = Box::pin(self.lessor.wakeup_moved());
        let time = select(select(moved, nudged), self.runtime.sleep(span));
        match select(leadership.next(), time).await {
            Either::Left((news, _)) => News::of(news),
            Either::Right(_) => News::Time,
        }
    }

    fn time_until(&self, wakeup: Option<Timestamp>) -> Duration {
        let Some(wakeup) = wakeup else {
            return LONGEST_SLEEP;
        };
        let now = self.clock.precise_now();
        let span = wakeup.saturating_duration_since(now);
        // A wake-up in the past must not keep the executor busy.
        span.clamp(SHORTEST_SLEEP, LONGEST_SLEEP)
    }
}

const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

const LONGEST_SLEEP: Duration = Duration::from_secs(60);

#[cfg(all(test, feature = "openraft", not(madsim)))]
mod tests {
    use std::pin::pin;
    use std::sync::Mutex;
    use std::task::{Context, Poll, Wake, Waker};

    use futures::future::{BoxFuture, pending, ready};
    use futures::stream;
    use lease_backend::RedbOptions;
    use lease_backend::testing::SimDisk;
    use lease_core::{LeaseId, SystemClock};

    use super::*;
    use crate::{
        MemberId, NoMachine, Parts, PeerAnswer, PeerError, Peers, ProposeError, RedbStore,
        ReplicaOptions, Runtime, Unconfirmed,
    };

    /// A world in which nothing happens.
    struct Still;

    impl Runtime for Still {
        fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
            Box::pin(pending())
        }

        fn spawn(&self, _: BoxFuture<'static, ()>) {}

        fn block(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
            work();
            Box::pin(ready(()))
        }
    }

    impl Peers for Still {
        fn ask(
            &self,
            _: MemberId,
            _: &'static str,
            _: Vec<u8>,
            _: Duration,
        ) -> BoxFuture<'static, Result<PeerAnswer, PeerError>> {
            Box::pin(pending())
        }
    }

    impl Engine for Still {
        fn leadership(&self) -> BoxStream<'static, Leadership> {
            stream::pending().boxed()
        }

        fn propose(&self, _: Vec<u8>) -> BoxFuture<'static, Result<(), ProposeError>> {
            Box::pin(pending())
        }

        fn confirm(&self) -> BoxFuture<'static, Result<u64, Unconfirmed>> {
            Box::pin(pending())
        }
    }

    /// Notes whether the state is locked when it is woken: an executor may run a task where it wakes it.
    struct Looks {
        replica: Replica,
        was_locked: Mutex<Vec<bool>>,
    }

    impl Wake for Looks {
        fn wake(self: Arc<Self>) {
            let is_locked = self.replica.inner.state.try_lock().is_err();
            self.was_locked.lock().expect("no panic").push(is_locked);
        }
    }

    impl Looks {
        fn take(&self) -> Vec<bool> {
            std::mem::take(&mut self.was_locked.lock().expect("no panic"))
        }
    }

    #[test]
    fn nobody_is_woken_under_the_lock() {
        let store = RedbStore::create_with_storage(RedbOptions::new(), SimDisk::new(1));
        let parts = Parts {
            member: 1,
            store: Arc::new(store.expect("a new store")),
            peers: Arc::new(Still),
            runtime: Arc::new(Still),
            machine: Arc::new(NoMachine),
            clock: Arc::new(SystemClock::default()),
            observer: None,
            session: 1,
            options: ReplicaOptions::default(),
        };
        let replica = Replica::open(parts).expect("a new store");
        let looks = Arc::new(Looks {
            replica: replica.clone(),
            was_locked: Mutex::default(),
        });
        let waker = Waker::from(Arc::clone(&looks));
        let context = &mut Context::from_waker(&waker);

        let mut runs = pin!(replica.run(Arc::new(Still)));
        assert_eq!(runs.as_mut().poll(context), Poll::Pending);
        replica.inner.nudge();
        assert_eq!(looks.take(), [false]);
        replica.inner.nudge();
        assert_eq!(looks.take(), [], "it is going to look");
        assert_eq!(runs.as_mut().poll(context), Poll::Pending);

        let lessor = replica.lessor();
        let id = LeaseId::new(1).expect("not zero");
        {
            let mut grants = Box::pin(lessor.grant(id, 60, Duration::from_secs(1)));
            assert!(grants.as_mut().poll(context).is_pending());
        }
        assert!(!looks.take().contains(&true));

        replica.stop().expect("the disk is there");
        let woken = looks.take();
        assert!(!woken.is_empty() && !woken.contains(&true), "{woken:?}");
        assert_eq!(runs.as_mut().poll(context), Poll::Ready(()));
    }
}
