use std::collections::BTreeSet;

use super::network::{Cluster, eventually, known};
use crate::MembershipError;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_replaced_removed_and_told() {
    let mut cluster = Cluster::of_three().await;
    cluster.propose("of three").await;
    let leader = cluster.leader().await;
    let old = if leader == 3 { 2 } else { 3 };
    cluster.start(4).await;
    let engine = cluster.engine(leader);
    let follower = cluster.engine(old);
    let refused = follower.add_learner(4, "four").await;
    let Err(MembershipError::NotLeader { leader: told }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(told, Some(leader));
    assert!(matches!(
        engine.promote(4).await,
        Err(MembershipError::Refused(_))
    ));
    engine.add_learner(4, "four").await.expect("it is new");
    eventually("it has the log", || {
        engine.lag(4).is_some_and(|lag| lag < 10)
    })
    .await;
    assert!(engine.members().learners.contains(&4), "it decides nothing");
    assert!(matches!(
        engine.replace(9, 4).await,
        Err(MembershipError::Refused(_))
    ));
    engine.replace(old, 4).await.expect("both are there");
    let members = engine.members();
    let voters: BTreeSet<_> = (1..=4).filter(|member| *member != old).collect();
    assert_eq!((&members.voters, members.learners.len()), (&voters, 0));
    assert_eq!(members.addresses[&4], "four");
    cluster.stop(old).await;
    cluster.propose("without the old one").await;
    assert_eq!(cluster.agreed().await, ["of three", "without the old one"]);
    engine.remove(4).await.expect("two are left");
    assert_eq!(engine.members().voters.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_is_handed_over() {
    let cluster = Cluster::of_three().await;
    cluster.propose("before").await;
    let old = cluster.leader().await;
    let new = if old == 1 { 2 } else { 1 };
    let refused = cluster.engine(old).transfer_leadership(9).await;
    assert!(matches!(refused, Err(MembershipError::Refused(_))));
    let refused = cluster.engine(new).transfer_leadership(new).await;
    assert!(matches!(refused, Err(MembershipError::NotLeader { .. })));
    cluster
        .engine(old)
        .transfer_leadership(new)
        .await
        .expect("it is asked");
    eventually("the new one leads", || {
        known(&cluster.engine(new)) == Some(new)
    })
    .await;
    cluster.propose("after").await;
    assert_eq!(cluster.agreed().await, ["before", "after"]);
}
