//! Members that cannot go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use lease_core::{Backend, BackendError, Epoch, LeaseError, LeaseRow, Table, WriteBatch};
use lease_raft::{ApplyError, Committed, Consistency, Decided, InstallError, Leases, StateMachine};
use lease_raft::{Fill, NoMachine, Parts, Replica, ReplicaError, Store, View};

use crate::cluster::{Cluster, Log, open, parts};
use crate::store::MemoryStore;
use crate::{LONG, id};

/// Cannot read its rows, once it is told so.
#[derive(Default)]
struct Blind(AtomicBool);

impl StateMachine for Blind {
    fn recover(&self, _: &dyn Backend) -> Result<(), BackendError> {
        match self.0.load(SeqCst) {
            true => Err(BackendError::Damaged("a key is none".to_owned())),
            false => Ok(()),
        }
    }

    fn decide(&self, _: u64, _: &[u8], _: &dyn Leases) -> Decided {
        Decided::default()
    }

    fn apply(&self, _: u64, _: &[u8], _: &[u8]) {}
}

#[tokio::test(start_paused = true)]
async fn a_member_that_cannot_go_on_from_a_snapshot_stops_and_says_why() {
    let cluster = Cluster::new().await;
    cluster
        .lessor(1)
        .grant(id(1), 60, LONG)
        .await
        .expect("free");
    let mut bytes = Vec::new();
    let snapshot = cluster.members[0].snapshot().expect("the store is sound");
    snapshot.write(&mut bytes).expect("a buffer");

    let (log, store) = (Arc::new(Log::default()), Arc::new(MemoryStore::default()));
    let machine = Arc::new(Blind::default());
    let member = open(4, &log, &store, machine.clone(), 4);
    assert_eq!(member.failure(), None);
    machine.0.store(true, SeqCst);
    let half_done = member.install(&mut &bytes[..], &WriteBatch::default());
    assert!(
        matches!(half_done, Err(InstallError::HalfDone(_))),
        "{half_done:?}"
    );
    let reason = member.failure().expect("it has failed");
    assert!(reason.contains("a key is none"), "{reason}");

    let next = Committed {
        index: 1,
        entry: None,
        writes: WriteBatch::default(),
    };
    assert!(matches!(member.apply(next), Err(ApplyError::Failed(_))));
    let again = member.install(&mut &bytes[..], &WriteBatch::default());
    assert!(matches!(again, Err(InstallError::Failed(_))));
    let asked = member.lessor().renew(id(1), LONG).await;
    assert_eq!(asked, Err(ReplicaError::Stopped));
    let read = member.lessor().catch_up(LONG).await;
    assert_eq!(read, Err(ReplicaError::Stopped));
    member.stop().expect("there is nothing to write");

    // What is stored is whole: a life that can read it goes on.
    let member = open(4, &log, &store, Arc::new(NoMachine), 5);
    assert_eq!(member.applied(), snapshot.index());
    let lessor = member.lessor();
    let found = lessor.lookup(id(1), Consistency::Local, LONG);
    assert!(found.await.expect("local").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_store_of_another_cluster_says_which() {
    let (log, store) = (Arc::new(Log::default()), Arc::new(MemoryStore::default()));
    let member = open(1, &log, &store, Arc::new(NoMachine), 1);
    let first = Committed {
        index: 1,
        entry: None,
        writes: WriteBatch::default(),
    };
    member.apply(first).expect("it is the next one");
    member.stop().expect("a buffer");
    let mut parts = parts(1, &log, &store, Arc::new(NoMachine), 2);
    parts.options.cluster = "green".to_owned();
    let Err(LeaseError::Backend(error)) = Replica::open(parts) else {
        panic!("it was opened");
    };
    assert!(matches!(error, BackendError::Foreign(_)), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("\"test\"") && text.contains("\"green\""),
        "{text}"
    );
}

/// A store with a fault in how it is replaced.
struct Replaces {
    inner: Arc<MemoryStore>,
    /// It panics when it has done so; else it forgets that it was told of an error.
    panics: bool,
}

impl Backend for Replaces {
    fn commit(&self, batch: &WriteBatch) -> Result<(), BackendError> {
        self.inner.commit(batch)
    }

    fn load(&self, visit: &mut dyn FnMut(LeaseRow)) -> Result<Epoch, BackendError> {
        self.inner.load(visit)
    }

    fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        self.inner.get(table, key)
    }

    fn scan(&self, table: &Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), BackendError> {
        self.inner.scan(table, visit)
    }
}

impl Store for Replaces {
    fn view(&self) -> Result<Box<dyn View>, BackendError> {
        self.inner.view()
    }

    fn replace(
        &self,
        fill: &mut dyn FnMut(&mut dyn Fill) -> Result<(), BackendError>,
    ) -> Result<(), BackendError> {
        self.inner.replace(&mut |to| match fill(to) {
            Err(error) if self.panics => Err(error),
            _ => Ok(()),
        })?;
        assert!(!self.panics, "on purpose");
        Ok(())
    }
}

/// It has neither the old state nor surely the new one.
#[tokio::test(start_paused = true)]
async fn a_member_whose_store_may_be_replaced_goes_on_with_nothing() {
    let cluster = Cluster::new().await;
    let granted = cluster.lessor(1).grant(id(1), 60, LONG).await;
    granted.expect("free");
    let mut bytes = Vec::new();
    let snapshot = cluster.members[0].snapshot().expect("the store is sound");
    snapshot.write(&mut bytes).expect("a buffer");
    for panics in [false, true] {
        let (log, inner) = (Arc::new(Log::default()), Arc::new(MemoryStore::default()));
        let store = Arc::new(Replaces { inner, panics });
        let parts = parts(4, &log, &store.inner, Arc::new(NoMachine), 4);
        let member = Replica::open(Parts { store, ..parts }).expect("it is empty");
        let len = if panics { bytes.len() } else { bytes.len() - 1 };
        let installed = member.install(&mut &bytes[..len], &WriteBatch::default());
        let is_half_done = matches!(installed, Err(InstallError::HalfDone(_)));
        assert!(is_half_done, "{installed:?}");
        let next = Committed {
            index: 1,
            entry: None,
            writes: WriteBatch::default(),
        };
        assert!(matches!(member.apply(next), Err(ApplyError::Failed(_))));
        member.stop().expect("there is nothing to write");
    }
}
