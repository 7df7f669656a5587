//! What a lease has left after a restart.
//!
//! Run it with `cargo run -p lease --example after_a_restart`.
#![expect(clippy::print_stdout, reason = "an example talks")]

// ANCHOR: program
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use lease::prelude::*;
use lease::{Driver, ManualClock};

fn main() -> Result<(), Box<dyn Error>> {
    let store = MemoryBackend::new(); // a clone of it is the same store
    let clock = Arc::new(ManualClock::default());
    let lessor = open(&store, &clock)?;
    let short = lessor.grant_new(Duration::from_secs(60))?.id();
    let long = lessor.grant_new(Duration::from_secs(3600))?.id();
    lessor.attach(short, &["short".into()])?;
    lessor.attach(long, &["long".into()])?;

    // 12 minutes, in which somebody renews the short one.
    for _ in 0..24 {
        clock.advance(Duration::from_secs(30));
        lessor.tick();
        lessor.renew(short)?;
    }
    show("before", &lessor);

    // The process is gone for an hour. Nothing more was written: it is as after `kill -9`.
    drop(lessor);
    clock.advance(Duration::from_secs(3600));
    let lessor = open(&store, &clock)?;
    show("after", &lessor);

    // Nobody renews any more.
    clock.advance(Duration::from_secs(61));
    lessor.tick();
    show("a minute later", &lessor);
    Ok(())
}

/// As `BackendLessor::standalone`, but with a clock that we move.
fn open(store: &MemoryBackend, clock: &Arc<ManualClock>) -> Result<BackendLessor, LeaseError> {
    let lessor = BackendLessor::builder(Arc::new(store.clone()))
        .expiry(ExpiryMode::AutoRevoke)
        .items(ItemMode::Stored)
        .clock(clock.clone())
        .driver(Driver::Manual)
        .build()?;
    lessor.promote(Duration::ZERO)?;
    Ok(lessor)
}

fn show(when: &str, lessor: &BackendLessor) {
    println!("{when}:");
    for lease in lessor.leases() {
        let left = lease.remaining().unwrap_or_default().as_secs();
        let items: Vec<_> = lease.keys().iter().map(LeaseItem::to_string).collect();
        println!("  {} has {left} s of {}", items.join(", "), lease.ttl());
    }
}
// ANCHOR_END: program
