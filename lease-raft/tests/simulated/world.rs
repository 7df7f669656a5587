use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use lease_backend::RedbOptions;
use lease_backend::testing::{Prng, SimDisk};
use lease_core::LessorConfig;
use lease_raft::{
    Engine, MadsimRuntime, MemberId, MembershipError, OpenraftEngine, OpenraftOptions, Parts,
    RedbStore, Replica, ReplicaOptions,
};
use madsim::runtime::{Handle, NodeHandle};
use madsim::time::{TimeHandle, sleep};

use crate::host::{Journal, VirtualClock};
use crate::network::Wire;
use crate::trace::Trace;

/// Members, the disks that survive them, and what is between them.
pub(crate) struct World {
    members: Mutex<BTreeMap<MemberId, Running>>,
    disks: Mutex<BTreeMap<MemberId, SimDisk>>,
    isolated: Mutex<BTreeSet<MemberId>>,
    noise: Mutex<Prng>,
    trace: Mutex<Trace>,
    /// How many in a hundred messages are lost.
    losses: u64,
    seed: u64,
}

#[derive(Clone)]
struct Running {
    engine: OpenraftEngine,
    replica: Replica,
    journal: Arc<Journal>,
    node: NodeHandle,
}

impl World {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        let mut noise = Prng::new(seed);
        Arc::new(Self {
            members: Mutex::default(),
            disks: Mutex::default(),
            isolated: Mutex::default(),
            losses: noise.below(4),
            noise: Mutex::new(noise),
            trace: Mutex::default(),
            seed,
        })
    }

    pub(crate) fn note(&self, what: &str) {
        self.trace.lock().expect("no panic").note(what);
    }

    pub(crate) fn now(&self) -> Duration {
        TimeHandle::current().elapsed()
    }

    pub(crate) fn trace(&self) -> Trace {
        self.trace.lock().expect("no panic").clone()
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.noise.lock().expect("no panic").below(bound)
    }

    /// How long a message is under way, and whether it never arrives.
    pub(crate) fn fate(&self, from: MemberId, to: MemberId) -> (Duration, bool) {
        let delay = Duration::from_micros(200 + self.below(3_000));
        let isolated = self.isolated.lock().expect("no panic");
        let is_apart = isolated.contains(&from) || isolated.contains(&to);
        (delay, is_apart || self.below(100) < self.losses)
    }

    pub(crate) fn isolate(&self, member: MemberId) {
        self.note(&format!("{member} is isolated"));
        self.isolated.lock().expect("no panic").insert(member);
    }

    pub(crate) fn heal(&self) {
        self.note("all are together again");
        self.isolated.lock().expect("no panic").clear();
    }

    /// Starts a member on its disk, in a node of its own.
    pub(crate) async fn start(self: &Arc<Self>, member: MemberId) {
        let runtime = Handle::current();
        let name = format!("member {member}");
        let node = runtime.create_node().name(name).build();
        let (world, own) = (Arc::clone(self), node.clone());
        let started = node.spawn(async move { world.open(member, own).await });
        let running = started.await.expect("it is not killed meanwhile");
        self.members
            .lock()
            .expect("no panic")
            .insert(member, running);
        self.note(&format!("{member} has started"));
    }

    async fn open(self: Arc<Self>, member: MemberId, node: NodeHandle) -> Running {
        let disk = {
            let mut disks = self.disks.lock().expect("no panic");
            let new = || SimDisk::new(self.seed ^ member);
            disks.entry(member).or_insert_with(new).clone()
        };
        let options = RedbOptions::new().cache_size(4 << 20);
        let store = RedbStore::create_with_storage(options, disk);
        let store = Arc::new(store.expect("the disk has power"));
        let peers = Arc::new(Wire {
            from: member,
            world: Arc::clone(&self),
        });
        let journal = Arc::new(Journal {
            member,
            world: Arc::clone(&self),
            commands: Mutex::default(),
        });
        let replica = Replica::open(Parts {
            member,
            store: Arc::clone(&store) as _,
            peers: Arc::clone(&peers) as _,
            runtime: Arc::new(MadsimRuntime),
            machine: Arc::clone(&journal) as _,
            clock: Arc::new(VirtualClock(TimeHandle::current())),
            observer: None,
            session: self.noise.lock().expect("no panic").next_u64(),
            options: ReplicaOptions {
                cluster: "blue".to_owned(),
                config: LessorConfig {
                    hash_seed: Some(self.seed),
                    ..LessorConfig::default()
                },
                ..ReplicaOptions::default()
            },
        });
        let replica = replica.expect("its state can be read");
        let engine = OpenraftEngine::start(
            "blue",
            member,
            store,
            replica.clone(),
            peers,
            Arc::new(MadsimRuntime),
            options_of_engine(),
        );
        let engine = engine.await.expect("its log can be read");
        let (running, own) = (replica.clone(), Arc::new(engine.clone()));
        madsim::task::spawn(async move { running.run(own).await });
        Running {
            engine,
            replica,
            journal,
            node,
        }
    }

    /// Ends a member at once. Its disk keeps what it has to, and maybe more.
    pub(crate) fn kill(&self, member: MemberId) {
        self.note(&format!("{member} is killed"));
        let killed = self.members.lock().expect("no panic").remove(&member);
        let killed = killed.expect("it runs");
        Handle::current().kill(killed.node.id());
        let mut disks = self.disks.lock().expect("no panic");
        let disk = disks.get_mut(&member).expect("it has one");
        *disk = disk.restart();
    }

    pub(crate) fn running(
        &self,
        member: MemberId,
    ) -> Option<(OpenraftEngine, Replica, NodeHandle)> {
        let members = self.members.lock().expect("no panic");
        let Running {
            engine,
            replica,
            node,
            ..
        } = members.get(&member)?;
        Some((engine.clone(), replica.clone(), node.clone()))
    }

    pub(crate) fn engine(&self, member: MemberId) -> OpenraftEngine {
        self.running(member).expect("it runs").0
    }

    pub(crate) fn replica(&self, member: MemberId) -> Replica {
        self.running(member).expect("it runs").1
    }

    /// What a member's host has applied.
    pub(crate) fn commands(&self, member: MemberId) -> BTreeMap<u64, Vec<u8>> {
        let members = self.members.lock().expect("no panic");
        let journal = &members[&member].journal;
        journal.commands.lock().expect("no panic").clone()
    }

    /// The member that says that it leads, and is heard, when there is one.
    pub(crate) async fn leader(&self) -> MemberId {
        let mut leader = None;
        self.eventually("there is a leader", || {
            let members: Vec<_> = {
                let members = self.members.lock().expect("no panic");
                members.keys().copied().collect()
            };
            leader = members.into_iter().find(|member| {
                let is_apart = self.isolated.lock().expect("no panic").contains(member);
                !is_apart && known_leader(&self.engine(*member)) == Some(*member)
            });
            leader.is_some()
        })
        .await;
        leader.expect("it was found")
    }

    pub(crate) async fn eventually(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let until = self.now() + PATIENCE;
        while !holds() {
            assert!(self.now() < until, "not so after {PATIENCE:?}: {what}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Makes a change of the members at whoever leads, until it is made.
    pub(crate) async fn change(&self, what: &str, change: impl AsyncFn(OpenraftEngine) -> Changed) {
        let until = self.now() + PATIENCE;
        loop {
            let leader = self.leader().await;
            let changed = change(self.engine(leader)).await;
            self.note(&format!("{what} at {leader}: {changed:?}"));
            match changed {
                Ok(()) => return,
                Err(MembershipError::Refused(reason)) => panic!("{what}: {reason}"),
                Err(error) => {
                    assert!(self.now() < until, "{what}: {error}");
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Who sees a test fail sees what went before.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let trace = self.trace.lock().unwrap_or_else(PoisonError::into_inner);
            eprintln!("seed {}, at last:\n{}", self.seed, trace.last(100));
        }
    }
}

pub(crate) type Changed = Result<(), MembershipError>;

/// Who leads, as far as a member says.
pub(crate) fn known_leader(engine: &OpenraftEngine) -> Option<MemberId> {
    let now = engine.leadership().next().now_or_never();
    now.flatten().expect("it is known at once").leader
}

/// A log that is purged soon.
fn options_of_engine() -> OpenraftOptions {
    let ms = Duration::from_millis;
    OpenraftOptions::new()
        .heartbeat(ms(50))
        .election_timeout(ms(200), ms(300))
        .snapshot_after(50)
        .keep_entries(10)
        .chunk_bytes(4 << 10)
}

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
