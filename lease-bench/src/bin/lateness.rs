//! How late expiries are delivered while a great many leases are renewed, and how often the threads
//! of a lessor that has nothing to do wake up.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "this is a command line tool")]
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures real time and runs threads"
)]

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use lease_bench::{lessor_as_etcds, shuffled_ids};
use lease_core::{BackendLessor, Clock, LeaseId, Lessor, NullBackend, SystemClock};

/// Lets short leases expire among many that are renewed all the time.
#[derive(Parser)]
struct Args {
    /// How many leases are renewed.
    #[arg(short, default_value_t = 1_000_000)]
    n: usize,
    /// For how long.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

/// Short leases that are granted each second; each lives for a second or two.
const PER_SECOND: u32 = 500;

/// How long the idle lessor is watched.
const IDLE: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    let Args { n, seconds } = Args::parse();
    ensure!(
        n >= 1 && seconds >= 1,
        "-n and --seconds must be at least 1"
    );
    let ids = shuffled_ids(n);
    let lessor = lessor_as_etcds(Arc::new(NullBackend))?;
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    for id in &ids {
        lessor.grant(*id, 3600)?;
    }
    lessor.flush()?;
    // What the promotion and the grants have left to do is over by then.
    thread::sleep(Duration::from_secs(1));
    let before = wake_ups()?;
    thread::sleep(IDLE);
    let idle = wake_ups()? - before;
    println!("{idle} wake-ups of the threads of an idle lessor in {IDLE:?}, ours to look included");

    let renewed = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    let late = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                for id in &ids {
                    lessor.renew(*id).expect("it is alive");
                    renewed.fetch_add(1, Ordering::Relaxed);
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                }
            }
        });
        let late = expire(&lessor, n, seconds);
        is_over.store(true, Ordering::Relaxed);
        late
    })?;
    let renewals = renewed.load(Ordering::Relaxed) / seconds;
    println!("{renewals} renewals a second of {n} leases meanwhile");
    report(late)
}

/// Grants short leases all the time and returns how late each was delivered, in nanoseconds: before
/// its time if negative.
fn expire(lessor: &BackendLessor, n: usize, seconds: u64) -> Result<Vec<i128>> {
    let expired = lessor.expired_leases();
    let end = Instant::now() + Duration::from_secs(seconds);
    let pause = Duration::from_secs(1) / PER_SECOND;
    let mut next = Instant::now();
    let mut due = BTreeMap::new();
    let mut late = Vec::new();
    let mut number = n as i64;
    while Instant::now() < end || !due.is_empty() {
        if next < end && next <= Instant::now() {
            number += 1;
            let id = LeaseId::new(number).context("not zero")?;
            let ttl = 1 + number % 2;
            // Counted from before the call: whoever counts so is told of no early expiry.
            let asked = Instant::now();
            lessor.grant(id, ttl)?;
            due.insert(id, asked + Duration::from_secs(ttl as u64));
            next += pause;
        }
        let left = next.saturating_duration_since(Instant::now());
        let batch = expired.recv_timeout(left.min(pause));
        let Ok(batch) = batch else { continue };
        let now = Instant::now();
        for lease in &batch.leases {
            let due = due.remove(&lease.id).context("it was granted once")?;
            let is_early = due > now;
            let off = if is_early { due - now } else { now - due };
            late.push(off.as_nanos() as i128 * if is_early { -1 } else { 1 });
        }
        lessor.revoke_expired(&batch)?;
    }
    Ok(late)
}

fn report(mut late: Vec<i128>) -> Result<()> {
    late.sort_unstable();
    let lag = SystemClock::default().lag();
    let early = late.iter().filter(|late| **late < 0).count();
    println!(
        "{} expiries, {early} of them early; the clock's lag is {lag:?}",
        late.len()
    );
    let quantiles = [
        ("median", 0.5),
        ("p99", 0.99),
        ("p99.9", 0.999),
        ("longest", 1.0),
    ];
    for (name, share) in quantiles {
        let at = ((late.len() - 1) as f64 * share) as usize;
        let behind = late[at] - lag.as_nanos() as i128;
        println!(
            "{name}: {:.2} ms late, {:.2} ms beyond the lag",
            late[at] as f64 / 1e6,
            behind as f64 / 1e6
        );
    }
    ensure!(early == 0, "a lease expired early");
    Ok(())
}

/// How often the threads of this process have gone to sleep by themselves, as Linux counts it.
fn wake_ups() -> Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir("/proc/self/task")? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        sum += line.context("Linux counts them")?.trim().parse::<u64>()?;
    }
    Ok(sum)
}
