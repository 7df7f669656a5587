//! Renewals of many leases, and what a member tells of itself.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use lease_core::{LeaseError, LeaseEvent, LeaseEvents, LeaseId, RevokeReason};
use lease_raft::{Consistency, ReplicaError};

use crate::cluster::{Cluster, until};
use crate::{LONG, id};

#[tokio::test(start_paused = true)]
async fn many_renewals_are_one_message_and_one_confirmation() {
    let cluster = Cluster::new().await;
    for number in 1..=500 {
        let granted = cluster.lessor(1).grant(id(number), 60, LONG).await;
        granted.expect("free");
    }
    let before = {
        let state = cluster.log.state();
        (state.questions, state.confirmations)
    };
    let ids: Vec<_> = (1..=501).map(id).collect();
    let renewed = cluster.lessor(2).renew_many(&ids, LONG).await;
    assert_eq!(renewed.len(), 501);
    assert!(
        renewed[..500]
            .iter()
            .all(|ttl| ttl.as_ref().map(|ttl| ttl.get()) == Ok(60))
    );
    assert_eq!(
        renewed[500],
        Err(ReplicaError::Lease(LeaseError::LeaseNotFound))
    );
    let state = cluster.log.state();
    assert_eq!(
        (state.questions, state.confirmations),
        (before.0 + 1, before.1 + 1)
    );
}

#[tokio::test(start_paused = true)]
async fn many_renewals_end_by_their_deadline() {
    let cluster = Cluster::new().await;
    cluster
        .lessor(1)
        .grant(id(1), 60, LONG)
        .await
        .expect("free");
    cluster.log.cut(1, true);
    let late = cluster
        .lessor(2)
        .renew_many(&[id(1), id(2)], Duration::from_secs(3))
        .await;
    assert_eq!(late, [const { Err(ReplicaError::DeadlineExceeded) }; 2]);
    assert_eq!(cluster.lessor(2).renew_many(&[], LONG).await, []);
}

/// A grant or revoke is acknowledged by the member that was asked for it, and the primary may apply it later.
#[tokio::test(start_paused = true)]
async fn a_renewal_sees_what_was_acknowledged_before_it() {
    let cluster = Cluster::new().await;
    let (primary, other) = (cluster.lessor(1), cluster.lessor(2));
    primary.grant(id(1), 60, LONG).await.expect("free");
    cluster.log.slow(1, true);
    other.grant(id(2), 60, LONG).await.expect("free");
    other.revoke(id(1), LONG).await.expect("there");

    let goes_on = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        cluster.log.slow(1, false);
    };
    let ids = [id(1), id(2)];
    let (granted, revoked, there, many, ()) = tokio::join!(
        other.renew(id(2), LONG),
        other.renew(id(1), LONG),
        primary.renew(id(2), LONG),
        other.renew_many(&ids, LONG),
        goes_on
    );
    let gone = ReplicaError::Lease(LeaseError::LeaseNotFound);
    assert_eq!(granted.map(|ttl| ttl.get()), Ok(60));
    assert_eq!(revoked, Err(gone.clone()));
    assert_eq!(there.map(|ttl| ttl.get()), Ok(60));
    assert_eq!(many[0], Err(gone));
    assert_eq!(many[1].as_ref().map(|ttl| ttl.get()), Ok(60));
}

/// A lease that was granted again has the TTL that it was granted with.
#[tokio::test(start_paused = true)]
async fn a_renewal_tells_the_ttl_of_the_lease_that_is_there() {
    let cluster = Cluster::new().await;
    let (primary, other) = (cluster.lessor(1), cluster.lessor(2));
    for number in [1, 2] {
        primary.grant(id(number), 60, LONG).await.expect("free");
    }
    cluster.log.slow(1, true);
    for number in [1, 2] {
        other.revoke(id(number), LONG).await.expect("there");
        other.grant(id(number), 5, LONG).await.expect("free");
    }
    let goes_on = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        cluster.log.slow(1, false);
    };
    let ids = [id(2)];
    let (one, many, ()) = tokio::join!(
        other.renew(id(1), LONG),
        other.renew_many(&ids, LONG),
        goes_on
    );
    assert_eq!(one.map(|ttl| ttl.get()), Ok(5));
    assert_eq!(many[0].as_ref().map(|ttl| ttl.get()), Ok(5));
}

/// What has come by now of grants and revokes.
fn told(events: &mut LeaseEvents) -> Vec<(LeaseId, Option<RevokeReason>)> {
    let mut told = Vec::new();
    while let Some(Some(event)) = events.next().now_or_never() {
        match event {
            LeaseEvent::Granted { id, .. } => told.push((id, None)),
            LeaseEvent::Revoked { id, reason, .. } => told.push((id, Some(reason))),
            _ => {}
        }
    }
    told
}

#[tokio::test(start_paused = true)]
async fn every_member_tells_what_happens_and_why() {
    let cluster = Cluster::new().await;
    let mut events: Vec<_> = (1..=3)
        .map(|member| cluster.lessor(member).events(100))
        .collect();
    for number in 1..=2 {
        let granted = cluster.lessor(2).grant(id(number), 5, LONG).await;
        granted.expect("free");
    }
    cluster.lessor(3).revoke(id(1), LONG).await.expect("there");
    let is_empty = |member| cluster.lessor(member).stats().lessor.leases == 0;
    until(|| (1..=3).all(is_empty)).await;
    let expected = [
        (id(1), None),
        (id(2), None),
        (id(1), Some(RevokeReason::User)),
        (id(2), Some(RevokeReason::Expired)),
    ];
    for events in &mut events {
        assert_eq!(told(events), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_counts_what_it_does() {
    let cluster = Cluster::new().await;
    cluster.lessor(2).grant(id(1), 5, LONG).await.expect("free");
    cluster.lessor(2).renew(id(1), LONG).await.expect("there");
    let [primary, other] = [1, 2].map(|member| cluster.lessor(member).stats());
    assert_eq!((primary.term, primary.leader), (1, Some(1)));
    assert_eq!((other.term, other.leader), (1, Some(1)));
    assert!(primary.epoch.is_some() && other.epoch.is_none());
    assert!(cluster.lessor(1).is_leader() && !cluster.lessor(2).is_leader());
    assert_eq!((primary.confirmations, other.confirmations), (1, 0));
    assert_eq!((other.proposals, other.proposals_in_flight), (1, 0));
    until(|| cluster.lessor(1).stats().lessor.leases == 0).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let primary = cluster.lessor(1).stats();
    assert_eq!(primary.expired_in_flight, 0);
    assert!(primary.expiry_lag > Duration::ZERO && primary.expiry_lag < Duration::from_secs(1));
    assert_eq!(primary.applied, cluster.log.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn many_checkpoints_are_taken_back_by_one_entry() {
    let cluster = Cluster::new().await;
    for number in 1..=50 {
        let granted = cluster.lessor(1).grant(id(number), 1_000, LONG).await;
        granted.expect("free");
    }
    // Two intervals of checkpoints.
    tokio::time::sleep(Duration::from_secs(700)).await;
    let before = cluster.log.len();
    let ids: Vec<_> = (1..=50).map(id).collect();
    let renewed = cluster.lessor(2).renew_many(&ids, LONG).await;
    assert!(renewed.iter().all(Result::is_ok), "{renewed:?}");
    assert_eq!(cluster.log.len(), before + 1);
    for id in ids {
        let lessor = cluster.lessor(2);
        let lease = lessor.lookup(id, Consistency::Linearizable, LONG).await;
        let lease = lease.expect("a leader answers").expect("there");
        assert_eq!(lease.checkpointed_remaining(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn pages_of_several_members_are_one_listing_in_the_order_of_the_ids() {
    let cluster = Cluster::new().await;
    let ids: Vec<_> = (-50..=50).filter_map(LeaseId::new).collect();
    for id in &ids {
        let granted = cluster.lessor(1).grant(*id, 60, LONG).await;
        granted.expect("free");
    }
    let (mut seen, mut after) = (Vec::new(), None);
    for member in (1..=3).cycle() {
        let lessor = cluster.lessor(member);
        let page = lessor.page(after, 7, Consistency::Linearizable, LONG).await;
        let page = page.expect("a leader answers");
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 7);
        after = Some(last.id());
        seen.extend(page.iter().map(lease_core::Lease::id));
    }
    assert_eq!(seen, ids);
}
