//! INV-26: whoever sleeps until something is due is woken for what is due earlier. What is due in an
//! hour or more never comes here, so that who is not woken sleeps for ever.

use std::time::Duration;

use super::explore;
use super::store::Contents;
use super::world::{SLOWLY, Setting, TIGHTLY, World, config, join, lease};
use crate::sync::thread::yield_now;
use crate::{Driver, Durability, ExpiryMode, Lessor, LessorConfig, RecvError};

fn threads(durability: Durability) -> Setting {
    Setting {
        durability,
        driver: Driver::Threads,
        ..Setting::default()
    }
}

#[test]
fn alarms_expiry() {
    explore(|| {
        let world = World::new(threads(SLOWLY));
        world.lessor.grant(lease(3), 1_000_000).expect("free");
        let granter = world.spawn(|world| {
            world.lessor.grant(lease(1), 1).expect("free");
            world.advance(2);
        });
        let batch = world.lessor.expired_leases().recv().expect("it is due");
        assert_eq!(batch.leases[0].id, lease(1));
        granter.join();
        world.stop();
    });
}

#[test]
fn alarms_auto_revoke() {
    explore(|| {
        let world = World::new(Setting {
            expiry: ExpiryMode::AutoRevoke,
            ..threads(Durability::EveryCommand)
        });
        let granter = world.spawn(|world| {
            world.lessor.grant(lease(1), 1).expect("free");
            world.advance(2);
        });
        let other = world.spawn(|world| drop(world.lessor.grant(lease(2), 1)));
        granter.join();
        other.join();
        world.advance(2);
        world.store.wait_until(|contents| {
            let deletes = contents.log.iter().flat_map(|batch| batch.leases());
            deletes
                .filter(|write| matches!(write, crate::LeaseWrite::Delete(_)))
                .count()
                == 2
        });
        world.stop();
        world.check_store();
    });
}

/// The host has no room; when it has, the next batch comes.
#[test]
fn alarms_room() {
    explore(|| {
        let world = World::with(threads(SLOWLY), |builder| {
            builder.expired_capacity(1).config(LessorConfig {
                max_expired_batch_size: std::num::NonZeroU32::MIN,
                expired_lease_retry_interval: Duration::from_secs(1_000_000),
                ..config()
            })
        });
        let granter = world.spawn(|world| {
            for id in 1..=3 {
                world.lessor.grant(lease(id), 1).expect("free");
            }
            world.advance(2);
        });
        let expired = world.lessor.expired_leases();
        for _ in 0..3 {
            let batch = expired.recv().expect("there are more");
            assert_eq!(batch.leases.len(), 1);
        }
        granter.join();
        world.stop();
    });
}

/// What is pending is written in time, and what is full at once.
#[test]
fn alarms_flush() {
    explore(|| {
        let world = World::new(threads(TIGHTLY));
        let granters =
            [1, 2].map(|id| world.spawn(move |world| drop(world.lessor.grant(lease(id), 1000))));
        world.store.wait_until(|contents| contents.rows.len() == 2);
        join(Vec::from(granters));
        world.stop();
        world.check_store();
    });
}

/// A flush that failed is tried again.
#[test]
fn alarms_flush_failing() {
    explore(|| {
        let world = World::new(threads(TIGHTLY));
        world.store.change(|contents| contents.fails_one_in = 2);
        let granter = world.spawn(|world| {
            let _full = world.lessor.grant(lease(1), 1000);
            world.advance(2);
        });
        granter.join();
        if world.lessor.lookup(lease(1)).is_some() {
            let clock = world.spawn(|world| (0..3).for_each(|_| world.advance(2)));
            clock.join();
            world.store.change(|contents| contents.fails_one_in = 0);
            world.advance(100);
            world.store.wait_until(|contents| contents.rows.len() == 1);
        }
        world.stop();
        world.check_store();
    });
}

#[test]
fn alarms_checkpoint() {
    explore(|| {
        let world = World::with(threads(Durability::EveryCommand), |builder| {
            builder.config(LessorConfig {
                checkpoint_interval: Duration::from_secs(1),
                ..config()
            })
        });
        let granter = world.spawn(|world| {
            world.lessor.grant(lease(1), 1000).expect("free");
            world.advance(2);
        });
        let remaining = |contents: &Contents| contents.rows.get(&lease(1))?.remaining;
        world
            .store
            .wait_until(|contents| remaining(contents).is_some());
        granter.join();
        // And the next one.
        let first = remaining(&world.store.contents());
        while remaining(&world.store.contents()) >= first {
            world.advance(2);
            yield_now();
        }
        world.stop();
    });
}

/// INV-9: what has expired while an epoch is begun, which comes to nothing, goes all the same.
#[test]
fn alarms_failed_epoch() {
    explore(|| {
        let world = World::new(Setting {
            expiry: ExpiryMode::AutoRevoke,
            has_witness: false,
            ..threads(Durability::EveryCommand)
        });
        world.grant_for(1, 1).expect("free");
        world.attach(1, &[0]).expect("there");
        world
            .store
            .change(|contents| contents.refuses_epochs = true);
        let promoter = world.spawn(|world| {
            let promoted = world.promote();
            assert!(promoted.is_err(), "{promoted:?}");
        });
        world.advance(2);
        promoter.join();
        world.store.wait_until(|contents| contents.rows.is_empty());
        world.stop();
        world.check_store();
    });
}

/// The threads of a lessor that has nothing to do end with it.
#[test]
fn alarms_stop() {
    explore(|| {
        let world = World::new(threads(SLOWLY));
        let receivers = [0, 1].map(|_| {
            world.spawn(|world| {
                let received = world.lessor.expired_leases().recv();
                assert_eq!(received, Err(RecvError::Stopped));
            })
        });
        world.stop();
        join(Vec::from(receivers));
    });
}
