//! The commands that a lessor gives itself, while its threads are in code of the host's that touches the
//! same leases, and over a recovery.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use super::store::{Store, items_table};
use super::world::{Setting, World, config, items, join, lease};
use super::{draw, explore, one_of};
use crate::sync::{Arc, Bell, Weak};
use crate::{
    BoxError, Driver, Durability, ExpiryMode, LeaseError, LeaseRow, Lessor, LessorConfig,
    LessorEvent, Observer, RangeDeleter, TableDeleter, Ttl, TxnDelete, WriteBatch,
};

const LEASES: i64 = 3;

/// An observer that touches a lease when another one has expired and is gone.
struct Touches(Arc<OnceLock<Weak<World>>>);

impl Observer for Touches {
    fn observe(&self, event: &LessorEvent<'_>) {
        let world = self.0.get().and_then(Weak::upgrade);
        if let (LessorEvent::Revoked { .. }, Some(world)) = (event, world) {
            touch(&world);
        }
    }
}

// It may be gone.
fn touch(world: &World) {
    let id = lease(1 + draw(LEASES as usize) as i64);
    match draw(3) {
        0 => drop(world.lessor.attach(id, &items(&[draw(2)]))),
        1 => drop(world.lessor.checkpoint(id, 1)),
        _ => drop(world.lessor.detach(id, &items(&[0, 1]))),
    }
}

/// INV-26: nobody waits for a thread that waits for him; INV-9: what has expired goes.
#[test]
fn aside_observer() {
    explore(|| {
        let driver = if draw(2) == 0 {
            Driver::Manual
        } else {
            Driver::Threads
        };
        let setting = Setting {
            driver,
            expiry: ExpiryMode::AutoRevoke,
            has_witness: false,
            ..Setting::default()
        };
        let place = Arc::<OnceLock<Weak<World>>>::default();
        let touches = Arc::new(Touches(Arc::clone(&place)));
        let world = World::with(setting, |builder| builder.observer(touches));
        for number in 1..=LEASES {
            world.lessor.grant(lease(number), 1).expect("free");
            if draw(2) == 0 {
                let item = items(&[number as usize]);
                world.lessor.attach(lease(number), &item).expect("there");
            }
        }
        place.set(Arc::downgrade(&world)).expect("once");
        let hosts = [0, 1].map(|_| world.spawn(|world| (0..2).for_each(|_| touch(world))));
        let driver = world.spawn(|world| {
            world.advance(2);
            world.lessor.tick();
        });
        join(Vec::from(hosts));
        driver.join();
        // By hand, one that has stood aside comes with the next tick.
        world.lessor.tick();
        world.advance(2);
        world.lessor.tick();
        world.store.wait_until(|contents| contents.rows.is_empty());
        world.stop();
    });
}

/// INV-1: what has expired in the old state, or is due for a checkpoint there, is not done to the new
/// one, of which this is not the primary.
#[test]
fn aside_recovery() {
    explore(|| {
        let durability = if draw(2) == 0 {
            Durability::EveryCommand
        } else {
            super::world::SLOWLY
        };
        let world = World::new(Setting {
            durability,
            expiry: ExpiryMode::AutoRevoke,
            has_one_store: false,
            ..Setting::default()
        });
        let (old, new) = (Store::new(), Store::new());
        let row = |secs| LeaseRow::new(lease(1), Ttl::new(secs).expect("legal"));
        old.change(|contents| contents.rows.extend([(lease(1), row(1))]));
        new.change(|contents| contents.rows.extend([(lease(1), row(3600))]));
        world.lessor.recover(old, None).expect("it is read");
        let promoted = world.lessor.promote(Duration::ZERO);
        promoted.expect("the store works");
        if draw(2) == 0 {
            let attached = world.lessor.attach(lease(1), &items(&[0]));
            attached.expect("there");
        }
        let ticker = world.spawn(|world| {
            world.advance(2);
            world.lessor.tick();
            world.lessor.tick();
        });
        let toucher = world.spawn(touch);
        let target = Arc::clone(&new);
        let recoverer = world.spawn(move |world| {
            world.lessor.recover(target, None).expect("it is read");
        });
        join(Vec::from([ticker, toucher, recoverer]));
        world.lessor.tick();
        let there: Vec<_> = world
            .lessor
            .rows()
            .iter()
            .map(|row| row.ttl.as_secs())
            .collect();
        assert_eq!(there, [3600], "INV-1: there is no primary");
        world.stop();
    });
}

/// Counts the failures that it is told.
#[derive(Default)]
struct Counts(AtomicUsize);

impl Observer for Counts {
    fn observe(&self, event: &LessorEvent<'_>) {
        if let LessorEvent::Failed(error) = event {
            assert!(matches!(error, LeaseError::Backend(_)), "{error:?}");
            self.0.fetch_add(1, SeqCst);
        }
    }
}

/// An observer is told what has failed; a stop is no failure.
#[test]
fn aside_failures() {
    explore(|| {
        let counts = Arc::<Counts>::default();
        let observer = Arc::clone(&counts);
        let setting = Setting {
            expiry: ExpiryMode::AutoRevoke,
            has_witness: false,
            ..Setting::default()
        };
        let world = World::with(setting, |builder| {
            builder.observer(observer).config(LessorConfig {
                checkpoint_interval: Duration::from_secs(1),
                ..config()
            })
        });
        // A revoke is due, or a checkpoint.
        world.grant_for(1, one_of(&[1, 1000])).expect("free");
        world.store.change(|contents| contents.fails_one_in = 1);
        world.advance(2);
        world.lessor.tick();
        assert_eq!(counts.0.load(SeqCst), 1, "it has failed");
        world.store.change(|contents| contents.fails_one_in = 0);
        let ticker = world.spawn(|world| {
            world.advance(100);
            world.lessor.tick();
        });
        world.stop();
        ticker.join();
        assert_eq!(counts.0.load(SeqCst), 1, "nothing else");
    });
}

/// A range deleter whose first calls wait until they may go on; the very first comes to nothing.
struct Gated {
    calls: AtomicUsize,
    begun: [Bell; 3],
    may_go_on: [Bell; 3],
    inner: TableDeleter,
}

impl RangeDeleter for Gated {
    fn begin<'t>(&'t self, batch: &'t mut WriteBatch) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
        let call = self.calls.fetch_add(1, SeqCst);
        if let Some(begun) = self.begun.get(call) {
            begun.ring();
            self.may_go_on[call].wait();
        }
        if call == 0 {
            return Err("the host is busy".into());
        }
        self.inner.begin(batch)
    }
}

/// INV-9: one that has stood aside, and stands behind a command of the host's again, keeps no other
/// waiting.
#[test]
fn aside_by_hand() {
    explore(|| {
        let deleter = Arc::new(Gated {
            calls: AtomicUsize::new(0),
            begun: Default::default(),
            may_go_on: Default::default(),
            inner: TableDeleter::new(items_table()),
        });
        let setting = Setting {
            expiry: ExpiryMode::AutoRevoke,
            has_witness: false,
            ..Setting::default()
        };
        let world = World::with(setting, |builder| builder.range_deleter(deleter.clone()));
        for (id, ttl) in [(1, 1), (2, 10), (3, 1)] {
            world.grant_for(id, ttl).expect("free");
            world.attach(id, &[id as usize]).expect("there");
        }
        let first = world.spawn(|world| assert!(world.lessor.revoke(lease(1)).is_err()));
        deleter.begun[0].wait();
        world.advance(2);
        // That of lease 1 waits behind it, that of lease 3 is begun.
        let ticker = world.spawn(|world| _ = world.lessor.tick());
        deleter.begun[1].wait();
        // The turn comes, and nobody is there.
        deleter.may_go_on[0].ring();
        first.join();
        let second = world.spawn(|world| world.lessor.revoke(lease(1)).expect("there"));
        deleter.begun[2].wait();
        deleter.may_go_on[1].ring();
        ticker.join();
        world.advance(10);
        world.lessor.tick();
        let left: Vec<_> = world.lessor.rows().iter().map(|row| row.id).collect();
        assert_eq!(left, [lease(1)], "INV-9: nobody uses the others");
        deleter.may_go_on[2].ring();
        second.join();
        world.stop();
        world.check_store();
    });
}
