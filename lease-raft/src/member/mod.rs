//! A member of a cluster that runs on tokio: openraft, redb and gRPC put together.

mod answers;
mod change;
#[cfg(feature = "metrics")]
mod metrics;
mod options;
mod run;
mod status;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{BoxFuture, Shared};
use lease_core::{BackendError, LeaseError};
use tokio::net::TcpListener;

#[cfg(feature = "metrics")]
pub use metrics::MemberMetrics;
pub use options::{JoinAs, MemberOptions};
pub use status::MemberStatus;

use self::change::Change;
use self::options::check_address;
use self::run::Running;
use crate::grpc::GrpcPeers;
use crate::raft::blocking;
use crate::{
    EngineError, MemberId, Members, MembershipError, OpenraftEngine, Parts, RedbStore, Replica,
    ReplicatedLessor, TokioRuntime,
};

/// Why a member has not started.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// What it was told makes no sense.
    #[error("the options of the member: {0}")]
    Options(String),
    /// Its file is of another member or cluster, is damaged, or cannot be used.
    #[error("the file of the member: {}", crate::error::with_causes(.0))]
    Store(#[from] BackendError),
    /// What its file holds cannot be gone on with.
    #[error("the state of the member: {}", crate::error::with_causes(.0))]
    State(LeaseError),
    /// Nobody could reach it.
    #[error("the member cannot listen at {address}: {reason}")]
    Listen {
        /// Where.
        address: String,
        /// Why not.
        reason: String,
    },
    /// The engine has not started.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// It was not admitted to the cluster.
    #[error("the member does not belong to the cluster: {0}")]
    Membership(#[from] MembershipError),
}

/// Why a member has not stopped as it should.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// Its state could not be written: it is applied again from the log.
    #[error("the state of the member: {}", crate::error::with_causes(.0))]
    State(#[from] LeaseError),
    /// Something of it has not ended in time, as when a disk does not answer or the host's machine hangs. Its file is
    /// not free. What has not ended is not waited for any more, and goes on when it can.
    #[error("the member has not stopped within {timeout:?}: {what} has not ended")]
    Late {
        /// What has not ended.
        what: String,
        /// The [stop timeout](MemberOptions::stop_timeout).
        timeout: Duration,
    },
}

/// A running member of a replicated lessor: its file, its place in the consensus and its server for the
/// others, on tokio. Its leases are those of [`lessor`](Self::lessor).
///
/// [`start`](Self::start) makes a cluster of one, on a directory; others [`join`](Self::join) it. Each goes on from
/// its file when it is started again, in either way.
///
/// A member stops when it is [told to](Self::stop), when it is dropped, and by itself if it cannot go on, or hears
/// that it was removed: then
/// every call of its lessor ends, [`ended`](Self::ended) returns, and [`failure`](Self::failure) says why.
///
/// ```
/// use lease_raft::{Member, MemberOptions};
/// use std::time::Duration;
///
/// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
/// # runtime.block_on(async {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path();
/// let timeout = Duration::from_secs(10);
/// let options = MemberOptions::new(path, "blue", 1, "127.0.0.1:7351");
/// # let options = options.listen("127.0.0.1:0");
/// let member = Member::start(options).await?;
///
/// let lessor = member.lessor();
/// let granted = lessor.grant_new(60, timeout).await?; // durable, on a majority of the members
/// assert_eq!(lessor.renew(granted.id, timeout).await?.as_secs(), 60);
/// member.stop().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Member {
    core: Arc<Core>,
    // Dropped, it stops the member.
    stop: oneshot::Sender<()>,
    ended: Shared<BoxFuture<'static, Result<(), StopError>>>,
    file: Weak<RedbStore>,
}

/// What the member's tasks share.
struct Core {
    replica: Replica,
    lessor: ReplicatedLessor,
    engine: OpenraftEngine,
    peers: Arc<GrpcPeers>,
    address: String,
    ask_timeout: Duration,
    failure: OnceLock<String>,
    /// Whether others may bring it entries and ask for its vote: not before it is certain that it is no member
    /// that has lost its disk, and it has seen who decides.
    is_open: AtomicBool,
}

impl Member {
    /// Starts a member on its directory. If the directory is new, the member makes a cluster of its own; else
    /// it goes on as what it was. If it is at another address than before, it says so to the others, as soon as
    /// one leads; while members move, a majority has to be where it was.
    ///
    /// A member whose disk was lost must not be started again: it would make another cluster of the same name.
    /// [Remove](Self::remove) it from the other one, and have a new one, with another id, join it. Who starts a member
    /// automatically takes this for the first start of the first member alone, and [`join`](Self::join) ever after.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub async fn start(options: MemberOptions) -> Result<Self, StartError> {
        let member = Self::open(options).await?;
        let engine = &member.core.engine;
        if !engine.is_bootstrapped().await? {
            engine.bootstrap(&member.core.address).await?;
        }
        member.core.is_open.store(true, SeqCst);
        Ok(member)
    }

    /// Starts a member that joins a cluster, of which it knows some members and where they are: one that is there
    /// is enough. If its directory says that it belongs to it already, it goes on and asks nobody.
    ///
    /// It first gets the log, and when it has it is let decide, unless it [joins as a
    /// learner](MemberOptions::join_as).
    ///
    /// # Errors
    ///
    /// [`StartError`]; [`StartError::Membership`] if it was not admitted within `timeout`, or is refused: by
    /// members of another cluster, or because its name is that of a member whose disk was lost.
    ///
    /// ```no_run
    /// use lease_raft::{Member, MemberOptions};
    /// use std::time::Duration;
    ///
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// let options = MemberOptions::new("/var/lib/leases", "blue", 2, "10.0.0.2:7351");
    /// let member = Member::join(options, &[(1, "10.0.0.1:7351")], Duration::from_secs(60)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn join(
        options: MemberOptions,
        known: &[(MemberId, &str)],
        timeout: Duration,
    ) -> Result<Self, StartError> {
        for (_, address) in known {
            check_address(address)?;
        }
        let decides = options.join_as == JoinAs::Voter;
        let member = Self::open(options).await?;
        // It says so when it has seen what is stored.
        let is_known = member.core.engine.is_bootstrapped().await?;
        member.core.is_open.store(is_known, SeqCst);
        let own = member.core.engine.member();
        let others: Vec<_> = known.iter().filter(|(other, _)| *other != own).collect();
        let known: Vec<_> = others.iter().map(|(other, _)| *other).collect();
        if member.core.belongs(decides) {
            member.core.note_if_apart(&known);
            return Ok(member);
        }
        for (other, address) in others {
            member.core.peers.set_address(*other, *address);
        }
        let admitted = member.core.seek_admission(decides, &known, timeout).await;
        match admitted {
            Ok(()) => Ok(member),
            Err(error) => {
                // It is not one; what comes of its end does not matter.
                let _ = member.stop().await;
                Err(error.into())
            }
        }
    }

    async fn open(options: MemberOptions) -> Result<Self, StartError> {
        options.check()?;
        let listener = listen(&options).await?;
        let runtime = Arc::new(TokioRuntime);
        let peers = Arc::new(GrpcPeers::new(
            &options.cluster,
            options.member,
            options.tls.clone(),
        ));
        let (opening, own) = (options.clone(), Arc::clone(&peers));
        let opened = blocking(&TokioRuntime, move || open_files(opening, own)).await;
        let (store, replica) = opened.map_err(|error| failed(&error))??;
        // Those that are there without the engine.
        let owners = Arc::strong_count(&store);
        let file = Arc::downgrade(&store);
        let engine = OpenraftEngine::start(
            &options.cluster,
            options.member,
            Arc::clone(&store),
            replica.clone(),
            peers.clone(),
            runtime,
            options.openraft.clone(),
        )
        .await?;
        let core = Arc::new(Core {
            lessor: replica.lessor(),
            replica,
            engine,
            peers,
            address: options.address.clone(),
            ask_timeout: options.replica.ask_timeout,
            failure: OnceLock::new(),
            is_open: AtomicBool::new(false),
        });
        let running = Running {
            core: Arc::clone(&core),
            store,
            owners,
        };
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = oneshot::channel();
        tokio::spawn(async move {
            // Nobody may wait any more.
            let _ = tell.send(running.run(listener, &options, stopped).await);
        });
        let ended = told.map(|ended| ended.unwrap_or(Err(LeaseError::Stopped.into())));
        Ok(Self {
            core,
            stop,
            ended: ended.boxed().shared(),
            file,
        })
    }

    /// The leases of the cluster. Clones of it keep the member's file open, also when the member has stopped.
    #[must_use]
    pub fn lessor(&self) -> &ReplicatedLessor {
        &self.core.lessor
    }

    /// Who belongs to the cluster, as far as this member knows. O(members).
    #[must_use]
    pub fn members(&self) -> Members {
        self.core.engine.members()
    }

    /// What the member has counted, and how far it is. O(1).
    #[must_use]
    pub fn status(&self) -> MemberStatus {
        self.core.status()
    }

    /// Lets a learner decide. Every member may be asked; a leader does it.
    ///
    /// # Errors
    ///
    /// [`MembershipError`]; within `timeout` also if the learner does not have the log by then.
    pub async fn promote(
        &self,
        member: MemberId,
        timeout: Duration,
    ) -> Result<(), MembershipError> {
        if !self.members().addresses.contains_key(&member) {
            return Err(MembershipError::no_member(member));
        }
        // Where it is it says itself.
        let change = || Change::admit(member, "", true, false);
        self.core.change(change, &[], timeout).await
    }

    /// Removes a member from the cluster. Its id is never used again. Every member may be asked; a leader
    /// does it. To remove a member that does not belong to it changes nothing.
    ///
    /// # Errors
    ///
    /// [`MembershipError`].
    pub async fn remove(&self, member: MemberId, timeout: Duration) -> Result<(), MembershipError> {
        let change = || Change::Remove(member);
        self.core.change(change, &[], timeout).await
    }

    /// Has a member that decides lead, and waits until it does. Every member may be asked. It is asked once: if
    /// another one is elected, that is an error.
    ///
    /// # Errors
    ///
    /// [`MembershipError`]; [`MembershipError::Refused`] also if it has not answered the leader of late, or was
    /// not elected.
    pub async fn transfer_leadership(
        &self,
        to: MemberId,
        timeout: Duration,
    ) -> Result<(), MembershipError> {
        self.core.change(|| Change::Lead(to), &[], timeout).await
    }

    /// Why the member has stopped by itself; `None` while it can go on. O(1).
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.core.failure.get().cloned()
    }

    /// Waits until the member has stopped, by itself.
    pub async fn ended(&self) {
        // What it has come to is said by `failure`.
        let _ = self.ended.clone().await;
    }

    /// Stops the member, and waits for that: what it has applied is written, its port and its file are free. If
    /// it leads, another one leads before it stops, if one can within a second, so that nobody has to miss it
    /// first.
    ///
    /// While somebody has a clone of its lessor its file is not free, and this takes half a second longer. The
    /// others go on if they are enough.
    ///
    /// What waits for a disk cannot be ended: it is waited for until the [stop
    /// timeout](MemberOptions::stop_timeout) has passed, and some seconds more are for the rest. Calls of the lessor
    /// have ended by then, whatever hangs. Threads that wait for a disk also hold up the end of a tokio runtime,
    /// unless it is ended by `Runtime::shutdown_timeout`.
    ///
    /// # Errors
    ///
    /// [`StopError`], which the log has, too.
    pub async fn stop(self) -> Result<(), StopError> {
        let Self {
            core,
            stop,
            ended,
            file,
        } = self;
        drop((core, stop));
        let stopped = ended.await;
        if matches!(stopped, Err(StopError::Late { .. })) {
            return stopped;
        }
        // Tasks that have just ended, such as those of connections, let go of it in a moment.
        for _ in 0..FILE_TRIES {
            if file.strong_count() == 0 {
                break;
            }
            tokio::time::sleep(FILE_PAUSE).await;
        }
        stopped
    }
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut f = f.debug_struct("Member");
        f.field("engine", &self.core.engine).finish_non_exhaustive()
    }
}

const FILE_TRIES: u32 = 100;
const FILE_PAUSE: Duration = Duration::from_millis(5);

async fn listen(options: &MemberOptions) -> Result<TcpListener, StartError> {
    let address = options.listen.as_ref().unwrap_or(&options.address);
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| StartError::Listen {
        address: address.clone(),
        reason: error.to_string(),
    })
}

/// Opens what a member has on its disk.
fn open_files(
    options: MemberOptions,
    peers: Arc<GrpcPeers>,
) -> Result<(Arc<RedbStore>, Replica), StartError> {
    std::fs::create_dir_all(&options.dir).map_err(|error| {
        let text = format!("{}: {error}", options.dir.display());
        let error = std::io::Error::new(error.kind(), text);
        BackendError::Io(lease_core::HostError::new(error))
    })?;
    let store = RedbStore::open_with(options.redb, options.dir.join(FILE))?;
    store.identify(&options.cluster, options.member)?;
    let store = Arc::new(store);
    let replica = Replica::open(Parts {
        member: options.member,
        store: store.clone(),
        peers,
        runtime: Arc::new(TokioRuntime),
        machine: options.machine,
        clock: options.clock,
        observer: options.observer,
        session: new_session(),
        options: crate::ReplicaOptions {
            cluster: options.cluster,
            ..options.replica
        },
    });
    Ok((store, replica.map_err(StartError::State)?))
}

/// A number that no other life of a member has.
#[expect(
    clippy::disallowed_types,
    reason = "it has to differ; a simulation draws its own, see `Parts`"
)]
fn new_session() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}

fn failed(error: &std::io::Error) -> StartError {
    StartError::Engine(EngineError::Stopped(error.to_string()))
}

/// The name of a member's file in its directory.
const FILE: &str = "member.redb";
