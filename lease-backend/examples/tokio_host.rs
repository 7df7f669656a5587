//! A host on tokio that drives the lessor itself: no thread of the lessor runs, a task sleeps until
//! something is due and revokes what has expired.
//!
//! Run it with `cargo run -p lease-backend --example tokio_host`.
#![expect(clippy::print_stdout, reason = "an example talks")]

use std::sync::Arc;
use std::time::Duration;

use lease_backend::MemoryBackend;
use lease_core::{
    BackendLessor, BoxError, Clock, Driver, LeaseId, Lessor, Renewal, SystemClock, Timestamp,
};
use tokio::sync::Notify;
use tokio::time::sleep;

/// The lessor's run loop as a task.
async fn drive(lessor: Arc<BackendLessor>, changed: Arc<Notify>) {
    let clock = SystemClock::default();
    let expired = lessor.expired_leases();
    loop {
        let wakeup = lessor.tick();
        while let Ok(batch) = expired.try_recv() {
            for lease in &batch.leases {
                println!("lease {} has expired", lease.id.get());
            }
            // A host with a log proposes the revocations there; this one has none.
            if let Err(error) = lessor.revoke_expired(&batch) {
                println!("it comes again: {error}");
            }
        }
        let left = |at: Timestamp| at.saturating_duration_since(clock.precise_now());
        tokio::select! {
            () = sleep(wakeup.map_or(Duration::from_secs(3600), left)) => {}
            () = changed.notified() => {}
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let lessor = BackendLessor::builder(Arc::new(MemoryBackend::default()))
        .driver(Driver::Manual)
        .build()?;
    let lessor = Arc::new(lessor);
    lessor.promote(Duration::ZERO)?;
    // Tells the task that something may be due earlier than it thought.
    let changed = Arc::new(Notify::new());
    let task = tokio::spawn(drive(lessor.clone(), changed.clone()));

    for number in [1, 2] {
        lessor.grant(LeaseId::try_from(number)?, 1)?;
    }
    changed.notify_one();
    println!("granted leases 1 and 2 for one second; lease 2 is kept alive");
    let second = LeaseId::try_from(2)?;
    for _ in 0..6 {
        sleep(Duration::from_millis(300)).await;
        match lessor.try_renew(second)? {
            Renewal::Renewed(ttl) => println!("renewed lease 2 for {ttl}"),
            other => println!("lease 2: {other:?}"),
        }
    }
    let alive: Vec<_> = lessor
        .leases()
        .iter()
        .map(|lease| lease.id().get())
        .collect();
    println!("alive: {alive:?}");
    task.abort();
    Ok(())
}
