//! A cluster in one process: its members ask each other through memory, as far as the test lets them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use tempfile::TempDir;

use super::stand_in::Tally;
use crate::raft::network::Identity;
use crate::redb_store::RedbStore;
use crate::{
    Engine, MemberId, MembershipError, OpenraftEngine, OpenraftOptions, PeerAnswer, PeerError,
    Peers, ProposeError, TokioRuntime,
};

#[derive(Default)]
pub(super) struct Wires {
    engines: Mutex<BTreeMap<MemberId, OpenraftEngine>>,
    isolated: Mutex<BTreeSet<MemberId>>,
    /// Each how many-th message is lost; none if 0.
    pub(super) loses: AtomicU64,
    sent: AtomicU64,
    /// Whether nobody hears who decides alone before it leads.
    pub(super) silences_the_last: AtomicBool,
}

struct From(MemberId, Arc<Wires>);

impl Wires {
    fn delivers(&self, from: MemberId, to: MemberId) -> bool {
        let sent = self.sent.fetch_add(1, Ordering::Relaxed);
        let loses = self.loses.load(Ordering::Relaxed);
        let isolated = self.isolated.lock().expect("no panic");
        let is_lost = loses > 0 && sent.is_multiple_of(loses);
        !is_lost && !isolated.contains(&from) && !isolated.contains(&to)
    }

    async fn carry(
        &self,
        from: MemberId,
        to: MemberId,
        path: &str,
        body: &[u8],
    ) -> Option<PeerAnswer> {
        let engine = self.engines.lock().expect("no panic").get(&to).cloned()?;
        if !self.delivers(from, to) {
            return std::future::pending().await;
        }
        let answer = engine.answer(from, path, body).await;
        let is_last = engine.members().voters == BTreeSet::from([to]);
        let is_silenced =
            self.silences_the_last.load(Ordering::Relaxed) && is_last && known(&engine) != Some(to);
        match self.delivers(to, from) && !is_silenced {
            true => Some(answer),
            false => std::future::pending().await,
        }
    }
}

impl Peers for From {
    fn ask(
        &self,
        member: MemberId,
        path: &'static str,
        body: Vec<u8>,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<PeerAnswer, PeerError>> {
        let (from, wires) = (self.0, Arc::clone(&self.1));
        Box::pin(async move {
            let carried = wires.carry(from, member, path, &body);
            let answer = tokio::time::timeout(timeout, carried).await;
            answer.ok().flatten().ok_or_else(|| PeerError {
                member,
                reason: "nobody is there".to_owned(),
            })
        })
    }
}

pub(super) struct Cluster {
    dir: TempDir,
    pub(super) wires: Arc<Wires>,
    pub(super) options: OpenraftOptions,
    machines: BTreeMap<MemberId, Arc<Tally>>,
}

impl Cluster {
    pub(super) fn new() -> Self {
        let ms = Duration::from_millis;
        Self {
            dir: tempfile::tempdir().expect("a folder"),
            wires: Arc::default(),
            options: OpenraftOptions::new()
                .heartbeat(ms(60))
                .election_timeout(ms(400), ms(600)),
            machines: BTreeMap::new(),
        }
    }

    /// Three voters that have a leader.
    pub(super) async fn of_three() -> Self {
        let mut cluster = Self::new();
        for member in 1..=3 {
            cluster.start(member).await;
        }
        cluster.engine(1).bootstrap("one").await.expect("a new one");
        cluster.leader().await;
        for member in [2, 3] {
            cluster.admit(member).await;
        }
        cluster
    }

    /// The store of a member that does not run.
    pub(super) fn open(&self, member: MemberId) -> RedbStore {
        let path = self.dir.path().join(format!("{member}.redb"));
        RedbStore::open(path).expect("nobody has it")
    }

    /// How many snapshots lie beside the stores.
    pub(super) fn spooled(&self) -> usize {
        let files = std::fs::read_dir(self.dir.path()).expect("it is there");
        let names = files.map(|file| file.expect("it is there").file_name());
        names
            .filter(|name| name.to_string_lossy().contains(".snapshot-"))
            .count()
    }

    pub(super) async fn start(&mut self, member: MemberId) {
        let store = Arc::new(self.open(member));
        let machine = Tally::open(&store);
        let identity = Identity {
            cluster: "blue".to_owned(),
            member,
        };
        let engine = OpenraftEngine::start_with(
            identity,
            store,
            Arc::clone(&machine) as _,
            Arc::new(From(member, Arc::clone(&self.wires))),
            Arc::new(TokioRuntime),
            &self.options,
        );
        let engine = engine.await.expect("it starts");
        self.machines.insert(member, machine);
        self.wires
            .engines
            .lock()
            .expect("no panic")
            .insert(member, engine);
    }

    /// Ends a member as a crash does: what it has not committed is lost.
    pub(super) async fn stop(&mut self, member: MemberId) {
        self.engine(member).shutdown().await;
        self.forget(member).await;
    }

    /// Drops a member, and waits until its store can be opened.
    pub(super) async fn forget(&mut self, member: MemberId) {
        self.wires.engines.lock().expect("no panic").remove(&member);
        self.machines.remove(&member);
        let path = self.dir.path().join(format!("{member}.redb"));
        // Tasks of openraft let go of the store one after the other.
        eventually("the store is free", || RedbStore::open(&path).is_ok()).await;
    }

    pub(super) fn isolate(&self, member: MemberId) {
        self.wires.isolated.lock().expect("no panic").insert(member);
    }

    pub(super) fn heal(&self) {
        self.wires.isolated.lock().expect("no panic").clear();
    }

    pub(super) fn engine(&self, member: MemberId) -> OpenraftEngine {
        self.wires.engines.lock().expect("no panic")[&member].clone()
    }

    pub(super) fn machine(&self, member: MemberId) -> &Tally {
        &self.machines[&member]
    }

    fn running(&self) -> Vec<MemberId> {
        self.machines.keys().copied().collect()
    }

    /// Adds a member that runs, and lets it decide.
    pub(super) async fn admit(&self, member: MemberId) {
        loop {
            let leader = self.engine(self.leader().await);
            let added = leader.add_learner(member, "there").await;
            let admitted = match added {
                Ok(()) => leader.promote(member).await,
                error => error,
            };
            match admitted {
                Ok(()) => return,
                Err(
                    MembershipError::InProgress
                    | MembershipError::Lagging { .. }
                    | MembershipError::NotLeader { .. }
                    | MembershipError::Unknown,
                ) => {}
                Err(error) => {
                    let voters = self.engine(self.leader().await).members().voters;
                    assert!(voters.contains(&member), "{error}");
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The member that says that it leads, when one does.
    pub(super) async fn leader(&self) -> MemberId {
        let mut leader = None;
        eventually("there is a leader", || {
            let leads = |member: &MemberId| {
                let isolated = self.wires.isolated.lock().expect("no panic");
                !isolated.contains(member) && known(&self.engine(*member)) == Some(*member)
            };
            leader = self.running().into_iter().find(leads);
            leader.is_some()
        })
        .await;
        leader.expect("it was found")
    }

    /// Proposes at whoever leads, again and again until it is known to be committed.
    pub(super) async fn propose(&self, proposal: &str) {
        for _ in 0..100 {
            let leader = self.leader().await;
            let proposing = self.engine(leader).propose(proposal.as_bytes().to_vec());
            match tokio::time::timeout(PATIENCE, proposing).await {
                Ok(Ok(())) => return,
                Ok(Err(ProposeError::NotLeader | ProposeError::Unknown)) => {}
                Err(_) => panic!("{proposal} is neither committed nor not"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{proposal} is never committed");
    }

    /// The proposals of all running members, once they are the same.
    pub(super) async fn agreed(&self) -> Vec<String> {
        let mut first = Vec::new();
        eventually("all members agree", || {
            let mut all = self
                .running()
                .into_iter()
                .map(|member| self.machine(member).proposals());
            first = all.next().expect("a member runs");
            all.all(|proposals| proposals == first)
        })
        .await;
        let text = |bytes| String::from_utf8(bytes).expect("a text");
        first.into_iter().map(text).collect()
    }
}

/// Who leads, as far as a member says.
pub(super) fn known(engine: &OpenraftEngine) -> Option<MemberId> {
    use futures::{FutureExt, StreamExt};

    let now = engine.leadership().next().now_or_never();
    now.flatten().expect("it is known at once").leader
}

pub(super) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "not so after {PATIENCE:?}: {what}");
}

pub(super) const PATIENCE: Duration = Duration::from_secs(60);
