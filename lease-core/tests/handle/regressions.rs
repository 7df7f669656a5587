//! Bugs that the first version of the handle had, each in the order of events that showed it: the
//! host's code tells when it has been reached, and waits until it may go on.

use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use lease_core::{
    Backend, BackendError, BackendLessor, BoxError, Checkpoint, CheckpointMode, Driver, Durability,
    Epoch, HostError, LeaseError, LeaseRow, Lessor, LessorConfig, LessorEvent, ManualClock,
    Observer, RangeDeleter, Revoked, Table, Ttl, TxnDelete, WriteBatch,
};

use crate::gates::{EVERY, Gated, Keeper, ends, gate, kv, shared, slow, told};
use crate::support::TestBackend;
use crate::{BATCHED, bench, id, is_backend, items};

/// b01: a revoke that waits for another one of the same lease hung for ever if the lessor, not
/// primary, was recovered meanwhile.
#[test]
fn b01_a_recovery_leaves_no_revoke_waiting() {
    for is_primary in [true, false] {
        let lessor = shared(Arc::new(TestBackend::default()), EVERY, |one| one);
        if is_primary {
            lessor.promote(Duration::ZERO).expect("it works");
        }
        lessor.grant(id(1), 1000).expect("free");
        lessor.attach(id(1), &items(&["a"])).expect("there");
        let (inside, keeper) = gate();
        lessor.set_range_deleter(slow(inside, false));
        let [one, other] = [(); 2].map(|()| {
            let lessor = Arc::clone(&lessor);
            move || lessor.revoke(id(1))
        });
        let one = ends(one);
        keeper.wait();
        let other = ends(other);
        let empty = Arc::new(TestBackend::default());
        lessor.recover(empty, None).expect("it works");
        keeper.open();
        assert_eq!(told(&one), Err(LeaseError::LeaseNotFound));
        assert_eq!(told(&other), Err(LeaseError::LeaseNotFound));
        assert_eq!(lessor.stats().waiting, 0);
    }
}

/// b02: a command that was under way while the lessor was recovered wrote to the new store and not
/// to the new state.
#[test]
fn b02_a_command_under_way_is_decided_against_the_recovered_state() {
    struct Recovers(Weak<BackendLessor>, Arc<TestBackend>, AtomicBool);
    impl RangeDeleter for Recovers {
        fn begin<'t>(
            &'t self,
            batch: &'t mut WriteBatch,
        ) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
            let _ = batch;
            if !self.2.swap(true, Ordering::Relaxed) {
                let (lessor, store) = (self.0.upgrade().expect("alive"), Arc::clone(&self.1));
                let recovers = ends(move || lessor.recover(store, None));
                told(&recovers).expect("it works");
            }
            Err("no more".into())
        }
    }
    let (old, new) = (TestBackend::default(), Arc::new(TestBackend::default()));
    let row = LeaseRow::new(id(1), Ttl::new(3600).expect("legal"));
    new.store().rows.insert(id(1), row);
    let lessor = shared(Arc::new(old), EVERY, |one| one);
    lessor.grant(id(1), 1000).expect("free");
    lessor.attach(id(1), &items(&["a"])).expect("there");
    let deleter = Recovers(
        Arc::downgrade(&lessor),
        Arc::clone(&new),
        AtomicBool::new(false),
    );
    lessor.set_range_deleter(Arc::new(deleter));
    let answer = lessor.revoke(id(1));
    let is_refused = matches!(answer, Err(LeaseError::RangeDeleter(_)));
    assert!(is_refused, "{answer:?}");
    assert_eq!(lessor.rows(), [row]);
    assert_eq!(new.rows(), [row]);
}

/// b03: a checkpoint whose commit ended while a revoke of the lease was begun was on disk and not in
/// memory if that revoke failed.
#[test]
fn b03_a_checkpoint_beside_a_revoke_that_fails_is_in_both_or_in_neither() {
    let inner = Arc::new(TestBackend::default());
    let clock = Arc::new(ManualClock::default());
    let (inside, in_commit) = gate();
    let backend = Arc::new(Gated {
        inner: Arc::clone(&inner),
        commit: Some(inside.clone()),
        load: None,
    });
    // Those before the checkpoint pass.
    let held = inside.0.lock().expect("no panic").take();
    let config = LessorConfig {
        checkpoint_interval: Duration::from_secs(60),
        ..LessorConfig::default()
    };
    let lessor = shared(backend, EVERY, |one| {
        one.clock(clock.clone()).config(config)
    });
    lessor.promote(Duration::ZERO).expect("it works");
    lessor.grant(id(1), 300).expect("free");
    lessor.attach(id(1), &items(&["a"])).expect("there");
    let (deletes, in_deleter) = gate();
    lessor.set_range_deleter(slow(deletes, true));
    clock.advance(Duration::from_secs(290));
    *inside.0.lock().expect("no panic") = held;
    let [ticks, revokes] = [(); 2].map(|()| Arc::clone(&lessor));
    let ticks = ends(move || ticks.tick());
    in_commit.wait();
    let revokes = ends(move || revokes.revoke(id(1)));
    in_commit.open();
    told(&ticks);
    in_deleter.wait();
    in_deleter.open();
    let answer = told(&revokes);
    assert!(
        matches!(answer, Err(LeaseError::RangeDeleter(_))),
        "{answer:?}"
    );
    assert_eq!(lessor.rows(), inner.rows());
    assert_eq!(lessor.renew(id(1)).map(Ttl::as_secs), Ok(300));
    assert_eq!(inner.rows()[0].remaining, None, "INV-10");
}

/// b04: a promotion went on though its epoch could not be written, so that an expiry of the old one
/// passed the fence, and fencing tokens came twice.
#[test]
fn b04_no_promotion_without_its_epoch() {
    for durability in [EVERY, BATCHED] {
        let bench = bench(|builder| builder.durability(durability));
        bench.lessor.grant(id(1), 10).expect("free");
        bench.lessor.flush().expect("it works");
        bench.advance(11);
        let batch = bench.lessor.expired_leases().try_recv().expect("it is due");
        bench.backend.store().fail_after = Some(0);
        assert!(is_backend(bench.lessor.promote(Duration::from_secs(60))));
        assert_eq!(bench.lessor.primary_epoch(), Some(Epoch::new(1)));
        bench
            .lessor
            .promote(Duration::from_secs(60))
            .expect("it works again");
        assert_eq!(
            Some(bench.backend.store().epoch),
            bench.lessor.primary_epoch()
        );
        bench.lessor.renew(id(1)).expect("it is extended");
        assert_eq!(
            bench.lessor.revoke_expired(&batch),
            Ok(vec![Ok(Revoked::Stale)])
        );
    }
}

/// b05: a stop forgot acknowledged writes if somebody else's commit was running.
#[test]
fn b05_a_stop_writes_what_was_acknowledged() {
    for driver in [Driver::Manual, Driver::Threads] {
        let inner = Arc::new(TestBackend::default());
        let (inside, in_commit) = gate();
        let backend = Arc::new(Gated {
            inner: Arc::clone(&inner),
            commit: Some(inside),
            load: None,
        });
        let lessor = shared(backend, Durability::ETCD, |one| one.driver(driver));
        lessor.grant(id(1), 60).expect("free");
        let [flushes, stops] = [(); 2].map(|()| Arc::clone(&lessor));
        let flushes = ends(move || flushes.flush());
        in_commit.wait();
        lessor.grant(id(2), 60).expect("free");
        let stops = ends(move || stops.stop());
        while !matches!(lessor.revoke(id(9)), Err(LeaseError::Stopped)) {
            thread::yield_now();
        }
        in_commit.open();
        told(&flushes).expect("it works");
        told(&stops);
        assert_eq!(lessor.rows(), inner.rows());
        assert_eq!(inner.rows().len(), 2);
    }
}

/// b06: the observer of a failure was told under a lock by `stop`, and hung if it asked anything.
#[test]
fn b06_an_observer_that_flushes_at_a_stop_does_not_hang() {
    #[derive(Default)]
    struct Retries(OnceLock<Weak<BackendLessor>>);
    impl Observer for Retries {
        fn observe(&self, event: &LessorEvent<'_>) {
            if let LessorEvent::Failed(_) = event
                && let Some(lessor) = self.0.get().and_then(Weak::upgrade)
            {
                lessor.flush().expect("it works again");
            }
        }
    }
    let (backend, observer) = (
        Arc::new(TestBackend::default()),
        Arc::new(Retries::default()),
    );
    let lessor = shared(backend.clone(), Durability::ETCD, |one| {
        one.observer(observer.clone())
    });
    observer.0.set(Arc::downgrade(&lessor)).expect("once");
    lessor.grant(id(1), 60).expect("free");
    backend.store().fail_after = Some(0);
    let stops = Arc::clone(&lessor);
    told(&ends(move || stops.stop()));
    assert_eq!(backend.rows(), lessor.rows());
}

/// b07: a lessor whose checkpoints were polled never called the checkpointer that it was given.
#[test]
fn b07_a_checkpointer_that_comes_late_is_called() {
    let config = LessorConfig {
        checkpoint_interval: Duration::from_millis(20),
        ..LessorConfig::default()
    };
    let lessor = shared(Arc::new(TestBackend::default()), EVERY, |one| {
        one.driver(Driver::Threads)
            .config(config)
            .checkpoints(CheckpointMode::Polled)
    });
    lessor.promote(Duration::ZERO).expect("it works");
    lessor.grant(id(1), 1000).expect("free");
    let (tell, called) = channel();
    let tell = Mutex::new(tell);
    lessor.set_checkpointer(Arc::new(
        move |records: &[Checkpoint], _: Duration| -> Result<(), BoxError> {
            let tell = tell.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(tell.send(records.len())?)
        },
    ));
    assert_eq!(told(&called), 1);
}

/// b08: a key that was put and attached to a new lease while its old lease was being revoked was
/// deleted with the old one.
#[test]
fn b08_a_key_of_a_live_lease_is_never_deleted() {
    for durability in [EVERY, BATCHED] {
        let backend = Arc::new(TestBackend::default());
        let lessor = shared(backend.clone(), durability, |one| one);
        let put = |value: &str| {
            let mut writes = WriteBatch::default();
            writes.put(kv(), "key", value);
            writes
        };
        lessor.grant(id(1), 1000).expect("free");
        lessor.grant(id(2), 1000).expect("free");
        let key = items(&["key"]);
        lessor
            .attach_with(id(1), &key, put("of lease 1"))
            .expect("there");
        let (inside, in_deleter) = gate();
        lessor.set_range_deleter(slow(inside, false));
        let [revokes, attaches] = [(); 2].map(|()| Arc::clone(&lessor));
        let revokes = ends(move || revokes.revoke(id(1)));
        in_deleter.wait();
        let writes = put("of lease 2");
        let attaches = ends(move || attaches.attach_with(id(2), &key, writes));
        in_deleter.open();
        told(&revokes).expect("there");
        told(&attaches).expect("there");
        lessor.flush().expect("it works");
        assert_eq!(lessor.get_lease(b"key"), Some(id(2)));
        assert_eq!(backend.get(&kv(), b"key"), Ok(Some(b"of lease 2".to_vec())));
    }
}

/// b11: a waker ran under a lock, and its panic broke the lessor.
#[test]
fn b11_a_waker_may_panic_and_call_back() {
    struct Wild(OnceLock<Weak<BackendLessor>>, AtomicU64);
    impl Wake for Wild {
        fn wake(self: Arc<Self>) {
            self.1.fetch_add(1, Ordering::Relaxed);
            if let Some(lessor) = self.0.get().and_then(Weak::upgrade) {
                lessor.grant(id(9), 10).expect("free");
            }
            panic!("this executor is shut down");
        }
    }
    for durability in [EVERY, BATCHED] {
        let bench = shared(Arc::new(TestBackend::default()), durability, |one| one);
        bench.promote(Duration::ZERO).expect("it works");
        bench.grant(id(1), 1000).expect("free");
        let wild = Arc::new(Wild(OnceLock::new(), AtomicU64::new(0)));
        wild.0.set(Arc::downgrade(&bench)).expect("once");
        let waker = Waker::from(Arc::clone(&wild));
        let mut wait = pin!(bench.wait(id(1)).expect("there"));
        assert!(
            wait.as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        let revokes = Arc::clone(&bench);
        told(&ends(move || revokes.revoke(id(1)))).expect("there");
        assert_eq!(wild.1.load(Ordering::Relaxed), 1);
        bench.grant(id(3), 10).expect("free");
        assert!(bench.lookup(id(9)).is_some());
        bench.check_invariants();
    }
}

/// b12: a grant that had to flush a full journal first counted from before the flush.
#[test]
fn b12_a_grant_counts_from_when_it_is_applied() {
    struct Lasts(Arc<TestBackend>, Arc<ManualClock>, AtomicU64);
    impl Backend for Lasts {
        fn commit(&self, batch: &WriteBatch) -> Result<(), BackendError> {
            self.1
                .advance(Duration::from_secs(self.2.load(Ordering::Relaxed)));
            self.0.commit(batch)
        }
        fn load(&self, visit: &mut dyn FnMut(LeaseRow)) -> Result<Epoch, BackendError> {
            self.0.load(visit)
        }
        fn get(&self, _: &Table, _: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
            Err(BackendError::Io(HostError::new("nobody asks")))
        }
        fn scan(&self, _: &Table, _: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), BackendError> {
            Err(BackendError::Io(HostError::new("nobody asks")))
        }
    }
    let tight = Durability::Batched {
        interval: Duration::from_secs(3600),
        max_writes: NonZeroUsize::MIN,
    };
    for durability in [EVERY, tight] {
        let clock = Arc::new(ManualClock::default());
        let backend = Lasts(Arc::default(), Arc::clone(&clock), AtomicU64::new(0));
        let backend = Arc::new(backend);
        let lessor = shared(backend.clone(), durability, |one| one.clock(clock));
        lessor.promote(Duration::ZERO).expect("it works");
        for number in 1..=16 {
            lessor.grant(id(number), 1000).expect("free");
        }
        backend.2.store(10, Ordering::Relaxed);
        lessor.grant(id(100), 5).expect("free");
        let lease = lessor.lookup(id(100)).expect("there");
        assert_eq!(lease.remaining(), Some(Duration::from_secs(5)), "INV-1");
        lessor.tick();
        assert!(lessor.expired_leases().try_recv().is_err());
    }
}

/// b16: what was acknowledged while a recovery read the new store went to neither store.
#[test]
fn b16_what_comes_during_a_recovery_goes_to_the_new_state() {
    for durability in [EVERY, BATCHED] {
        let new = Arc::new(TestBackend::default());
        let (inside, in_load) = gate();
        let slow = Gated {
            inner: Arc::clone(&new),
            commit: None,
            load: Some(inside),
        };
        let lessor = shared(Arc::new(TestBackend::default()), durability, |one| one);
        let [recovers, grants, writes] = [(); 3].map(|()| Arc::clone(&lessor));
        let recovers = ends(move || recovers.recover(Arc::new(slow), None));
        in_load.wait();
        let grants = ends(move || grants.grant(id(1), 60).map(drop));
        let mut host = WriteBatch::default();
        host.put(Table::new("meta"), "applied", "17");
        let writes = ends(move || writes.write(host));
        in_load.open();
        told(&recovers).expect("it works");
        told(&grants).expect("free");
        told(&writes).expect("it works");
        lessor.flush().expect("it works");
        assert_eq!(lessor.rows(), new.rows());
        assert_eq!(new.rows().len(), 1);
        assert_eq!(new.store().host.len(), 1);
    }
}

/// b20: neither a renewal's timeout nor a stop's held while the backend hung.
#[test]
fn b20_timeouts_hold_while_the_backend_hangs() {
    for durability in [EVERY, Durability::ETCD] {
        let (inside, in_commit) = gate();
        let backend = Arc::new(Gated {
            inner: Arc::default(),
            commit: Some(inside.clone()),
            load: None,
        });
        let held = inside.0.lock().expect("no panic").take();
        let lessor = shared(backend, durability, |one| {
            one.driver(Driver::Threads)
                .stop_timeout(Duration::from_millis(100))
        });
        lessor.promote(Duration::ZERO).expect("it works");
        lessor.grant(id(100), 1000).expect("free");
        lessor.checkpoint(id(100), 7).expect("there");
        lessor.flush().expect("it works");
        *inside.0.lock().expect("no panic") = held;
        let [grants, flushes, renews, stops] = [(); 4].map(|()| Arc::clone(&lessor));
        let grants = ends(move || grants.grant(id(1), 1000).map(drop));
        in_commit_or(&in_commit, &lessor);
        let flushes = ends(move || flushes.flush());
        let renews = ends(move || renews.renew_timeout(id(100), Duration::from_millis(50)));
        let _late_or_batched = told(&renews);
        told(&ends(move || stops.stop()));
        // Whoever hangs in the backend comes back.
        in_commit.open();
        let _any = told(&grants);
        let _any = told(&flushes);
    }
}

// Somebody commits: the grant itself, or a flush of what is batched.
fn in_commit_or(in_commit: &Keeper, lessor: &Arc<BackendLessor>) {
    let lessor = Arc::clone(lessor);
    drop(ends(move || lessor.flush()));
    in_commit.wait();
}

/// b21: a wait, or the receiver of expired leases, kept the backend after the lessor was gone.
#[test]
fn b21_nothing_that_waits_keeps_the_backend() {
    let backend = Arc::new(TestBackend::default());
    let lessor = BackendLessor::builder(backend.clone())
        .build()
        .expect("empty");
    lessor.promote(Duration::ZERO).expect("it works");
    lessor.grant(id(1), 1000).expect("free");
    let wait = lessor.wait(id(1)).expect("there");
    let expired = lessor.expired_leases();
    drop(lessor);
    assert!(wait.try_outcome().is_some());
    assert!(expired.recv().is_err());
    assert_eq!(Arc::strong_count(&backend), 1);
}
