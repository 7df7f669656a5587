//! The handle that people embed: commits, failures of what is around it, waits, delivery, stopping.
#![expect(
    clippy::disallowed_methods,
    reason = "the tests of the threads wait in real time"
)]

mod apart;
mod aside;
mod commits;
mod events;
mod expiry;
mod gates;
mod host;
mod in_place;
mod in_use;
mod left;
mod log;
mod new_ids;
mod oversights;
mod own;
mod regressions;
#[path = "../support/mod.rs"]
mod support;
mod threads;
mod wait;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lease_core::{
    BackendLessor, BackendLessorBuilder, Driver, Durability, LeaseError, LeaseId, LeaseItem,
    Lessor, ManualClock,
};

use support::TestBackend;

struct Bench {
    lessor: BackendLessor,
    backend: Arc<TestBackend>,
    clock: Arc<ManualClock>,
}

const BATCHED: Durability = Durability::Batched {
    interval: Duration::from_millis(100),
    max_writes: NonZeroUsize::new(8).expect("not zero"),
};

/// A primary that is driven by hand.
fn bench(build: impl FnOnce(BackendLessorBuilder) -> BackendLessorBuilder) -> Bench {
    let bench = unpromoted_bench(build);
    let promoted = bench.lessor.promote(Duration::ZERO);
    promoted.expect("the epoch is stored");
    bench
}

/// One that was never promoted.
fn unpromoted_bench(build: impl FnOnce(BackendLessorBuilder) -> BackendLessorBuilder) -> Bench {
    let backend = Arc::new(TestBackend::default());
    let clock = Arc::new(ManualClock::default());
    let builder = BackendLessor::builder(backend.clone())
        .clock(clock.clone())
        .driver(Driver::Manual);
    let lessor = build(builder).build().expect("an empty backend is read");
    Bench {
        lessor,
        backend,
        clock,
    }
}

impl Bench {
    fn advance(&self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
        self.lessor.tick();
        self.lessor.check_invariants();
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

fn is_backend<T: std::fmt::Debug>(result: Result<T, LeaseError>) -> bool {
    matches!(result, Err(LeaseError::Backend(_)))
}
