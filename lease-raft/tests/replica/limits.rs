//! What is too long, what may be long, and what is not the host's.

use std::num::NonZeroU32;
use std::sync::Arc;

use futures::future::join_all;
use lease_core::{Backend, BackendError, Epoch, LeaseError, LeaseItem, Table, WriteBatch};
use lease_http::messages::Keys;
use lease_pb::Message;
use lease_pb::leaseraftpb::{Entry, ProposeRequest, entry::Request};
use lease_raft::{Consistency, Decided, Leases, NoMachine, Replica, ReplicaError, StateMachine};

use crate::cluster::{Cluster, Log, open, options, parts, start, until};
use crate::store::MemoryStore;
use crate::{LONG, id};

#[tokio::test(start_paused = true)]
async fn a_long_entry_is_refused_before_it_is_in_the_log() {
    let cluster = Cluster::new().await;
    let limit = options().max_entry_bytes;
    let lessor = cluster.lessor(2);
    lessor.grant(id(1), 60, LONG).await.expect("free");
    let logged = cluster.log.len();
    for member in [1, 2] {
        let long = cluster.lessor(member).propose(vec![7; limit], LONG).await;
        let Err(ReplicaError::TooLong { bytes, .. }) = long else {
            panic!("{long:?}");
        };
        assert!(bytes > limit && bytes < limit + 100);
    }
    let items = (0..limit as u32 / 1000).map(|number| {
        let mut item = number.to_be_bytes().to_vec();
        item.resize(1000, 0);
        LeaseItem::new(item)
    });
    let many = lessor.attach(id(1), items.collect(), LONG).await;
    assert!(matches!(many, Err(ReplicaError::TooLong { .. })));

    // A member with another limit gets no more into it.
    let long = Entry {
        request: Some(Request::Host(vec![7; limit])),
        ..Entry::default()
    };
    let entry = long.encode_to_vec();
    let body = ProposeRequest { entry }.encode_to_vec();
    let refused = cluster.members[0].answer("/raft/propose", &body).await;
    assert_eq!(refused.status, 400);
    assert_eq!(cluster.log.len(), logged);
    assert_eq!(lessor.stats().proposals_in_flight, 0);
    let shorter = lessor.propose(vec![7; limit - 100], LONG).await;
    assert_eq!(shorter, Ok(vec![]));
}

#[tokio::test(start_paused = true)]
async fn what_expires_together_is_no_longer_than_an_entry_may_be() {
    const LEASES: i64 = 1000;
    let (log, store) = (Arc::new(Log::default()), Arc::new(MemoryStore::default()));
    let mut parts = parts(1, &log, &store, Arc::new(NoMachine), 1);
    let limit = 4096;
    parts.options.max_entry_bytes = limit;
    parts.options.config.revoke_rate_per_sec = None;
    parts.options.config.max_expired_batch_size = NonZeroU32::MAX;
    let member = Replica::open(parts).expect("the store is sound");
    start(&log, &member);
    log.lead(1);
    let lessor = member.lessor();
    let granted = (1..=LEASES).map(|number| lessor.grant(id(i64::MAX - number), 2, LONG));
    for granted in join_all(granted).await {
        granted.expect("free");
    }
    until(|| lessor.stats().lessor.leases == 0).await;
    let longest = log.longest();
    assert!(longest > limit / 4 && longest <= limit, "{longest} bytes");
}

/// A lease is there, whatever no message would carry.
#[tokio::test(start_paused = true)]
async fn a_lease_with_very_long_items_is_found_at_the_primary() {
    const ITEMS: u32 = 101;
    let (log, store) = (Arc::new(Log::default()), Arc::new(MemoryStore::default()));
    let member = open(1, &log, &store, Arc::new(NoMachine), 1);
    start(&log, &member);
    log.lead(1);
    let lessor = member.lessor();
    lessor.grant(id(1), 60, LONG).await.expect("free");
    for number in 0..ITEMS {
        let mut item = number.to_be_bytes().to_vec();
        item.resize(1 << 20, 0);
        let items = vec![LeaseItem::new(item)];
        lessor.attach(id(1), items, LONG).await.expect("there");
    }
    let times = lessor.time_to_live(id(1), Keys::List, LONG).await;
    let times = times.expect("there");
    assert_eq!((times.id, times.granted.get()), (id(1), 60));
    assert_eq!(times.keys.len(), ITEMS as usize);
    assert!(times.remaining_secs >= 58);
    let times = lessor.time_to_live(id(1), Keys::Omit, LONG).await;
    assert!(times.expect("there").keys.is_empty());
}

/// Another member is told so, once, and has the items itself.
#[tokio::test(start_paused = true)]
async fn a_lease_with_very_long_items_is_not_sent() {
    const ITEMS: u32 = 33;
    let cluster = Cluster::new().await;
    let lessor = cluster.lessor(2);
    lessor.grant(id(1), 60, LONG).await.expect("free");
    for number in 0..ITEMS {
        let mut item = number.to_be_bytes().to_vec();
        item.resize(1 << 20, 0);
        let items = vec![LeaseItem::new(item)];
        lessor.attach(id(1), items, LONG).await.expect("there");
    }
    let asked = cluster.log.state().questions;
    let times = lessor.time_to_live(id(1), Keys::List, LONG).await;
    let limit = 32 << 20;
    assert_eq!(times, Err(ReplicaError::AnswerTooLong { limit }));
    assert_eq!(cluster.log.state().questions, asked + 1);
    let times = lessor.time_to_live(id(1), Keys::Omit, LONG).await;
    assert!(times.expect("there").keys.is_empty());
    let lease = lessor.lookup(id(1), Consistency::Linearizable, LONG).await;
    let lease = lease.expect("a leader answers").expect("there");
    assert_eq!(lease.keys().len(), ITEMS as usize);

    for item in &lease.keys()[..2] {
        let items = vec![item.clone()];
        lessor.detach(id(1), items, LONG).await.expect("there");
    }
    let times = lessor.time_to_live(id(1), Keys::List, LONG).await;
    assert_eq!(times.expect("there").keys.len(), ITEMS as usize - 2);
}

/// Makes a long row of a short command.
struct Swells;

impl StateMachine for Swells {
    fn recover(&self, _: &dyn Backend) -> Result<(), BackendError> {
        Ok(())
    }

    fn decide(&self, _: u64, _: &[u8], _: &dyn Leases) -> Decided {
        let mut writes = WriteBatch::default();
        writes.put(Table::new("host"), "key", vec![7; 65 << 20]);
        Decided {
            writes,
            ..Decided::default()
        }
    }

    fn apply(&self, _: u64, _: &[u8], _: &[u8]) {}
}

#[tokio::test(start_paused = true)]
async fn a_long_row_is_in_the_snapshot() {
    let cluster = Cluster::with(|| Arc::new(Swells)).await;
    let done = cluster.lessor(1).propose(vec![], LONG).await;
    done.expect("a row may be long");
    let mut bytes = Vec::new();
    let snapshot = cluster.members[0].snapshot().expect("the store is sound");
    snapshot.write(&mut bytes).expect("a buffer");
    let (log, store) = (Arc::new(Log::default()), Arc::new(MemoryStore::default()));
    let other = open(4, &log, &store, Arc::new(Swells), 4);
    let installed = other.install(&mut &bytes[..], &WriteBatch::default());
    assert!(installed.expect("it is whole"));
    let row = store.get(&Table::new("host"), b"key").expect("sound");
    assert_eq!(row.map(|row| row.len()), Some(65 << 20));
}

/// Writes a row of the table that is its command, or an epoch.
struct Rude;

impl StateMachine for Rude {
    fn recover(&self, _: &dyn Backend) -> Result<(), BackendError> {
        Ok(())
    }

    fn decide(&self, _: u64, command: &[u8], _: &dyn Leases) -> Decided {
        let table = String::from_utf8(command.to_vec()).expect("a name");
        let mut writes = WriteBatch::default();
        match &*table {
            "epoch" => writes.put_epoch(Epoch::new(1)),
            _ => writes.put(Table::new(table), "applied", [0; 8]),
        }
        Decided {
            answer: b"done".to_vec(),
            writes,
            command: None,
        }
    }

    fn apply(&self, _: u64, command: &[u8], _: &[u8]) {
        assert_eq!(command, b"kv", "it was refused");
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_writes_no_rows_that_are_not_its_own() {
    let cluster = Cluster::with(|| Arc::new(Rude)).await;
    let lessor = cluster.lessor(2);
    for table in [
        "lease_raft",
        "lease_raft_log",
        "lease_raft_openraft",
        "lease_raft_sessions",
        "lease_items",
        "epoch",
    ] {
        let refused = lessor.propose(table.into(), LONG).await;
        let error = ReplicaError::Lease(LeaseError::ReservedRows);
        assert_eq!(refused, Err(error), "{table}");
    }
    let done = lessor.propose(b"kv".to_vec(), LONG).await;
    assert_eq!(done, Ok(b"done".to_vec()));
    cluster.until_equal().await;
    for (member, store) in (1..).zip(&cluster.stores) {
        let replica = &cluster.members[member - 1];
        assert_eq!(replica.failure(), None);
        replica.stop().expect("the store is sound");
        let applied = store.get(&Table::new("lease_raft"), b"applied");
        let applied = applied.expect("sound").expect("it is there");
        assert_eq!(applied, replica.applied().to_be_bytes());
    }
}
