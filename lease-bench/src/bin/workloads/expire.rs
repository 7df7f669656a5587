use std::sync::Arc;
use std::time::{Duration, Instant};

use lease_bench::shuffled_ids;
use lease_core::{
    BackendLessor, Driver, Durability, Epoch, Grant, Lessor, LessorConfig, LessorCore, ManualClock,
    NullBackend, Timestamp, Ttl, WriteBatch,
};

use crate::stopwatch::Stopwatch;

/// Delivers every lease as its time comes, in the order of the times: a thousand seconds of them,
/// a second at a time.
pub(crate) fn run(watch: &Stopwatch) -> anyhow::Result<()> {
    let clock = Arc::new(ManualClock::default());
    let lessor = BackendLessor::builder(Arc::new(NullBackend))
        .config(config())
        .durability(Durability::ETCD)
        .driver(Driver::Manual)
        .clock(clock.clone())
        .build()?;
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    for (id, turn) in shuffled_ids(watch.n).into_iter().zip(0_i64..) {
        lessor.grant(id, 60 + turn % 1000)?;
    }
    lessor.flush()?;
    let expired = lessor.expired_leases();
    let mut delivered = 0;
    let start = Instant::now();
    for second in 60..=1060 {
        clock.set(Timestamp::from_secs(second));
        loop {
            lessor.tick();
            let before = delivered;
            while let Ok(batch) = expired.try_recv() {
                delivered += batch.leases.len();
            }
            if delivered == before {
                break;
            }
        }
    }
    watch.note("expire_all", start.elapsed(), watch.n);
    assert_eq!(delivered, watch.n, "every lease expires once");
    longest_calls(watch);
    Ok(())
}

/// How long the lessor's lock is held by what a promotion and a pile-up bring: each call of the
/// state machine is one hold of the lock.
fn longest_calls(watch: &Stopwatch) {
    let mut core = LessorCore::new(config());
    let rows = &mut WriteBatch::default();
    for id in shuffled_ids(watch.n) {
        let grant = Grant::new(id, Ttl::MIN).into();
        core.execute(Timestamp::ZERO, &grant, rows);
    }
    core.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
    let now = Timestamp::from_secs(1);
    let mut longest = Duration::ZERO;
    while core.stats().expiry_entries < watch.n {
        let start = Instant::now();
        core.handle_timeout(Timestamp::ZERO);
        longest = longest.max(start.elapsed());
    }
    watch.note("promote_longest_slice", longest, 1);
    let (mut longest, mut delivered) = (Duration::ZERO, 0);
    while core.next_expiry().is_some_and(|due| due <= now) {
        let start = Instant::now();
        let batch = core.poll_expired(now);
        longest = longest.max(start.elapsed());
        delivered += batch.map_or(0, |batch| batch.leases.len());
    }
    watch.note("expire_longest_call", longest, 1);
    assert_eq!(delivered, watch.n, "all were due at once");
}

fn config() -> LessorConfig {
    LessorConfig {
        revoke_rate_per_sec: None,
        // Expiry alone is timed: nothing is checkpointed, and no lease comes a second time.
        checkpoint_interval: Duration::from_secs(1_000_000),
        expired_lease_retry_interval: Duration::from_secs(1_000_000),
        ..LessorConfig::default()
    }
}
