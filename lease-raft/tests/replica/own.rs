//! What a member proposes by itself, and what it is told then.

use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::join_all;
use lease_core::{LessorEvent, Observer, WriteBatch};
use lease_raft::{Committed, NoMachine, Replica, ReplicaError, ReplicatedLessor};

use crate::cluster::{Cluster, Fate, LATE, Log, open, parts, start, until};
use crate::store::MemoryStore;
use crate::{LONG, id};

/// Calls the lessor that it observes.
#[derive(Default)]
struct Curious {
    lessor: OnceLock<ReplicatedLessor>,
    found: OnceLock<bool>,
}

impl Observer for Curious {
    fn observe(&self, event: &LessorEvent<'_>) {
        if let (LessorEvent::Promoted { .. }, Some(lessor)) = (event, self.lessor.get()) {
            self.found.get_or_init(|| lessor.is_leader());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_may_call_back_when_the_member_becomes_the_primary() {
    let (log, store) = (Arc::new(Log::default()), Arc::new(MemoryStore::default()));
    let observer = Arc::new(Curious::default());
    let mut parts = parts(1, &log, &store, Arc::new(NoMachine), 1);
    parts.observer = Some(observer.clone());
    let member = Replica::open(parts).expect("the store is sound");
    assert!(observer.lessor.set(member.lessor()).is_ok());
    start(&log, &member);
    log.lead(1);
    until(|| member.lessor().is_primary()).await;
    assert_eq!(observer.found.get(), Some(&true));
}

#[tokio::test(start_paused = true)]
async fn nothing_expires_while_expiry_is_suspended() {
    let (log, store) = (Arc::new(Log::default()), Arc::new(MemoryStore::default()));
    let mut parts = parts(1, &log, &store, Arc::new(NoMachine), 1);
    parts.options.suspend_expiry = true;
    parts.options.commit_interval = Duration::ZERO;
    let member = Replica::open(parts).expect("the store is sound");
    start(&log, &member);
    log.lead(1);
    let lessor = member.lessor();
    lessor
        .grant(id(1), 2, LONG)
        .await
        .expect("there is a leader");
    assert_eq!(member.lessor().stats().lessor.leases, 1);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(
        lessor.renew(id(1), LONG).await.map(|ttl| ttl.get()),
        Ok(2),
        "its time is up"
    );
    tokio::time::sleep(Duration::from_secs(30)).await;
    lessor.resume_expiry();
    until(|| lessor.stats().lessor.leases == 0).await;
    lessor.suspend_expiry();
    lessor
        .grant(id(2), 2, LONG)
        .await
        .expect("there is a leader");
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(lessor.stats().lessor.leases, 1);
}

/// A member that is elected twice in a row has two proposals under way, which the log need not keep in order.
#[tokio::test(start_paused = true)]
async fn who_leads_begins_another_epoch_if_an_older_proposal_of_its_own_ends_its_epoch() {
    let (log, store) = (Arc::new(Log::default()), Arc::new(MemoryStore::default()));
    let member = open(1, &log, &store, Arc::new(NoMachine), 1);
    start(&log, &member);
    log.next(&[Fate::Late]);
    log.lead(1);
    tokio::time::sleep(LATE / 2).await;
    log.lead(1);
    until(|| member.lessor().is_primary()).await;
    assert_eq!(log.len(), 1, "that of the first term is late");
    until(|| log.len() == 3).await;
    until(|| member.lessor().is_primary()).await;
}

/// Its first proposal, and those of its callers, come when nobody can tell any more whether they are new.
#[tokio::test(start_paused = true)]
async fn who_leads_behind_a_very_long_backlog_is_the_primary_all_the_same() {
    const BACKLOG: u64 = 1_000_001;
    let (log, store) = (Arc::new(Log::default()), Arc::new(MemoryStore::default()));
    let member = open(1, &log, &store, Arc::new(NoMachine), 1);
    start(&log, &member);
    log.slow(1, true);
    log.lead(1);
    let granted = tokio::spawn({
        let lessor = member.lessor();
        async move { lessor.grant(id(1), 60, LONG).await }
    });
    until(|| log.len() == 2).await;
    log.put_before(BACKLOG);
    for index in 1..=BACKLOG {
        let blank = Committed {
            index,
            entry: None,
            writes: WriteBatch::default(),
        };
        member.apply(blank).expect("it is the next one");
    }
    log.slow(1, false);
    until(|| member.lessor().is_primary()).await;
    granted.await.expect("no panic").expect("free");
    member.lessor().renew(id(1), LONG).await.expect("there");
}

#[tokio::test(start_paused = true)]
async fn callers_do_not_keep_the_members_own_proposals_away() {
    let (log, store) = (Arc::new(Log::default()), Arc::new(MemoryStore::default()));
    let mut parts = parts(1, &log, &store, Arc::new(NoMachine), 1);
    parts.options.max_proposals = 2;
    let member = Replica::open(parts).expect("the store is sound");
    start(&log, &member);
    let lessor = member.lessor();
    // Nobody leads yet: they stay.
    let callers = [1, 2].map(|number| {
        let lessor = lessor.clone();
        tokio::spawn(async move { lessor.grant(id(number), 60, LONG).await })
    });
    until(|| lessor.stats().proposals_in_flight == 2).await;
    let refused = lessor.grant(id(3), 60, LONG).await;
    assert_eq!(refused, Err(ReplicaError::Busy));
    log.lead(1);
    until(|| lessor.is_primary()).await;
    for granted in join_all(callers).await {
        granted.expect("no panic").expect("free");
    }
}

#[tokio::test(start_paused = true)]
async fn the_members_own_proposals_do_not_keep_callers_away() {
    let (log, store) = (Arc::new(Log::default()), Arc::new(MemoryStore::default()));
    let mut parts = parts(1, &log, &store, Arc::new(NoMachine), 1);
    parts.options.max_proposals = 2;
    parts.options.config.max_expired_batch_size = NonZeroU32::MIN;
    let member = Replica::open(parts).expect("the store is sound");
    start(&log, &member);
    log.lead(1);
    let lessor = member.lessor();
    for number in [1, 2] {
        lessor.grant(id(number), 2, LONG).await.expect("free");
    }
    log.next(&[Fate::Held; 4]);
    until(|| lessor.stats().proposals_in_flight == 2).await;
    assert_eq!(lessor.stats().expired_in_flight, 2);
    let callers = [3, 4].map(|number| {
        let lessor = lessor.clone();
        tokio::spawn(async move { lessor.grant(id(number), 60, LONG).await })
    });
    until(|| lessor.stats().proposals_in_flight == 4).await;
    let refused = lessor.grant(id(5), 60, LONG).await;
    assert_eq!(refused, Err(ReplicaError::Busy));
    log.let_go();
    for granted in join_all(callers).await {
        granted.expect("no panic").expect("free");
    }
    lessor.grant(id(5), 60, LONG).await.expect("free");
    until(|| lessor.stats().lessor.leases == 3).await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_what_a_snapshot_brings_is_told_that_the_outcome_is_unknown() {
    let cluster = Cluster::new().await;
    cluster.log.slow(2, true);
    let lessor = cluster.lessor(2);
    let granted = tokio::spawn(async move { lessor.grant(id(5), 60, LONG).await });
    until(|| cluster.members[0].applied() == 2).await;

    let mut bytes = Vec::new();
    let snapshot = cluster.members[0].snapshot().expect("the store is sound");
    snapshot.write(&mut bytes).expect("a buffer");
    let installed = cluster.members[1].install(&mut &bytes[..], &WriteBatch::default());
    assert!(installed.expect("it is newer"));
    let told = tokio::time::timeout(Duration::from_secs(1), granted);
    let told = told.await.expect("at once").expect("no panic");
    assert_eq!(told, Err(ReplicaError::Unknown));
}

#[tokio::test(start_paused = true)]
async fn members_make_ids_of_their_own_and_change_nothing_by_it() {
    let cluster = Cluster::new().await;
    for member in [2, 3, 2, 3] {
        let granted = cluster.lessor(member).grant_new(60, LONG).await;
        granted.expect("free");
    }
    for member in [2, 3] {
        let proposals = cluster.lessor(member).stats().proposals;
        assert_eq!(proposals, 2, "no id was one of the other member's");
    }
    let (log, store) = (Arc::new(Log::default()), Arc::new(MemoryStore::default()));
    let alone = open(9, &log, &store, Arc::new(NoMachine), 1);
    let short = Duration::from_millis(500);
    let refused = alone.lessor().grant_new(60, short).await;
    assert_eq!(refused, Err(ReplicaError::DeadlineExceeded));
    alone.stop().expect("the disk is there");
    assert!(store.rows().is_empty(), "no epoch was begun");
}
