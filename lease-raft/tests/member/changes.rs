//! Changes of the members that cannot be made, or not at once.

use std::fs;
use std::time::Duration;

use lease_raft::{
    Consistency, JoinAs, Member, MemberOptions, MembershipError, OpenraftOptions, ReplicaError,
};
use tokio::time::Instant;

use crate::cluster::{Cluster, PATIENCE, id, until};

const SHORT: Duration = Duration::from_secs(2);

/// A leader that hears of nobody leads for longer than a caller waits.
fn patient(options: MemberOptions) -> MemberOptions {
    let engine = OpenraftOptions::new().heartbeat(Duration::from_millis(100));
    options.openraft(engine.election_timeout(2 * SHORT, 3 * SHORT))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_acknowledged_when_it_is_committed_and_goes_on_without_its_caller() {
    let mut cluster = Cluster::new();
    let options = patient(cluster.options(1));
    cluster.start_with(options, 1).await;
    let options = patient(cluster.options(2));
    cluster.join_with(options, 2).await;
    for learner in [3, 4] {
        let options = patient(cluster.options(learner)).join_as(JoinAs::Learner);
        cluster.join_with(options, learner).await;
    }
    cluster.stop(2).await;
    // It is in the log of the leader, and nobody else has it.
    let removed = cluster.member(1).remove(4, SHORT).await;
    assert!(
        matches!(removed, Err(MembershipError::DeadlineExceeded { .. })),
        "{removed:?}"
    );
    let options = patient(cluster.options(2));
    cluster.start_with(options, 2).await;
    let removed = cluster.member(2).remove(4, PATIENCE).await;
    removed.expect("both are there");
    let promoted = cluster.member(1).promote(3, PATIENCE).await;
    promoted.expect("all are there");
    for member in 1..=3 {
        until("all know it", async || {
            let members = cluster.member(member).members();
            members.voters.len() == 3 && members.learners.is_empty()
        })
        .await;
    }
    // Any two of the three are enough.
    cluster.stop(2).await;
    let granted = cluster.lessor(3).grant(id(1), 60, PATIENCE).await;
    granted.expect("two of three");
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_has_moved_is_found() {
    let mut cluster = Cluster::of(3).await;
    for (round, moved) in [2, 3, 1].into_iter().enumerate() {
        cluster.stop(moved).await;
        cluster.displace(moved);
        cluster.start(moved).await;
        let address = cluster.address(moved);
        for member in 1..=3 {
            until("all know where it is", async || {
                cluster.member(member).members().addresses[&moved] == address
            })
            .await;
        }
        let lease = id(1 + round as i64);
        let other = 1 + moved % 3;
        let granted = cluster.lessor(other).grant(lease, 600, PATIENCE).await;
        granted.expect("free");
        until("it gets the log", async || {
            let found = cluster
                .lessor(moved)
                .lookup(lease, Consistency::Local, PATIENCE);
            found.await.expect("local").is_some()
        })
        .await;
    }
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dead_are_not_asked_to_lead_and_nobody_twice() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader(1);
    let (dead, other) = (1 + leader % 3, 1 + (leader + 1) % 3);
    cluster.stop(dead).await;
    // It was there a moment ago, and is asked; nobody asks it again when another one is elected.
    let begun = Instant::now();
    let late = cluster
        .member(other)
        .transfer_leadership(dead, PATIENCE)
        .await;
    assert!(matches!(late, Err(MembershipError::Refused(_))), "{late:?}");
    let granted = cluster.lessor(other).grant(id(1), 600, PATIENCE).await;
    granted.expect("there is a leader again");
    assert!(
        begun.elapsed() < PATIENCE / 2,
        "it was asked until the deadline"
    );
    // By now it is missed.
    until("it is not asked", async || {
        let refused = cluster
            .member(leader)
            .transfer_leadership(dead, PATIENCE)
            .await;
        refused.is_err_and(|error| error.to_string().contains("answered of late"))
    })
    .await;
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_removed_ends_says_so_and_does_not_come_back() {
    let mut cluster = Cluster::of(4).await;
    let options = cluster.options(5).join_as(JoinAs::Learner);
    cluster.join_with(options, 5).await;
    let leader = cluster.leader(1);
    let follower = 1 + leader % 4;
    let other = 1 + follower % 4;
    for removed in [5, follower, leader] {
        let done = cluster.member(removed).remove(removed, PATIENCE).await;
        done.expect("enough are left");
        let ended = tokio::time::timeout(PATIENCE, cluster.member(removed).ended()).await;
        ended.expect("it was removed");
        let reason = cluster.member(removed).failure();
        assert!(reason.is_some_and(|reason| reason.contains("removed")));
        let granted = cluster.lessor(removed).grant(id(9), 60, PATIENCE).await;
        assert_eq!(granted, Err(ReplicaError::Stopped));
        cluster.stop(removed).await;
    }
    // With its disk, it hears so again.
    cluster.start(follower).await;
    let ended = tokio::time::timeout(PATIENCE, cluster.member(follower).ended()).await;
    ended.expect("it was removed");
    cluster.stop(follower).await;
    // Without, it is refused. Those who are left know it also after a restart.
    fs::remove_dir_all(cluster.folder(follower)).expect("its files");
    cluster.stop(other).await;
    cluster.start(other).await;
    let address = cluster.address(other);
    let options = cluster.options(follower);
    let refused = Member::join(options, &[(other, &address)], PATIENCE).await;
    let error = refused.expect_err("its id is used up").to_string();
    assert!(error.contains("was removed"), "{error}");
    cluster.stop_all().await;
}

/// It may not have heard that it was, and ask again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_removed_may_be_removed_once_more_by_itself() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader(1);
    for removed in [1 + leader % 3, leader] {
        for _ in 0..2 {
            let done = cluster.member(removed).remove(removed, PATIENCE).await;
            done.expect("enough are left");
        }
        let ended = tokio::time::timeout(PATIENCE, cluster.member(removed).ended()).await;
        ended.expect("it was removed");
        let done = cluster.member(removed).remove(removed, PATIENCE).await;
        done.expect("it knows that");
    }
    cluster.stop_all().await;
}
