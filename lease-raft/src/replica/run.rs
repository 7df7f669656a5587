use std::sync::Arc;
use std::time::Duration;

use futures::channel::{mpsc, oneshot};
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
        let (nudge, nudged) = mpsc::channel(1);
        self.inner.state().nudge = Some(nudge);
        Arc::clone(&self.inner).run(leadership, nudged).await;
    }
}

impl Inner {
    async fn run(
        self: Arc<Self>,
        mut leadership: BoxStream<'static, Leadership>,
        mut nudged: mpsc::Receiver<()>,
    ) {
        while !self.state().is_stopped {
            let wakeup = self.tick().await;
            let news = match self.propose_due() {
                // A long backlog keeps nobody from hearing who leads.
                true => leadership
                    .next()
                    .now_or_never()
                    .map_or(News::Time, News::of),
                false => {
                    self.wait_for_news(&mut leadership, &mut nudged, wakeup)
                        .await
                }
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
        if let Some(nudge) = &mut self.state().nudge {
            // If it is full the member is going to look.
            let _ = nudge.try_send(());
        }
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
        nudged: &mut mpsc::Receiver<()>,
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
        let time = select(select(moved, nudged.next()), self.runtime.sleep(span));
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
