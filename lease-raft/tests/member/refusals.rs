//! Members that must not start, or cannot go on.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use lease_backend::RedbBackend;
use lease_core::{Backend, BackendError, BackendLessor, Lessor};
use lease_raft::grpc::Tls;
use lease_raft::{
    Decided, EngineError, Leases, Member, MemberOptions, MembershipError, OpenraftOptions,
    ReplicaError, ReplicaOptions, StartError, StateMachine,
};
use tokio::time::Instant;

use crate::cluster::{Cluster, PATIENCE, id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_of_another_cluster_is_refused_at_once() {
    let mut cluster = Cluster::of(1).await;
    let (first, second) = (cluster.address(1), cluster.address(2));
    let stranger = || MemberOptions::new(cluster.folder(2), "green", 2, second.clone());
    let begun = Instant::now();
    let refused = Member::join(stranger(), &[(1, &first)], PATIENCE).await;
    let error = refused.expect_err("it is of another cluster").to_string();
    assert!(
        error.contains(r#"a member of the cluster "blue""#),
        "{error}"
    );
    let wrong = Member::join(stranger(), &[(7, &first)], PATIENCE).await;
    assert!(wrong.is_err());
    assert!(begun.elapsed() < Duration::from_secs(5));

    // Its file says whose it is, from now on.
    let options = cluster.options(2);
    let refused = Member::join(options, &[(1, &first)], PATIENCE).await;
    let error = refused.expect_err("the file is of another cluster");
    assert!(
        matches!(error, StartError::Store(BackendError::Foreign(_))),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        "the file of the member: the store does not fit: it belongs to member 2 of cluster \"green\", and is opened \
         as that of member 2 of cluster \"blue\""
    );
    cluster.stop_all().await;
    let options = MemberOptions::new(cluster.folder(1), "blue", 2, second.clone());
    let refused = Member::start(options).await;
    let error = refused
        .expect_err("the file is of another member")
        .to_string();
    assert!(
        error.contains("belongs to member 1 of") && error.contains("as that of member 2 of"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_lost_its_disk_does_not_come_back_under_its_name() {
    let mut cluster = Cluster::of(3).await;
    cluster.stop(3).await;
    fs::remove_dir_all(cluster.folder(3)).expect("its files");
    let options = cluster.options(3);
    let first = cluster.address(1);
    let refused = Member::join(options, &[(1, &first)], PATIENCE).await;
    let error = refused.expect_err("it has forgotten what it has acknowledged");
    assert!(error.to_string().contains("lost"), "{error}");

    cluster
        .member(2)
        .remove(3, PATIENCE)
        .await
        .expect("two are left");
    cluster.join(4).await;
    cluster.stop(1).await;
    let granted = cluster.lessor(4).grant(id(1), 60, PATIENCE).await;
    granted.expect("two of three are there");
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_there_and_the_port_is_taken() {
    let mut cluster = Cluster::of(1).await;
    let options = cluster.options(2);
    let late = Member::join(options, &[(9, "127.0.0.1:1")], Duration::from_secs(1)).await;
    let error = late.expect_err("nobody is there");
    assert!(
        matches!(
            &error,
            StartError::Membership(MembershipError::DeadlineExceeded { .. })
        ),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(
        text.contains("member 9") && text.contains("tcp connect error"),
        "{text}"
    );
    let taken = cluster.address(1);
    let options = cluster.options(2).listen(taken);
    let refused = Member::start(options).await;
    assert!(
        matches!(refused, Err(StartError::Listen { .. })),
        "{refused:?}"
    );
    // It may try again.
    cluster.join(2).await;
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_where_it_says_is_told_so() {
    let mut cluster = Cluster::of(1).await;
    let (first, second) = (cluster.address(1), cluster.address(2));
    let elsewhere = cluster.address(3);
    let options = cluster.options(2).listen(elsewhere);
    let late = Member::join(options, &[(1, &first)], Duration::from_secs(2)).await;
    let error = late.expect_err("the leader does not reach it").to_string();
    assert!(
        error.contains(&format!("it is not reached at {second}: ")),
        "{error}"
    );
    // It is a learner by now, and may try again.
    cluster.join(2).await;
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_said_and_left_as_it_is() {
    let mut cluster = Cluster::of(1).await;
    for number in 1..=50 {
        let granted = cluster.lessor(1).grant(id(number), 600, PATIENCE).await;
        granted.expect("free");
    }
    cluster.stop(1).await;
    let path = cluster.folder(1).join("member.redb");
    let whole = fs::read(&path).expect("a file");

    let mut altered = whole.clone();
    altered[..4096].fill(0x5a);
    let cut = whole[..whole.len() / 3].to_vec();
    for damaged in [altered, cut, b"no database".to_vec()] {
        fs::write(&path, &damaged).expect("a file");
        let options = cluster.options(1);
        let error = Member::start(options).await.expect_err("it is damaged");
        assert!(matches!(error, StartError::Store(_)), "{error:?}");
        assert_eq!(fs::read(&path).expect("a file"), damaged, "{error}");
    }
    fs::write(&path, &whole).expect("a file");
    cluster.start(1).await;
    assert_eq!(cluster.leases(1).await.len(), 50);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_of_a_lessor_alone_is_no_members() {
    let mut cluster = Cluster::new();
    let path = cluster.folder(1).join("member.redb");
    fs::create_dir_all(cluster.folder(1)).expect("a folder");
    let open = || Arc::new(RedbBackend::open(&path).expect("nobody has it"));
    let alone = BackendLessor::builder(open()).build().expect("it starts");
    alone.grant(id(7), 600).expect("free");
    alone.stop();
    drop(alone);
    let options = cluster.options(1);
    let error = Member::start(options).await.expect_err("it has no log");
    assert!(
        matches!(error, StartError::Store(BackendError::Foreign(_))),
        "{error:?}"
    );
    assert!(error.to_string().contains("a lessor alone"), "{error}");
    let alone = BackendLessor::builder(open()).build().expect("as it was");
    assert!(alone.lookup(id(7)).is_some());
}

/// Reads its rows at the start, and never again.
#[derive(Default)]
struct Once(AtomicUsize);

impl StateMachine for Once {
    fn recover(&self, _: &dyn Backend) -> Result<(), BackendError> {
        match self.0.fetch_add(1, SeqCst) {
            0 => Ok(()),
            _ => Err(BackendError::Damaged("a key is none".to_owned())),
        }
    }

    fn decide(&self, _: u64, _: &[u8], _: &dyn Leases) -> Decided {
        Decided::default()
    }

    fn apply(&self, _: u64, _: &[u8], _: &[u8]) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_cannot_go_on_from_a_snapshot_stops_and_says_why() {
    let mut cluster = Cluster::of(1).await;
    for number in 1..=300 {
        let granted = cluster.lessor(1).grant(id(number), 600, PATIENCE).await;
        granted.expect("free");
    }
    let first = cluster.address(1);
    let options = cluster.options(2).machine(Arc::new(Once::default()));
    let begun = Instant::now();
    let stopped = Member::join(options, &[(1, &first)], PATIENCE).await;
    let error = stopped
        .expect_err("it cannot read what it has stored")
        .to_string();
    assert!(error.contains("a key is none"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    // With a machine that can, it goes on from what is stored.
    cluster.join(2).await;
    assert_eq!(cluster.leases(2).await.len(), 300);
    cluster.stop_all().await;
}

/// Has a mistake.
struct Panics;

impl StateMachine for Panics {
    fn recover(&self, _: &dyn Backend) -> Result<(), BackendError> {
        Ok(())
    }

    fn decide(&self, index: u64, _: &[u8], _: &dyn Leases) -> Decided {
        panic!("a mistake at entry {index}")
    }

    fn apply(&self, _: u64, _: &[u8], _: &[u8]) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_panics_stops_its_member_which_says_what_it_has_said() {
    let mut cluster = Cluster::new();
    let options = cluster.options(1).machine(Arc::new(Panics));
    cluster.start_with(options, 1).await;
    let granted = cluster.lessor(1).grant(id(1), 600, PATIENCE).await;
    granted.expect("free");
    let unknown = cluster.lessor(1).propose(vec![], PATIENCE).await;
    assert_eq!(unknown, Err(ReplicaError::Unknown));
    cluster.member(1).ended().await;
    let reason = cluster.member(1).failure().expect("it has stopped");
    assert!(reason.contains("a mistake at entry"), "{reason}");
    cluster.stop(1).await;
    // A host without the mistake goes on.
    cluster.start(1).await;
    assert_eq!(cluster.leases(1).await, [1]);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_that_cannot_work_are_refused() {
    let mut cluster = Cluster::new();
    let nobody = cluster.options(0);
    let long = cluster.options(1).replica(ReplicaOptions {
        max_entry_bytes: 64 << 20,
        ..ReplicaOptions::default()
    });
    let chunks = OpenraftOptions::new().chunk_bytes(64 << 20);
    let chunks = cluster.options(1).openraft(chunks);
    let none = cluster
        .options(1)
        .openraft(OpenraftOptions::new().chunk_bytes(0));
    let ages = OpenraftOptions::new().election_timeout(PATIENCE, Duration::MAX);
    let ages = cluster.options(1).openraft(ages);
    for options in [nobody, long, chunks, none, ages] {
        let refused = Member::start(options).await;
        assert!(
            matches!(refused, Err(StartError::Engine(EngineError::Options(_)))),
            "{refused:?}"
        );
    }
    // Nothing of them is in its folder.
    cluster.start(1).await;
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_that_make_no_sense_are_refused_and_it_is_said_which() {
    let mut cluster = Cluster::new();
    let folder = cluster.folder(1);
    let at = |address: &str| MemberOptions::new(&folder, "blue", 1, address);
    let with = |replica| at("10.0.0.1:7351").replica(replica);
    let nowhere = "is no host and port";
    for (options, why) in [
        (at("10.0.0.1"), nowhere),
        (at("10.0.0.1:0"), nowhere),
        (at(":7351"), nowhere),
        (at("http://10.0.0.1:7351"), nowhere),
        (at("0.0.0.0:7351"), "at which a member may listen"),
        (at("[::]:7351"), "at which a member may listen"),
        (
            at("10.0.0.1:7351").tls(Tls::new("a", "b", "c")),
            "the certificates",
        ),
        (
            MemberOptions::new(&folder, "", 1, "10.0.0.1:7351"),
            "no name",
        ),
        // Nothing would expire, nobody could propose, and nobody be asked.
        (
            with(ReplicaOptions {
                max_expired_batches: 0,
                ..ReplicaOptions::default()
            }),
            "max_expired_batches is 0",
        ),
        (
            with(ReplicaOptions {
                max_proposals: 0,
                ..ReplicaOptions::default()
            }),
            "max_proposals is 0",
        ),
        (
            with(ReplicaOptions {
                ask_timeout: Duration::ZERO,
                ..ReplicaOptions::default()
            }),
            "ask_timeout is 0",
        ),
    ] {
        let error = Member::start(options).await.expect_err(why);
        assert!(matches!(error, StartError::Options(_)), "{error:?}");
        assert!(error.to_string().contains(why), "{why} is not in {error}");
    }
    assert!(!folder.exists(), "nothing of them is on the disk");

    let options = cluster.options(1);
    let refused = Member::join(options, &[(2, "10.0.0.2")], PATIENCE).await;
    assert!(
        matches!(refused, Err(StartError::Options(_))),
        "{refused:?}"
    );
    let own = cluster.address(1);
    for known in [&[][..], &[(1, &*own)]] {
        let options = cluster.options(1);
        let refused = Member::join(options, known, PATIENCE).await;
        let error = refused.expect_err("there is nobody to ask");
        assert!(error.to_string().contains("no other member"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_cannot_be_made_is_named_and_it_is_said_why() {
    let mut cluster = Cluster::new();
    let folder = cluster.folder(1);
    fs::write(&folder, "a file").expect("there is room");
    let refused = Member::start(cluster.options(1)).await;
    let text = refused.expect_err("it is no folder").to_string();
    let reason = fs::create_dir(&folder)
        .expect_err("it is there")
        .to_string();
    assert!(text.contains(&*folder.to_string_lossy()), "{text}");
    assert!(text.contains(&reason), "{text}");
}
