//! The commands that a lessor gives itself, beside the host's: they take their place in the line.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use lease_core::{
    BackendLessor, BoxError, Command, Driver, Epoch, ExpiryMode, LeaseError, LeaseItem, Lessor,
    LessorEvent, Observer, RangeDeleter, TxnDelete, WriteBatch,
};

use crate::gates::{EVERY, Gated, LONG, ends, gate, held, shared, slow, told};
use crate::support::TestBackend;
use crate::{bench, id, items};

pub(crate) fn attaches(
    lessor: &Arc<BackendLessor>,
    item: &str,
) -> std::sync::mpsc::Receiver<Result<(), LeaseError>> {
    let (lessor, items) = (Arc::clone(lessor), items(&[item]));
    let mut writes = WriteBatch::default();
    writes.put(crate::gates::kv(), item.to_owned(), "value");
    ends(move || lessor.attach_with(id(1), &items, writes))
}

/// Left out until it comes again, a lease that is in use all the time would never be revoked.
#[test]
fn an_expired_lease_that_is_in_use_is_revoked_when_it_is_its_turn() {
    let held = held(|one| one.expiry(ExpiryMode::AutoRevoke));
    let lessor = &held.lessor;
    lessor.grant(id(1), 10).expect("free");
    (held.set)();
    let first = attaches(lessor, "a");
    held.keeper.wait();
    held.clock.advance(Duration::from_secs(10));
    lessor.tick();
    let second = attaches(lessor, "b");
    assert!(lessor.lookup(id(1)).is_some(), "the attach comes first");
    held.keeper.open();
    assert_eq!(told(&first), Ok(()));
    assert_eq!(told(&second), Err(LeaseError::LeaseNotFound));
    assert!(lessor.lookup(id(1)).is_none());
    assert_eq!(lessor.stats().expired, 1, "it did not come again");
    lessor.check_invariants();
}

#[test]
fn a_wait_for_a_reset_ends_with_the_promotion() {
    let held = held(|one| one.driver(Driver::Threads));
    let lessor = &held.lessor;
    lessor.grant(id(1), 3600).expect("free");
    lessor.checkpoint(id(1), 100).expect("there");
    (held.set)();
    let attached = attaches(lessor, "a");
    held.keeper.wait();
    let renewed = {
        let lessor = Arc::clone(lessor);
        ends(move || lessor.renew_timeout(id(1), LONG))
    };
    let mut waits = pin!(lessor.renew_async(id(1)));
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(waits.as_mut().poll(cx).is_pending());
    assert!(renewed.recv_timeout(Duration::from_millis(50)).is_err());
    lessor.demote();
    assert_eq!(told(&renewed), Err(LeaseError::NotPrimary));
    assert!(waits.as_mut().poll(cx).is_ready());
    held.keeper.open();
    assert_eq!(told(&attached), Ok(()));
}

#[test]
fn a_renewal_between_an_epoch_and_its_promotion_waits_for_that() {
    let bench = bench(|builder| builder.driver(Driver::Threads));
    let lessor = &bench.lessor;
    lessor.grant(id(1), 3600).expect("free");
    lessor.checkpoint(id(1), 100).expect("there");
    let begin = Command::BeginEpoch(Epoch::new(7));
    lessor
        .apply(&begin, WriteBatch::default())
        .expect("it works");
    let mut renews = pin!(lessor.renew_async(id(1)));
    let cx = &mut Context::from_waker(Waker::noop());
    for _ in 0..3 {
        assert!(renews.as_mut().poll(cx).is_pending());
    }
    assert!(lessor.promote_to(Epoch::new(7), Duration::ZERO));
    let renewed = loop {
        if let std::task::Poll::Ready(renewed) = renews.as_mut().poll(cx) {
            break renewed;
        }
        std::thread::yield_now();
    };
    assert_eq!(renewed.map(|ttl| ttl.as_secs()), Ok(3600));
}

#[test]
fn a_renewal_that_is_driven_by_hand_waits_no_longer_than_it_wants() {
    let held = held(|one| one);
    let lessor = &held.lessor;
    lessor.grant(id(1), 3600).expect("free");
    lessor.checkpoint(id(1), 100).expect("there");
    (held.set)();
    let attached = attaches(lessor, "a");
    held.keeper.wait();
    let renewed = lessor.renew_timeout(id(1), Duration::from_millis(10));
    assert_eq!(renewed, Err(LeaseError::DeadlineExceeded));
    assert_eq!(lessor.stats().waiting, 0, "it has left the line");
    held.keeper.open();
    assert_eq!(told(&attached), Ok(()));
    assert!(lessor.renew(id(1)).is_ok());
}

/// Tells when a lease is revoked.
struct Tells(std::sync::Mutex<std::sync::mpsc::Sender<i64>>);

impl Observer for Tells {
    fn observe(&self, event: &LessorEvent<'_>) {
        if let LessorEvent::Revoked { id, .. } = event {
            let tell = self.0.lock().expect("no panic");
            let _nobody_listens = tell.send(id.get());
        }
    }
}

#[test]
fn a_range_deleter_that_takes_its_time_holds_up_no_lease_without_items() {
    let (tell, revoked) = std::sync::mpsc::channel();
    let (inside, keeper) = gate();
    let lessor = BackendLessor::builder(Arc::new(TestBackend::default()))
        .expiry(ExpiryMode::AutoRevoke)
        .observer(Arc::new(Tells(std::sync::Mutex::new(tell))))
        .range_deleter(slow(inside, false))
        .build()
        .expect("an empty backend is read");
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    lessor.grant(id(1), 1).expect("free");
    lessor.attach(id(1), &items(&["a"])).expect("there");
    keeper.wait();
    lessor.grant(id(2), 1).expect("free");
    assert_eq!(revoked.recv_timeout(LONG), Ok(2));
    keeper.open();
    assert_eq!(revoked.recv_timeout(LONG), Ok(1));
}

/// Refuses with an error that panics when it is dropped.
struct Refuses;

#[derive(Debug)]
struct Poisonous;

impl std::fmt::Display for Poisonous {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("poisonous")
    }
}

impl std::error::Error for Poisonous {}

impl Drop for Poisonous {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "this error panics");
    }
}

impl RangeDeleter for Refuses {
    fn begin<'t>(&'t self, _: &'t mut WriteBatch) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
        Err(Box::new(Poisonous))
    }
}

#[test]
fn an_error_that_panics_ends_no_thread_of_the_lessor() {
    let (tell, revoked) = std::sync::mpsc::channel();
    let lessor = BackendLessor::builder(Arc::new(TestBackend::default()))
        .expiry(ExpiryMode::AutoRevoke)
        .observer(Arc::new(Tells(std::sync::Mutex::new(tell))))
        .range_deleter(Arc::new(Refuses))
        .build()
        .expect("an empty backend is read");
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    lessor.grant(id(1), 1).expect("free");
    lessor.attach(id(1), &items(&["a"])).expect("there");
    while lessor.stats().expired == 0 {
        std::thread::yield_now();
    }
    // The deletions are tried again, and what needs none goes on.
    lessor.set_range_deleter(Arc::new(lease_core::TableDeleter::new(crate::gates::kv())));
    lessor.grant(id(2), 1).expect("free");
    let both = [(); 2].map(|()| revoked.recv_timeout(LONG).expect("it goes"));
    assert!(both.contains(&1) && both.contains(&2), "{both:?}");
}

#[test]
fn a_recovery_that_a_stop_has_given_up_changes_nothing() {
    let (in_load, keeper) = gate();
    let stored = Arc::new(TestBackend::default());
    let lessor = shared(Arc::new(TestBackend::default()), EVERY, |one| {
        one.stop_timeout(Duration::from_millis(10))
    });
    lessor.grant(id(1), 60).expect("free");
    let backend = Arc::new(Gated {
        inner: stored,
        commit: None,
        load: Some(in_load),
    });
    let recovered = {
        let lessor = Arc::clone(&lessor);
        ends(move || lessor.recover(backend, None))
    };
    keeper.wait();
    lessor.stop();
    keeper.open();
    assert_eq!(told(&recovered), Err(LeaseError::Stopped));
    assert!(lessor.lookup(id(1)).is_some(), "it is as it was");
}

#[test]
fn many_items_are_looked_at_also_from_inside_a_command() {
    struct Looks(std::sync::Weak<BackendLessor>);
    impl RangeDeleter for Looks {
        fn begin<'t>(&'t self, _: &'t mut WriteBatch) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
            let lessor = self.0.upgrade().expect("it is used");
            let counts = [1, 2].map(|number| {
                let lease = lessor.lookup(id(number)).expect("there");
                lease.keys().len()
            });
            assert_eq!(counts, [5000, 5000]);
            Err("it has seen them".into())
        }
    }
    let lessor = Arc::new(bench(|builder| builder).lessor);
    for number in [1, 2] {
        lessor.grant(id(number), 60).expect("free");
        let many = (0..5000).map(|n| LeaseItem::from(format!("{number}/{n}")));
        let many: Vec<_> = many.collect();
        lessor.attach(id(number), &many).expect("there");
    }
    lessor.set_range_deleter(Arc::new(Looks(Arc::downgrade(&lessor))));
    let refused = lessor.revoke(id(1)).expect_err("the deleter refuses");
    assert!(refused.to_string().contains("range deleter"), "{refused}");
    let LeaseError::RangeDeleter(cause) = refused else {
        panic!("{refused}");
    };
    assert_eq!(cause.to_string(), "it has seen them");
}
