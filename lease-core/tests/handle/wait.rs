//! The wait of an async host.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use lease_core::{
    BoxError, Checkpoint, ExpiryMode, LeaseError, LeaseItem, Lessor, Lookup, Renewal, TicketOutcome,
};

use crate::{BATCHED, Bench, bench, id};

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn expiring() -> Bench {
    let bench = bench(|builder| builder);
    bench.lessor.grant(id(1), 10).expect("free");
    bench.advance(10);
    assert_eq!(bench.lessor.try_renew(id(1)), Ok(Renewal::Expiring));
    bench
}

#[test]
fn a_wait_is_woken_by_the_revoke() {
    let bench = expiring();
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut wait = pin!(bench.lessor.wait(id(1)).expect("it is there"));
    let mut cx = Context::from_waker(&waker);
    assert_eq!(wait.as_mut().poll(&mut cx), Poll::Pending);
    bench.lessor.revoke(id(1)).expect("it is there");
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    let outcome = TicketOutcome::Revoked;
    assert_eq!(wait.as_mut().poll(&mut cx), Poll::Ready(outcome));
    assert_eq!(wait.try_outcome(), Some(outcome));
}

#[test]
fn no_wait_survives_a_demotion_a_recovery_or_a_stop() {
    let ends: [fn(&Bench); 3] = [
        |bench| bench.lessor.demote(),
        |bench| {
            let backend = bench.backend.clone();
            bench.lessor.recover(backend, None).expect("it is read");
        },
        |bench| bench.lessor.stop(),
    ];
    for end in ends {
        let bench = expiring();
        let wait = bench.lessor.wait(id(1)).expect("it is there");
        end(&bench);
        assert_eq!(wait.try_outcome(), Some(TicketOutcome::NotPrimary));
        assert!(bench.lessor.wait(id(1)).is_none());
        assert_eq!(bench.lessor.stats().waiting, 0);
    }
}

#[test]
fn a_wait_that_is_dropped_leaves_nothing() {
    let bench = expiring();
    let wait = bench.lessor.wait(id(1)).expect("it is there");
    assert_eq!(bench.lessor.stats().waiting, 1);
    drop(wait);
    assert_eq!(bench.lessor.stats().waiting, 0);
    assert!(bench.lessor.wait(id(2)).is_none(), "no lease has the id");
    bench
        .lessor
        .promote(Duration::ZERO)
        .expect("the epoch is stored");
}

/// A checkpointer that hangs kept a renewal waiting beyond the end of the lessor.
#[test]
fn a_stop_ends_a_renewal_whose_reset_is_under_way() {
    let Bench { lessor, .. } = bench(|builder| builder);
    lessor.grant(id(1), 60).expect("free");
    lessor.checkpoint(id(1), 5).expect("there");
    let (enter, entered) = channel();
    let (leave, left) = channel::<()>();
    let ends = Mutex::new((enter, left));
    lessor.set_checkpointer(Arc::new(
        move |_: &[Checkpoint], _: Duration| -> Result<(), BoxError> {
            let ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
            ends.0.send(())?;
            Ok(ends.1.recv()?)
        },
    ));
    let mut renewal = pin!(lessor.renew_async(id(1)));
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut cx = Context::from_waker(&waker);
    assert_eq!(renewal.as_mut().poll(&mut cx), Poll::Pending);
    thread::scope(|scope| {
        let ticker = scope.spawn(|| lessor.tick());
        entered.recv().expect("the reset is being brought");
        lessor.stop();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        let stopped = Poll::Ready(Err(LeaseError::Stopped));
        assert_eq!(renewal.as_mut().poll(&mut cx), stopped);
        leave.send(()).expect("the checkpointer waits");
        ticker.join().expect("it ends");
    });
}

/// A host that sleeps until what `tick` said was not told of a lease that was due earlier than what
/// the lessor had in mind before its last revoke.
#[test]
fn a_host_is_told_of_all_that_is_earlier_than_tick_said() {
    let bench = bench(|builder| builder.expiry(ExpiryMode::AutoRevoke));
    bench.lessor.grant(id(1), 10).expect("free");
    bench.lessor.tick();
    bench.clock.advance(Duration::from_secs(10));
    assert_eq!(bench.lessor.tick(), None);
    assert!(bench.lessor.lookup(id(1)).is_none());
    bench.lessor.grant(id(2), 60).expect("free");
    let mut moved = pin!(bench.lessor.wakeup_moved());
    let waker = Waker::from(Arc::new(Count::default()));
    let mut cx = Context::from_waker(&waker);
    assert_eq!(moved.as_mut().poll(&mut cx), Poll::Ready(()));
}

/// INV-26, at the end of time: what can be due no earlier is due.
#[test]
fn a_host_is_told_of_what_is_due_at_the_last_moment_that_there_is() {
    let bench = bench(|builder| builder.durability(BATCHED));
    bench.clock.advance(Duration::from_nanos(u64::MAX));
    bench.lessor.flush().expect("it works");
    assert_eq!(bench.lessor.tick(), None);
    let mut cx = Context::from_waker(Waker::noop());
    let mut moved = pin!(bench.lessor.wakeup_moved());
    assert!(moved.as_mut().poll(&mut cx).is_pending());
    bench.lessor.grant(id(1), 60).expect("free");
    assert!(moved.as_mut().poll(&mut cx).is_ready());
    bench.lessor.tick();
    bench.assert_memory_is_disk();
}

/// INV-5: the task that drives a lessor by hand.
#[test]
fn who_drives_a_lessor_by_hand_does_not_sleep_through_its_stop() {
    let bench = bench(|builder| builder);
    assert_eq!(bench.lessor.tick(), None);
    let woken = Arc::new(Count::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    let mut moved = pin!(bench.lessor.wakeup_moved());
    assert!(moved.as_mut().poll(&mut cx).is_pending());
    bench.lessor.stop();
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert!(moved.as_mut().poll(&mut cx).is_ready());
    assert_eq!(bench.lessor.tick(), None);
}

#[test]
fn a_lookup_that_does_not_wait_leaves_out_many_items() {
    let bench = bench(|builder| builder);
    let items: Vec<_> = (0..2_000_u32).map(|n| n.to_string()).collect();
    let items: Vec<_> = items.iter().map(|item| LeaseItem::from(&**item)).collect();
    let lessor = &bench.lessor;
    assert_eq!(lessor.try_lookup(id(1)), None);
    lessor.grant(id(1), 10).expect("free");
    lessor.attach(id(1), &items[..2]).expect("there");
    let whole = lessor.lookup(id(1)).expect("there");
    assert_eq!(whole.keys().len(), 2);
    assert_eq!(lessor.try_lookup(id(1)), Some(Lookup::Whole(whole)));

    lessor.attach(id(1), &items).expect("there");
    let whole = lessor.lookup(id(1)).expect("there");
    assert_eq!(whole.keys().len(), 2_000);
    let Some(Lookup::WithoutItems(lease)) = lessor.try_lookup(id(1)) else {
        panic!("it has too many items for one look");
    };
    assert_eq!((lease.keys(), lease.ttl()), (&[][..], whole.ttl()));
    assert_eq!(lease.remaining(), whole.remaining());
}
