use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{FutureExt, StreamExt};

use super::network::{Cluster, PATIENCE, eventually, known};
use crate::{Engine, OpenraftEngine, ProposeError, Role, Unconfirmed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_alone_commits_confirms_and_comes_back() {
    let mut cluster = Cluster::new();
    cluster.start(1).await;
    assert!(!cluster.engine(1).is_bootstrapped().await.expect("it runs"));
    cluster.engine(1).bootstrap("one").await.expect("a new one");
    cluster.engine(1).bootstrap("one").await.expect_err("once");
    for n in 0..100 {
        cluster.propose(&format!("{n}")).await;
    }
    let confirmed = cluster.engine(1).confirm().await.expect("it leads");
    assert!(
        confirmed >= 101,
        "{confirmed} counts the membership and the blank entry"
    );
    cluster.stop(1).await;
    cluster.start(1).await;
    cluster.propose("100").await;
    let expected: Vec<_> = (0..=100).map(|n| n.to_string()).collect();
    assert_eq!(cluster.agreed().await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_alone_waits_for_nobody() {
    let mut cluster = Cluster::new();
    let (min, max) = (10 * PATIENCE, 11 * PATIENCE);
    cluster.options = cluster.options.clone().election_timeout(min, max);
    cluster.start(1).await;
    cluster.engine(1).bootstrap("one").await.expect("a new one");
    cluster.propose("before").await;
    let term = newest_term(&cluster.engine(1));
    cluster.stop(1).await;
    cluster.start(1).await;
    cluster.propose("after").await;
    assert!(newest_term(&cluster.engine(1)) > term);
    assert_eq!(cluster.agreed().await, ["before", "after"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_isolated_leader_says_so_and_the_others_go_on_without_it() {
    let cluster = Cluster::of_three().await;
    cluster.propose("before").await;
    let old = cluster.leader().await;
    cluster.isolate(old);
    let unknown = tokio::spawn(cluster.engine(old).propose(b"lost".to_vec()));
    eventually("the old leader doubts", || {
        known(&cluster.engine(old)).is_none()
    })
    .await;
    assert_eq!(cluster.engine(old).confirm().await, Err(Unconfirmed));
    let new = cluster.leader().await;
    assert_ne!(new, old);
    cluster.propose("after").await;
    cluster.engine(new).confirm().await.expect("it leads");

    cluster.heal();
    assert_eq!(unknown.await.expect("no panic"), Err(ProposeError::Unknown));
    eventually("the old one follows", || {
        known(&cluster.engine(old)) == Some(new)
    })
    .await;
    let refused = cluster.engine(old).propose(b"refused".to_vec()).await;
    assert_eq!(refused, Err(ProposeError::NotLeader));
    assert_eq!(cluster.agreed().await, ["before", "after"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_members_come_back_from_their_files() {
    let mut cluster = Cluster::of_three().await;
    for n in 0..100 {
        cluster.propose(&format!("{n}")).await;
    }
    for member in 1..=3 {
        cluster.stop(member).await;
    }
    for member in 1..=3 {
        cluster.start(member).await;
    }
    cluster.propose("100").await;
    let expected: Vec<_> = (0..=100).map(|n| n.to_string()).collect();
    assert_eq!(cluster.agreed().await, expected);
}

/// Its followers may have entries that were not on its own disk yet: it must not write others of the same term.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_comes_back_at_once_has_to_be_elected() {
    let mut cluster = Cluster::of_three().await;
    cluster.propose("before").await;
    for _ in 0..3 {
        let leader = cluster.leader().await;
        let term = newest_term(&cluster.engine(leader));
        cluster.stop(leader).await;
        cluster.start(leader).await;
        eventually("it knows a leader", || {
            known(&cluster.engine(leader)).is_some()
        })
        .await;
        let led = newest_term(&cluster.engine(leader));
        assert!(led > term, "it leads in term {led} again");
    }
    cluster.propose("after").await;
    assert_eq!(cluster.agreed().await, ["before", "after"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_away_for_long_gets_a_snapshot_in_chunks() {
    let mut cluster = Cluster::new();
    cluster.options = cluster
        .options
        .clone()
        .snapshot_after(50)
        .keep_entries(10)
        .chunk_bytes(1000);
    for member in 1..=3 {
        cluster.start(member).await;
    }
    cluster.engine(1).bootstrap("one").await.expect("a new one");
    cluster.leader().await;
    cluster.admit(2).await;
    cluster.admit(3).await;
    let away = if cluster.leader().await == 3 { 2 } else { 3 };
    cluster.propose("before").await;
    cluster.stop(away).await;
    for n in 0..300 {
        cluster.propose(&format!("while it was away {n}")).await;
    }
    cluster.start(away).await;
    assert_eq!(cluster.agreed().await.len(), 301);
    assert!(cluster.machine(away).installed.load(Ordering::Relaxed) > 0);
    cluster.propose("after").await;
    assert_eq!(cluster.agreed().await.len(), 302);
    // It knows who belongs to the cluster from the snapshot.
    assert_eq!(
        cluster.engine(away).members().voters,
        BTreeSet::from([1, 2, 3])
    );
    cluster.stop(away).await;
    cluster.start(away).await;
    cluster.propose("and after a restart").await;
    assert_eq!(cluster.agreed().await.len(), 303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_messages_delay_and_lose_nothing() {
    let cluster = Cluster::of_three().await;
    cluster.wires.loses.store(7, Ordering::Relaxed);
    let texts: Vec<_> = (0..64).map(|n| n.to_string()).collect();
    let proposals = texts.iter().map(|text| cluster.propose(text));
    futures::future::join_all(proposals).await;
    cluster.wires.loses.store(0, Ordering::Relaxed);
    let agreed: BTreeSet<_> = cluster.agreed().await.into_iter().collect();
    assert_eq!(agreed, texts.into_iter().collect(), "some perhaps twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_confirmations_share_rounds_and_see_what_was_acknowledged() {
    let cluster = Cluster::of_three().await;
    let leader = cluster.engine(cluster.leader().await);
    cluster.propose("before").await;
    let first = leader.confirm().await.expect("it leads");
    cluster.propose("after").await;
    let confirmations = (0..1000).map(|_| leader.confirm());
    let all = futures::future::join_all(confirmations);
    let all = tokio::time::timeout(PATIENCE, all).await.expect("in time");
    for confirmed in all {
        assert!(confirmed.expect("it leads") > first);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_quorum_is_no_quorum_until_it_is_back() {
    let cluster = Cluster::of_three().await;
    let leader = cluster.leader().await;
    (1..=3).for_each(|member| cluster.isolate(member));
    eventually("nobody leads", || {
        (1..=3).all(|member| known(&cluster.engine(member)) != Some(member))
    })
    .await;
    let refused = cluster.engine(leader).confirm().await;
    assert_eq!(refused, Err(Unconfirmed));
    cluster.heal();
    cluster.propose("again").await;
    let stays = tokio::time::sleep(Duration::from_millis(100));
    stays.await;
    assert_eq!(cluster.agreed().await, ["again"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_dropped_stops_and_lets_go_of_its_store() {
    let mut cluster = Cluster::of_three().await;
    cluster.forget(2).await;
    cluster.start(2).await;
    cluster.propose("after").await;
    assert_eq!(cluster.agreed().await, ["after"]);
}

/// What it says of itself is what it said before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_has_panicked_says_that_it_has_stopped() {
    let mut cluster = Cluster::new();
    cluster.start(1).await;
    let engine = cluster.engine(1);
    engine.bootstrap("one").await.expect("a new one");
    cluster.propose("before").await;
    assert_eq!(engine.failure(), None);
    assert_eq!(engine.status().role, Role::Leader);
    let panics = |_: &_| panic!("a mistake");
    let _ = engine.raft().with_raft_state::<_, ()>(panics).await;
    eventually("it says so", || engine.failure().is_some()).await;
    let failure = engine.failure().expect("it has stopped");
    assert!(failure.contains("panicked"), "{failure}");
    assert_eq!(engine.status().role, Role::Stopped);
    eventually("nobody leads", || known(&engine).is_none()).await;
    engine.shutdown().await;
}

/// The first one that waits for the end of openraft waits for all others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gives_up_while_an_engine_stops_leaves_it_stopped() {
    let mut cluster = Cluster::new();
    cluster.start(1).await;
    let engine = cluster.engine(1);
    engine.bootstrap("one").await.expect("a new one");
    cluster.propose("before").await;
    // Given up at once, but where the machine is so busy that it is done by then.
    let _ = engine.shutdown().now_or_never();
    let refused = loop {
        match engine.propose(b"after".to_vec()).await {
            Ok(()) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(refused, ProposeError::Unknown);
    assert!(engine.is_bootstrapped().await.is_err());
    engine.shutdown().await;
    drop(engine);
    cluster.forget(1).await;
}

fn newest_term(engine: &OpenraftEngine) -> u64 {
    let now = engine.leadership().next().now_or_never();
    now.flatten().expect("it is known at once").term
}
