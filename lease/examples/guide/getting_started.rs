//! The first program of the guide: a registry of services that survives `kill -9`.
//!
//! Run it with `cargo run -p lease --example getting_started`.
#![expect(clippy::print_stdout, reason = "an example talks")]

// ANCHOR: program
use std::error::Error;
use std::io::stdin;
use std::sync::Arc;
use std::time::Duration;

use lease::prelude::*;

fn main() -> Result<(), Box<dyn Error>> {
    // Prints what the lessor warns of.
    tracing_subscriber::fmt::init();
    // Opens the file, or makes it.
    let store = Arc::new(RedbBackend::open("registry.redb")?);
    let lessor = BackendLessor::standalone(store)?;
    println!("ready");
    for line in stdin().lines() {
        if let Err(error) = run(&lessor, &line?) {
            println!("error: {error}");
        }
    }
    Ok(())
}

fn run(lessor: &BackendLessor, line: &str) -> Result<(), Box<dyn Error>> {
    match *line.split_whitespace().collect::<Vec<_>>() {
        ["add", name] => {
            let id = lessor.grant_new(Duration::from_secs(60))?.id();
            lessor.attach(id, &[name.into()])?;
            println!("{name} is added with lease {id}");
        }
        ["renew", name] => {
            let id = lessor.get_lease(name.as_bytes());
            let ttl = lessor.renew(id.ok_or("there is no such service")?)?;
            println!("{name} has {ttl} again");
        }
        ["list"] => {
            for lease in lessor.leases() {
                for item in lease.keys() {
                    println!("{item} with lease {}", lease.id());
                }
            }
        }
        _ => println!("add NAME, renew NAME, list"),
    }
    Ok(())
}
// ANCHOR_END: program
