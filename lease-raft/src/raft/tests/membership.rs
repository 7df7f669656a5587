use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use openraft::EntryPayload;
use openraft::impls::BasicNode;
use tokio::runtime::Runtime;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::network::{Cluster, PATIENCE, eventually, known};
use crate::raft::OpenraftEngine;
use crate::raft::config::Membership;
use crate::{MemberId, MembershipError};

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
    // One that is nobody's, and those that are used up.
    for member in [0, old, 4] {
        let refused = engine.add_learner(member, "there").await;
        assert!(
            matches!(refused, Err(MembershipError::Refused(_))),
            "{member}: {refused:?}"
        );
    }
    assert_eq!(engine.members().addresses.len(), 2);
}

/// The leader is no voter any more when it tells the last one so, which leads at once: who was removed may never hear
/// how that went.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_of_two_removes_itself() {
    for is_told in [true, false] {
        let mut cluster = Cluster::new();
        for member in [1, 2] {
            cluster.start(member).await;
        }
        cluster.engine(1).bootstrap("one").await.expect("a new one");
        cluster.admit(2).await;
        cluster.propose("of two").await;
        let old = cluster.leader().await;
        let last = 3 - old;
        cluster.wires.silences_the_last.store(!is_told, Relaxed);
        let leader = cluster.engine(old);
        let removed = timeout(PATIENCE, leader.remove(old)).await;
        let removed = removed.expect("nobody waits for ever");
        assert!(
            is_told && removed.is_ok() || removed == Err(MembershipError::Unknown),
            "{removed:?}"
        );
        let engine = cluster.engine(last);
        eventually("it is the only one", || {
            engine.members().voters == BTreeSet::from([last])
        })
        .await;
        cluster.stop(old).await;
        cluster.propose("alone").await;
        let refused = cluster.engine(last).remove(last).await;
        let text = format!("member {last} is the only one that decides");
        assert_eq!(refused, Err(MembershipError::Refused(text)));
        assert_eq!(cluster.agreed().await, ["of two", "alone"]);
    }
}

/// It leads on until the others know, and openraft panics over a change of its.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_removed_changes_nothing_more() {
    let mut cluster = Cluster::of_three().await;
    let leader = cluster.leader().await;
    let other = 1 + leader % 3;
    let engine = cluster.engine(leader);
    engine.remove(leader).await.expect("two are left");
    let refused = engine.set_address(other, "elsewhere").await;
    assert!(
        matches!(refused, Err(MembershipError::NotLeader { .. })),
        "{refused:?}"
    );
    assert_eq!(engine.failure(), None);
    cluster.stop(leader).await;
    cluster.propose("of two").await;
    assert_eq!(cluster.agreed().await, ["of two"]);
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
    hand_over(&cluster.engine(old), new).await;
    eventually("the new one leads", || {
        known(&cluster.engine(new)) == Some(new)
    })
    .await;
    cluster.propose("after").await;
    assert_eq!(cluster.agreed().await, ["before", "after"]);
}

/// As soon as the heir knows that it is a voter.
async fn hand_over(engine: &OpenraftEngine, heir: MemberId) {
    let asked = async {
        loop {
            match engine.transfer_leadership(heir).await {
                Err(MembershipError::Lagging { .. }) => sleep(Duration::from_millis(10)).await,
                asked => return asked,
            }
        }
    };
    let asked = timeout(PATIENCE, asked).await;
    asked.expect("it catches up").expect("it is asked");
}

/// It looks at what openraft tells while openraft tells it, in a runtime that is not waited for: who is held up so
/// ends nothing.
#[tokio::test]
async fn who_looks_for_an_heir_holds_nobody_up() {
    let runtime = Runtime::new().expect("it starts");
    let looked = timeout(PATIENCE, runtime.spawn(look_for_heirs())).await;
    runtime.shutdown_background();
    looked.expect("nobody is held up").expect("no panic");
}

async fn look_for_heirs() {
    let cluster = Cluster::of_three().await;
    let leader = cluster.leader().await;
    let engine = cluster.engine(leader);
    let looks = spawn_blocking(move || (0..LOOKS).filter(|_| engine.heir().is_some()).count());
    let mut proposed = 0;
    while !looks.is_finished() {
        cluster.propose(&proposed.to_string()).await;
        proposed += 1;
    }
    assert!(looks.await.expect("no panic") > 0);
    // One whose outcome is not known is proposed again.
    assert!(cluster.agreed().await.len() >= proposed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_goes_on_when_its_caller_leaves() {
    let mut cluster = Cluster::of_three().await;
    let leader = cluster.leader().await;
    cluster.start(4).await;
    let engine = cluster.engine(leader);
    engine.add_learner(4, "four").await.expect("it is new");
    eventually("it has the log", || {
        engine.lag(4).is_some_and(|lag| lag < 10)
    })
    .await;
    let left = timeout(Duration::ZERO, engine.promote(4)).await;
    assert!(left.is_err(), "it waits for others");
    eventually("it decides", || {
        engine.is_settled() && engine.members().voters.contains(&4)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_half_done_is_finished() {
    let cluster = Cluster::of_three().await;
    let leader = cluster.engine(cluster.leader().await);
    let old = leader.members();
    let removed = old.voters.iter().find(|voter| **voter != leader.member());
    let removed = *removed.expect("one of three");
    let mut rest = old.voters.clone();
    rest.remove(&removed);
    let nodes = old.addresses.into_iter();
    let nodes: BTreeMap<_, _> = nodes
        .map(|(member, at)| (member, BasicNode::new(at)))
        .collect();
    // The first of two steps, as of a leader that died after it.
    let joint = Membership::new(vec![old.voters, rest.clone()], nodes).expect("sound");
    let raft = leader.raft();
    let appended = raft.append_membership(joint, EntryPayload::Blank, []).await;
    appended.expect("it leads");
    eventually("the second step is made", || {
        leader.is_settled() && leader.members().voters == rest
    })
    .await;
    assert!(!leader.members().addresses.contains_key(&removed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn voters_of_which_too_many_are_silent_are_refused() {
    let mut cluster = Cluster::of_three().await;
    let leader = cluster.leader().await;
    let engine = cluster.engine(leader);
    let (dead, alive) = (1 + leader % 3, 1 + (leader + 1) % 3);
    cluster.stop(dead).await;
    eventually("it is missed", || !engine.hears(dead)).await;
    let refused = loop {
        match engine.remove(alive).await {
            Err(MembershipError::Refused(text)) => break text,
            // It has only begun to lead.
            Err(MembershipError::InProgress) => sleep(PAUSE).await,
            other => panic!("{other:?}"),
        }
    };
    assert!(
        refused.contains(&format!("[{dead}] have not answered")),
        "{refused}"
    );
    cluster.propose("nothing has happened").await;
    engine.remove(dead).await.expect("the rest is there");
    engine.remove(alive).await.expect("the leader is enough");
    assert_eq!(engine.members().voters, BTreeSet::from([leader]));
}

const PAUSE: Duration = Duration::from_millis(50);
const LOOKS: usize = 200_000;
