//! Flushes, a stop and a drop beside everything else.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use super::recoveries::without_items;
use super::world::{NEVER, SLOWLY, Setting, TIGHTLY, World, join};
use super::{draw, explore};
use crate::sync::Arc;
use crate::{Driver, Durability, ExpiryMode, LeaseError, Lessor};

#[test]
fn stops_durable() {
    explore(|| run(Durability::EveryCommand, Driver::Manual, NEVER));
}

#[test]
fn stops_batched() {
    explore(|| run(SLOWLY, Driver::Manual, NEVER));
}

#[test]
fn stops_impatient_durable() {
    explore(|| run(Durability::EveryCommand, Driver::Manual, SOON));
}

#[test]
fn stops_impatient_batched() {
    explore(|| run(SLOWLY, Driver::Manual, SOON));
}

#[test]
fn stops_threads_durable() {
    explore(|| run(Durability::EveryCommand, Driver::Threads, NEVER));
}

#[test]
fn stops_threads_batched() {
    explore(|| run(TIGHTLY, Driver::Threads, NEVER));
}

const SOON: Duration = Duration::from_millis(1);

fn run(durability: Durability, driver: Driver, stop_timeout: Duration) {
    let setting = Setting {
        durability,
        driver,
        expiry: ExpiryMode::AutoRevoke,
        ..Setting::default()
    };
    let world = World::with(setting, |builder| builder.stop_timeout(stop_timeout));
    // A recovery forgets the items until the host attaches them again.
    let is_recovered = draw(3) == 0;
    let mut threads = if is_recovered {
        Vec::from([0, 1].map(|_| world.spawn(without_items)))
    } else {
        world.spawn_many(2, 3)
    };
    threads.push(world.spawn(move |world| match draw(2) {
        _ if is_recovered => drop(world.lessor.recover(world.store.clone(), None)),
        0 => drop(world.lessor.flush()),
        _ => world.renew(1),
    }));
    let mark = Arc::new(AtomicUsize::new(0));
    let at_stop = Arc::clone(&mark);
    threads.push(world.spawn(move |world| {
        if draw(2) == 0 {
            let _stopped = world.lessor.flush();
        }
        world.lessor.stop();
        assert_eq!(world.lessor.stats().waiting, 0, "INV-5");
        let mark = world.store.mark();
        assert_eq!(world.grant(3), Err(LeaseError::Stopped));
        at_stop.store(mark, SeqCst);
    }));
    join(threads);
    world.lessor.stop();
    world.lessor.check_invariants();
    if stop_timeout == NEVER {
        let (mark, now) = (mark.load(SeqCst), world.store.mark());
        assert_eq!(mark, now, "something is written after a stop");
    }
    let is_certain = stop_timeout == NEVER || !world.is_durable;
    let rows: Vec<_> = world.store.contents().rows.values().copied().collect();
    if is_certain {
        assert_eq!(
            world.lessor.rows(),
            rows,
            "INV-21: acknowledged and not written"
        );
    }
}

/// INV-5: a second stop waits no longer than it may for the first one, which waits for a store that hangs.
#[test]
fn stops_twice() {
    explore(|| {
        let setting = Setting {
            durability: SLOWLY,
            ..Setting::default()
        };
        let world = World::with(setting, |builder| builder.stop_timeout(SOON));
        world.grant(1).expect("free");
        world.store.change(|contents| contents.hangs = true);
        let first = world.spawn(|world| world.lessor.stop());
        world
            .store
            .wait_until(|contents| !contents.hanging.is_empty());
        world.lessor.stop();
        world.store.change(|contents| contents.hangs = false);
        first.join();
        world.check_store();
    });
}

/// Whoever is handed the right to write just when the lessor stops hands it on.
#[test]
fn stops_handover() {
    explore(|| {
        let world = World::new(Setting::default());
        let granters = [1, 2, 3].map(|id| world.spawn(move |world| drop(world.grant(id))));
        (0..draw(8)).for_each(|_| crate::sync::thread::yield_now());
        world.lessor.stop();
        join(Vec::from(granters));
        world.check_store();
    });
}

/// A lessor that is dropped leaves no thread, and nothing unwritten.
#[test]
fn stops_dropped() {
    explore(|| {
        let durability = if draw(2) == 0 {
            Durability::EveryCommand
        } else {
            TIGHTLY
        };
        let world = World::new(Setting {
            durability,
            driver: Driver::Threads,
            ..Setting::default()
        });
        let expired = world.lessor.expired_leases();
        let receiver = world.spawn(move |_| {
            assert_eq!(expired.recv(), Err(crate::RecvError::Stopped));
        });
        world.grant(1).expect("free");
        let store = Arc::clone(&world.store);
        // The receiver's closure has a reference to the world, not to the lessor's threads.
        world.lessor.stop();
        receiver.join();
        drop(world);
        assert_eq!(store.contents().rows.len(), 1);
        assert_eq!(Arc::strong_count(&store), 1, "a thread is left");
    });
}
