mod change;
mod confirm;
mod leadership;
mod members;
mod options;
mod status;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::channel::{mpsc, oneshot};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use lease_core::BackendError;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};

pub use members::{Members, MembershipError};
pub use options::OpenraftOptions;
pub use status::{EngineStatus, Role};

use self::change::Changing;
use self::confirm::Waiting;
use self::status::has_panicked;
use super::blocking::blocking;
use super::calls::Calls;
use super::config::{Proposal, Raft};
use super::log::RedbLog;
use super::machine::{Machine, StateMachine};
use super::network::{self, Answerer, Identity, Network};
use super::removed::Removed;
use crate::redb_store::RedbStore;
use crate::watch::Watch;
use crate::{
    Engine, Leadership, MemberId, PeerAnswer, Peers, ProposeError, Replica, Runtime, Unconfirmed,
};

/// Why an engine has not started.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The store is of another member, or cannot be used.
    #[error(transparent)]
    Store(#[from] BackendError),
    /// The options contradict each other.
    #[error("the options of the engine: {0}")]
    Options(String),
    /// What the store holds cannot be gone on with.
    #[error("the engine cannot start: {0}")]
    Stopped(String),
}

/// The [`Engine`] of openraft: one member of a cluster, whose log is in a [`RedbStore`].
///
/// [`shutdown`](Self::shutdown) stops it, and waits for that. An engine of which all clones are dropped
/// stops too; but a [`Replica`] that was run has one.
///
/// # A leader that nobody hears
///
/// says no longer that it leads once a quorum has not acknowledged it for the longest election time-out,
/// which is before another one may be elected, as far as clocks run alike. Nothing stands on that:
/// [`confirm`](Engine::confirm) always asks a quorum.
///
/// # Positions
///
/// openraft counts entries from 0. Outside of it they are counted from 1, so that 0 is before the first
/// one.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use futures::future::BoxFuture;
/// use lease_core::{LeaseId, SystemClock};
/// use lease_raft::{
///     MemberId, NoMachine, OpenraftEngine, OpenraftOptions, Parts, PeerAnswer, PeerError, Peers,
///     RedbStore, Replica, ReplicaOptions, TokioRuntime,
/// };
///
/// /// A member that is alone asks nobody.
/// struct Nobody;
///
/// impl Peers for Nobody {
///     fn ask(
///         &self,
///         member: MemberId,
///         _: &'static str,
///         _: Vec<u8>,
///         _: Duration,
///     ) -> BoxFuture<'static, Result<PeerAnswer, PeerError>> {
///         let reason = "nobody is there".to_owned();
///         Box::pin(async move { Err(PeerError { member, reason }) })
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let dir = tempfile::tempdir()?;
/// let store = Arc::new(RedbStore::open(dir.path().join("member.redb"))?);
/// let replica = Replica::open(Parts {
///     member: 1,
///     store: store.clone(),
///     peers: Arc::new(Nobody),
///     runtime: Arc::new(TokioRuntime),
///     machine: Arc::new(NoMachine),
///     clock: Arc::new(SystemClock::default()),
///     observer: None,
///     session: 7, // a random number
///     options: ReplicaOptions { cluster: "blue".to_owned(), ..ReplicaOptions::default() },
/// })?;
/// let engine = OpenraftEngine::start(
///     "blue",
///     1,
///     store,
///     replica.clone(),
///     Arc::new(Nobody),
///     Arc::new(TokioRuntime),
///     OpenraftOptions::new(),
/// )
/// .await?;
/// engine.bootstrap("nowhere").await?;
/// let running = replica.clone();
/// let own = Arc::new(engine.clone());
/// tokio::spawn(async move { running.run(own).await });
///
/// let granted = replica.lessor().grant(LeaseId::try_from(7)?, 60, Duration::from_secs(10)).await?;
/// assert_eq!(granted.ttl.get(), 60);
/// engine.shutdown().await;
/// replica.stop()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct OpenraftEngine {
    inner: Arc<Inner>,
}

struct Inner {
    answerer: Answerer,
    leadership: Arc<Watch<Leadership>>,
    confirmations: mpsc::UnboundedSender<Waiting>,
    changing: Changing,
    store_failure: Arc<OnceLock<String>>,
}

impl OpenraftEngine {
    /// Starts member `member` of cluster `cluster` on its store. The first start settles both for the
    /// store. A member that has been of no cluster waits for [`bootstrap`](Self::bootstrap), or for a
    /// leader that has [added](Self::add_learner) it.
    ///
    /// `replica` is applied to by this engine alone, and `peers` bring what is
    /// [`is_for_engine`](Self::is_for_engine) to [`answer`](Self::answer).
    ///
    /// # Errors
    ///
    /// [`EngineError`].
    pub async fn start(
        cluster: &str,
        member: MemberId,
        store: Arc<RedbStore>,
        replica: Replica,
        peers: Arc<dyn Peers>,
        runtime: Arc<dyn Runtime>,
        options: OpenraftOptions,
    ) -> Result<Self, EngineError> {
        let identity = Identity {
            cluster: cluster.to_owned(),
            member,
        };
        let replica = Arc::new(replica);
        Self::start_with(identity, store, replica, peers, runtime, &options).await
    }

    pub(crate) async fn start_with(
        identity: Identity,
        store: Arc<RedbStore>,
        machine: Arc<dyn Machine>,
        peers: Arc<dyn Peers>,
        runtime: Arc<dyn Runtime>,
        options: &OpenraftOptions,
    ) -> Result<Self, EngineError> {
        check_id(identity.member)?;
        let config = Arc::new(options.config(&identity.cluster)?);
        let (identifying, own) = (Arc::clone(&store), identity.clone());
        let identify = move || identifying.identify(&own.cluster, own.member);
        blocking(&*runtime, identify).await.map_err(stopped)??;

        let path = store.path().map(Path::to_owned);
        let store_failure = store.failure();
        let removed = Arc::new(Removed::new(identity.member));
        let log = RedbLog::open(Arc::clone(&store), Arc::clone(&runtime)).await;
        let (checking, known) = (Arc::downgrade(&machine), Arc::clone(&removed));
        let machine = StateMachine::open(machine, store, Arc::clone(&runtime), known).await;
        let timeout = options.election_timeout_max();
        let network = Network {
            identity: identity.clone(),
            peers,
            runtime: Arc::clone(&runtime),
            path: path.clone(),
            append_timeout: timeout,
            install_timeout: INSTALL_TIMEOUT,
            removed: Arc::clone(&removed),
            transfers: Arc::default(),
            acknowledged: Arc::default(),
        };
        let (log, machine) = (log.map_err(stopped)?, machine.map_err(stopped)?);
        let raft = Raft::new(identity.member, config, network, log, machine)
            .await
            .map_err(stopped)?;

        let leadership = Arc::new(Watch::new(Leadership::default()));
        let following = leadership::follow(raft.clone(), Arc::clone(&leadership), timeout);
        runtime.spawn(Box::pin(following));
        let (confirmations, waiting) = mpsc::unbounded();
        runtime.spawn(Box::pin(confirm::confirm(raft.clone(), waiting, timeout)));
        let answerer = Answerer {
            identity,
            calls: Calls::new(raft.clone(), &runtime),
            raft,
            machine: checking,
            removed,
            runtime,
            path,
            incoming: Arc::default(),
        };
        let inner = Arc::new(Inner {
            answerer,
            leadership,
            confirmations,
            changing: Changing::new(timeout, options.is_strict()),
            store_failure,
        });
        let settling = change::settle(Arc::downgrade(&inner));
        inner.answerer.runtime.spawn(Box::pin(settling));
        Ok(Self { inner })
    }

    /// Whether a question of this path is for [`answer`](Self::answer).
    ///
    /// ```
    /// use lease_raft::OpenraftEngine;
    ///
    /// assert!(OpenraftEngine::is_for_engine("/raft/append"));
    /// assert!(!OpenraftEngine::is_for_engine("/leases"));
    /// ```
    #[must_use]
    pub fn is_for_engine(path: &str) -> bool {
        network::PATHS.contains(&path)
    }

    /// Answers what another member's engine asks. `from` is who it is, as the transport knows.
    ///
    /// A message that no member sends, or that is for another cluster or member, is refused with a
    /// status other than 200, a text that says why, and a warning in the log. What a voter says of its own log
    /// and vote cannot be checked, here as in any raft: openraft stops at what contradicts itself, and the member
    /// says so and goes no further.
    pub async fn answer(&self, from: MemberId, path: &str, body: &[u8]) -> PeerAnswer {
        self.inner.answerer.answer(from, path, body).await
    }

    /// The member that this is.
    #[must_use]
    pub fn member(&self) -> MemberId {
        self.inner.answerer.identity.member
    }

    /// Why the engine has stopped; `None` while it runs.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let metrics = self.raft().metrics();
        let running = metrics.borrow_watched().running_state.clone();
        let error = match running {
            Err(error) => error.to_string(),
            Ok(()) if has_panicked(metrics) => "it has panicked".to_owned(),
            Ok(()) => return None,
        };
        // Of two writes that fail, the second one may have stopped it.
        Some(match self.inner.store_failure.get() {
            Some(cause) if !error.contains(&**cause) => format!("{error}; at first: {cause}"),
            _ => error,
        })
    }

    /// Stops, and waits until the engine has. It proposes, votes and answers no more. It stops also if nobody waits.
    pub async fn shutdown(&self) {
        let stops = |raft: Raft| async move { raft.shutdown().await };
        if let Err(error) = self.calls().keep(stops).await {
            tracing::error!(%error, "the engine has not stopped as it should");
        }
    }

    /// Who was removed from the cluster, as far as this member has applied the log.
    #[cfg(feature = "grpc")]
    pub(crate) fn removed(&self) -> &Removed {
        &self.inner.answerer.removed
    }

    pub(super) fn raft(&self) -> &Raft {
        &self.inner.answerer.raft
    }

    pub(super) fn calls(&self) -> &Calls {
        &self.inner.answerer.calls
    }
}

impl Engine for OpenraftEngine {
    fn leadership(&self) -> BoxStream<'static, Leadership> {
        self.inner.leadership.changes().boxed()
    }

    fn propose(&self, entry: Vec<u8>) -> BoxFuture<'static, Result<(), ProposeError>> {
        let proposal = Proposal(Bytes::from(entry));
        let proposes = |raft: Raft| async move { raft.client_write(proposal).await };
        // Nobody waits any more once the entry is applied, which is before openraft has told so.
        let call = self.calls().keep(proposes);
        Box::pin(async move {
            match call.await {
                Ok(_) => Ok(()),
                Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => {
                    Err(ProposeError::NotLeader)
                }
                Err(error) => {
                    tracing::debug!(%error, "the outcome of a proposal is unknown");
                    Err(ProposeError::Unknown)
                }
            }
        })
    }

    fn confirm(&self) -> BoxFuture<'static, Result<u64, Unconfirmed>> {
        let (sender, confirmed) = oneshot::channel();
        // If nobody takes it, nobody answers.
        let _ = self.inner.confirmations.unbounded_send(sender);
        Box::pin(async move { confirmed.await.unwrap_or(Err(Unconfirmed)) })
    }
}

impl std::fmt::Debug for OpenraftEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenraftEngine")
            .field("identity", &self.inner.answerer.identity)
            .field("leadership", &self.inner.leadership.get())
            .finish_non_exhaustive()
    }
}

/// In messages 0 is nobody.
pub(crate) fn check_id(member: MemberId) -> Result<(), EngineError> {
    match member {
        0 => Err(EngineError::Options("0 is no member's id".to_owned())),
        _ => Ok(()),
    }
}

fn stopped(error: impl std::fmt::Display) -> EngineError {
    EngineError::Stopped(error.to_string())
}

/// For a snapshot of some million rows on a slow disk.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(60);
