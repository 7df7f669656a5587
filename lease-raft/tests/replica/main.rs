//! Members of a replicated lessor around a log in memory.

mod backlog;
mod calls;
mod cluster;
mod failure;
mod forwarded;
mod limits;
mod many;
mod own;
mod store;
mod strangers;
#[path = "../support/text.rs"]
mod text;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lease_core::{
    Backend, BackendError, Command, LeaseError, LeaseId, LeaseItem, RangeDeleter, Table,
    TableDeleter, WriteBatch,
};
use lease_http::messages::Keys;
use lease_raft::{
    ApplyError, Committed, Consistency, Decided, InstallError, Leases, NoMachine, ReplicaError,
    StateMachine,
};
use tokio::time::Instant;

use crate::cluster::{Cluster, Fate, Log, open, start, until};
use crate::store::MemoryStore;

const LONG: Duration = Duration::from_secs(20);

fn id(number: i64) -> LeaseId {
    LeaseId::new(number).expect("not zero")
}

fn items(names: &[&str]) -> Vec<LeaseItem> {
    names.iter().map(|name| LeaseItem::from(*name)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_grant_of_any_member_is_seen_on_all() {
    let cluster = Cluster::new().await;
    let granted = cluster
        .lessor(2)
        .grant(id(7), 60, LONG)
        .await
        .expect("free");
    assert_eq!((granted.id, granted.ttl.as_secs()), (id(7), 60));
    let again = cluster.lessor(1).grant(id(7), 60, LONG).await;
    assert_eq!(again, Err(ReplicaError::Lease(LeaseError::LeaseExists)));
    for member in 1..=3 {
        let lessor = cluster.lessor(member);
        let lease = lessor.lookup(id(7), Consistency::Linearizable, LONG).await;
        let lease = lease.expect("a leader answers").expect("it is there");
        assert_eq!(
            lease.incarnation(),
            granted.incarnation,
            "the fencing token"
        );
        assert_eq!(lessor.leader(), Some(1));
    }
    cluster.lessor(3).revoke(id(7), LONG).await.expect("there");
    let next = cluster
        .lessor(3)
        .grant(id(7), 60, LONG)
        .await
        .expect("free");
    assert!(next.incarnation > granted.incarnation);
    let other = cluster.lessor(3).grant_new(60, LONG).await.expect("free");
    let lessor = cluster.lessor(2);
    let page = lessor.page(None, 10, Consistency::Linearizable, LONG);
    assert_eq!(page.await.expect("a leader answers").len(), 2);
    assert_ne!(other.id, id(7));
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_alive_lives_and_what_is_not_goes_in_time() {
    let cluster = Cluster::new().await;
    let begin = Instant::now();
    for number in [1, 2] {
        cluster
            .lessor(2)
            .grant(id(number), 10, LONG)
            .await
            .expect("free");
    }
    cluster
        .lessor(2)
        .attach(id(2), items(&["a"]), LONG)
        .await
        .expect("there");
    while begin.elapsed() < Duration::from_secs(9) {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let renewed = cluster.lessor(3).renew(id(1), LONG).await;
        assert_eq!(renewed.map(|ttl| ttl.as_secs()), Ok(10));
    }
    let left = cluster
        .lessor(3)
        .time_to_live(id(1), Keys::Omit, LONG)
        .await;
    assert!(left.expect("there").remaining_secs >= 9);
    let gone = || {
        let rows = cluster.stores[2].rows();
        !rows
            .keys()
            .any(|(table, key)| table == "lease" && *key == 2_i64.to_be_bytes())
    };
    until(gone).await;
    let passed = begin.elapsed();
    assert!(
        passed >= Duration::from_secs(10) && passed < Duration::from_millis(10_500),
        "{passed:?}"
    );
    let item = cluster
        .lessor(3)
        .get_lease(b"a", Consistency::Local, LONG)
        .await;
    assert_eq!(item, Ok(None));
    let renewed = cluster.lessor(3).renew(id(2), LONG).await;
    assert_eq!(renewed, Err(ReplicaError::Lease(LeaseError::LeaseNotFound)));
    let lease = cluster
        .lessor(1)
        .lookup(id(1), Consistency::Linearizable, LONG)
        .await;
    assert!(lease.expect("a leader answers").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_lease_survives_the_leader_and_an_abandoned_one_goes() {
    let cluster = Cluster::new().await;
    for number in [1, 2] {
        cluster
            .lessor(1)
            .grant(id(number), 5, LONG)
            .await
            .expect("free");
    }
    cluster.until_equal().await;
    cluster.log.cut(1, true);
    let begin = Instant::now();
    // It knows nothing of the others, and nothing that it says is confirmed.
    let alone = cluster.lessor(1).renew(id(1), Duration::from_secs(3)).await;
    assert_eq!(alone, Err(ReplicaError::DeadlineExceeded));
    cluster.log.lead(2);
    cluster.until_primary(2).await;
    let promoted = begin.elapsed();
    while begin.elapsed() < Duration::from_secs(20) {
        cluster
            .lessor(3)
            .renew(id(1), LONG)
            .await
            .expect("it lives");
        let lease = cluster
            .lessor(2)
            .lookup(id(2), Consistency::Local, LONG)
            .await;
        let is_there = lease.expect("no question").is_some();
        let passed = begin.elapsed() - promoted;
        // The TTL, and what an election may take.
        if passed < Duration::from_secs(6) {
            assert!(is_there, "{passed:?}");
        }
        if passed > Duration::from_millis(6_600) {
            assert!(!is_there, "{passed:?}");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(
        cluster.lessor(1).is_primary(),
        "it has not heard of another one"
    );
    cluster.log.cut(1, false);
    cluster.until_equal().await;
    assert!(!cluster.lessor(1).is_primary());
    let renewed = cluster.lessor(1).renew(id(1), LONG).await;
    assert!(renewed.is_ok(), "by the one who leads: {renewed:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_leader_does_not_know_happens_once() {
    for fate in [Fate::Silent, Fate::Twice, Fate::Lost] {
        let cluster = Cluster::new().await;
        cluster.log.next(&[fate, fate]);
        let granted = cluster.lessor(1).grant(id(1), 60, LONG).await;
        assert!(granted.is_ok(), "{granted:?}");
        cluster.log.next(&[fate, fate]);
        let granted = cluster.lessor(2).grant(id(2), 60, LONG).await;
        assert!(granted.is_ok(), "{granted:?}");
        cluster.log.next(&[fate]);
        let attached = cluster.lessor(3).attach(id(1), items(&["a"]), LONG).await;
        assert_eq!(attached, Ok(()));
        cluster.until_equal().await;
    }
}

#[tokio::test(start_paused = true)]
async fn deadlines_say_whether_anything_may_have_happened() {
    let cluster = Cluster::new().await;
    let short = Duration::from_millis(500);
    for member in 1..=3 {
        cluster.log.cut(member, true);
    }
    let refused = cluster.lessor(2).grant(id(1), 60, short).await;
    assert_eq!(
        refused,
        Err(ReplicaError::Unknown),
        "a request was on its way"
    );
    let read = cluster
        .lessor(2)
        .lookup(id(1), Consistency::Linearizable, short)
        .await;
    assert_eq!(read.map(drop), Err(ReplicaError::DeadlineExceeded));
    let local = cluster
        .lessor(2)
        .lookup(id(1), Consistency::Local, short)
        .await;
    assert!(local.expect("it asks nobody").is_none());
    let log = Arc::new(Log::default());
    let store = Arc::new(MemoryStore::default());
    let alone = open(9, &log, &store, Arc::new(NoMachine), 1);
    let refused = alone.lessor().grant(id(1), 60, short).await;
    assert_eq!(
        refused,
        Err(ReplicaError::DeadlineExceeded),
        "it knows no leader"
    );
}

#[tokio::test(start_paused = true)]
async fn one_confirmation_serves_all_that_wait() {
    let cluster = Cluster::new().await;
    cluster
        .lessor(1)
        .grant(id(1), 60, LONG)
        .await
        .expect("free");
    let before = cluster.log.state().confirmations;
    let ids = vec![id(1); 500];
    let renewed = cluster.lessor(1).renew_many(&ids, LONG).await;
    assert!(renewed.iter().all(Result::is_ok));
    let confirmations = cluster.log.state().confirmations - before;
    assert!((1..=2).contains(&confirmations), "{confirmations}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_is_no_primary_before_its_first_entry_is_applied() {
    let cluster = Cluster::new().await;
    cluster.log.slow(2, true);
    cluster
        .lessor(1)
        .grant(id(1), 60, LONG)
        .await
        .expect("free");
    cluster.log.lead(2);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!cluster.lessor(2).is_primary());
    assert!(
        !cluster.lessor(1).is_primary(),
        "it has heard of the other one"
    );
    let asked = cluster.lessor(3).renew(id(1), Duration::from_secs(1)).await;
    assert_eq!(asked, Err(ReplicaError::DeadlineExceeded));
    cluster.log.slow(2, false);
    cluster.until_primary(2).await;
    assert!(cluster.lessor(3).renew(id(1), LONG).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_takes_a_checkpoint_back_before_it_is_acknowledged() {
    let cluster = Cluster::new().await;
    cluster
        .lessor(1)
        .grant(id(1), 1_000, LONG)
        .await
        .expect("free");
    tokio::time::sleep(Duration::from_secs(700)).await;
    let remaining = |member: usize| {
        let lessor = cluster.lessor(member);
        async move {
            let lease = lessor.lookup(id(1), Consistency::Linearizable, LONG).await;
            let lease = lease.expect("a leader answers").expect("there");
            lease.checkpointed_remaining().map(|ttl| ttl.as_secs())
        }
    };
    assert_eq!(
        remaining(3).await,
        Some(400),
        "two intervals of five minutes"
    );
    assert!(cluster.lessor(3).renew(id(1), LONG).await.is_ok());
    assert_eq!(remaining(3).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_comes_when_it_is_due() {
    let cluster = Cluster::new().await;
    let lessor = cluster.lessor(1);
    lessor.grant(id(1), 1_000, LONG).await.expect("free");
    // Something else than the checkpoint wakes the member at another time.
    tokio::time::sleep(Duration::from_secs(30)).await;
    lessor.grant(id(2), 1, LONG).await.expect("free");
    tokio::time::sleep(Duration::from_millis(270_100)).await;
    let lease = lessor.lookup(id(1), Consistency::Local, LONG).await;
    let lease = lease.expect("local").expect("there");
    let left = lease.checkpointed_remaining().map(|ttl| ttl.as_secs());
    assert_eq!(left, Some(700), "five minutes after the grant");
}

/// Keys with values, which are deleted with their lease.
#[derive(Default)]
struct Kv {
    rows: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
}

fn kv() -> Table {
    Table::new("kv")
}

impl StateMachine for Kv {
    fn recover(&self, backend: &dyn Backend) -> Result<(), BackendError> {
        let mut rows = self.rows.lock().expect("no panic");
        rows.clear();
        backend.scan(&kv(), &mut |key, value| {
            rows.insert(key.to_vec(), value.to_vec());
        })
    }

    /// A command is a lease and a key; the key's value is how often it was put.
    fn decide(&self, _: u64, command: &[u8], leases: &dyn Leases) -> Decided {
        let (lease, key) = command.split_at(8);
        let lease = i64::from_be_bytes(lease.try_into().expect("eight bytes"));
        let Some(id) = LeaseId::new(lease).filter(|id| leases.contains(*id)) else {
            return Decided {
                answer: b"no such lease".to_vec(),
                ..Decided::default()
            };
        };
        let rows = self.rows.lock().expect("no panic");
        let value = rows.get(key).map_or(1, |value| value[0] + 1);
        let mut writes = WriteBatch::default();
        writes.put(kv(), key, [value]);
        Decided {
            answer: vec![value],
            writes,
            command: Some(Command::Attach {
                id,
                items: vec![LeaseItem::new(key)],
            }),
        }
    }

    fn apply(&self, _: u64, command: &[u8], answer: &[u8]) {
        if let [value] = answer {
            let mut rows = self.rows.lock().expect("no panic");
            rows.insert(command[8..].to_vec(), vec![*value]);
        }
    }

    fn range_deleter(&self) -> Option<Arc<dyn RangeDeleter>> {
        Some(Arc::new(TableDeleter::new(kv())))
    }
}

fn put(lease: i64, key: &str) -> Vec<u8> {
    [&lease.to_be_bytes()[..], key.as_bytes()].concat()
}

#[tokio::test(start_paused = true)]
async fn a_hosts_own_state_is_written_with_the_leases() {
    let cluster = Cluster::with(|| Arc::new(Kv::default())).await;
    let lessor = cluster.lessor(2);
    assert_eq!(
        lessor.propose(put(1, "a"), LONG).await,
        Ok(b"no such lease".to_vec())
    );
    lessor.grant(id(1), 5, LONG).await.expect("free");
    cluster.log.next(&[Fate::Twice]);
    assert_eq!(lessor.propose(put(1, "a"), LONG).await, Ok(vec![1]));
    assert_eq!(
        lessor.propose(put(1, "a"), LONG).await,
        Ok(vec![2]),
        "not the third time"
    );
    let owner = cluster
        .lessor(3)
        .get_lease(b"a", Consistency::Linearizable, LONG)
        .await;
    assert_eq!(owner, Ok(Some(id(1))));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let row = |store: &MemoryStore| store.rows().get(&("kv".to_owned(), b"a".to_vec())).cloned();
    assert!(
        cluster
            .stores
            .iter()
            .all(|store| row(store) == Some(vec![2]))
    );
    until(|| cluster.stores.iter().all(|store| row(store).is_none())).await;
}

#[tokio::test(start_paused = true)]
async fn an_entry_is_applied_again_when_the_disk_is_there_again() {
    let cluster = Cluster::with(|| Arc::new(Kv::default())).await;
    cluster.stores[2].fail(true);
    cluster
        .lessor(1)
        .grant(id(1), 60, LONG)
        .await
        .expect("free");
    for turn in 1..=3 {
        assert_eq!(
            cluster.lessor(1).propose(put(1, "a"), LONG).await,
            Ok(vec![turn])
        );
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.stores[2].fail(false);
    cluster.until_equal().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let rows = |member: usize| cluster.stores[member].rows().clone();
    assert_eq!(rows(0), rows(2));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_the_state_of_its_entry_and_nothing_less() {
    let cluster = Cluster::with(|| Arc::new(Kv::default())).await;
    let lessor = cluster.lessor(1);
    for number in 1..=300 {
        lessor.grant(id(number), 1_000, LONG).await.expect("free");
    }
    lessor.propose(put(7, "key"), LONG).await.expect("a leader");
    lessor
        .attach(id(8), items(&["", "b"]), LONG)
        .await
        .expect("there");
    let snapshot = cluster.members[0].snapshot().expect("the store is sound");
    lessor.revoke(id(300), LONG).await.expect("there");
    let mut bytes = Vec::new();
    snapshot.write(&mut bytes).expect("a buffer");

    let (log, store) = (Arc::new(Log::default()), Arc::new(MemoryStore::default()));
    let other = open(4, &log, &store, Arc::new(Kv::default()), 4);
    for len in [0, 3, 8, bytes.len() / 2, bytes.len() - 1] {
        let cut = other.install(&mut &bytes[..len], &WriteBatch::default());
        assert!(
            matches!(cut, Err(InstallError::Damaged(_))),
            "{len}: {cut:?}"
        );
    }
    for at in [9, bytes.len() / 2, bytes.len() - 1] {
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        let found = other.install(&mut &altered[..], &WriteBatch::default());
        assert!(
            matches!(found, Err(InstallError::Damaged(_))),
            "{at}: {found:?}"
        );
    }
    assert!(store.rows().is_empty(), "nothing was done by any of them");
    let mut writes = WriteBatch::default();
    writes.put(Table::new("engine"), "a", "b");
    assert!(
        other
            .install(&mut &bytes[..], &writes)
            .expect("it is whole")
    );
    assert_eq!(other.applied(), snapshot.index());
    let page = other
        .lessor()
        .page(None, 1_000, Consistency::Local, LONG)
        .await;
    assert_eq!(page.expect("local").len(), 300);
    for (item, lease) in [("key", 7), ("", 8)] {
        let lessor = other.lessor();
        let owner = lessor.get_lease(item.as_bytes(), Consistency::Local, LONG);
        assert_eq!(owner.await, Ok(Some(id(lease))));
    }
    let engine = store.get(&Table::new("engine"), b"a").expect("sound");
    assert_eq!(engine, Some(b"b".to_vec()));
    let again = other.install(&mut &bytes[..], &WriteBatch::default());
    assert!(!again.expect("it is whole"), "it is not newer");

    let stranger = open(
        5,
        &log,
        &Arc::new(MemoryStore::default()),
        Arc::new(NoMachine),
        5,
    );
    assert!(
        stranger
            .install(&mut &bytes[..], &WriteBatch::default())
            .is_ok(),
        "of this cluster"
    );
    // What comes after the snapshot is applied as on the others.
    start(&cluster.log, &other);
    cluster.log.cut(4, false);
    until(|| other.applied() == cluster.log.len() as u64).await;
    let page = other
        .lessor()
        .page(None, 1_000, Consistency::Local, LONG)
        .await;
    assert_eq!(page.expect("local").len(), 299);
}

#[tokio::test(start_paused = true)]
async fn a_member_goes_on_from_its_store() {
    let cluster = Cluster::new().await;
    cluster
        .lessor(3)
        .grant(id(1), 60, LONG)
        .await
        .expect("free");
    cluster
        .lessor(3)
        .attach(id(1), items(&["a"]), LONG)
        .await
        .expect("there");
    cluster.until_equal().await;
    cluster.members[2].stop().expect("the disk is there");
    let stopped = cluster.lessor(3).grant(id(2), 60, LONG).await;
    assert_eq!(stopped, Err(ReplicaError::Stopped));
    let again = open(
        3,
        &cluster.log,
        &cluster.stores[2],
        Arc::new(NoMachine),
        999,
    );
    assert_eq!(again.applied(), cluster.log.len() as u64);
    let owner = again
        .lessor()
        .get_lease(b"a", Consistency::Local, LONG)
        .await;
    assert_eq!(owner, Ok(Some(id(1))));
    start(&cluster.log, &again);
    cluster.log.cut(3, false);
    again.lessor().grant(id(2), 60, LONG).await.expect("free");
}

#[tokio::test(start_paused = true)]
async fn entries_come_in_their_order_or_not_at_all() {
    let (log, store) = (Arc::new(Log::default()), Arc::new(MemoryStore::default()));
    let replica = open(1, &log, &store, Arc::new(NoMachine), 1);
    let apply = |index, entry: Option<&[u8]>| {
        replica.apply(Committed {
            index,
            entry,
            writes: WriteBatch::default(),
        })
    };
    apply(1, None).expect("the first");
    apply(1, None).expect("it is left out");
    let early = apply(3, None);
    assert!(matches!(
        early,
        Err(ApplyError::OutOfOrder {
            applied: 1,
            found: 3
        })
    ));
    let strange = apply(2, Some(&[0xff, 0xff]));
    assert!(
        matches!(strange, Err(ApplyError::Unreadable { index: 2, .. })),
        "{strange:?}"
    );
    assert_eq!(replica.applied(), 1);
    let answer = replica.answer("/nowhere", b"").await;
    assert_eq!(answer.status, 404);
    let answer = replica.answer("/raft/propose", b"\xff").await;
    assert_eq!(answer.status, 400);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_what_waits() {
    let cluster = Cluster::new().await;
    cluster
        .lessor(1)
        .grant(id(1), 60, LONG)
        .await
        .expect("free");
    cluster.log.slow(2, true);
    let lessor = cluster.lessor(2);
    let waits = tokio::spawn(async move {
        let granted = lessor.grant(id(2), 60, LONG);
        let read = lessor.catch_up(LONG);
        futures::join!(granted, read)
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    cluster.members[1].stop().expect("the disk is there");
    let (granted, read) = waits.await.expect("no panic");
    assert_eq!(granted, Err(ReplicaError::Unknown), "it is in the log");
    assert_eq!(read, Err(ReplicaError::Stopped));
}
