//! Settings, and what two of them do.
//!
//! Run it with `cargo run -p lease --example tuning`.
#![expect(clippy::print_stdout, reason = "an example talks")]

// ANCHOR: program
use std::error::Error;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lease::prelude::*;
use lease::{Driver, ManualClock};

fn main() -> Result<(), Box<dyn Error>> {
    let clock = Arc::new(ManualClock::default());
    let lessor = BackendLessor::builder(Arc::new(MemoryBackend::new()))
        .config(LessorConfig {
            min_ttl: Ttl::new(5)?,
            max_leases: Some(1_000_000),
            revoke_rate_per_sec: NonZeroU32::new(100),
            ..LessorConfig::default()
        })
        // Commands do not wait for the disk; a crash takes the last 100 ms.
        .durability(Durability::ETCD)
        .expiry(ExpiryMode::AutoRevoke)
        .clock(clock.clone())
        .driver(Driver::Manual)
        .build()?;
    lessor.promote(Duration::ZERO)?;

    // The minimum TTL.
    println!("1 s is raised to {}", lessor.grant_new(1)?.ttl());

    // 250 clients go away at the same time. The store has other work, too.
    for _ in 0..250 {
        lessor.grant_new(60)?;
    }
    lessor.flush()?; // now they survive a crash
    clock.advance(Duration::from_secs(59));
    lessor.tick();
    for second in 60..64 {
        clock.advance(Duration::from_secs(1));
        lessor.tick();
        let stats = lessor.stats();
        println!(
            "after {second} s: {} leases, {} revoked",
            stats.leases, stats.revoked
        );
    }
    Ok(())
}
// ANCHOR_END: program
