//! A host on tokio that drives the lessor itself: no thread of the lessor runs, and nothing blocks one
//! of tokio's. One task sleeps until something is due, another one revokes what has expired, and
//! clients renew and wait without a thread each.
//!
//! Run it with `cargo run -p lease-backend --example tokio_host`.
#![expect(clippy::print_stdout, reason = "an example talks")]

use std::sync::Arc;
use std::time::Duration;

use lease_backend::MemoryBackend;
use lease_core::{
    BackendLessor, BoxError, Clock, Driver, ExpiredLeases, Lease, LeaseError, Lessor, SystemClock,
    Timestamp,
};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

/// Makes time pass for the lessor.
async fn drive(lessor: Arc<BackendLessor>) {
    let clock = SystemClock::default();
    loop {
        let wakeup = lessor.tick();
        let left = |at: Timestamp| at.saturating_duration_since(clock.precise_now());
        tokio::select! {
            () = sleep(wakeup.map_or(Duration::MAX, left)) => {}
            () = lessor.wakeup_moved() => {}
        }
    }
}

/// Revokes what has expired, until the lessor is stopped. A host with a log proposes the revocations
/// there; this one has none.
async fn revoke(lessor: Arc<BackendLessor>, expired: ExpiredLeases) -> Result<(), BoxError> {
    while let Ok(batch) = expired.recv_async().await {
        for lease in &batch.leases {
            println!("lease {} has expired", lease.id);
        }
        let lessor = Arc::clone(&lessor);
        // A store may block.
        let revoked = spawn_blocking(move || lessor.revoke_expired(&batch)).await?;
        if let Err(error) = revoked {
            println!("it comes again: {error}");
        }
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let lessor = BackendLessor::builder(Arc::new(MemoryBackend::default()))
        .driver(Driver::Manual)
        .build()?;
    let lessor = Arc::new(lessor);
    lessor.promote(Duration::ZERO)?;
    let driver = tokio::spawn(drive(Arc::clone(&lessor)));
    let revoker = tokio::spawn(revoke(Arc::clone(&lessor), lessor.expired_leases()));

    let first = lessor.grant_new(Duration::from_secs(1))?.id();
    let second = lessor.grant_new(Duration::from_secs(1))?.id();
    println!("granted leases {first} and {second} for one second; {second} is kept alive");
    for _ in 0..6 {
        sleep(Duration::from_millis(300)).await;
        // It waits where the lease has just expired, so the host sets the deadline.
        let renewed = timeout(Duration::from_secs(1), lessor.renew_async(second)).await?;
        println!("renewed lease {second} for {}", renewed?);
    }
    let gone = lessor.renew_async(first).await;
    println!("lease {first}: {}", gone.expect_err("it has expired"));
    let alive: Vec<_> = lessor.leases().iter().map(Lease::id).collect();
    println!("alive: {alive:?}");
    assert_eq!(alive, [second]);

    lessor.stop();
    revoker.await??;
    driver.abort();
    let stopped = lessor.renew_async(second).await;
    assert_eq!(stopped, Err(LeaseError::Stopped));
    Ok(())
}
