//! What etcd's lease package does, behaviour by behaviour, through the handle that people embed. The
//! rows of docs/etcd-parity.md cite these tests; what already has one elsewhere is not tested again.

mod checkpoints;
mod defaults;
mod expiry;
mod fakes;
mod grant;
mod host;
mod items;
mod lease;
mod listing;
mod recovery;
mod renew;
mod revoke;
mod roles;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use lease_core::{
    BackendLessor, BackendLessorBuilder, Driver, ExpiredBatch, LeaseId, LeaseItem, Lessor,
    ManualClock, Timestamp, Ttl,
};

use support::TestBackend;

/// A lessor that is driven by hand, and what it stands on.
struct Bench {
    lessor: BackendLessor,
    backend: Arc<TestBackend>,
    clock: Arc<ManualClock>,
}

/// A member that is not the primary.
fn member(build: impl FnOnce(BackendLessorBuilder) -> BackendLessorBuilder) -> Bench {
    let backend = Arc::new(TestBackend::default());
    let clock = Arc::new(ManualClock::default());
    let builder = BackendLessor::builder(backend.clone())
        .clock(clock.clone())
        .driver(Driver::Manual);
    Bench {
        lessor: build(builder).build().expect("an empty backend is read"),
        backend,
        clock,
    }
}

/// The primary.
fn primary(build: impl FnOnce(BackendLessorBuilder) -> BackendLessorBuilder) -> Bench {
    let bench = member(build);
    bench
        .lessor
        .promote(Duration::ZERO)
        .expect("the epoch is stored");
    bench
}

impl Bench {
    fn grant(&self, number: i64, ttl: i64) {
        self.lessor.grant(id(number), ttl).expect("the id is free");
    }

    /// Sets the clock and does what is due then.
    fn at(&self, now: Timestamp) {
        self.clock.set(now);
        self.lessor.tick();
        self.lessor.check_invariants();
    }

    fn at_secs(&self, secs: u64) {
        self.at(Timestamp::from_secs(secs));
    }

    fn remaining_secs(&self, number: i64) -> u64 {
        let lease = self.lessor.lookup(id(number)).expect("it is there");
        lease.remaining().expect("it is the primary").as_secs()
    }

    /// What remains according to the last checkpoint.
    fn checkpointed_secs(&self, number: i64) -> Option<u64> {
        let lease = self.lessor.lookup(id(number)).expect("it is there");
        lease.checkpointed_remaining().map(Ttl::as_secs)
    }

    /// The expired batches that wait in the channel.
    fn expired(&self) -> Vec<ExpiredBatch> {
        self.lessor.expired_leases().try_iter().collect()
    }

    fn assert_memory_is_disk(&self) {
        self.lessor.check_invariants();
        assert_eq!(self.lessor.rows(), self.backend.rows());
    }
}

fn id(number: i64) -> LeaseId {
    LeaseId::new(number).expect("not zero")
}

fn items(names: &[&str]) -> Vec<LeaseItem> {
    names.iter().map(|name| LeaseItem::from(*name)).collect()
}

fn ids(batches: &[ExpiredBatch]) -> Vec<i64> {
    let leases = batches.iter().flat_map(|batch| &batch.leases);
    leases.map(|lease| lease.id.get()).collect()
}
