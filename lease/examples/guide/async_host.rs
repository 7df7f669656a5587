//! A lessor in an async program.
//!
//! Run it with `cargo run -p lease --features async --example async_host`.
#![expect(clippy::print_stdout, reason = "an example talks")]

// ANCHOR: program
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lease::prelude::*;
use lease::{LeaseEvent, RevokeReason};
use tokio::time::sleep;

fn main() -> Result<(), Box<dyn Error>> {
    // To open a store blocks: do it before there is a runtime.
    let lessor = BackendLessor::standalone(Arc::new(MemoryBackend::new()))?;
    let lessor = AsyncLessor::new(lessor)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    runtime.block_on(serve(lessor))
}

async fn serve(lessor: AsyncLessor) -> Result<(), Box<dyn Error>> {
    let told = tokio::spawn(tell_who_is_gone(lessor.clone()));
    let kept = register(&lessor, "web/1").await?;
    register(&lessor, "web/2").await?;
    // Only one of them is kept alive.
    let keeper = tokio::spawn(keep_alive(lessor.clone(), kept));
    told.await?;
    println!("web/1 is here: {}", lessor.get_lease(b"web/1").is_some());

    lessor.shutdown().await?;
    println!("the keeper: {}", keeper.await?);
    Ok(())
}

async fn register(lessor: &AsyncLessor, name: &str) -> Result<LeaseId, LeaseError> {
    let id = lessor.grant_new(Duration::from_secs(2)).await?.id();
    lessor.attach(id, &[name.into()]).await?;
    Ok(id)
}

/// Renews until that fails, and returns why it did.
async fn keep_alive(lessor: AsyncLessor, id: LeaseId) -> LeaseError {
    loop {
        if let Err(error) = lessor.renew(id).await {
            return error;
        }
        sleep(Duration::from_millis(500)).await; // a quarter of the TTL
    }
}

async fn tell_who_is_gone(lessor: AsyncLessor) {
    let mut events = lessor.events(1024).with_items();
    while let Some(event) = events.next().await {
        if let LeaseEvent::Revoked {
            reason: RevokeReason::Expired,
            items,
            ..
        } = event
        {
            println!("{} is gone", items[0]);
            break;
        }
    }
}
// ANCHOR_END: program
