//! Grants a great many leases over the memory backend and prints what they cost: 10^8 of them take
//! some 13 GB and a few minutes.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "this is a command line tool")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use lease_backend::MemoryBackend;
use lease_bench::lessor_as_etcds;
use lease_core::{LeaseId, Lessor};

/// Grants leases, renews some, and promotes.
#[derive(Parser)]
struct Args {
    /// How many leases.
    #[arg(short, default_value_t = 10_000_000)]
    n: i64,
}

const TTL: i64 = 24 * 60 * 60;

/// How many leases are renewed.
const RENEWALS: i64 = 1_000_000;

fn main() -> anyhow::Result<()> {
    let Args { n } = Args::parse();
    anyhow::ensure!(n >= 1, "-n must be at least 1");
    let before = resident()?;
    let lessor = lessor_as_etcds(Arc::new(MemoryBackend::new()))?;
    lessor.promote(Duration::ZERO).expect("the epoch is stored");

    let start = Instant::now();
    for number in 0..n {
        lessor.grant(id(number), TTL)?;
    }
    lessor.flush()?;
    print("grants with their rows", start.elapsed(), n);
    println!(
        "{:.1} bytes a lease, rows included",
        (resident()? - before) as f64 / n as f64
    );

    let start = Instant::now();
    // A step of a large prime visits leases far from each other.
    for turn in 0..RENEWALS {
        lessor.renew(id(turn * 982_451_653 % n))?;
    }
    print("random renewals", start.elapsed(), RENEWALS);

    lessor.demote();
    let start = Instant::now();
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    print("promotion", start.elapsed(), 1);
    while (lessor.stats().expiry_entries as i64) < n {
        std::thread::sleep(Duration::from_millis(1));
    }
    print("promotion with all its slices", start.elapsed(), 1);
    Ok(())
}

fn print(what: &str, span: Duration, count: i64) {
    let each = span.as_nanos() as f64 / count as f64;
    println!("{count} {what}: {span:.1?}, {each:.0} ns each");
}

/// Ids without an order: an odd factor permutes the numbers of 64 bits, and none but zero comes to
/// zero.
fn id(number: i64) -> LeaseId {
    let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64);
    LeaseId::new(mixed).expect("not zero")
}

/// Bytes of memory that the process has, as Linux counts them.
fn resident() -> anyhow::Result<i64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: i64 = kib.unwrap_or_default().parse()?;
    Ok(kib * 1024)
}
