//! Several threads, the lessor's own among them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use lease_core::{
    BackendLessor, Clock, Driver, Durability, LeaseError, Lessor, LessorConfig, LessorEvent,
    ManualClock, Observer, SystemClock,
};

use crate::gates::{Gated, ends, gate, shared, told};
use crate::support::TestBackend;
use crate::{BATCHED, bench, id};

/// Revoking at the same time from several threads, and stopping twice, closes a channel twice.
#[test]
fn f18_concurrent_revokes_and_repeated_stops() {
    let bench = bench(|builder| builder);
    for round in 1..=200 {
        bench.lessor.grant(id(round), 60).expect("free");
        let start = Barrier::new(3);
        let done: usize = thread::scope(|scope| {
            let tries = [(); 3].map(|()| {
                scope.spawn(|| {
                    start.wait();
                    bench.lessor.revoke(id(round))
                })
            });
            let answers = tries.map(|one| one.join().expect("no panic"));
            answers.iter().filter(|answer| answer.is_ok()).count()
        });
        assert_eq!(done, 1);
    }
    bench.lessor.stop();
    bench.lessor.stop();
    assert_eq!(bench.lessor.grant(id(1), 1), Err(LeaseError::Stopped));
    assert_eq!(bench.lessor.renew(id(1)), Err(LeaseError::Stopped));
    assert_eq!(bench.lessor.revoke(id(1)), Err(LeaseError::Stopped));
    assert_eq!(bench.lessor.attach(id(1), &[]), Err(LeaseError::Stopped));
    assert_eq!(bench.lessor.checkpoint(id(1), 0), Err(LeaseError::Stopped));
}

/// Two callers who revoke the same leases in opposite orders wait for each other for ever.
#[test]
fn revokes_of_the_same_leases_in_opposite_orders_end() {
    let bench = Arc::new(bench(|builder| builder));
    for round in 0..20 {
        let forth: Vec<_> = (1..=200).map(|number| id(round * 200 + number)).collect();
        let back: Vec<_> = forth.iter().rev().copied().collect();
        for id in &forth {
            bench.lessor.grant(*id, 60).expect("free");
        }
        let start = Arc::new(Barrier::new(2));
        let (done, answers) = std::sync::mpsc::channel();
        for ids in [forth, back] {
            let (bench, start, done) = (Arc::clone(&bench), Arc::clone(&start), done.clone());
            thread::spawn(move || {
                start.wait();
                let answers = bench.lessor.revoke_many(&ids).expect("the backend works");
                let revoked = answers.iter().filter(|answer| answer.is_ok()).count();
                done.send(revoked).expect("the test waits");
            });
        }
        let revoked: usize = (0..2)
            .map(|_| answers.recv_timeout(Duration::from_secs(10)))
            .map(|answer| answer.expect("nobody waits for ever"))
            .sum();
        assert_eq!(revoked, 200);
    }
    bench.assert_memory_is_disk();
}

/// Nothing tells the driver that the host has taken a batch: it has to look.
#[test]
fn f09_what_is_taken_and_not_revoked_comes_again_by_itself() {
    let lessor = BackendLessor::builder(Arc::new(TestBackend::default()))
        .durability(BATCHED)
        .config(LessorConfig {
            expired_lease_retry_interval: Duration::from_millis(50),
            ..LessorConfig::default()
        })
        .build()
        .expect("the settings are legal");
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    lessor.grant(id(1), 1).expect("free");
    let expired = lessor.expired_leases();
    for attempt in 0..4 {
        let batch = expired.recv_timeout(Duration::from_secs(10));
        let batch = batch.expect("the driver wakes");
        assert_eq!(batch.leases[0].attempt, attempt);
    }
    assert_eq!(lessor.leases().len(), 1);
}

/// The schedule that a promotion builds brings checkpoints, and nobody but the driver knows.
#[test]
fn threads_checkpoint_what_was_there_before_the_promotion() {
    let lessor = BackendLessor::builder(Arc::new(TestBackend::default()))
        .durability(BATCHED)
        .config(LessorConfig {
            checkpoint_interval: Duration::from_millis(100),
            ..LessorConfig::default()
        })
        .build()
        .expect("an empty backend is read");
    lessor.grant(id(1), 600).expect("free");
    // By now the thread sleeps until somebody wakes it.
    thread::sleep(Duration::from_millis(100));
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    let is_checkpointed = || {
        let lease = lessor.lookup(id(1)).expect("it is there");
        lease.checkpointed_remaining().is_some()
    };
    let in_time = (0..500).any(|_| {
        thread::sleep(Duration::from_millis(20));
        is_checkpointed()
    });
    assert!(in_time, "nobody woke the thread");
}

/// An expiry comes when it is due, without anybody asking.
#[test]
fn threads_deliver_in_time() {
    let lessor = BackendLessor::builder(Arc::new(TestBackend::default()))
        .durability(BATCHED)
        .build()
        .expect("empty");
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    let expired = lessor.expired_leases();
    for number in 1..=3 {
        lessor.grant(id(number), 1).expect("free");
    }
    let batch = expired
        .recv_timeout(Duration::from_secs(10))
        .expect("due after a second");
    let lease = lessor.lookup(batch.leases[0].id).expect("not revoked yet");
    assert_eq!(lease.remaining(), Some(Duration::ZERO));
}

/// The clock of the hot path is behind by two of the kernel's ticks; a lease that counts from its
/// time and not from the true one ends early.
#[test]
fn threads_never_deliver_early() {
    let lessor = BackendLessor::builder(Arc::new(TestBackend::default()))
        .build()
        .expect("empty");
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    let expired = lessor.expired_leases();
    let clock = SystemClock::default();
    let mut granted = BTreeMap::new();
    let mut early = 0;
    for number in 1..=20 {
        thread::sleep(Duration::from_millis(11));
        granted.insert(id(number), clock.precise_now());
        lessor.grant(id(number), 1).expect("free");
    }
    while !granted.is_empty() {
        let batch = expired
            .recv_timeout(Duration::from_secs(10))
            .expect("due after a second");
        let now = clock.precise_now();
        for lease in &batch.leases {
            let granted = granted.remove(&lease.id).expect("once");
            let lasted = now.saturating_duration_since(granted);
            early += u32::from(lasted < Duration::from_secs(1));
        }
    }
    // A machine that stands still between two ticks may cause one; a wrong lag causes eight.
    assert!(early <= 2, "{early} of 20");
}

/// A host that does not keep up gets every batch, in order, when it has room.
#[test]
fn threads_wait_for_room() {
    let config = LessorConfig {
        max_expired_batch_size: NonZeroU32::MIN,
        ..LessorConfig::default()
    };
    let lessor = BackendLessor::builder(Arc::new(TestBackend::default()))
        .config(config)
        .expired_capacity(1)
        .build()
        .expect("empty");
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    for number in 1..=4 {
        lessor.grant(id(number), 1).expect("free");
    }
    let expired = lessor.expired_leases();
    thread::sleep(Duration::from_millis(1_100));
    for number in 1..=4 {
        let batch = expired
            .recv_timeout(Duration::from_secs(10))
            .expect("there are more");
        assert_eq!((batch.leases[0].id, batch.leases.len()), (id(number), 1));
        lessor.revoke_expired(&batch).expect("it works");
    }
    assert_eq!(lessor.leases(), []);
}

/// What is batched is written after the interval, or when it is enough, without anybody asking.
#[test]
fn threads_write_in_time() {
    let soon = (Duration::from_millis(5), NonZeroUsize::MAX, 1);
    let full = (
        Duration::from_secs(3600),
        NonZeroUsize::new(4).expect("not zero"),
        4,
    );
    for (interval, max_writes, leases) in [soon, full] {
        let backend = Arc::new(TestBackend::default());
        let lessor = BackendLessor::builder(backend.clone())
            .durability(Durability::Batched {
                interval,
                max_writes,
            })
            .build()
            .expect("empty");
        // The first round may come before the writer sleeps, the others wake it.
        for round in 0..3 {
            for number in 1..=leases {
                if number == leases {
                    thread::sleep(Duration::from_millis(10));
                }
                lessor.grant(id(round * leases + number), 60).expect("free");
            }
            let is_written = || backend.rows().len() == ((round + 1) * leases) as usize;
            for _ in 0..1000 {
                if is_written() {
                    break;
                }
                thread::sleep(Duration::from_millis(1));
            }
            assert!(is_written(), "round {round}");
        }
    }
}

#[test]
fn a_dropped_lessor_leaves_no_thread() {
    let backend = Arc::new(TestBackend::default());
    let lessor = BackendLessor::builder(backend.clone())
        .durability(BATCHED)
        .build()
        .expect("empty");
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    lessor.grant(id(1), 60).expect("free");
    drop(lessor);
    assert_eq!(Arc::strong_count(&backend), 1);
    assert_eq!(backend.rows().len(), 1, "what was pending is written");
}

/// INV-16: it aborted the process.
#[test]
fn a_lessor_may_be_dropped_with_the_thread_that_has_it() {
    thread_local! {
        static LESSOR: RefCell<Option<BackendLessor>> = const { RefCell::new(None) };
    }
    for driver in [Driver::Threads, Driver::Manual] {
        let backend = Arc::new(TestBackend::default());
        let builder = BackendLessor::builder(backend.clone());
        let builder = builder.durability(BATCHED).driver(driver);
        let owner = thread::spawn(move || {
            // Before the lessor's code has any thread-local value: what comes first goes last.
            LESSOR.with(|_| {});
            let lessor = builder.build().expect("empty");
            lessor.grant(id(1), 60).expect("free");
            LESSOR.set(Some(lessor));
        });
        owner.join().expect("no panic");
        assert_eq!(backend.rows().len(), 1, "what was pending is written");
    }
}

/// A lease that is granted while the threads sleep is checkpointed when it must be.
#[test]
fn threads_checkpoint_in_time() {
    let config = LessorConfig {
        checkpoint_interval: Duration::from_millis(20),
        ..LessorConfig::default()
    };
    let backend = Arc::new(TestBackend::default());
    let lessor = BackendLessor::builder(backend.clone())
        .config(config)
        .build()
        .expect("empty");
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    lessor.grant(id(1), 1000).expect("free");
    let has_checkpoint = || backend.rows()[0].remaining.is_some();
    for _ in 0..1000 {
        if has_checkpoint() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert!(has_checkpoint());
}

/// A host that is stuck in the lessor's call does not keep it from stopping.
#[test]
fn stop_is_bounded() {
    struct Stuck(Barrier, AtomicBool);
    impl Observer for Stuck {
        fn observe(&self, event: &LessorEvent<'_>) {
            let LessorEvent::Expired { .. } = event else {
                return;
            };
            self.0.wait();
            while !self.1.load(Ordering::Relaxed) {
                thread::yield_now();
            }
        }
    }
    let host = Arc::new(Stuck(Barrier::new(2), AtomicBool::new(false)));
    let lessor = BackendLessor::builder(Arc::new(TestBackend::default()))
        .observer(host.clone())
        .stop_timeout(Duration::from_millis(20))
        .build()
        .expect("empty");
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    lessor.grant(id(1), 1).expect("free");
    host.0.wait();
    lessor.stop();
    drop(lessor);
    host.1.store(true, Ordering::Relaxed);
}

/// Else a host that sleeps until there is something to do spins.
#[test]
fn a_stop_that_gave_up_leaves_nothing_to_wake_up_for() {
    let (inside, in_commit) = gate();
    let clock = Arc::new(ManualClock::default());
    let backend = Arc::new(Gated {
        inner: Arc::default(),
        commit: Some(inside),
        load: None,
    });
    let lessor = shared(backend, Durability::ETCD, |one| {
        one.clock(clock.clone()).stop_timeout(Duration::ZERO)
    });
    lessor.grant(id(1), 60).expect("free");
    let flushes = Arc::clone(&lessor);
    let flushes = ends(move || flushes.flush());
    in_commit.wait();
    lessor.grant(id(2), 60).expect("free");
    lessor.stop();
    clock.advance(Duration::from_secs(1));
    assert_eq!(lessor.tick(), None);
    assert_eq!(lessor.next_wakeup(), None);
    in_commit.open();
    told(&flushes).expect("the commit was under way before");
}
