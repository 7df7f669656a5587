//! What is too long, and what may be long.

use std::sync::Arc;

use lease_core::{Backend, BackendError, LeaseItem, Table, WriteBatch};
use lease_pb::Message;
use lease_pb::leaseraftpb::{Entry, ProposeRequest, entry::Request};
use lease_raft::{Decided, Leases, ReplicaError, StateMachine};

use crate::cluster::{Cluster, Log, open, options};
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
