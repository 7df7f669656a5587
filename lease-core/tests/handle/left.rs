//! What the end of a command lets be decided, where code of the host's runs, a lessor is replaced, or
//! stopped.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use lease_core::{
    BackendLessor, BoxError, CheckpointMode, Driver, ExpiryMode, LeaseError, LeaseRow, Lessor,
    LessorConfig, LessorEvent, ManualClock, Observer, RangeDeleter, RevokeReason, SystemClock,
    TableDeleter, Ttl, TxnDelete, WriteBatch,
};

use crate::aside::{by_hand, grant_with_item, is_there, wait_until};
use crate::gates::{Gate, Held, ends, gate, held, kv, slow, ticks, told};
use crate::support::TestBackend;
use crate::{id, items};

/// An executor that goes on with its task on the spot.
struct Ticks(Weak<BackendLessor>);

impl Wake for Ticks {
    fn wake(self: Arc<Self>) {
        if let Some(lessor) = self.0.upgrade() {
            lessor.tick();
        }
    }
}

#[test]
fn a_waker_may_tick() {
    let (lessor, clock) = by_hand(Arc::default(), |builder| builder);
    lessor.grant(id(1), 1).expect("free");
    lessor.grant(id(7), 100).expect("free");
    let waker = Waker::from(Arc::new(Ticks(Arc::downgrade(&lessor))));
    let mut wait = pin!(lessor.wait(id(7)).expect("there"));
    assert!(
        wait.as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    clock.advance(Duration::from_secs(2));
    let revoked = {
        let lessor = Arc::clone(&lessor);
        ends(move || lessor.revoke(id(7)))
    };
    assert_eq!(told(&revoked), Ok(()));
    lessor.tick();
    assert!(lessor.leases().is_empty());
}

/// Refuses the first time, behind a gate.
struct RefusesFirst {
    gate: Gate,
    calls: AtomicUsize,
    then: Option<TableDeleter>,
}

impl RefusesFirst {
    fn new(gate: Gate, then: Option<TableDeleter>) -> Arc<Self> {
        Arc::new(Self {
            gate,
            calls: AtomicUsize::new(0),
            then,
        })
    }
}

impl RangeDeleter for RefusesFirst {
    fn begin<'t>(&'t self, batch: &'t mut WriteBatch) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
        self.gate.pass();
        match &self.then {
            Some(then) if self.calls.fetch_add(1, SeqCst) > 0 => then.begin(batch),
            Some(_) => Err("busy".into()),
            None => {
                self.calls.fetch_add(1, SeqCst);
                Err("busy".into())
            }
        }
    }
}

/// INV-1: the leases of a batch that was refused are tried one by one, but not in another state.
#[test]
fn a_refused_batch_is_not_tried_again_on_what_a_recovery_brings() {
    let store = |secs| {
        let store = TestBackend::default();
        for number in [1, 2] {
            let row = LeaseRow::new(id(number), Ttl::new(secs).expect("in range"));
            store.store().rows.insert(id(number), row);
        }
        Arc::new(store)
    };
    let (in_deleter, keeper) = gate();
    let deleter = RefusesFirst::new(in_deleter, Some(TableDeleter::new(kv())));
    let (lessor, clock) = by_hand(store(1), |builder| builder.range_deleter(deleter));
    lessor.attach(id(1), &items(&["a"])).expect("there");
    lessor.attach(id(2), &items(&["b"])).expect("there");
    clock.advance(Duration::from_secs(1));
    let ticks = ticks(&lessor);
    keeper.wait();
    let other = store(3600);
    other.store().epoch = lessor.epoch();
    lessor.recover(other.clone(), None).expect("it is read");
    keeper.open();
    told(&ticks);
    lessor.tick();
    assert_eq!((lessor.rows().len(), other.rows().len()), (2, 2));
}

/// INV-15: nothing of the host's is called any more.
#[test]
fn a_refused_batch_is_not_tried_again_after_a_stop() {
    for driver in [Driver::Threads, Driver::Manual] {
        let (in_deleter, keeper) = gate();
        let deleter = RefusesFirst::new(in_deleter, None);
        let clock = Arc::new(ManualClock::default());
        let builder = BackendLessor::builder(Arc::new(TestBackend::default()))
            .driver(driver)
            .clock(clock.clone())
            .expiry(ExpiryMode::AutoRevoke)
            .stop_timeout(Duration::from_millis(50))
            .range_deleter(deleter.clone());
        let lessor = Arc::new(builder.build().expect("an empty backend is read"));
        lessor.promote(Duration::ZERO).expect("the epoch is stored");
        (1..=50).for_each(|number| grant_with_item(&lessor, number));
        clock.advance(Duration::from_secs(2));
        let drives = {
            let lessor = Arc::clone(&lessor);
            // A lease that is granted wakes the driver.
            ends(move || drop((lessor.grant(id(99), 1), lessor.tick())))
        };
        keeper.wait();
        let stops = {
            let lessor = Arc::clone(&lessor);
            ends(move || lessor.stop())
        };
        let is_stopped = || lessor.grant(id(1000), 1) == Err(LeaseError::Stopped);
        wait_until("it is stopped", is_stopped);
        keeper.open();
        told(&stops);
        told(&drives);
        lessor.tick();
        assert_eq!(deleter.calls.load(SeqCst), 1);
    }
}

/// An observer that has another thread touch lease 2, and waits for it.
#[derive(Default)]
struct WaitsForAWorker {
    lessor: OnceLock<Weak<BackendLessor>>,
    answer: Mutex<Option<Result<(), LeaseError>>>,
}

impl Observer for WaitsForAWorker {
    fn observe(&self, event: &LessorEvent<'_>) {
        let is_users = matches!(
            event,
            LessorEvent::Revoked {
                reason: RevokeReason::User,
                ..
            }
        );
        let lessor = self.lessor.get().and_then(Weak::upgrade);
        if let Some(lessor) = lessor.filter(|_| is_users) {
            let worker = ends(move || lessor.detach(id(2), &items(&["nothing"])));
            *self.answer.lock().expect("no panic") = Some(told(&worker));
        }
    }
}

/// INV-26, by hand: the end of a revoke lets the lessor's own revoke of lease 2 be decided.
#[test]
fn an_observer_may_wait_for_what_the_command_has_let_be_decided() {
    let observer = Arc::<WaitsForAWorker>::default();
    let Held {
        lessor,
        clock,
        set,
        keeper,
    } = held(|builder| {
        let builder = builder.expiry(ExpiryMode::AutoRevoke);
        builder.observer(observer.clone())
    });
    observer.lessor.set(Arc::downgrade(&lessor)).expect("once");
    lessor.grant(id(1), 3600).expect("free");
    lessor.grant(id(2), 1).expect("free");
    lessor.attach(id(2), &items(&["x"])).expect("there");
    set();
    let revoked = {
        let lessor = Arc::clone(&lessor);
        ends(move || lessor.revoke(id(1)))
    };
    keeper.wait();
    // In line behind the revoke of 1, and it touches 2 as well.
    let attached = {
        let lessor = Arc::clone(&lessor);
        ends(move || lessor.attach(id(1), &items(&["x"])))
    };
    wait_until("it is in line", || lessor.stats().waiting == 1);
    clock.advance(Duration::from_secs(2));
    lessor.tick();
    assert_eq!(lessor.stats().waiting, 2, "and the lessor's own");
    keeper.open();
    assert_eq!(told(&revoked), Ok(()));
    assert_eq!(told(&attached), Err(LeaseError::LeaseNotFound));
    let answer = observer.answer.lock().expect("no panic").take();
    assert!(answer.is_some(), "the observer was told");
    lessor.tick();
    assert!(lessor.leases().is_empty());
}

/// INV-9, INV-23, by hand: the deletion of lease 2 hangs, and lease 1 is in use when its time comes.
#[test]
fn a_deletion_that_hangs_keeps_no_other_lease_that_is_in_use() {
    let (in_deleter, deletion) = gate();
    let Held {
        lessor,
        clock,
        set,
        keeper,
    } = held(|builder| {
        let builder = builder.expiry(ExpiryMode::AutoRevoke);
        builder.range_deleter(slow(in_deleter, false))
    });
    grant_with_item(&lessor, 2);
    lessor.grant(id(1), 2).expect("free");
    clock.advance(Duration::from_secs(1));
    let ticks = ticks(&lessor);
    deletion.wait();
    set();
    let used = {
        let lessor = Arc::clone(&lessor);
        ends(move || lessor.checkpoint(id(1), 1))
    };
    keeper.wait();
    clock.advance(Duration::from_secs(1));
    lessor.tick();
    assert!(is_there(&lessor, 1) && lessor.stats().waiting == 1);
    keeper.open();
    assert_eq!(told(&used), Ok(()));
    assert!(!is_there(&lessor, 1), "whoever was in its way has done it");
    deletion.open();
    told(&ticks);
    assert!(lessor.leases().is_empty());
}

/// INV-23: the command that was the last in the way of a deletion does not call the range deleter, which
/// hangs, where a thread of the lessor's does.
///
/// Of the two threads the one that is awake came first nearly always; six times it is sure to.
#[test]
fn a_deletion_that_hangs_keeps_no_command_that_was_in_its_way() {
    let in_use = || {
        let (in_deleter, deletion) = gate();
        let Held {
            lessor,
            set,
            keeper,
            ..
        } = held(|builder| {
            let builder = builder.driver(Driver::Threads);
            let builder = builder.expiry(ExpiryMode::AutoRevoke);
            let builder = builder.clock(Arc::new(SystemClock::default()));
            builder.range_deleter(slow(in_deleter, false))
        });
        grant_with_item(&lessor, 1);
        set();
        let used = {
            let lessor = Arc::clone(&lessor);
            ends(move || lessor.checkpoint(id(1), 1))
        };
        keeper.wait();
        (lessor, deletion, keeper, used)
    };
    let all: Vec<_> = (0..6).map(|_| in_use()).collect();
    for (lessor, ..) in &all {
        wait_until("it expires", || lessor.stats().waiting == 1);
    }
    for (lessor, deletion, keeper, used) in all {
        keeper.open();
        assert_eq!(told(&used), Ok(()));
        deletion.wait();
        deletion.open();
        wait_until("it goes", || lessor.leases().is_empty());
    }
}

/// INV-9: its time to be delivered again came while its revoke hung, which then failed.
#[test]
fn a_revoke_that_fails_after_a_retry_was_due_comes_again_as_soon_as_any_other() {
    let (in_deleter, keeper) = gate();
    let deleter = RefusesFirst::new(in_deleter, Some(TableDeleter::new(kv())));
    let config = LessorConfig {
        expired_lease_retry_interval: Duration::from_secs(4),
        ..LessorConfig::default()
    };
    let (lessor, clock) = by_hand(Arc::default(), |builder| {
        builder.config(config).range_deleter(deleter)
    });
    grant_with_item(&lessor, 1);
    clock.advance(Duration::from_secs(1));
    let ticks = ticks(&lessor);
    keeper.wait();
    clock.advance(Duration::from_secs(4));
    lessor.tick();
    keeper.open();
    told(&ticks);
    assert!(is_there(&lessor, 1), "it was refused");
    clock.advance(Duration::from_secs(1));
    lessor.tick();
    assert!(!is_there(&lessor, 1), "a quarter of the interval later");
}

/// Drives a lessor after each of so many checkpoint intervals.
fn pass_intervals(lessor: &BackendLessor, clock: &ManualClock, count: usize) {
    for _ in 0..count {
        clock.advance(Duration::from_mins(5));
        lessor.tick();
    }
}

/// INV-20: a lease that is in use has one checkpoint on its way, however often one is due.
#[test]
fn checkpoints_of_a_lease_do_not_pile_up_while_it_is_in_use() {
    let Held {
        lessor,
        clock,
        set,
        keeper,
    } = held(|builder| builder.checkpoints(CheckpointMode::Local));
    lessor.grant(id(1), 1_000_000).expect("free");
    set();
    let used = {
        let lessor = Arc::clone(&lessor);
        ends(move || lessor.checkpoint(id(1), 999_999))
    };
    keeper.wait();
    pass_intervals(&lessor, &clock, 50);
    assert_eq!(lessor.stats().waiting, 1);
    keeper.open();
    assert_eq!(told(&used), Ok(()));
    pass_intervals(&lessor, &clock, 1);
    let lease = lessor.lookup(id(1)).expect("there");
    let left = lease.checkpointed_remaining().map(Ttl::as_secs);
    assert_eq!(left, Some(1_000_000 - 51 * 300));
}

/// INV-20, while nothing at all is decided: the epoch hangs in the store.
#[test]
fn nor_do_they_while_an_epoch_is_written() {
    let Held {
        lessor,
        clock,
        set,
        keeper,
    } = held(|builder| builder.checkpoints(CheckpointMode::Local));
    lessor.grant(id(1), 1_000_000).expect("free");
    set();
    let promotes = {
        let lessor = Arc::clone(&lessor);
        ends(move || lessor.promote(Duration::ZERO))
    };
    keeper.wait();
    pass_intervals(&lessor, &clock, 50);
    assert_eq!(lessor.stats().checkpoints_proposed, 1);
    keeper.open();
    told(&promotes).expect("the epoch is stored");
    pass_intervals(&lessor, &clock, 1);
    let lease = lessor.lookup(id(1)).expect("there");
    assert!(lease.checkpointed_remaining().is_some());
}
