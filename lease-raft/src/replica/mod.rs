//! A member: its lessor, and what a host with a log does around it.

mod answer;
mod apply;
mod confirm;
mod expiry;
mod forwarded;
mod lead;
mod pauses;
mod proposals;
mod read;
mod renew;
mod run;
mod sessions;
mod snapshot;
mod stats;
mod traced;
mod waiters;

use std::future::Future;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, select};
use lease_core::{
    Backend, BackendError, BackendLessor, CheckpointMode, Clock, Driver, Durability, ItemMode,
    LeaseError, LeaseIds, Lessor, LessorConfig, Observer, Timestamp,
};

pub use self::apply::{ApplyError, Committed};
pub(crate) use self::proposals::Outcome;
#[cfg(feature = "grpc")]
pub(crate) use self::proposals::PROPOSE_PATH;
#[cfg(feature = "grpc")]
pub(crate) use self::read::READ_INDEX_PATH;
pub use self::snapshot::{InstallError, Snapshot};
pub use self::stats::ReplicaStats;

use self::confirm::Confirmations;
use self::expiry::Flights;
use self::forwarded::Forwarded;
use self::pauses::Pauses;
use self::proposals::Proposals;
use self::sessions::Sessions;
use self::waiters::Waiters;
use crate::lessor::ReplicatedLessor;
use crate::probe::planted;
use crate::store::{meta, sessions};
use crate::{Engine, Leadership, MemberId, Peers, ReplicaError, Runtime, StateMachine, Store};

/// How a member behaves. Equal on all members, or else a promotion changes what clients see.
#[derive(Clone, Debug)]
pub struct ReplicaOptions {
    /// The lessor's.
    pub config: LessorConfig,
    /// Of which cluster the member is: a snapshot of another one is refused.
    pub cluster: String,
    /// How much longer than its TTL a lease lives after a change of the leader: as long as an election
    /// may take, in which nobody could renew.
    pub extend: Duration,
    /// How often the state is written behind the log. What is lost by a crash before is applied again. With
    /// zero each entry is written before it is applied, as one transaction of the disk.
    pub commit_interval: Duration,
    /// How long one question to another member is waited for. A leader that does not say what has come of a proposal
    /// is waited for twice as long each time, up to eight times as long, unless another one leads.
    pub ask_timeout: Duration,
    /// The pause before a proposal or a question is made again.
    pub retry_interval: Duration,
    /// How many proposals of this member's callers may be under way. What the member proposes by itself, such as the
    /// revokes of what has expired, is not counted.
    pub max_proposals: usize,
    /// How many bytes an entry of this member's callers may have: a command of the host's, or the items of one
    /// call, and some bytes around them. A message has to carry it to each member before it is given up, so that
    /// a long entry holds up all others. 1.5 MiB by default, as etcd's `--max-request-bytes`;
    /// gRPC carries 32 MiB at most. Batches of expired leases and of checkpoints are no longer either, whatever
    /// [`config`](Self::config) allows.
    pub max_entry_bytes: usize,
    /// How many batches of expired leases may be under way, and as many more may wait for that. 16 by
    /// default, as in etcd.
    pub max_expired_batches: usize,
    /// Whether the member starts with the expiry of leases
    /// [suspended](crate::ReplicatedLessor::suspend_expiry).
    pub suspend_expiry: bool,
}

impl Default for ReplicaOptions {
    fn default() -> Self {
        Self {
            config: LessorConfig::default(),
            cluster: String::new(),
            extend: Duration::from_secs(1),
            commit_interval: Duration::from_millis(100),
            ask_timeout: Duration::from_secs(1),
            retry_interval: Duration::from_millis(50),
            max_proposals: 65_536,
            max_entry_bytes: 3 << 19,
            max_expired_batches: 16,
            suspend_expiry: false,
        }
    }
}

/// What a member is made of.
pub struct Parts {
    /// Its name.
    pub member: MemberId,
    /// Where its state is.
    pub store: Arc<dyn Store>,
    /// How it reaches the others.
    pub peers: Arc<dyn Peers>,
    /// Where it runs.
    pub runtime: Arc<dyn Runtime>,
    /// The host's own state.
    pub machine: Arc<dyn StateMachine>,
    /// The lessor's clock.
    pub clock: Arc<dyn Clock>,
    /// Who is told what happens in the lessor, such as its metrics.
    pub observer: Option<Arc<dyn Observer>>,
    /// Names this life of the member: a number that no other life has, of this member or another one.
    /// Random, unless a simulation draws it.
    pub session: u64,
    /// How it behaves.
    pub options: ReplicaOptions,
}

/// A member of a replicated lessor, for its consensus engine: what is committed goes in by
/// [`apply`](Self::apply), and snapshots come and go. Callers have a [`ReplicatedLessor`].
#[derive(Clone)]
pub struct Replica {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) member: MemberId,
    pub(crate) lessor: BackendLessor,
    store: Arc<dyn Store>,
    peers: Arc<dyn Peers>,
    runtime: Arc<dyn Runtime>,
    machine: Arc<dyn StateMachine>,
    clock: Arc<dyn Clock>,
    engine: OnceLock<Arc<dyn Engine>>,
    session: u64,
    pub(crate) options: ReplicaOptions,
    state: Mutex<State>,
    // Whoever applies or installs: one at a time.
    applying: Mutex<Applying>,
}

/// What tasks share. Nothing of the host's is called under its lock.
struct State {
    leadership: Leadership,
    applied: u64,
    is_stopped: bool,
    // Why it cannot go on; then it is stopped, too.
    failure: Option<String>,
    proposals: Proposals,
    forwarded: Forwarded,
    waiters: Waiters,
    confirmations: Confirmations,
    flights: Flights,
    pauses: Pauses,
    // When checkpoints were due when the member looked last.
    planned: Option<Timestamp>,
    // Dropped, it has the member look what there is to do.
    nudge: Option<oneshot::Sender<()>>,
}

/// What only the one who applies needs.
struct Applying {
    sessions: Sessions,
    applied: u64,
}

/// After how many pending writes an entry waits for the disk.
const MAX_WRITES: NonZeroUsize = NonZeroUsize::new(50_000).expect("not zero");

const APPLIED: &[u8] = b"applied";
const CLUSTER: &[u8] = b"cluster";

impl Replica {
    /// Opens a member on its store: the leases, their items, the host's state and the index are what is
    /// stored there. It does nothing by itself until [`run`](Self::run) is polled.
    ///
    /// # Errors
    ///
    /// If the store cannot be read, is of another cluster, or holds what this version does not know.
    pub fn open(parts: Parts) -> Result<Self, LeaseError> {
        let Parts {
            member,
            store,
            peers,
            runtime,
            machine,
            clock,
            observer,
            session,
            options,
        } = parts;
        let mut builder = BackendLessor::builder(as_backend(&store))
            .config(fitting(&options))
            .clock(Arc::clone(&clock))
            .driver(Driver::Manual)
            .checkpoints(CheckpointMode::Polled)
            .items(ItemMode::Stored)
            .expired_capacity(options.max_expired_batches)
            .durability(match options.commit_interval {
                Duration::ZERO => Durability::EveryCommand,
                interval => Durability::Batched {
                    interval,
                    max_writes: MAX_WRITES,
                },
            });
        if options.suspend_expiry {
            builder = builder.suspend_expiry();
        }
        if !planted!("raft-ids-of-an-epoch") {
            builder = builder.ids(ids_of(member, session));
        }
        if let Some(deleter) = machine.range_deleter() {
            builder = builder.range_deleter(deleter);
        }
        if let Some(observer) = observer {
            builder = builder.observer(observer);
        }
        let lessor = builder.build()?;
        machine.recover(&*store).map_err(LeaseError::Backend)?;
        let applying = Applying::load(&*store, &options.cluster).map_err(LeaseError::Backend)?;
        let inner = Inner {
            member,
            lessor,
            store,
            peers,
            runtime,
            machine,
            clock,
            engine: OnceLock::new(),
            session,
            options,
            state: Mutex::new(State::new(applying.applied)),
            applying: Mutex::new(applying),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// What callers use.
    #[must_use]
    pub fn lessor(&self) -> ReplicatedLessor {
        ReplicatedLessor::new(self.clone())
    }

    /// The name of the member.
    #[must_use]
    pub fn member(&self) -> MemberId {
        self.inner.member
    }

    /// The index of the last entry that was applied. O(1).
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.inner.state().applied
    }

    /// Why the member has stopped by itself; `None` while it can go on. O(1).
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.inner.state().failure.clone()
    }

    /// Stops the member: its state is written, and every call that waits ends. The engine has to be
    /// stopped before, or what it applies is refused. It may wait for the disk.
    ///
    /// # Errors
    ///
    /// If the state could not be written: then it is applied again from the log.
    pub fn stop(&self) -> Result<(), LeaseError> {
        self.inner.stop()
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn applying(&self) -> MutexGuard<'_, Applying> {
        self.applying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn engine(&self) -> Option<Arc<dyn Engine>> {
        self.engine.get().cloned()
    }

    fn stop(&self) -> Result<(), LeaseError> {
        // Nobody is to wait for a snapshot that is being installed.
        self.end_calls();
        let has_failed = self.state().failure.is_some();
        // What one that has failed has in memory is not the state any more.
        let flushed = match has_failed {
            true => Ok(()),
            false => self.lessor.flush().map_err(LeaseError::Backend),
        };
        self.end();
        flushed
    }

    /// The member cannot go on: it stops, and says why.
    fn break_down(&self, reason: &str) {
        tracing::error!(
            member = self.member,
            reason,
            "the member stops: it cannot go on"
        );
        self.state()
            .failure
            .get_or_insert_with(|| reason.to_owned());
        self.end();
    }

    fn end(&self) {
        self.end_calls();
        self.lessor.stop();
    }

    /// Ends every call that waits, and takes no more. It waits for nothing.
    pub(crate) fn end_calls(&self) {
        let ended = {
            let mut state = self.state();
            state.is_stopped = true;
            (
                state.proposals.end_all(),
                std::mem::take(&mut state.waiters),
                std::mem::take(&mut state.confirmations.waiting),
            )
        };
        drop(ended);
        self.nudge();
    }

    pub(crate) fn leader(&self) -> Option<MemberId> {
        self.state().leadership.leader
    }

    fn check_running(&self) -> Result<(), ReplicaError> {
        if self.state().is_stopped {
            Err(ReplicaError::Stopped)
        } else {
            Ok(())
        }
    }

    /// Waits for a future, at most until `timeout` has passed.
    async fn within<F: Future + Unpin>(&self, timeout: Duration, future: F) -> Option<F::Output> {
        let timeout = timeout * (1 + u32::from(planted!("raft-outlives-its-timeout")));
        match select(future, self.runtime.sleep(timeout)).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        }
    }

    /// The pause before something is tried again, to be made before it is tried: it lasts for a while, or until
    /// it is known, since it was made, that another member leads or that this one is the primary.
    fn pause(&self) -> impl Future<Output = ()> + Send + '_ {
        let told = self.state().pauses.over();
        async move {
            let span = self.options.retry_interval;
            select(told, self.runtime.sleep(span)).await;
        }
    }

    /// Ends the pauses: what is tried again may succeed now.
    fn end_pauses(&self) {
        let pauses = std::mem::take(&mut self.state().pauses);
        // Without the lock, since whoever waits may go on at once.
        drop(pauses);
    }
}

impl State {
    fn new(applied: u64) -> Self {
        Self {
            leadership: Leadership::default(),
            applied,
            is_stopped: false,
            failure: None,
            proposals: Proposals::default(),
            forwarded: Forwarded::default(),
            waiters: Waiters::default(),
            confirmations: Confirmations::default(),
            flights: Flights::default(),
            pauses: Pauses::default(),
            planned: None,
            nudge: None,
        }
    }
}

impl Applying {
    fn load(store: &dyn Store, cluster: &str) -> Result<Self, BackendError> {
        let applied = store.get(&meta(), APPLIED)?;
        let applied = applied.map_or(Ok(0), |bytes| {
            let bytes = bytes.try_into().map_err(|_| strange("the applied index"))?;
            Ok::<_, BackendError>(u64::from_be_bytes(bytes))
        })?;
        let stored = store.get(&meta(), CLUSTER)?;
        if let Some(stored) = stored.filter(|stored| stored != cluster.as_bytes()) {
            let stored = String::from_utf8_lossy(&stored);
            return Err(BackendError::Foreign(format!(
                "it belongs to a member of cluster {stored:?}, and is opened as that of one of cluster {cluster:?}"
            )));
        }
        let (mut known, mut complaint) = (Sessions::default(), None);
        store.scan(&sessions(), &mut |key, value| {
            if let Err(reason) = known.load(key, value) {
                complaint.get_or_insert(reason);
            }
        })?;
        match complaint {
            None => Ok(Self {
                sessions: known,
                applied,
            }),
            Some(reason) => Err(strange(&format!("a session: {reason}"))),
        }
    }
}

/// What the lessor has revoked or checkpointed together is one entry, which has to be carried as any other.
fn fitting(options: &ReplicaOptions) -> LessorConfig {
    let most = u32::try_from(options.max_entry_bytes / RECORD_BYTES).unwrap_or(u32::MAX);
    let most = NonZeroU32::new(most).unwrap_or(NonZeroU32::MIN);
    let mut config = options.config.clone();
    config.max_expired_batch_size = config.max_expired_batch_size.min(most);
    config.max_checkpoint_batch_size = config.max_checkpoint_batch_size.min(most);
    config
}

/// How many bytes of an entry a lease takes at most that is revoked or checkpointed: five numbers, and what is around
/// them.
const RECORD_BYTES: usize = 64;

/// The ids of leases that this life of the member makes. They must not be counted in an epoch: the lessor
/// would begin one of its own, outside of the log, and all members would make the same ones.
fn ids_of(member: MemberId, session: u64) -> LeaseIds {
    // The session stands where etcd has the time of the start.
    LeaseIds::of_member(member as u16, Duration::from_millis(session))
}

fn as_backend(store: &Arc<dyn Store>) -> Arc<dyn Backend> {
    Arc::clone(store) as Arc<dyn Backend>
}

fn strange(what: &str) -> BackendError {
    BackendError::Damaged(what.to_owned())
}
