//! The commands that a lessor gives itself, while its threads are in code of the host's: they stand aside,
//! and none is meant for another state or another epoch than it was made for.

use std::future::Future;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::{fmt, thread};

use lease_core::{
    BackendLessor, BackendLessorBuilder, BoxError, Checkpoint, CheckpointMode, Checkpointer,
    Command, Driver, ExpiryMode, LeaseError, LeaseItem, LeaseRow, Lessor, LessorConfig,
    LessorEvent, ManualClock, Observer, RangeDeleter, RevokeReason, SystemClock, TableDeleter, Ttl,
    TxnDelete, WriteBatch,
};

use crate::gates::{
    EVERY, Gate, Gated, Held, LONG, ends, gate, held, kv, shared, slow, ticks, told,
};
use crate::own::attaches;
use crate::support::TestBackend;
use crate::{id, items};

/// A primary with real threads that revokes by itself.
fn revoker(build: impl FnOnce(BackendLessorBuilder) -> BackendLessorBuilder) -> Arc<BackendLessor> {
    let builder = BackendLessor::builder(Arc::new(TestBackend::default()));
    let builder = builder.expiry(ExpiryMode::AutoRevoke);
    let lessor = build(builder).build().expect("an empty backend is read");
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    Arc::new(lessor)
}

/// One that is driven by hand, and its clock.
pub(crate) fn by_hand(
    backend: Arc<TestBackend>,
    build: impl FnOnce(BackendLessorBuilder) -> BackendLessorBuilder,
) -> (Arc<BackendLessor>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    let lessor = shared(backend, EVERY, |builder| {
        build(builder.expiry(ExpiryMode::AutoRevoke).clock(clock.clone()))
    });
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    (lessor, clock)
}

/// A lease with an item of its number.
pub(crate) fn grant_with_item(lessor: &BackendLessor, number: i64) {
    lessor.grant(id(number), 1).expect("free");
    let item = LeaseItem::from(number.to_string());
    lessor.attach(id(number), &[item]).expect("there");
}

pub(crate) fn is_there(lessor: &BackendLessor, number: i64) -> bool {
    lessor.try_lookup(id(number)).is_some()
}

pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let polls = LONG.as_millis() / 5;
    let is_so = (0..polls).any(|_| {
        let is_so = is_so();
        if !is_so {
            thread::sleep(Duration::from_millis(5));
        }
        is_so
    });
    assert!(is_so, "{what}");
}

/// An observer that, told that a lease has expired and is gone, gives a command for the other one.
struct CallsBack {
    lessor: Mutex<Weak<BackendLessor>>,
    answers: Mutex<Sender<Result<(), LeaseError>>>,
}

impl CallsBack {
    fn new() -> (Arc<Self>, Receiver<Result<(), LeaseError>>) {
        let (tell, answers) = channel();
        let observer = Self {
            lessor: Mutex::default(),
            answers: Mutex::new(tell),
        };
        (Arc::new(observer), answers)
    }

    fn watch(&self, lessor: &Arc<BackendLessor>) {
        *self.lessor.lock().expect("no panic") = Arc::downgrade(lessor);
    }
}

impl Observer for CallsBack {
    fn observe(&self, event: &LessorEvent<'_>) {
        let LessorEvent::Revoked {
            id: gone,
            reason: RevokeReason::Expired,
            ..
        } = event
        else {
            return;
        };
        let lessor = self.lessor.lock().expect("no panic").upgrade();
        if let Some(lessor) = lessor {
            let other = if *gone == id(1) { id(2) } else { id(1) };
            let answer = lessor.detach(other, &items(&["nothing"]));
            let answers = self.answers.lock().expect("no panic");
            answers.send(answer).expect("the test listens");
        }
    }
}

#[test]
fn an_observer_may_touch_the_lease_whose_revoke_is_next() {
    let (observer, answers) = CallsBack::new();
    let (in_deleter, keeper) = gate();
    let lessor = revoker(|builder| {
        let builder = builder.observer(observer.clone());
        builder.range_deleter(slow(in_deleter, false))
    });
    observer.watch(&lessor);
    grant_with_item(&lessor, 1);
    keeper.wait();
    grant_with_item(&lessor, 2);
    wait_until("both expire", || lessor.stats().expired == 2);
    keeper.open();
    let first = answers.recv_timeout(LONG).expect("it does not hang");
    assert_eq!(first, Ok(()), "lease 2 is still there");
    wait_until("both go", || lessor.leases().is_empty());
}

#[test]
fn an_observer_may_do_so_inside_of_a_tick() {
    let (observer, answers) = CallsBack::new();
    let (lessor, clock) = by_hand(Arc::default(), |builder| {
        let builder = builder.observer(observer.clone());
        builder.range_deleter(Arc::new(TableDeleter::new(kv())))
    });
    observer.watch(&lessor);
    // One has items and the other has none: two commands of one batch.
    lessor.grant(id(1), 1).expect("free");
    grant_with_item(&lessor, 2);
    clock.advance(Duration::from_secs(5));
    let ticks = ticks(&lessor);
    told(&ticks);
    assert!(lessor.leases().is_empty());
    let answers: Vec<_> = answers.try_iter().collect();
    assert_eq!(answers, [Ok(()), Err(LeaseError::LeaseNotFound)]);
}

/// INV-22, INV-23.
#[test]
fn a_command_does_not_wait_for_the_deletion_of_another_lease() {
    let (in_deleter, keeper) = gate();
    let lessor = revoker(|builder| builder.range_deleter(slow(in_deleter, false)));
    grant_with_item(&lessor, 1);
    keeper.wait();
    grant_with_item(&lessor, 2);
    wait_until("both expire", || lessor.stats().expired == 2);
    let detached = {
        let lessor = Arc::clone(&lessor);
        ends(move || lessor.detach(id(2), &items(&["2"])))
    };
    assert_eq!(told(&detached), Ok(()), "the deleter is called for lease 1");
    keeper.open();
    wait_until("both go", || lessor.leases().is_empty());
}

/// A store with lease 1, of this TTL.
fn store_with(secs: i64) -> Arc<TestBackend> {
    let store = TestBackend::default();
    let row = LeaseRow::new(id(1), Ttl::new(secs).expect("in range"));
    store.store().rows.insert(id(1), row);
    Arc::new(store)
}

fn assert_untouched(lessor: &BackendLessor, store: &TestBackend) {
    assert_eq!(lessor.primary_epoch(), None);
    let row = LeaseRow::new(id(1), Ttl::new(3600).expect("in range"));
    assert_eq!(lessor.rows(), [row], "there is no primary to change it");
    assert_eq!(store.rows(), [row]);
    lessor.check_invariants();
}

/// INV-1: while its revoke is in the range deleter, the state is replaced.
#[test]
fn a_revoke_is_not_done_to_the_state_that_a_recovery_brings() {
    let (in_deleter, keeper) = gate();
    let (lessor, clock) = by_hand(store_with(1), |builder| {
        builder.range_deleter(slow(in_deleter, false))
    });
    lessor.attach(id(1), &items(&["a"])).expect("there");
    clock.advance(Duration::from_secs(1));
    let ticks = ticks(&lessor);
    keeper.wait();
    let other = store_with(3600);
    lessor.recover(other.clone(), None).expect("it is read");
    keeper.open();
    told(&ticks);
    lessor.tick();
    assert_untouched(&lessor, &other);
}

/// It becomes due while the new state is read.
fn due_meanwhile(secs: i64, passed: u64) {
    let (lessor, clock) = by_hand(store_with(secs), |builder| builder);
    let (in_load, keeper) = gate();
    let inner = store_with(3600);
    let other = Gated {
        inner: Arc::clone(&inner),
        commit: None,
        load: Some(in_load),
    };
    let recovered = {
        let lessor = Arc::clone(&lessor);
        ends(move || lessor.recover(Arc::new(other), None))
    };
    keeper.wait();
    clock.advance(Duration::from_secs(passed));
    lessor.tick();
    keeper.open();
    assert_eq!(told(&recovered), Ok(()));
    lessor.tick();
    assert_untouched(&lessor, &inner);
}

#[test]
fn nor_is_one_that_becomes_due_meanwhile() {
    due_meanwhile(1, 5);
}

#[test]
fn nor_is_a_checkpoint() {
    due_meanwhile(3600, 3000);
}

#[test]
fn a_batch_of_before_a_recovery_is_not_delivered_any_more() {
    let clock = Arc::new(ManualClock::default());
    let lessor = shared(store_with(1), EVERY, |builder| builder.clock(clock.clone()));
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    clock.advance(Duration::from_secs(1));
    lessor.tick();
    assert_eq!(lessor.expired_leases().len(), 1);
    let other = store_with(3600);
    lessor.recover(other.clone(), None).expect("it is read");
    assert!(lessor.expired_leases().try_recv().is_err());
    assert_untouched(&lessor, &other);
}

/// Refuses the first time, and waits at the gate from then on.
struct RefusesOnce {
    calls: AtomicUsize,
    inner: Arc<crate::gates::Slow>,
}

impl RangeDeleter for RefusesOnce {
    fn begin<'t>(&'t self, batch: &'t mut WriteBatch) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
        if self.calls.fetch_add(1, SeqCst) == 0 {
            return Err("busy".into());
        }
        self.inner.begin(batch)
    }
}

/// INV-5, INV-23: a tick is at one of several deletions, which hangs.
#[test]
fn by_hand_nobody_carries_out_the_deletions_of_others() {
    let (in_deleter, keeper) = gate();
    let (lessor, clock) = by_hand(Arc::default(), |builder| {
        builder.range_deleter(Arc::new(RefusesOnce {
            calls: AtomicUsize::new(0),
            inner: slow(in_deleter, false),
        }))
    });
    lessor.grant(id(99), 3600).expect("free");
    lessor.checkpoint(id(99), 3000).expect("there");
    (1..=8).for_each(|number| grant_with_item(&lessor, number));
    clock.advance(Duration::from_secs(1));
    let ticks = ticks(&lessor);
    keeper.wait();
    let others = {
        let lessor = Arc::clone(&lessor);
        ends(move || (lessor.renew(id(99)), lessor.grant(id(50), 60).map(drop)))
    };
    let (renewed, granted) = told(&others);
    assert!(renewed.is_ok() && granted.is_ok());
    assert!((1..=8).any(|number| is_there(&lessor, number)), "it hangs");
    keeper.open();
    told(&ticks);
    lessor.tick();
    assert!((1..=8).all(|number| !is_there(&lessor, number)));
}

/// The deletion of very many hangs, longer than a retry interval: the others expire in time.
#[test]
fn what_is_on_its_way_to_be_revoked_takes_nothing_of_the_rate() {
    let (in_deleter, keeper) = gate();
    let config = LessorConfig {
        revoke_rate_per_sec: NonZeroU32::new(20),
        expired_lease_retry_interval: Duration::from_secs(1),
        ..LessorConfig::default()
    };
    let (lessor, clock) = by_hand(Arc::default(), |builder| {
        builder
            .config(config)
            .range_deleter(slow(in_deleter, false))
    });
    (1..=20).for_each(|number| grant_with_item(&lessor, number));
    clock.advance(Duration::from_secs(1));
    let ticks = ticks(&lessor);
    keeper.wait();
    for number in 1001..=1010 {
        clock.advance(Duration::from_secs(1));
        lessor.tick();
        lessor.grant(id(number), 1).expect("free");
        clock.advance(Duration::from_secs(1));
        lessor.tick();
        assert!(!is_there(&lessor, number), "its time is up");
    }
    assert_eq!(lessor.stats().expired, 30, "each once");
    keeper.open();
    told(&ticks);
    assert!(lessor.leases().is_empty());
}

/// INV-9: the revoke of the old epoch is void, and that of the new one is done without it.
#[test]
fn a_revoke_that_is_void_does_not_keep_the_next_one() {
    let (in_deleter, keeper) = gate();
    let config = LessorConfig {
        expired_lease_retry_interval: Duration::from_secs(600),
        ..LessorConfig::default()
    };
    let (lessor, clock) = by_hand(Arc::default(), |builder| {
        builder
            .config(config)
            .range_deleter(slow(in_deleter, false))
    });
    grant_with_item(&lessor, 1);
    clock.advance(Duration::from_secs(1));
    let ticks = ticks(&lessor);
    keeper.wait();
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    lessor.renew(id(1)).expect("the new primary has it");
    clock.advance(Duration::from_secs(2));
    lessor.tick();
    keeper.open();
    told(&ticks);
    lessor.tick();
    assert!(!is_there(&lessor, 1));
    assert_eq!(lessor.stats().stale_revokes, 0, "it was not even tried");
}

/// Applies what it is asked to, behind a gate; or refuses what came to the gate.
struct Applies {
    gate: Gate,
    lessor: Mutex<Weak<BackendLessor>>,
    refuses: bool,
}

impl Checkpointer for Applies {
    fn checkpoint(&self, records: &[Checkpoint], _: Duration) -> Result<(), BoxError> {
        let is_first = self.gate.0.lock().expect("no panic").is_some();
        self.gate.pass();
        if self.refuses && is_first {
            return Err("leadership lost".into());
        }
        let lessor = self.lessor.lock().expect("no panic").upgrade();
        let lessor = lessor.ok_or("gone")?;
        let command = Command::Checkpoint(records.to_vec());
        lessor.apply(&command, WriteBatch::default())?;
        Ok(())
    }
}

/// INV-26: the reset that was under way when the epoch ended is not that of the new one.
fn renews_over_an_epoch(refuses: bool) {
    let (in_log, keeper) = gate();
    let checkpointer = Arc::new(Applies {
        gate: in_log,
        lessor: Mutex::default(),
        refuses,
    });
    let lessor = BackendLessor::builder(Arc::new(TestBackend::default()))
        .checkpoints(CheckpointMode::Proposed(checkpointer.clone()))
        .build();
    let lessor = Arc::new(lessor.expect("an empty backend is read"));
    *checkpointer.lessor.lock().expect("no panic") = Arc::downgrade(&lessor);
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    lessor.grant(id(1), 3600).expect("free");
    lessor.checkpoint(id(1), 100).expect("there");
    let cx = &mut Context::from_waker(Waker::noop());
    let mut old = pin!(lessor.renew_async(id(1)));
    assert!(old.as_mut().poll(cx).is_pending());
    keeper.wait();
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    let mut new = pin!(lessor.renew_async(id(1)));
    assert!(new.as_mut().poll(cx).is_pending());
    keeper.open();
    for _ in 0..LONG.as_millis() {
        if let Poll::Ready(answer) = new.as_mut().poll(cx) {
            assert_eq!(answer.map(Ttl::as_secs), Ok(3600));
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("the renewal does not end");
}

#[test]
fn a_reset_of_an_earlier_epoch_does_not_end_that_of_the_next_one() {
    renews_over_an_epoch(false);
}

#[test]
fn nor_does_one_that_has_failed() {
    renews_over_an_epoch(true);
}

/// INV-26: a checkpointer is set while a checkpoint of the lessor's own is in line.
#[test]
fn a_checkpointer_does_not_wait_for_the_thread_that_calls_it() {
    let config = LessorConfig {
        checkpoint_interval: Duration::from_secs(1),
        ..LessorConfig::default()
    };
    let Held {
        lessor,
        set,
        keeper,
        ..
    } = held(|builder| {
        let clock = Arc::new(SystemClock::default());
        builder.config(config).driver(Driver::Threads).clock(clock)
    });
    lessor.grant(id(1), 3600).expect("free");
    set();
    let attached = attaches(&lessor, "a");
    keeper.wait();
    wait_until("its own stands in line", || lessor.stats().waiting > 0);
    let (in_log, log) = gate();
    lessor.set_checkpointer(Arc::new(Applies {
        gate: in_log,
        lessor: Mutex::new(Arc::downgrade(&lessor)),
        refuses: false,
    }));
    log.wait();
    log.open();
    wait_until("the log's stands there too", || lessor.stats().waiting > 1);
    keeper.open();
    assert_eq!(told(&attached), Ok(()));
    let revoked = {
        let lessor = Arc::clone(&lessor);
        ends(move || lessor.revoke(id(1)))
    };
    assert_eq!(told(&revoked), Ok(()));
}

/// An error that panics when it is dropped.
#[derive(Debug)]
struct Poisonous;

impl fmt::Display for Poisonous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("poisonous")
    }
}

impl std::error::Error for Poisonous {}

impl Drop for Poisonous {
    fn drop(&mut self) {
        assert!(thread::panicking(), "this error panics");
    }
}

struct Refuses;

impl RangeDeleter for Refuses {
    fn begin<'t>(&'t self, _: &'t mut WriteBatch) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
        Err(Box::new(Poisonous))
    }
}

#[test]
fn who_helps_does_not_panic_with_the_hosts_code() {
    let Held {
        lessor,
        clock,
        set,
        keeper,
    } = held(|builder| {
        let builder = builder.expiry(ExpiryMode::AutoRevoke);
        builder.range_deleter(Arc::new(Refuses))
    });
    lessor.grant(id(1), 1).expect("free");
    set();
    let attached = attaches(&lessor, "a");
    keeper.wait();
    clock.advance(Duration::from_secs(1));
    lessor.tick();
    keeper.open();
    assert_eq!(told(&attached), Ok(()), "it was done");
    assert_eq!(lessor.get_lease(b"a"), Some(id(1)));
}

/// While an epoch is written nothing can be decided: what expires does not crowd the line.
#[test]
fn what_expires_while_an_epoch_is_written_waits_out_of_the_line() {
    let Held {
        lessor,
        clock,
        set,
        keeper,
    } = held(|builder| builder.expiry(ExpiryMode::AutoRevoke));
    for number in 1..=500 {
        let secs = if number % 2 == 0 { 1 } else { 2 };
        lessor.grant(id(number), secs).expect("free");
    }
    set();
    let promoted = {
        let lessor = Arc::clone(&lessor);
        ends(move || lessor.promote(Duration::ZERO).map(drop))
    };
    keeper.wait();
    for _ in 0..2 {
        clock.advance(Duration::from_secs(1));
        lessor.tick();
    }
    assert_eq!(lessor.stats().waiting, 0);
    keeper.open();
    assert_eq!(told(&promoted), Ok(()));
    clock.advance(Duration::from_secs(2));
    lessor.tick();
    assert!(lessor.leases().is_empty());
    lessor.check_invariants();
}
