//! Prints how many bytes of the heap a lease and an attached key cost.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "this is a command line tool")]

use std::sync::Arc;

use lease_bench::{primary_with, shuffled_ids};
use lease_core::{LeaseItem, Lessor, NullBackend};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

fn main() {
    let _profiler = dhat::Profiler::builder().testing().build();
    println!("| leases | bytes a lease | bytes an attached key of 32 bytes |");
    println!("|---|---|---|");
    for n in [10_000, 100_000, 1_000_000, 10_000_000] {
        let ids = shuffled_ids(n);
        let before = heap();
        let lessor = primary_with(Arc::new(NullBackend), &ids);
        lessor.flush().expect("it keeps nothing");
        let leases = heap() - before;
        for id in &ids {
            let key = format!("services/{:023}", id.get());
            let attached = lessor.attach(*id, &[LeaseItem::from(key)]);
            attached.expect("the lease is there");
        }
        let keys = heap() - before - leases;
        println!(
            "| {n} | {:.1} | {:.1} |",
            leases as f64 / n as f64,
            keys as f64 / n as f64
        );
    }
}

fn heap() -> usize {
    dhat::HeapStats::get().curr_bytes
}
