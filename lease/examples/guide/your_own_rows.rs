//! Rows of the host's that come and go with their lease.
//!
//! Run it with `cargo run -p lease --example your_own_rows`.
#![expect(clippy::print_stdout, reason = "an example talks")]

// ANCHOR: program
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use lease::prelude::*;
use lease::{Backend, Table, TableDeleter, WriteBatch};

fn main() -> Result<(), Box<dyn Error>> {
    let store = Arc::new(MemoryBackend::new()); // or a RedbBackend
    let lessor = BackendLessor::standalone(store.clone())?;
    // Whoever revokes a lease deletes the rows that have its items as keys.
    lessor.set_range_deleter(Arc::new(TableDeleter::new(services())));

    let id = lessor.grant_new(Duration::from_secs(60))?.id();
    lessor.attach_with(id, &["web/1".into()], put("web/1", "10.0.0.7:8080"))?;
    show("attached", &*store)?;

    // The lease ends, and takes the row along in the same transaction.
    lessor.revoke(id)?;
    show("revoked", &*store)?;

    // Too late: no lease, and so no row.
    let late = lessor.attach_with(id, &["web/1".into()], put("web/1", "10.0.0.7:8080"));
    println!("{}", late.expect_err("the lease is gone"));
    show("refused", &*store)?;
    Ok(())
}

fn services() -> Table {
    Table::new("services")
}

fn put(name: &str, address: &str) -> WriteBatch {
    let mut writes = WriteBatch::default();
    writes.put(services(), name, address);
    writes
}

fn show(when: &str, store: &dyn Backend) -> Result<(), Box<dyn Error>> {
    println!("{when}:");
    store.scan(&services(), &mut |name, address| {
        let [name, address] = [name, address].map(String::from_utf8_lossy);
        println!("  {name} is at {address}");
    })?;
    Ok(())
}
// ANCHOR_END: program
