//! What a [`SharedLock`] promises.

use std::sync::atomic::AtomicUsize as RealAtomicUsize;

use super::{check, check_alone, wait_until};
use crate::sync::SharedLock;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use crate::sync::monitor::Deadline;
#[cfg(not(shuttle))]
use crate::sync::queue::GIVING_WAY;
use crate::sync::queue::PATIENCE;
use crate::sync::thread::{scope, yield_now};

/// Two numbers that are the same whenever nobody has the lock alone.
type Pair = SharedLock<(u64, u64), AtomicU64>;

fn add_one(lock: &Pair) {
    let mut pair = lock.write();
    pair.0 += 1;
    yield_now();
    pair.1 += 1;
}

fn look(lock: &Pair) -> u64 {
    let pair = lock.read();
    let first = pair.0;
    yield_now();
    assert_eq!(first, pair.1, "half of a change");
    pair.stripe().fetch_add(1, SeqCst);
    first
}

#[test]
fn a_writer_is_alone() {
    check(|| {
        let lock = Pair::new((0, 0));
        scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..3).for_each(|_| add_one(&lock)));
                scope.spawn(|| {
                    let mut last = 0;
                    for _ in 0..3 {
                        let seen = look(&lock);
                        assert!(seen >= last, "a change is undone");
                        last = seen;
                    }
                });
            }
        });
        assert_eq!(*lock.read(), (6, 6));
        let looks = lock.stripes().map(|looks| looks.load(SeqCst));
        assert_eq!(looks.sum::<u64>(), 6);
    });
}

#[test]
fn readers_are_in_together() {
    check(|| {
        let lock = Pair::new((0, 0));
        let inside = AtomicUsize::new(0);
        scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let _pair = lock.read();
                    inside.fetch_add(1, SeqCst);
                    wait_until(|| inside.load(SeqCst) == 3);
                });
            }
        });
    });
}

#[test]
fn a_new_reader_comes_after_a_writer_that_waits() {
    check(|| {
        let lock = Pair::new((0, 0));
        scope(|scope| {
            let reader = lock.read();
            scope.spawn(|| add_one(&lock));
            wait_until(|| lock.is_shut());
            scope.spawn(|| assert_eq!(look(&lock), 1));
            yield_now();
            assert_eq!(reader.1, 0);
            drop(reader);
        });
    });
}

#[test]
fn readers_that_have_waited_come_before_the_next_writer() {
    static IN_TIME: RealAtomicUsize = RealAtomicUsize::new(0);
    check(|| {
        let lock = Pair::new((0, 0));
        let looks = AtomicUsize::new(0);
        scope(|scope| {
            let writer = lock.write();
            for _ in 0..2 {
                scope.spawn(|| {
                    let _pair = lock.read();
                    yield_now();
                    looks.fetch_add(1, SeqCst);
                });
            }
            wait_until(|| lock.waiting() == 2);
            let patience = Deadline::after(Some(PATIENCE));
            wait_until(|| patience.has_passed());
            drop(writer);
            let _writer = lock.write();
            let is_in_time = looks.load(SeqCst) == 2;
            assert!(is_in_time || cfg!(shuttle), "they have waited for longer");
            IN_TIME.fetch_add(usize::from(is_in_time), SeqCst);
        });
    });
    // Under shuttle nobody knows when the patience of another has passed.
    assert!(IN_TIME.load(SeqCst) > 0);
}

#[test]
fn a_writer_in_a_loop_starves_nobody() {
    check(|| {
        let lock = Pair::new((0, 0));
        let served = AtomicUsize::new(0);
        scope(|scope| {
            scope.spawn(|| {
                wait_until(|| {
                    add_one(&lock);
                    served.load(SeqCst) == 3
                });
            });
            scope.spawn(|| {
                look(&lock);
                served.fetch_add(1, SeqCst);
            });
            for _ in 0..2 {
                scope.spawn(|| {
                    add_one(&lock);
                    served.fetch_add(1, SeqCst);
                });
            }
        });
    });
}

#[test]
fn readers_in_a_loop_starve_no_writer() {
    check(|| {
        let lock = Pair::new((0, 0));
        scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| wait_until(|| look(&lock) > 0));
            }
            scope.spawn(|| add_one(&lock));
        });
    });
}

#[test]
fn who_gives_way_comes_after_those_who_wait() {
    static IN_TIME: RealAtomicUsize = RealAtomicUsize::new(0);
    check(|| {
        let lock = Pair::new((0, 0));
        let served = AtomicUsize::new(0);
        scope(|scope| {
            let writer = lock.write();
            scope.spawn(|| {
                let _pair = lock.write();
                served.fetch_add(1, SeqCst);
            });
            scope.spawn(|| {
                let _pair = lock.read();
                served.fetch_add(1, SeqCst);
            });
            wait_until(|| lock.waiting() == 2);
            drop(writer);
            lock.give_way();
            let is_over = lock.waiting() == 0;
            let _writer = lock.write();
            let is_in_time = served.load(SeqCst) == 2;
            assert!(is_in_time || !is_over);
            IN_TIME.fetch_add(usize::from(is_in_time), SeqCst);
        });
    });
    // Not always: a millisecond may have passed.
    assert!(IN_TIME.load(SeqCst) > 0, "the others never had the lock");
}

/// Gives way to one that has to wait until a third lets the lock go. Returns whether that was done
/// before a millisecond had passed.
#[cfg(not(shuttle))]
fn give_way_while_held(lock: &Pair, may_go: impl Fn() -> bool + Sync) -> bool {
    scope(|scope| {
        let holder = lock.write();
        scope.spawn(|| add_one(lock));
        wait_until(|| lock.waiting() == 1);
        let giver = scope.spawn(|| {
            let patience = Deadline::after(Some(GIVING_WAY));
            lock.give_way();
            !patience.has_passed()
        });
        wait_until(|| may_go() || giver.is_finished());
        drop(holder);
        giver.join().expect("no panic")
    })
}

#[cfg(not(shuttle))]
#[test]
fn giving_way_lasts_as_long_as_it_must() {
    let lock = Pair::new((0, 0));
    assert!(!give_way_while_held(&lock, || false));
    let is_quick = || give_way_while_held(&lock, || lock.givers() == 1);
    assert!((0..1000).any(|_| is_quick()), "it waits for the time only");
}

#[test]
fn giving_way_to_nobody_returns() {
    check_alone(|| {
        let lock = Pair::new((0, 0));
        lock.give_way();
        let _pair = lock.write();
        lock.give_way();
    });
}
