//! Code of the host's that fails, panics, hangs and calls back.

use std::future::Future;
use std::sync::OnceLock;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use super::store::items_table;
use super::world::{Flag, NEVER, SLOWLY, Setting, World, items, join, lease};
use super::{draw, explore, panic_silently};
use crate::sync::{Arc, Weak, thread};
use crate::{
    BoxError, Clock, Driver, Durability, ExpiryMode, LeaseError, Lessor, LessorEvent, Observer,
    RangeDeleter, TableDeleter, Timestamp, TxnDelete, WriteBatch,
};

/// Nobody waits after a stop but for the one that hangs in the host's code, and it goes on when that
/// returns.
#[test]
fn hosts_hanging_store() {
    explore(|| {
        let (durability, driver) = if draw(2) == 0 {
            (Durability::EveryCommand, Driver::Manual)
        } else {
            (SLOWLY, Driver::Threads)
        };
        let setting = Setting {
            durability,
            driver,
            ..Setting::default()
        };
        let world = World::with(setting, |builder| {
            let builder = builder.stop_timeout(Duration::from_millis(1));
            builder.renew_timeout(Duration::from_millis(1))
        });
        world.store.change(|contents| contents.hangs = true);
        let ended = Arc::new(super::store::Store::default());
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let ended = Arc::clone(&ended);
                world.spawn(move |world| {
                    match (number, draw(3)) {
                        (0, _) => drop(world.lessor.flush()),
                        (1, 0) => drop(world.lessor.promote(Duration::ZERO)),
                        (1, 1) => drop(world.lessor.recover(world.store.clone(), None)),
                        (_, 0) => drop(world.lessor.grant(lease(1), 100)),
                        (_, 1) => drop(world.lessor.revoke(lease(1))),
                        _ => drop(world.lessor.attach(lease(1), &items(&[0]))),
                    }
                    // It counts those that have ended.
                    ended.change(|contents| contents.log.push(WriteBatch::default()));
                })
            })
            .collect();
        world.lessor.stop();
        assert_eq!(world.lessor.stats().waiting, 0, "INV-5");
        // One hangs, if one got as far.
        ended.wait_until(|contents| contents.log.len() >= threads_but_one());
        world.store.change(|contents| contents.hangs = false);
        join(threads);
        world.lessor.check_invariants();
        if !world.is_durable {
            // INV-21: who comes back writes what was acknowledged.
            let rows = world.lessor.rows();
            world
                .store
                .wait_until(|contents| contents.rows.values().eq(&rows));
        }
    });
}

const fn threads_but_one() -> usize {
    3
}

/// A range deleter that does one thing after the other, as the schedule says.
struct Wild {
    world: Arc<OnceLock<Weak<World>>>,
    inner: TableDeleter,
}

impl RangeDeleter for Wild {
    fn begin<'t>(&'t self, batch: &'t mut WriteBatch) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
        let world = self.world.get().and_then(Weak::upgrade);
        let Some(world) = world else {
            return self.inner.begin(batch);
        };
        match draw(9) {
            0 => return Err("the host is busy".into()),
            1 => panic_silently(),
            2 => world.lookup(1),
            // Of another lease, and of one that may be its own.
            3 => drop(world.grant(3)),
            4 => {
                let answer = world.revoke(1 + draw(2) as i64);
                let is_expected = matches!(
                    answer,
                    Ok(())
                        | Err(LeaseError::Reentrant
                            | LeaseError::LeaseNotFound
                            | LeaseError::RangeDeleter(_)
                            | LeaseError::Stopped)
                );
                assert!(is_expected, "{answer:?}");
            }
            5 => drop(world.lessor.flush()),
            _ => thread::yield_now(),
        }
        self.inner.begin(batch)
    }
}

fn wild_world(setting: Setting) -> Arc<World> {
    let place = Arc::<OnceLock<Weak<World>>>::default();
    let wild = Wild {
        world: Arc::clone(&place),
        inner: TableDeleter::new(items_table()),
    };
    let world = World::with(setting, |builder| builder.range_deleter(Arc::new(wild)));
    place.set(Arc::downgrade(&world)).expect("once");
    world
}

#[test]
fn hosts_wild_deleter_durable() {
    explore(|| wild_deleter(Durability::EveryCommand));
}

#[test]
fn hosts_wild_deleter_batched() {
    explore(|| wild_deleter(SLOWLY));
}

fn wild_deleter(durability: Durability) {
    let world = wild_world(Setting {
        durability,
        has_wild_host: true,
        ..Setting::default()
    });
    for id in 1..=2 {
        world.grant(id).expect("free");
        world.attach(id, &[id as usize - 1]).expect("there");
    }
    let threads = world.spawn_many(2, 3);
    let revoker = world.spawn(|world| (1..=2).for_each(|id| drop(world.revoke(id))));
    join(threads);
    revoker.join();
    world.finish();
}

/// A range deleter that waits for a recovery, once.
struct Recovers {
    world: Arc<OnceLock<Weak<World>>>,
    inner: TableDeleter,
    is_done: Flag,
}

impl RangeDeleter for Recovers {
    fn begin<'t>(&'t self, batch: &'t mut WriteBatch) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
        let world = self.world.get().and_then(Weak::upgrade).expect("there");
        if !self.is_done.is_set() {
            self.is_done.set();
            let recoverer = world.spawn(World::recover_same);
            recoverer.join();
        }
        self.inner.begin(batch)
    }
}

#[test]
fn hosts_deleter_that_recovers() {
    explore(|| {
        let place = Arc::<OnceLock<Weak<World>>>::default();
        let deleter = Recovers {
            world: Arc::clone(&place),
            inner: TableDeleter::new(items_table()),
            is_done: Flag::default(),
        };
        let world = World::with(Setting::default(), |builder| {
            builder.range_deleter(Arc::new(deleter))
        });
        place.set(Arc::downgrade(&world)).expect("once");
        world.grant(1).expect("free");
        world.grant(2).expect("free");
        world.lessor.attach(lease(1), &items(&[0])).expect("there");
        let revoker = world.spawn(|world| {
            // Its lease has no items any more after the recovery.
            assert_eq!(world.revoke(1), Ok(()));
        });
        let other = world.spawn(|world| {
            let _any = world.revoke(2);
            let _any = world.grant(3);
        });
        join(Vec::from([revoker, other]));
        (1..=3).for_each(|id| world.lookup(id));
        world.lessor.check_invariants();
        world.check_store();
        world.stop();
    });
}

/// A range deleter that never returns: others go on, and a stop ends.
struct Hangs(Arc<super::store::Store>);

impl RangeDeleter for Hangs {
    fn begin<'t>(&'t self, _: &'t mut WriteBatch) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
        self.0.wait_until(|contents| !contents.hangs);
        Err("it comes to nothing".into())
    }
}

#[test]
fn hosts_hanging_deleter() {
    explore(|| {
        let gate = super::store::Store::new();
        gate.change(|contents| contents.hangs = true);
        let deleter = Hangs(Arc::clone(&gate));
        let setting = Setting {
            driver: if draw(2) == 0 {
                Driver::Threads
            } else {
                Driver::Manual
            },
            expiry: ExpiryMode::AutoRevoke,
            ..Setting::default()
        };
        let world = World::with(setting, |builder| {
            let builder = builder.range_deleter(Arc::new(deleter));
            builder.stop_timeout(Duration::from_millis(1))
        });
        world.lessor.grant(lease(1), 1).expect("free");
        world.lessor.grant(lease(2), 1000).expect("free");
        world.lessor.attach(lease(1), &items(&[0])).expect("there");
        world.advance(2);
        let hanging = world.spawn(|world| {
            let answer = world.lessor.revoke(lease(1));
            let is_expected = matches!(
                answer,
                Err(LeaseError::RangeDeleter(_) | LeaseError::Stopped | LeaseError::LeaseNotFound)
            );
            assert!(is_expected, "{answer:?}");
        });
        let waiting = world.spawn(|world| {
            let answer = world.lessor.attach(lease(1), &items(&[1]));
            assert!(
                matches!(answer, Ok(()) | Err(LeaseError::Stopped)),
                "{answer:?}"
            );
        });
        let renewing = world.spawn(|world| {
            let answer = world.lessor.renew_timeout(lease(1), Duration::from_secs(1));
            assert!(answer.is_err(), "{answer:?}");
        });
        world
            .lessor
            .attach(lease(2), &items(&[2]))
            .expect("not in the way");
        world.lessor.stop();
        waiting.join();
        renewing.join();
        gate.change(|contents| contents.hangs = false);
        hanging.join();
        world.lessor.check_invariants();
    });
}

/// An observer, a clock and a waker that panic and call back.
struct Nosy {
    world: Arc<OnceLock<Weak<World>>>,
    calls: std::sync::atomic::AtomicUsize,
}

impl Nosy {
    fn meddle(&self) {
        use std::sync::atomic::Ordering::SeqCst;
        let world = self.world.get().and_then(Weak::upgrade);
        let (Some(world), true) = (world, self.calls.fetch_add(1, SeqCst) < MOST_CALLS) else {
            return;
        };
        match draw(6) {
            0 => drop(world.lessor.flush()),
            1 => drop(world.grant(1 + draw(2) as i64)),
            2 => drop(world.revoke(1 + draw(2) as i64)),
            3 => world.lookup(1),
            4 => drop(world.lessor.stats()),
            _ => panic_silently(),
        }
    }
}

/// Else what is called back calls back again.
const MOST_CALLS: usize = 3;

impl Observer for Nosy {
    fn observe(&self, _: &LessorEvent<'_>) {
        self.meddle();
    }

    fn wants_items(&self) -> bool {
        draw(2) == 0
    }
}

impl Wake for Nosy {
    fn wake(self: Arc<Self>) {
        self.meddle();
    }
}

fn nosy(place: &Arc<OnceLock<Weak<World>>>) -> Arc<Nosy> {
    Arc::new(Nosy {
        world: Arc::clone(place),
        calls: 0.into(),
    })
}

#[test]
fn hosts_nosy_observer() {
    explore(|| {
        let place = Arc::<OnceLock<Weak<World>>>::default();
        let durability = if draw(2) == 0 {
            Durability::EveryCommand
        } else {
            SLOWLY
        };
        let setting = Setting {
            durability,
            has_witness: false,
            ..Setting::default()
        };
        let world = World::with(setting, |builder| builder.observer(nosy(&place)));
        place.set(Arc::downgrade(&world)).expect("once");
        join(world.spawn_many(2, 3));
        world.finish();
    });
}

#[test]
fn hosts_nosy_wakers() {
    explore(|| {
        let place = Arc::<OnceLock<Weak<World>>>::default();
        let durability = if draw(2) == 0 {
            Durability::EveryCommand
        } else {
            SLOWLY
        };
        let setting = Setting {
            durability,
            ..Setting::default()
        };
        let world = World::new(setting);
        place.set(Arc::downgrade(&world)).expect("once");
        world.grant(1).expect("free");
        let waker = Waker::from(nosy(&place));
        let mut wait = Box::pin(world.lessor.wait(lease(1)).expect("there"));
        let mut moved = Box::pin(world.lessor.wakeup_moved());
        let expired = world.lessor.expired_leases();
        let cx = &mut Context::from_waker(&waker);
        let _ = wait.as_mut().poll(cx);
        let _ = moved.as_mut().poll(cx);
        let _ = expired.poll_recv(cx);
        drop(moved);
        join(world.spawn_many(2, 3));
        drop((wait, expired));
        world.finish();
    });
}

/// A waker that asks for the lease whose command wakes it, before that is applied.
struct Asks(Arc<OnceLock<Weak<World>>>);

impl Wake for Asks {
    fn wake(self: Arc<Self>) {
        let world = self.0.get().and_then(Weak::upgrade).expect("there");
        let answer = world.grant(1);
        let is_expected = matches!(
            answer,
            Ok(()) | Err(LeaseError::Reentrant | LeaseError::LeaseExists)
        );
        assert!(is_expected, "{answer:?}");
    }
}

#[test]
fn hosts_waker_inside() {
    explore(|| {
        let place = Arc::<OnceLock<Weak<World>>>::default();
        let world = World::new(Setting {
            durability: SLOWLY,
            ..Setting::default()
        });
        place.set(Arc::downgrade(&world)).expect("once");
        world.grant(1).expect("free");
        world.attach(1, &[0]).expect("there");
        world.lessor.flush().expect("the store works");
        world.lessor.tick();
        let waker = Waker::from(Arc::new(Asks(place)));
        let mut moved = Box::pin(world.lessor.wakeup_moved());
        let _ = moved.as_mut().poll(&mut Context::from_waker(&waker));
        // Its rows are the first to be pending: the wake-up comes closer while it is decided.
        let revoker = world.spawn(|world| drop(world.revoke(1)));
        let other = world.spawn(|world| world.lookup(1));
        revoker.join();
        other.join();
        drop(moved);
        world.finish();
    });
}

/// A clock that calls back, as any code of the host's may.
struct Meddler {
    inner: Arc<crate::ManualClock>,
    nosy: Arc<Nosy>,
}

impl Clock for Meddler {
    fn now(&self) -> Timestamp {
        let now = self.inner.now();
        if draw(8) == 0 && !thread::panicking() {
            let meddle = std::panic::AssertUnwindSafe(|| self.nosy.meddle());
            let _ = std::panic::catch_unwind(meddle);
        }
        now
    }
}

#[test]
fn hosts_meddling_clock() {
    explore(|| {
        let place = Arc::<OnceLock<Weak<World>>>::default();
        let clock = Meddler {
            inner: Arc::default(),
            nosy: nosy(&place),
        };
        let world = World::with(Setting::default(), |builder| {
            builder.clock(Arc::new(clock)).renew_timeout(NEVER)
        });
        place.set(Arc::downgrade(&world)).expect("once");
        join(world.spawn_many(2, 3));
        world.finish();
    });
}
