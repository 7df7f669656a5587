//! More threads than processors, and long enough for the system to stop them anywhere.
#![cfg(not(shuttle))]

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;

use crate::sync::SharedLock;

fn work(rounds: u64) {
    assert_eq!((0..rounds).map(black_box).count() as u64, rounds);
}

#[test]
fn eight_threads_lose_nothing() {
    const ROUNDS: u64 = 20_000;
    let lock = SharedLock::<u64, AtomicU64>::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    if round % 4 == 0 {
                        *lock.write() += 1;
                    } else {
                        lock.read().stripe().fetch_add(1, Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(*lock.read(), 8 * ROUNDS / 4);
    let reads = lock.stripes().map(|reads| reads.load(Relaxed));
    assert_eq!(reads.sum::<u64>(), 8 * ROUNDS / 4 * 3);
}

#[test]
fn readers_go_on_between_the_slices_of_a_writer() {
    let lock = SharedLock::<u64>::new(0);
    let is_over = AtomicBool::new(false);
    let reads = [const { AtomicU64::new(0) }; 4];
    thread::scope(|scope| {
        for reads in &reads {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    drop(lock.read());
                    reads.fetch_add(1, Relaxed);
                }
            });
        }
        for _ in 0..128 {
            *lock.write() += 1;
            work(10_000);
            lock.give_way();
        }
        is_over.store(true, Relaxed);
    });
    assert!(reads.iter().all(|reads| reads.load(Relaxed) > 0));
}

#[test]
fn a_writer_in_a_loop_lets_others_write() {
    let lock = SharedLock::<u64>::new(0);
    let is_served = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            (0..20).for_each(|_| *lock.write() += 1);
            is_served.store(true, Relaxed);
        });
        // Some seconds, where some milliseconds are needed.
        let is_in_time = (0..200_000).any(|_| {
            let value = lock.write();
            work(10_000);
            drop(value);
            is_served.load(Relaxed)
        });
        assert!(is_in_time, "the other one starved");
    });
}
