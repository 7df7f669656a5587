//! What the observers for metrics and logs make of one scripted history.
#![cfg(any(
    feature = "metrics",
    feature = "prometheus-client",
    feature = "tracing"
))]

#[cfg(feature = "metrics")]
mod facade;
#[cfg(feature = "prometheus-client")]
mod prometheus;
#[cfg(feature = "tracing")]
mod tracing;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lease_core::{
    BackendLessor, Checkpoint, Command, Driver, Epoch, LeaseId, LeaseItem, Lessor, LessorConfig,
    ManualClock, NullBackend, Observer, Timestamp, WriteBatch,
};

/// Lets something of every kind happen. At the end three leases are left; one of them is expiring,
/// in a batch that nobody has taken.
fn history(observer: Arc<dyn Observer>) -> Arc<BackendLessor> {
    let clock = Arc::new(ManualClock::default());
    let lessor = lessor(clock.clone(), observer);
    let at = |secs| {
        clock.set(Timestamp::from_secs(secs));
        lessor.tick();
    };
    let begin = Command::BeginEpoch(Epoch::new(3));
    lessor
        .apply(&begin, WriteBatch::default())
        .expect("nothing fails");
    lessor.promote_to(Epoch::new(3), Duration::ZERO);
    for (number, ttl) in [(1, 1), (2, 1), (3, 4), (4, 9_000_000_000)] {
        lessor.grant(id(number), ttl).expect("free");
    }
    lessor.grant(id(1), 60).expect_err("taken");
    let items = ["a", "b", "c", "d"].map(LeaseItem::from);
    lessor.attach(id(4), &items).expect("there");
    lessor.revoke(id(3)).expect("there");

    // The revoke rate lets one lease go and puts the other one off.
    at(1);
    let batch = lessor.expired_leases().try_recv().expect("one is due");
    lessor.revoke_expired(&batch).expect("nothing fails");
    lessor.grant(id(1), 60).expect("free again");
    lessor.revoke_expired(&batch).expect("stale is no error");
    at(3);

    clock.set(Timestamp::from_secs(2));
    lessor.renew(id(4)).expect("a clock that goes back is held");

    // A checkpoint is due, and the checkpointer fails.
    at(8);
    lessor.checkpoint(id(4), 9).expect("there");
    lessor
        .checkpoint(id(99), 9)
        .expect("what is unknown is ignored");
    lessor
}

fn lessor(clock: Arc<ManualClock>, observer: Arc<dyn Observer>) -> Arc<BackendLessor> {
    let config = LessorConfig {
        checkpoint_interval: Duration::from_secs(5),
        revoke_rate_per_sec: NonZeroU32::new(1),
        ..LessorConfig::default()
    };
    let fails = |_: &[Checkpoint], _| Err("the log is down".into());
    let lessor = BackendLessor::builder(Arc::new(NullBackend))
        .config(config)
        .clock(clock)
        .driver(Driver::Manual)
        .checkpointer(Arc::new(fails))
        .observer(observer)
        .build();
    Arc::new(lessor.expect("nothing is read"))
}

fn id(number: i64) -> LeaseId {
    LeaseId::new(number).expect("not zero")
}
