//! Settings out of a file.
//!
//! Run it with `cargo run -p lease --features serde --example settings`.
#![expect(clippy::print_stdout, reason = "an example talks")]

// ANCHOR: program
use std::error::Error;
use std::fs::{read_to_string, write};
use std::sync::Arc;

use lease::prelude::*;

fn main() -> Result<(), Box<dyn Error>> {
    write("lessor.json", SETTINGS)?; // yours is there already

    let config: LessorConfig = serde_json::from_str(&read_to_string("lessor.json")?)?;
    println!("a checkpoint each {:?}", config.checkpoint_interval);
    println!("once more after {:?}", config.expired_lease_retry_interval);
    let lessor = BackendLessor::builder(Arc::new(MemoryBackend::new()))
        .config(config)
        .build()?;
    println!("1 s is raised to {}", lessor.grant_new(1)?.ttl());
    Ok(())
}

/// What is not named is as by default. A name that is none is an error.
const SETTINGS: &str = r#"{
    "min_ttl": 5,
    "max_leases": 1000000,
    "checkpoint_interval": { "secs": 300, "nanos": 0 },
    "expired_lease_retry_interval": { "secs": 1, "nanos": 500000000 },
    "revoke_rate_per_sec": null
}"#;
// ANCHOR_END: program
