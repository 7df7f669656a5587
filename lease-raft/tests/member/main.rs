//! Members that are started, joined, stopped and started again, over gRPC on loopback and on files.

mod changes;
mod cluster;
mod hostile;
mod refusals;
mod stops;

use std::time::Duration;

use futures::future::try_join_all;
use futures::{FutureExt, StreamExt};
use lease_core::{LeaseEvent, RevokeReason};
use lease_raft::{JoinAs, MemberOptions, MembershipError, OpenraftOptions, Role};
use tokio::time::Instant;

use crate::cluster::{Cluster, EXTEND, PATIENCE, id, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_is_a_cluster_and_goes_on_from_its_file() {
    let mut cluster = Cluster::new();
    for life in 1..=3 {
        cluster.start(1).await;
        let granted = cluster.lessor(1).grant(id(life), 600, PATIENCE).await;
        granted.expect("free");
        assert_eq!(cluster.leases(1).await.len() as i64, life);
        let status = cluster.member(1).status();
        assert_eq!(status.engine.role, Role::Leader);
        assert_eq!(status.failure, None);
        until("nothing lags", async || {
            let status = cluster.member(1).status();
            (status.commit_lag(), status.apply_lag()) == (0, 0)
        })
        .await;
        // The same port and the same file are free at once.
        cluster.stop(1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_alive_survives_the_leader_and_what_is_abandoned_goes_in_time() {
    const TTL: Duration = Duration::from_secs(5);
    // On a machine that is busy with other tests.
    const ELECTION: Duration = Duration::from_secs(5);
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader(3);
    let other = 1 + leader % 3;
    let mut events = cluster.lessor(other).events(1000);
    let granted = (1..=40).map(|number| {
        let lessor = cluster.lessor(1 + number as u64 % 3);
        lessor.grant(id(number), TTL, PATIENCE)
    });
    try_join_all(granted).await.expect("free");
    let abandoned = Instant::now();
    cluster.stop(leader).await;

    let kept: Vec<_> = (1..=20).map(id).collect();
    until("the abandoned ones are gone", async || {
        let renewed = cluster.lessor(other).renew_many(&kept, PATIENCE).await;
        assert!(renewed.iter().all(Result::is_ok), "{renewed:?}");
        cluster.leases(other).await.len() == 20
    })
    .await;
    let gone = abandoned.elapsed();
    assert!(
        gone >= TTL - Duration::from_millis(100),
        "too early: {gone:?}"
    );
    assert!(gone < TTL + EXTEND + ELECTION, "too late: {gone:?}");
    let mut left = cluster.leases(other).await;
    left.sort_unstable();
    assert_eq!(left, (1..=20).collect::<Vec<_>>());

    let mut expired = 0;
    while let Some(Some(event)) = events.next().now_or_never() {
        if let LeaseEvent::Revoked { reason, .. } = event {
            assert_eq!(reason, RevokeReason::Expired);
            expired += 1;
        }
    }
    assert_eq!(expired, 20);

    // It comes back, and they all go and come.
    cluster.start(leader).await;
    cluster.stop_all().await;
    for member in 1..=3 {
        cluster.start(member).await;
    }
    for member in 1..=3 {
        let renewed = cluster.lessor(member).renew_many(&kept, PATIENCE).await;
        assert!(renewed.iter().all(Result::is_ok), "{renewed:?}");
    }
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_decide_lead_and_go() {
    let mut cluster = Cluster::of(1).await;
    for number in 1..=300 {
        let granted = cluster.lessor(1).grant(id(number), 600, PATIENCE).await;
        granted.expect("free");
    }
    // The first of them are in no log any more: it gets a snapshot.
    let learner = cluster.options(2).join_as(JoinAs::Learner);
    cluster.join_with(learner, 2).await;
    assert_eq!(cluster.leases(2).await.len(), 300);
    let members = cluster.member(2).members();
    assert!(
        members.voters.contains(&1) && members.learners.contains(&2),
        "{members:?}"
    );
    let address = cluster.address(2);
    assert_eq!(members.addresses[&2], address);
    assert_eq!(cluster.member(2).status().engine.role, Role::Learner);

    let promoted = cluster.member(2).promote(2, PATIENCE).await;
    promoted.expect("it has the log");
    cluster.join(3).await;
    // Whoever is asked, the leader does it.
    for to in [3, 2, 1] {
        let handed_over = cluster.member(1).transfer_leadership(to, PATIENCE).await;
        handed_over.expect("it has the log");
        until("all follow it", async || {
            (1..=3).all(|member| cluster.lessor(member).leader() == Some(to))
        })
        .await;
        let renewed = cluster.lessor(3).renew(id(1), PATIENCE).await;
        renewed.expect("there");
    }
    let unknown = cluster.member(1).transfer_leadership(9, PATIENCE).await;
    assert!(
        matches!(unknown, Err(MembershipError::Refused(_))),
        "{unknown:?}"
    );
    let unknown = cluster.member(2).promote(9, PATIENCE).await;
    assert!(
        matches!(unknown, Err(MembershipError::Refused(_))),
        "{unknown:?}"
    );

    // The leader goes for good.
    cluster
        .member(2)
        .remove(1, PATIENCE)
        .await
        .expect("two are left");
    cluster.stop(1).await;
    let again = cluster.member(3).remove(1, PATIENCE).await;
    again.expect("it has gone");
    assert_eq!(cluster.leases(3).await.len(), 300);
    let members = cluster.member(3).members();
    assert_eq!(members.voters.into_iter().collect::<Vec<_>>(), [2, 3]);

    // Alone of two it decides nothing, and says so in time.
    cluster.stop(2).await;
    let short = Duration::from_secs(2);
    let begun = Instant::now();
    let alone = cluster.member(3).remove(2, short).await;
    assert!(
        matches!(alone, Err(MembershipError::DeadlineExceeded { .. })),
        "{alone:?}"
    );
    assert!(cluster.lessor(3).renew(id(1), short).await.is_err());
    assert!(begun.elapsed() < 3 * short);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stops_hands_over_before() {
    const MISSED: Duration = Duration::from_secs(30);
    let mut cluster = Cluster::new();
    // Nobody misses a leader for so long: whoever leads before was asked to.
    let patient = |options: MemberOptions| {
        let engine = OpenraftOptions::new().heartbeat(Duration::from_millis(100));
        options.openraft(engine.election_timeout(MISSED, 2 * MISSED))
    };
    let first = patient(cluster.options(1));
    cluster.start_with(first, 1).await;
    for member in [2, 3] {
        let options = patient(cluster.options(member));
        cluster.join_with(options, member).await;
    }
    let granted = cluster.lessor(1).grant(id(1), 600, PATIENCE).await;
    granted.expect("free");
    let begun = Instant::now();
    cluster.stop(1).await;
    let renewed = cluster.lessor(3).renew(id(1), PATIENCE).await;
    renewed.expect("another one leads");
    assert!(begun.elapsed() < MISSED, "nobody was asked");
    // Without a quorum nobody can take over, and it stops all the same.
    cluster.stop_all().await;
}
