//! What happens to leases while time passes, as a stream of events.
//!
//! Run it with `cargo run -p lease --features async --example life_of_a_lease`.
#![expect(clippy::print_stdout, reason = "an example talks")]

// ANCHOR: program
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use lease::prelude::*;
use lease::{Driver, LeaseEvent, ManualClock};

fn main() -> Result<(), Box<dyn Error>> {
    // A clock that we move, and no threads: this program does the same at each run.
    let clock = Arc::new(ManualClock::default());
    let lessor = BackendLessor::builder(Arc::new(MemoryBackend::new()))
        .clock(clock.clone())
        .driver(Driver::Manual)
        .expiry(ExpiryMode::AutoRevoke)
        .build()?;
    lessor.promote(Duration::ZERO)?;
    let mut events = lessor.events(1024).with_renewals().with_items();

    let kept = lessor.grant_new(10)?.id(); // seconds
    let left = lessor.grant_new(10)?.id();
    lessor.attach(kept, &["web/1".into()])?;
    lessor.attach(left, &["web/2".into()])?;
    for second in [5, 10, 15] {
        clock.advance(Duration::from_secs(5));
        lessor.tick();
        lessor.renew(kept)?;
        println!("after {second} s:");
        while let Some(Some(event)) = events.next().now_or_never() {
            println!("  {}", words(&event));
        }
    }
    let gone = lessor.renew(left);
    println!("renew {left}: {}", gone.expect_err("it has expired"));
    Ok(())
}

fn words(event: &LeaseEvent) -> String {
    match event {
        LeaseEvent::Granted { id, ttl } => format!("{id} is granted for {ttl}"),
        LeaseEvent::Renewed { id, ttl } => format!("{id} is renewed for {ttl}"),
        LeaseEvent::Expired { id, .. } => format!("{id} has expired"),
        LeaseEvent::Revoked { id, reason, items } => {
            let items: Vec<_> = items.iter().map(LeaseItem::to_string).collect();
            format!("{id} is revoked ({reason:?}) with {}", items.join(", "))
        }
        other => format!("{other:?}"),
    }
}
// ANCHOR_END: program
