//! What the benchmarks have in common: leases in a random order that is the same in every run.
//!
//! `cargo bench -p lease-bench` times the operations, the queues and the stores; `--features peers`
//! adds tokio-util's queue. The programs, each run by `cargo run --release -p lease-bench --bin`:
//!
//! - `workloads` is one side of `cargo xtask bench --peer etcd`, of the lessor and through HTTP,
//! - `memory` prints what a lease and an attached key cost in bytes,
//! - `scale` grants as many leases as memory holds,
//! - `lateness` prints how late expiries are delivered under load,
//! - `cluster` measures a replicated lessor on loopback: what goes through it, and a failover.
#![forbid(unsafe_code)]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lease_core::{
    Backend, BackendLessor, Durability, Epoch, Grant, LeaseError, LeaseId, LeaseItem, Lessor,
    LessorConfig, LessorCore, Timestamp, Ttl, WriteBatch,
};

/// The ids 1 to `n`, shuffled by a fixed seed.
#[must_use]
pub fn shuffled_ids(n: usize) -> Vec<LeaseId> {
    let mut ids: Vec<_> = (1..=n as i64).filter_map(LeaseId::new).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for last in (1..ids.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ids.swap(last, (state % (last as u64 + 1)) as usize);
    }
    ids
}

/// The key that belongs to a lease, of 32 bytes.
#[must_use]
pub fn key(id: LeaseId) -> LeaseItem {
    LeaseItem::from(format!("services/{:023}", id.get()))
}

/// A lessor with etcd's batches that makes no checkpoints, as etcd's while no checkpointer is set,
/// which is its default.
///
/// # Errors
///
/// If the backend cannot be read.
pub fn lessor_as_etcds(backend: Arc<dyn Backend>) -> Result<BackendLessor, LeaseError> {
    BackendLessor::builder(backend)
        .config(LessorConfig {
            checkpoint_interval: Duration::MAX,
            ..LessorConfig::default()
        })
        .durability(Durability::ETCD)
        .build()
}

/// A primary that holds these leases, each of 60 s; its writes are batched and its expiries not
/// limited by a rate.
///
/// # Panics
///
/// If the backend fails or an id is twice there.
#[must_use]
pub fn primary_with(backend: Arc<dyn Backend>, ids: &[LeaseId]) -> BackendLessor {
    let lessor = BackendLessor::builder(backend)
        .config(LessorConfig {
            revoke_rate_per_sec: None,
            ..LessorConfig::default()
        })
        .durability(Durability::Batched {
            interval: Duration::from_millis(100),
            max_writes: NonZeroUsize::new(10_000).expect("not zero"),
        })
        .build()
        .expect("the backend is sound");
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    for id in ids {
        lessor.grant(*id, 60).expect("each id once");
    }
    lessor
}

/// A state machine whose leases, which are these, are all due after [`DUE_AFTER`], scheduled and without
/// a rate that would limit their expiry.
///
/// # Panics
///
/// If an id is twice there.
#[must_use]
pub fn core_with(ids: &[LeaseId]) -> LessorCore {
    let mut core = LessorCore::new(LessorConfig {
        revoke_rate_per_sec: None,
        ..LessorConfig::default()
    });
    core.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
    core.handle_timeout(Timestamp::ZERO);
    for id in ids {
        let grant = Grant::new(*id, Ttl::new(60).expect("legal")).into();
        core.execute(Timestamp::ZERO, &grant, &mut WriteBatch::default());
    }
    assert_eq!(core.len(), ids.len(), "each id once");
    core
}

/// Delivers all that is due after [`DUE_AFTER`] and returns how many leases that were.
pub fn expire_all(core: &mut LessorCore) -> usize {
    let now = Timestamp::ZERO.saturating_add(DUE_AFTER);
    let mut found = 0;
    while core.next_expiry().is_some_and(|due| due <= now) {
        let batch = core.poll_expired(now);
        found += batch.map_or(0, |batch| batch.leases.len());
    }
    found
}

/// The TTL of the leases of [`core_with`].
pub const DUE_AFTER: Duration = Duration::from_secs(60);

// The program that the project opens with builds.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
