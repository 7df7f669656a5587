//! What does not wait for what: other leases, other callers, and futures that are dropped.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use lease_core::{
    Backend, BackendLessor, BoxError, Checkpoint, CheckpointMode, Clock, Command, Deleted, Driver,
    Durability, Epoch, LeaseError, LeaseItem, Lessor, LessorConfig, NullBackend, RangeDeleter,
    Timestamp, TxnDelete, WriteBatch,
};

use crate::gates::{EVERY, Gated, Keeper, LONG, ends, gate, shared, slow, told};
use crate::support::TestBackend;
use crate::{BATCHED, bench, id, items};

/// A primary with threads of its own.
fn with_threads(
    backend: Arc<dyn Backend>,
    build: impl FnOnce(lease_core::BackendLessorBuilder) -> lease_core::BackendLessorBuilder,
) -> Arc<BackendLessor> {
    let lessor = build(BackendLessor::builder(backend)).build();
    let lessor = lessor.expect("an empty backend is read");
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    Arc::new(lessor)
}

/// A revoke of lease 1 that is in the range deleter, which refuses it in the end.
fn revoke_under_way(lessor: &Arc<BackendLessor>) -> (Receiver<Result<(), LeaseError>>, Keeper) {
    lessor.attach(id(1), &items(&["a"])).expect("there");
    let (inside, keeper) = gate();
    lessor.set_range_deleter(slow(inside, true));
    let lessor = Arc::clone(lessor);
    let revoked = ends(move || lessor.revoke(id(1)));
    keeper.wait();
    (revoked, keeper)
}

#[test]
fn a_renewal_that_needs_a_reset_waits_for_no_command_of_another_lease() {
    let lessor = with_threads(Arc::new(TestBackend::default()), |one| one);
    for number in 1..=9 {
        lessor.grant(id(number), 3600).expect("free");
        lessor.checkpoint(id(number), 100).expect("there");
    }
    let (revoked, keeper) = revoke_under_way(&lessor);
    let renews = |number| {
        let lessor = Arc::clone(&lessor);
        ends(move || lessor.renew_timeout(id(number), LONG))
    };
    let behind = renews(1);
    for number in 2..=9 {
        assert!(told(&renews(number)).is_ok());
    }
    assert!(behind.try_recv().is_err(), "its lease is not free");
    keeper.open();
    assert!(matches!(told(&revoked), Err(LeaseError::RangeDeleter(_))));
    assert_eq!(told(&behind).map(|ttl| ttl.as_secs()), Ok(3600));
    lessor.check_invariants();
}

#[test]
fn a_checkpoint_that_is_due_waits_for_no_command_of_another_lease() {
    let config = LessorConfig {
        checkpoint_interval: Duration::from_secs(60),
        ..LessorConfig::default()
    };
    let bench = bench(|builder| builder.config(config).checkpoints(CheckpointMode::Local));
    let lessor = Arc::new(bench.lessor);
    for number in [1, 2] {
        lessor.grant(id(number), 3600).expect("free");
    }
    let (revoked, keeper) = revoke_under_way(&lessor);
    bench.clock.advance(Duration::from_secs(100));
    lessor.tick();
    let remaining = |number| {
        let lease = lessor.lookup(id(number)).expect("there");
        lease.checkpointed_remaining().map(|ttl| ttl.as_secs())
    };
    assert_eq!((remaining(1), remaining(2)), (None, Some(3500)));
    keeper.open();
    assert!(told(&revoked).is_err());
    lessor.tick();
    assert_eq!(remaining(1), Some(3500), "when it is its turn");
    lessor.check_invariants();
}

#[test]
fn a_look_at_a_lease_with_many_items_waits_for_no_commit() {
    let (in_commit, keeper) = gate();
    let backend = Gated {
        inner: Arc::new(TestBackend::default()),
        commit: Some(in_commit.clone()),
        load: None,
    };
    let held = in_commit.0.lock().expect("no panic").take();
    let lessor = shared(Arc::new(backend), EVERY, |one| one);
    lessor.grant(id(1), 60).expect("free");
    let many: Vec<_> = (0..5000)
        .map(|n| LeaseItem::from(format!("{n:05}")))
        .collect();
    lessor.attach(id(1), &many).expect("there");
    *in_commit.0.lock().expect("no panic") = held;
    let revoked = {
        let lessor = Arc::clone(&lessor);
        ends(move || lessor.revoke(id(1)))
    };
    keeper.wait();
    let looked = {
        let lessor = Arc::clone(&lessor);
        ends(move || (lessor.lookup(id(1)), lessor.page(None, 10), lessor.leases()))
    };
    let (lease, page, all) = told(&looked);
    assert_eq!(lease.expect("there").keys(), many);
    assert_eq!((page.len(), page[0].keys()), (1, &many[..]));
    assert_eq!((all.len(), all[0].keys()), (1, &many[..]));
    keeper.open();
    assert_eq!(told(&revoked), Ok(()));
}

#[test]
fn many_leases_are_revoked_in_parts_and_a_part_that_fails_says_so() {
    for durability in [EVERY, BATCHED] {
        let backend = Arc::new(TestBackend::default());
        let lessor = shared(backend.clone(), durability, |one| one);
        let ids: Vec<_> = (1..=3000).map(id).collect();
        for id in &ids {
            lessor.grant(*id, 60).expect("free");
        }
        lessor.attach(id(2500), &items(&["a"])).expect("there");
        lessor.set_range_deleter(Arc::new(Refuses));
        let unknown = [id(5000)];
        let asked: Vec<_> = unknown.iter().chain(&ids).copied().collect();
        let answers = lessor.revoke_many(&asked).expect("some are revoked");
        assert_eq!(answers.len(), asked.len());
        assert_eq!(answers[0], Err(LeaseError::LeaseNotFound));
        assert!(answers[1..2048].iter().all(Result::is_ok));
        let is_refused = |answer| matches!(answer, &Err(LeaseError::RangeDeleter(_)));
        assert!(answers[2048..].iter().all(is_refused));
        assert_eq!(lessor.stats().leases, 3000 - 2047);
        lessor.flush().expect("it works");
        assert_eq!(lessor.rows(), backend.rows());
        let failed = lessor.revoke_many(&[id(2500)]);
        assert!(matches!(failed, Err(LeaseError::RangeDeleter(_))));
    }
}

struct Refuses;

impl RangeDeleter for Refuses {
    fn begin<'t>(&'t self, _: &'t mut WriteBatch) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
        Err("the host's store is read-only".into())
    }
}

#[test]
fn a_second_stop_waits_for_the_first() {
    let (in_commit, keeper) = gate();
    let inner = Arc::new(TestBackend::default());
    let backend = Gated {
        inner: inner.clone(),
        commit: Some(in_commit.clone()),
        load: None,
    };
    let held = in_commit.0.lock().expect("no panic").take();
    let durability = Durability::Batched {
        interval: Duration::from_secs(3600),
        max_writes: std::num::NonZeroUsize::new(1000).expect("not zero"),
    };
    let lessor = with_threads(Arc::new(backend), |one| {
        one.durability(durability).stop_timeout(LONG)
    });
    lessor.grant(id(1), 60).expect("free");
    *in_commit.0.lock().expect("no panic") = held;
    let stops = || {
        let (lessor, inner) = (Arc::clone(&lessor), inner.clone());
        ends(move || {
            lessor.stop();
            inner.rows().len()
        })
    };
    let first = stops();
    keeper.wait();
    let second = stops();
    let early = second.recv_timeout(Duration::from_millis(100));
    assert!(early.is_err(), "nothing is committed yet");
    keeper.open();
    assert_eq!((told(&first), told(&second)), (1, 1));
}

#[test]
fn a_future_that_is_dropped_leaves_no_waker_behind() {
    struct Task;
    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }
    let lessor = bench(|builder| builder).lessor;
    lessor.tick();
    let expired = lessor.expired_leases();
    let task = Arc::new(Task);
    let waker = Waker::from(Arc::clone(&task));
    let cx = &mut Context::from_waker(&waker);
    {
        let mut receives = pin!(expired.recv_async());
        let mut sleeps = pin!(lessor.wakeup_moved());
        for _ in 0..3 {
            assert!(receives.as_mut().poll(cx).is_pending());
            assert!(sleeps.as_mut().poll(cx).is_pending());
        }
        assert_eq!(Arc::strong_count(&task), 4, "each is noted once");
    }
    assert_eq!(Arc::strong_count(&task), 2);
    for _ in 0..3 {
        assert!(expired.poll_recv(cx).is_pending());
    }
    assert_eq!(Arc::strong_count(&task), 3);
}

#[test]
fn whoever_asks_for_the_wakeup_is_told_when_it_comes_closer_than_that() {
    let bench = bench(|builder| builder);
    let lessor = &bench.lessor;
    lessor.grant(id(1), 10).expect("free");
    lessor.tick();
    lessor.revoke(id(1)).expect("there");
    assert_eq!(lessor.next_wakeup(), None);
    lessor.grant(id(2), 20).expect("free");
    let mut moved = pin!(lessor.wakeup_moved());
    let cx = &mut Context::from_waker(Waker::noop());
    assert_eq!(moved.as_mut().poll(cx), Poll::Ready(()));
}

#[test]
fn a_host_that_promotes_before_the_epoch_has_begun_is_refused() {
    let lessor = shared(Arc::new(NullBackend), EVERY, |one| one);
    assert!(!lessor.promote_to(Epoch::new(2), Duration::ZERO));
    assert_eq!(lessor.primary_epoch(), None);
    let begin = Command::BeginEpoch(Epoch::new(2));
    lessor
        .apply(&begin, WriteBatch::default())
        .expect("it works");
    assert!(!lessor.promote_to(Epoch::new(3), Duration::ZERO));
    assert!(lessor.promote_to(Epoch::new(2), Duration::ZERO));
    assert!(lessor.demote_from(Epoch::new(u64::MAX)), "from any");
    assert_eq!(lessor.promote(Duration::ZERO), Ok(Epoch::new(3)));
}

/// A range deleter that renews the lease whose items it deletes.
struct Renews(std::sync::Weak<BackendLessor>);

impl RangeDeleter for Renews {
    fn begin<'t>(&'t self, _: &'t mut WriteBatch) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
        let lessor = self.0.upgrade().expect("it is used");
        let renewed = lessor.renew_timeout(id(1), Duration::from_secs(3600));
        assert_eq!(renewed, Err(LeaseError::Reentrant));
        Ok(Box::new(DeletesNothing))
    }
}

struct DeletesNothing;

impl TxnDelete for DeletesNothing {
    fn delete_range(&mut self, _: &[u8], _: Option<&[u8]>) -> Result<Deleted, BoxError> {
        Ok(Deleted::default())
    }

    fn end(self: Box<Self>) -> Result<(), BoxError> {
        Ok(())
    }
}

#[test]
fn a_range_deleter_does_not_wait_for_the_lease_that_it_takes_away() {
    let bench = bench(|builder| builder.expiry(lease_core::ExpiryMode::AutoRevoke));
    let lessor = Arc::new(bench.lessor);
    lessor.set_range_deleter(Arc::new(Renews(Arc::downgrade(&lessor))));
    lessor.grant(id(1), 10).expect("free");
    lessor.attach(id(1), &items(&["a"])).expect("there");
    bench.clock.advance(Duration::from_secs(10));
    lessor.tick();
    assert!(lessor.lookup(id(1)).is_none());
}

#[test]
fn a_clock_that_panics_makes_an_error_of_every_call() {
    struct Fragile(AtomicBool);
    impl Clock for Fragile {
        fn now(&self) -> Timestamp {
            assert!(!self.0.load(Ordering::Relaxed), "the clock is broken");
            Timestamp::from_secs(1)
        }
    }
    let clock = Arc::new(Fragile(AtomicBool::new(false)));
    let lessor = BackendLessor::builder(Arc::new(NullBackend))
        .clock(clock.clone())
        .driver(Driver::Manual)
        .build()
        .expect("an empty backend is read");
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    lessor.grant(id(1), 10).expect("free");
    clock.0.store(true, Ordering::Relaxed);
    let is_clock = |error: &LeaseError| matches!(error, LeaseError::Clock(_));
    assert!(lessor.renew(id(1)).is_err_and(|error| is_clock(&error)));
    assert!(lessor.try_renew(id(1)).is_err_and(|error| is_clock(&error)));
    let many = lessor.renew_many(&[id(1), id(2)]);
    assert!(many.iter().all(|one| one.as_ref().is_err_and(is_clock)));
    assert!(lessor.grant(id(2), 10).is_err_and(|error| is_clock(&error)));
    assert!(lessor.try_lookup(id(1)).is_some(), "at the last known time");
    let looks = std::panic::AssertUnwindSafe(|| lessor.lookup(id(1)));
    assert!(
        std::panic::catch_unwind(looks).is_err(),
        "it is the caller's"
    );
    clock.0.store(false, Ordering::Relaxed);
    assert!(lessor.renew(id(1)).is_ok());
}

#[test]
fn a_reset_that_is_reported_and_not_applied_is_not_asked_for_without_a_pause() {
    let calls = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counts = calls.clone();
    let early = move |_: &[Checkpoint], _: Duration| -> Result<(), BoxError> {
        counts.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    let lessor = with_threads(Arc::new(NullBackend), |one| {
        one.checkpoints(CheckpointMode::Proposed(Arc::new(early)))
    });
    lessor.grant(id(1), 3600).expect("free");
    lessor.checkpoint(id(1), 100).expect("there");
    let renewed = lessor.renew_timeout(id(1), Duration::from_millis(200));
    assert_eq!(renewed, Err(LeaseError::DeadlineExceeded));
    assert!((2..30).contains(&calls.load(Ordering::Relaxed)));
}
