//! What the lessor's lock costs, beside crossbeam's `ShardedLock`: alone, and in the cases in which
//! threads stand in each other's way.
//!
//! ```text
//! cargo bench -p lease-core --bench lock
//! ```
//!
//! It has the module itself rather than the crate, which does not show its lock.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark reads the time and prints"
)]

#[allow(
    dead_code,
    unused_imports,
    reason = "of the module this needs the lock, and of its tests nothing"
)]
#[path = "../src/sync/mod.rs"]
mod sync;

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_utils::sync::ShardedLock;
use sync::SharedLock;

trait Lock: Sync {
    const NAME: &'static str;
    fn new() -> Self;
    fn read(&self) -> u64;
    fn write(&self, work: impl FnOnce(&mut u64));
    fn give_way(&self);
}

impl Lock for SharedLock<u64> {
    const NAME: &'static str = "SharedLock";

    fn new() -> Self {
        Self::new(0)
    }

    fn read(&self) -> u64 {
        black_box(*self.read())
    }

    fn write(&self, work: impl FnOnce(&mut u64)) {
        work(&mut self.write());
    }

    fn give_way(&self) {
        self.give_way();
    }
}

impl Lock for ShardedLock<u64> {
    const NAME: &'static str = "ShardedLock";

    fn new() -> Self {
        Self::new(0)
    }

    fn read(&self) -> u64 {
        black_box(*self.read().expect("not poisoned"))
    }

    fn write(&self, work: impl FnOnce(&mut u64)) {
        work(&mut self.write().expect("not poisoned"));
    }

    fn give_way(&self) {
        thread::yield_now();
    }
}

fn main() {
    alone::<SharedLock<u64>>();
    alone::<ShardedLock<u64>>();
    for (readers, writers) in [(4, 0), (4, 1), (4, 4)] {
        slices::<SharedLock<u64>>(readers, writers);
        slices::<ShardedLock<u64>>(readers, writers);
    }
    for threads in [2, 8] {
        for writes_per_1000 in [1, 10, 50, 1000] {
            mixed::<SharedLock<u64>>(threads, writes_per_1000);
            mixed::<ShardedLock<u64>>(threads, writes_per_1000);
        }
    }
}

/// Nobody waits for anybody.
fn alone<L: Lock>() {
    let lock = L::new();
    let read = |lock: &L| _ = lock.read();
    let write = best(|| nanos(|| lock.write(|value| *value += 1)));
    let one = best(|| nanos(|| read(&lock)));
    let two = best(|| {
        thread::scope(|scope| {
            let other = scope.spawn(|| nanos(|| read(&lock)));
            nanos(|| read(&lock)).max(other.join().expect("no panic"))
        })
    });
    let name = L::NAME;
    println!(
        "{name:11} write {write:4.1} ns, read {one:4.1} ns, beside another reader {two:4.1} ns"
    );
}

/// A driver that takes the lock 128 times in a row for 0.1 ms, as when many leases expire at once.
fn slices<L: Lock>(readers: usize, writers: usize) {
    let (lock, is_over) = (L::new(), AtomicBool::new(false));
    let (reads, writes) = (AtomicU64::new(0), AtomicU64::new(0));
    let took = thread::scope(|scope| {
        for _ in 0..readers {
            scope.spawn(|| count_until(&is_over, &reads, || _ = lock.read()));
        }
        for _ in 0..writers {
            scope.spawn(|| count_until(&is_over, &writes, || lock.write(|value| *value += 1)));
        }
        thread::sleep(Duration::from_millis(20));
        for count in [&reads, &writes] {
            count.store(0, Relaxed);
        }
        let start = Instant::now();
        for _ in 0..128 {
            lock.write(|_| busy(Duration::from_micros(100)));
            lock.give_way();
        }
        let took = start.elapsed();
        is_over.store(true, Relaxed);
        took
    });
    let [reads, writes] = [reads, writes].map(|count| count.into_inner() / 1000);
    println!(
        "{:11} 128 slices beside {readers} readers and {writers} writers: {took:9.1?}, meanwhile \
         {reads:6} k reads, {writes:6} k writes",
        L::NAME
    );
}

/// All do the same: mostly look, and sometimes change something.
fn mixed<L: Lock>(threads: u64, writes_per_1000: u64) {
    let (lock, is_over) = (L::new(), AtomicBool::new(false));
    let done = AtomicU64::new(0);
    let start = Instant::now();
    thread::scope(|scope| {
        for thread in 0..threads {
            let (lock, is_over, done) = (&lock, &is_over, &done);
            scope.spawn(move || {
                let mut random = thread;
                count_until(is_over, done, || {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    if (random >> 33) % 1000 < writes_per_1000 {
                        lock.write(|value| *value += 1);
                    } else {
                        lock.read();
                    }
                });
            });
        }
        thread::sleep(Duration::from_millis(500));
        is_over.store(true, Relaxed);
    });
    let per_micro = done.into_inner() as f64 / start.elapsed().as_micros() as f64;
    println!(
        "{:11} {threads} threads, {writes_per_1000:4} of 1000 writes: {per_micro:6.1} a microsecond",
        L::NAME
    );
}

fn best(measure: impl Fn() -> f64) -> f64 {
    (0..7).map(|_| measure()).fold(f64::MAX, f64::min)
}

fn nanos(work: impl Fn()) -> f64 {
    const TIMES: u32 = 2_000_000;
    let start = Instant::now();
    (0..TIMES).for_each(|_| work());
    start.elapsed().as_nanos() as f64 / f64::from(TIMES)
}

fn busy(span: Duration) {
    let start = Instant::now();
    while start.elapsed() < span {
        spin_loop();
    }
}

// The count is shared, and so added to seldom.
fn count_until(is_over: &AtomicBool, count: &AtomicU64, mut work: impl FnMut()) {
    while !is_over.load(Relaxed) {
        (0..100).for_each(|_| work());
        count.fetch_add(100, Relaxed);
    }
}
