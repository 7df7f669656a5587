//! Replicas on openraft, in one process, whose members ask each other through memory.
#![cfg(all(feature = "openraft", not(madsim)))]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use lease_backend::RedbOptions;
use lease_backend::testing::SimDisk;
use lease_core::{LeaseId, LeaseItem, SystemClock};
use lease_raft::{
    Consistency, MemberId, NoMachine, OpenraftEngine, OpenraftOptions, Parts, PeerAnswer,
    PeerError, Peers, RedbStore, Replica, ReplicaOptions, ReplicatedLessor, TokioRuntime,
};
use tempfile::TempDir;

#[derive(Clone, Default)]
struct Wires(Arc<Mutex<BTreeMap<MemberId, Member>>>);

#[derive(Clone)]
struct Member {
    engine: OpenraftEngine,
    replica: Replica,
}

impl Member {
    async fn answer(&self, from: MemberId, path: &str, body: &[u8]) -> PeerAnswer {
        match OpenraftEngine::is_for_engine(path) {
            true => self.engine.answer(from, path, body).await,
            false => self.replica.answer(path, body).await,
        }
    }
}

struct From(MemberId, Wires);

impl Peers for From {
    fn ask(
        &self,
        member: MemberId,
        path: &'static str,
        body: Vec<u8>,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<PeerAnswer, PeerError>> {
        let asked = self.1.0.lock().expect("no panic").get(&member).cloned();
        let from = self.0;
        Box::pin(async move {
            let reason = "nobody is there".to_owned();
            let asked = asked.ok_or_else(|| PeerError {
                member,
                reason: reason.clone(),
            })?;
            let answer = tokio::time::timeout(timeout, asked.answer(from, path, &body)).await;
            answer.map_err(|_| PeerError { member, reason })
        })
    }
}

struct Cluster {
    dir: TempDir,
    wires: Wires,
    lives: u64,
}

const PATIENCE: Duration = Duration::from_secs(60);

impl Cluster {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a folder"),
            wires: Wires::default(),
            lives: 0,
        }
    }

    async fn start(&mut self, member: MemberId) {
        let path = self.dir.path().join(format!("{member}.redb"));
        let opening = async {
            loop {
                // A member that was stopped lets go of it soon.
                match RedbStore::open(&path) {
                    Ok(store) => return Arc::new(store),
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        };
        let store = tokio::time::timeout(PATIENCE, opening).await;
        self.start_on(store.expect("nobody has it"), member).await;
    }

    async fn start_on(&mut self, store: Arc<RedbStore>, member: MemberId) {
        let peers = Arc::new(From(member, self.wires.clone()));
        self.lives += 1;
        let replica = Replica::open(Parts {
            member,
            store: store.clone(),
            peers: peers.clone(),
            runtime: Arc::new(TokioRuntime),
            machine: Arc::new(NoMachine),
            clock: Arc::new(SystemClock::default()),
            observer: None,
            session: self.lives,
            options: ReplicaOptions {
                cluster: "blue".to_owned(),
                ..ReplicaOptions::default()
            },
        });
        let replica = replica.expect("the store is sound");
        let options = OpenraftOptions::new().snapshot_after(100).keep_entries(10);
        let runtime = Arc::new(TokioRuntime);
        let start = OpenraftEngine::start(
            "blue",
            member,
            store,
            replica.clone(),
            peers,
            runtime,
            options,
        );
        let engine = start.await.expect("it starts");
        let (running, own) = (replica.clone(), Arc::new(engine.clone()));
        tokio::spawn(async move {
            running.run(own.clone()).await;
            if own.failure().is_some() {
                // Nobody waits for it any more.
                let _ = running.stop();
            }
        });
        let both = Member { engine, replica };
        self.wires.0.lock().expect("no panic").insert(member, both);
    }

    async fn stop(&self, member: MemberId) {
        let stopped = self.wires.0.lock().expect("no panic").remove(&member);
        let Member { engine, replica } = stopped.expect("it runs");
        engine.shutdown().await;
        replica.stop().expect("the disk works");
    }

    fn member(&self, member: MemberId) -> Member {
        self.wires.0.lock().expect("no panic")[&member].clone()
    }

    fn lessor(&self, member: MemberId) -> ReplicatedLessor {
        self.member(member).replica.lessor()
    }

    async fn admit(&self, member: MemberId) {
        let engine = self.member(1).engine;
        let admitting = async {
            while engine.add_learner(member, "there").await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            while engine.promote(member).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let admitted = tokio::time::timeout(PATIENCE, admitting).await;
        admitted.expect("it is admitted");
    }

    async fn leases(&self, member: MemberId) -> usize {
        let lessor = self.lessor(member);
        let page = lessor.page(None, 10_000, Consistency::Linearizable, PATIENCE);
        page.await.expect("a quorum is there").len()
    }
}

fn id(number: i64) -> LeaseId {
    LeaseId::try_from(number).expect("not zero")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_survive_restarts_leaders_and_a_member_that_comes_back_by_a_snapshot() {
    let mut cluster = Cluster::new();
    for member in 1..=3 {
        cluster.start(member).await;
    }
    cluster
        .member(1)
        .engine
        .bootstrap("one")
        .await
        .expect("new");
    cluster.admit(2).await;
    cluster.admit(3).await;
    for n in 1..=30 {
        let lessor = cluster.lessor(1 + n as u64 % 3);
        lessor.grant(id(n), 600, PATIENCE).await.expect("granted");
    }
    cluster.stop(3).await;
    for n in 31..=400 {
        let lessor = cluster.lessor(1 + n as u64 % 2);
        lessor.grant(id(n), 600, PATIENCE).await.expect("granted");
    }
    cluster.start(3).await;
    assert_eq!(cluster.leases(3).await, 400);
    // Now the leader goes: whoever that is, two that know all are left.
    let leader = cluster.lessor(3).leader().expect("it is known");
    cluster.stop(leader).await;
    let other = if leader == 2 { 3 } else { 2 };
    let renewed = cluster.lessor(other).renew(id(7), PATIENCE).await;
    assert_eq!(renewed.expect("renewed").get(), 600);
    let revoked = cluster.lessor(other).revoke(id(400), PATIENCE).await;
    revoked.expect("revoked");
    cluster.start(leader).await;
    for member in 1..=3 {
        cluster.stop(member).await;
    }
    for member in 1..=3 {
        cluster.start(member).await;
    }
    for member in 1..=3 {
        assert_eq!(cluster.leases(member).await, 399);
    }
}

/// Grants leases with large items until it fails. Returns those that were acknowledged.
async fn fill(lessor: &ReplicatedLessor) -> Vec<LeaseId> {
    let mut acknowledged = Vec::new();
    for number in 1..100_000 {
        let lease = id(number);
        let item = [&number.to_be_bytes()[..], &[1; 3000]].concat();
        if lessor.grant(lease, 6000, PATIENCE).await.is_err() {
            break;
        }
        acknowledged.push(lease);
        let attached = lessor.attach(lease, vec![LeaseItem::new(item)], PATIENCE);
        if attached.await.is_err() {
            break;
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_on_a_full_disk_stops_says_why_and_goes_on_when_there_is_room() {
    // Where it becomes full differs: in the log, or in the state.
    for capacity in [2 << 20, 5 << 19, 3 << 20] {
        let mut cluster = Cluster::new();
        let disk = SimDisk::new(capacity);
        let open = || RedbStore::create_with_storage(RedbOptions::new(), disk.clone());
        cluster
            .start_on(Arc::new(open().expect("there is room")), 1)
            .await;
        let engine = cluster.member(1).engine;
        engine.bootstrap("one").await.expect("new");
        let lessor = cluster.lessor(1);
        lessor.grant(id(-1), 6000, PATIENCE).await.expect("free");
        disk.set_capacity(capacity);
        let acknowledged = fill(&lessor).await;
        assert!(!acknowledged.is_empty());

        let Member { engine, replica } = cluster.member(1);
        let failure = || replica.failure().or_else(|| engine.failure());
        let stops = async {
            while failure().is_none() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let stopped = tokio::time::timeout(PATIENCE, stops).await;
        stopped.expect("it cannot go on");
        let reason = failure().expect("it has stopped");
        assert!(reason.contains("no storage space"), "{reason}");
        engine.shutdown().await;
        // What it has applied may not be written: it is in the log.
        let _ = replica.stop();
        cluster.wires.0.lock().expect("no panic").clear();
        drop((engine, replica, lessor));

        let disk = disk.restart();
        disk.heal();
        let open = || RedbStore::create_with_storage(RedbOptions::new(), disk.clone());
        cluster
            .start_on(Arc::new(open().expect("it is sound")), 1)
            .await;
        let lessor = cluster.lessor(1);
        for lease in acknowledged {
            let found = lessor.lookup(lease, Consistency::Linearizable, PATIENCE);
            assert!(found.await.expect("it leads").is_some(), "{lease} is lost");
        }
        let more = lessor.grant(id(-2), 6000, PATIENCE).await;
        more.expect("there is room");
    }
}
