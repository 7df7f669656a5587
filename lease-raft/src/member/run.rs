use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, select};
use futures::{FutureExt, StreamExt};
use lease_core::LeaseError;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{self, Instant};

use super::answers::Dispatch;
use super::{Core, MemberOptions, StopError};
use crate::grpc::serve;
use crate::raft::blocking;
use crate::{RedbStore, TokioRuntime};

/// A member from its start to its end.
pub(super) struct Running {
    pub(super) core: Arc<Core>,
    pub(super) store: Arc<RedbStore>,
    /// How many have the store, but for the engine.
    pub(super) owners: usize,
}

impl Running {
    /// Runs the member until it is stopped or cannot go on, and then stops what belongs to it, in order.
    ///
    /// # Errors
    ///
    /// [`StopError`].
    pub(super) async fn run(
        self,
        listener: TcpListener,
        options: &MemberOptions,
        stop: oneshot::Receiver<()>,
    ) -> Result<(), StopError> {
        let (closes, closed) = oneshot::channel::<()>();
        let server = self.serve(listener, options, closed);
        let tasks = [
            tokio::spawn(follow_members(Arc::clone(&self.core))),
            tokio::spawn(keep_address(Arc::clone(&self.core))),
            tokio::spawn(ask_for_removal(Arc::clone(&self.core))),
            #[cfg(feature = "metrics")]
            tokio::spawn(record(Arc::clone(&self.core))),
        ];
        let engine = Arc::new(self.core.engine.clone());
        let runs = Box::pin(self.core.replica.run(engine));
        let removed = Box::pin(self.core.engine.removed().wait());
        match select(runs, select(stop, removed)).await {
            Either::Left(((), _)) => self.note_failure(),
            Either::Right((Either::Left(_), runs)) => {
                // The member does all that a member does until another one leads. An engine that hangs does not
                // even ask one.
                let hands_over = self.core.engine.hand_over(HAND_OVER_TIMEOUT);
                let hands_over = time::timeout(2 * HAND_OVER_TIMEOUT, hands_over);
                select(runs, Box::pin(hands_over)).await;
            }
            Either::Right((Either::Right(_), runs)) => {
                // Whoever has asked it for that has its answer first.
                select(runs, Box::pin(time::sleep(REMOVED_GRACE))).await;
                self.note_end("it was removed from the cluster");
            }
        }
        let deadline = Instant::now() + options.stop_timeout.min(LONGEST_STOP);
        let engine = time::timeout_at(deadline, self.core.engine.shutdown()).await;
        for task in tasks {
            end_now(task).await;
        }
        drop(closes);
        end(server).await;
        // Also when the engine has had all the time.
        let deadline = deadline.max(Instant::now() + LEAST_TIMEOUT);
        let replica = self.core.replica.clone();
        let stops = blocking(&TokioRuntime, move || replica.stop());
        let state = time::timeout_at(deadline, stops).await;
        if state.is_err() {
            // They would end when it is written.
            self.core.replica.inner.end_calls();
        }
        let file = time::timeout_at(deadline, self.free_file()).await;
        let what = match (engine, state, file) {
            (Ok(()), Ok(Ok(stopped)), Ok(())) => return stopped.map_err(StopError::State),
            (Ok(()), Ok(Err(_)), Ok(())) => return Err(LeaseError::Stopped.into()),
            (Ok(()), Err(_), _) => "the writing of its state",
            (Err(_), Ok(_), _) => "its engine",
            (Err(_), Err(_), _) => "its engine, and the writing of its state,",
            (Ok(()), Ok(_), Err(_)) => "what its engine applies, or writes to its file,",
        };
        let late = StopError::Late {
            what: what.to_owned(),
            timeout: options.stop_timeout,
        };
        let member = self.core.engine.member();
        tracing::error!(member, error = %late, "the member has not stopped as it should");
        Err(late)
    }

    fn serve(
        &self,
        listener: TcpListener,
        options: &MemberOptions,
        closed: oneshot::Receiver<()>,
    ) -> JoinHandle<()> {
        let answers = Arc::new(Dispatch(Arc::downgrade(&self.core)));
        let (cluster, tls) = (options.cluster.clone(), options.tls.clone());
        let serves = serve(
            listener,
            cluster,
            options.member,
            tls,
            answers,
            closed.map(drop),
        );
        let member = options.member;
        tokio::spawn(async move {
            if let Err(error) = serves.await {
                tracing::error!(member, %error, "the member is not reached any more");
            }
        })
    }

    /// It has stopped by itself.
    fn note_failure(&self) {
        let core = &self.core;
        let failure = core.replica.failure().or_else(|| core.engine.failure());
        self.note_end(failure.as_deref().unwrap_or("its engine has stopped"));
    }

    fn note_end(&self, reason: &str) {
        tracing::error!(
            member = self.core.engine.member(),
            reason,
            "the member has stopped: it cannot go on"
        );
        // It is noted once.
        let _ = self.core.failure.set(reason.to_owned());
    }

    /// Waits until the engine has let go of the file.
    async fn free_file(&self) {
        while Arc::strong_count(&self.store) > self.owners {
            time::sleep(FREE_PAUSE).await;
        }
    }
}

/// The others are where the members of the cluster are.
async fn follow_members(core: Arc<Core>) {
    let mut changes = core.engine.members_changes();
    let mut known = crate::Members::default();
    while let Some(members) = changes.next().await {
        for (member, address) in &members.addresses {
            core.peers.set_address(*member, address);
        }
        for gone in known.addresses.keys() {
            if !members.addresses.contains_key(gone) {
                core.peers.forget(*gone);
            }
        }
        known = members;
    }
}

/// The others look for the member where it is.
async fn keep_address(core: Arc<Core>) {
    let mut changes = core.engine.members_changes();
    while changes.next().await.is_some() {
        while core.has_moved() {
            match core.tell_address(TELL_TIMEOUT).await {
                Ok(()) => tracing::info!(address = core.address, "the others know where it is"),
                Err(error) => tracing::warn!(%error, "the others do not know where it is"),
            }
            time::sleep(TELL_PAUSE).await;
        }
    }
}

/// Nobody tells a member that it was removed. Who takes itself for a voter hears so when it wants to be elected;
/// others, learners and those that have the entry but not that it is committed, ask.
async fn ask_for_removal(core: Arc<Core>) {
    loop {
        time::sleep(ASK_INTERVAL).await;
        let members = core.engine.members();
        if !members.voters.is_empty() && !members.voters.contains(&core.engine.member()) {
            // It is heard of by the way.
            let _ = core.tell_address(TELL_TIMEOUT).await;
        }
    }
}

/// Tells each second how the member is.
#[cfg(feature = "metrics")]
async fn record(core: Arc<Core>) {
    let metrics = super::MemberMetrics::new(core.engine.member());
    loop {
        metrics.record(&core.status());
        time::sleep(Duration::from_secs(1)).await;
    }
}

/// Ends a task, and waits until it has let go of what it has.
async fn end_now(task: JoinHandle<()>) {
    task.abort();
    // It was told to end.
    let _ = task.await;
}

/// Waits for what is under way, but not for long: others have their own deadlines.
async fn end(mut server: JoinHandle<()>) {
    if time::timeout(SERVER_TIMEOUT, &mut server).await.is_err() {
        end_now(server).await;
    }
}

const REMOVED_GRACE: Duration = Duration::from_millis(500);
const ASK_INTERVAL: Duration = Duration::from_secs(5);
const TELL_TIMEOUT: Duration = Duration::from_secs(10);
const TELL_PAUSE: Duration = Duration::from_millis(100);
/// Somebody who wants no bound: no clock counts up to the last duration of all.
const LONGEST_STOP: Duration = Duration::from_hours(24 * 365);
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(1);
/// The time that the writing of the state has at least.
const LEAST_TIMEOUT: Duration = Duration::from_secs(1);
const SERVER_TIMEOUT: Duration = Duration::from_millis(200);
const FREE_PAUSE: Duration = Duration::from_millis(10);
