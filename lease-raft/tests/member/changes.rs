//! Changes of the members that cannot be made, or not at once.

use std::time::Duration;

use lease_raft::{JoinAs, MemberOptions, MembershipError, OpenraftOptions};

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
