use std::sync::Arc;
use std::time::{Duration, Instant};

use lease_bench::shuffled_ids;
use lease_core::{
    BackendLessor, Driver, Durability, Lessor, LessorConfig, ManualClock, NullBackend, Timestamp,
};

use crate::stopwatch::Stopwatch;

/// Hands out every lease as its time comes, in the order of the times: a thousand seconds of them,
/// a second at a time.
pub(crate) fn run(watch: &Stopwatch) -> anyhow::Result<()> {
    let clock = Arc::new(ManualClock::default());
    let lessor = BackendLessor::builder(Arc::new(NullBackend))
        .config(LessorConfig {
            revoke_rate_per_sec: None,
            // Expiry alone is timed: nothing is checkpointed, and no lease comes a second time.
            checkpoint_interval: Duration::from_secs(1_000_000),
            expired_lease_retry_interval: Duration::from_secs(1_000_000),
            ..LessorConfig::default()
        })
        .durability(Durability::ETCD)
        .driver(Driver::Manual)
        .clock(clock.clone())
        .build()?;
    lessor.promote(Duration::ZERO);
    for (id, turn) in shuffled_ids(watch.n).into_iter().zip(0_i64..) {
        lessor.grant(id, 60 + turn % 1000)?;
    }
    lessor.flush()?;
    let expired = lessor.expired_leases();
    let mut handed_out = 0;
    let mut longest = Duration::ZERO;
    let start = Instant::now();
    for second in 60..=1060 {
        clock.set(Timestamp::from_secs(second));
        loop {
            let tick = Instant::now();
            lessor.tick();
            longest = longest.max(tick.elapsed());
            let before = handed_out;
            while let Ok(batch) = expired.try_recv() {
                handed_out += batch.leases.len();
            }
            if handed_out == before {
                break;
            }
        }
    }
    watch.note("expire_all", start.elapsed(), watch.n);
    watch.note("expire_longest_tick", longest, 1);
    assert_eq!(handed_out, watch.n, "every lease expires once");
    Ok(())
}
