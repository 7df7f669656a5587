//! Members in one process, with files in a folder and ports of loopback.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use lease_core::{LeaseId, LessorConfig, Ttl};
use lease_raft::{
    Consistency, Member, MemberId, MemberOptions, OpenraftOptions, ReplicaOptions, ReplicatedLessor,
};
use tempfile::TempDir;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How much longer than its TTL a lease lives after a change of the leader.
pub(crate) const EXTEND: Duration = Duration::from_secs(1);

pub(crate) struct Cluster {
    dir: TempDir,
    ports: BTreeMap<MemberId, u16>,
    members: BTreeMap<MemberId, Member>,
}

pub(crate) fn id(number: i64) -> LeaseId {
    LeaseId::try_from(number).expect("not zero")
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a folder"),
            ports: BTreeMap::new(),
            members: BTreeMap::new(),
        }
    }

    /// The first of so many leads when all are there.
    pub(crate) async fn of(count: MemberId) -> Self {
        let mut cluster = Self::new();
        cluster.start(1).await;
        for member in 2..=count {
            cluster.join(member).await;
        }
        cluster
    }

    pub(crate) fn folder(&self, member: MemberId) -> PathBuf {
        self.dir.path().join(member.to_string())
    }

    pub(crate) fn address(&mut self, member: MemberId) -> String {
        let port = self.ports.entry(member).or_insert_with(free_port);
        format!("127.0.0.1:{port}")
    }

    /// Has a member be somewhere else when it is started next.
    pub(crate) fn displace(&mut self, member: MemberId) {
        self.ports.remove(&member);
    }

    pub(crate) fn options(&mut self, member: MemberId) -> MemberOptions {
        let (min, max) = (Duration::from_millis(300), Duration::from_millis(450));
        let config = LessorConfig {
            min_ttl: Ttl::MIN,
            expired_lease_retry_interval: Duration::from_secs(1),
            ..LessorConfig::default()
        };
        MemberOptions::new(self.folder(member), "blue", member, self.address(member))
            .openraft(
                OpenraftOptions::new()
                    .heartbeat(Duration::from_millis(75))
                    .election_timeout(min, max)
                    .snapshot_after(100)
                    .keep_entries(10),
            )
            .replica(ReplicaOptions {
                extend: EXTEND,
                config,
                ..ReplicaOptions::default()
            })
    }

    pub(crate) async fn start(&mut self, member: MemberId) {
        let options = self.options(member);
        self.start_with(options, member).await;
    }

    pub(crate) async fn start_with(&mut self, options: MemberOptions, member: MemberId) {
        let started = Member::start(options).await;
        self.members.insert(member, started.expect("it starts"));
    }

    pub(crate) async fn join(&mut self, member: MemberId) {
        let options = self.options(member);
        self.join_with(options, member).await;
    }

    pub(crate) async fn join_with(&mut self, options: MemberOptions, member: MemberId) {
        let first = self.address(1);
        let joined = Member::join(options, &[(1, &first)], PATIENCE).await;
        self.members.insert(member, joined.expect("it is admitted"));
    }

    pub(crate) async fn stop(&mut self, member: MemberId) {
        let stopped = self.members.remove(&member).expect("it runs").stop();
        stopped.await.expect("the disk works");
    }

    pub(crate) async fn stop_all(&mut self) {
        for member in std::mem::take(&mut self.members).into_values() {
            member.stop().await.expect("the disk works");
        }
    }

    pub(crate) fn member(&self, member: MemberId) -> &Member {
        &self.members[&member]
    }

    pub(crate) fn lessor(&self, member: MemberId) -> &ReplicatedLessor {
        self.members[&member].lessor()
    }

    /// Who leads, as far as one of them knows.
    pub(crate) fn leader(&self, member: MemberId) -> MemberId {
        self.lessor(member).leader().expect("it is known")
    }

    /// The ids of all leases, as new as can be.
    pub(crate) async fn leases(&self, member: MemberId) -> Vec<i64> {
        let lessor = self.lessor(member);
        let page = lessor.page(None, 10_000, Consistency::Linearizable, PATIENCE);
        let page = page.await.expect("a quorum is there");
        page.iter().map(|lease| lease.id().get()).collect()
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waits = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waits).await;
    assert!(waited.is_ok(), "{what}: not so after {PATIENCE:?}");
}
