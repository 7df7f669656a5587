//! Checkpoints, and renewals that take them back.

use std::time::Duration;

use super::world::{NEVER, SLOWLY, Setting, World, config, join, lease};
use super::{draw, explore};
use crate::sync::Arc;
use crate::{Driver, Durability, LeaseError, Lessor, LessorConfig, Ttl};

#[test]
fn checkpoints_durable() {
    explore(|| run(Durability::EveryCommand, Driver::Manual, 0));
}

#[test]
fn checkpoints_batched() {
    explore(|| run(SLOWLY, Driver::Manual, 0));
}

#[test]
fn checkpoints_failing() {
    explore(|| run(Durability::EveryCommand, Driver::Manual, 3));
}

#[test]
fn checkpoints_threads() {
    explore(|| run(Durability::EveryCommand, Driver::Threads, 0));
}

fn run(durability: Durability, driver: Driver, fails_one_in: usize) {
    let setting = Setting {
        durability,
        driver,
        fails_one_in,
        ..Setting::default()
    };
    let world = World::with(setting, |builder| {
        builder.renew_timeout(NEVER).config(LessorConfig {
            checkpoint_interval: Duration::from_secs(1),
            ..config()
        })
    });
    while world.lessor.grant(lease(1), 50).is_err() {}
    let ticker = world.spawn(|world| {
        for _ in 0..2 {
            world.advance(1);
            world.lessor.tick();
        }
    });
    let threads = [0, 1].map(|_| world.spawn(renew));
    let other = world.spawn(|world| match draw(3) {
        0 => drop(world.lessor.revoke(lease(1))),
        1 => drop(world.lessor.checkpoint(lease(1), 7)),
        _ => drop(world.lessor.checkpoint(lease(1), 0)),
    });
    join(Vec::from(threads));
    join(Vec::from([ticker, other]));
    world.store.change(|contents| contents.fails_one_in = 0);
    check_renewed(&world);
    world.lessor.check_invariants();
    world.stop();
    world.check_store();
}

fn renew(world: &World) {
    let answer = if draw(2) == 0 || world.lessor.tick().is_none() {
        world.lessor.renew(lease(1))
    } else {
        // Whoever ticks brings its reset; here nobody may come any more.
        match world.lessor.try_renew(lease(1)) {
            Ok(_) => return,
            Err(error) => Err(error),
        }
    };
    let is_expected =
        |error: &LeaseError| matches!(error, LeaseError::LeaseNotFound | LeaseError::Backend(_));
    assert!(
        answer.as_ref().is_ok_and(|ttl| ttl.as_secs() == 50)
            || answer.is_err_and(|error| is_expected(&error))
    );
}

/// A renewal that succeeds leaves no checkpoint that a restart could shorten the lease by.
fn check_renewed(world: &Arc<World>) {
    if world.lessor.renew(lease(1)).is_ok() {
        let known = world.lessor.lookup(lease(1)).expect("it was renewed");
        assert_eq!(
            known.checkpointed_remaining().map(Ttl::as_secs),
            None,
            "INV-10"
        );
    }
}

/// A renewal of an async host waits until its reset is brought, and ends with the lessor.
#[test]
fn checkpoints_async() {
    explore(|| {
        let setting = Setting {
            driver: Driver::Threads,
            ..Setting::default()
        };
        let world = World::with(setting, |builder| {
            builder.config(LessorConfig {
                checkpoint_interval: Duration::from_secs(1),
                ..config()
            })
        });
        world.lessor.grant(lease(1), 50).expect("free");
        world.lessor.checkpoint(lease(1), 7).expect("there");
        let threads = [0, 1].map(|_| {
            world.spawn(|world| {
                let answer = shuttle::future::block_on(world.lessor.renew_async(lease(1)));
                match answer {
                    Ok(ttl) => assert_eq!(ttl.as_secs(), 50),
                    Err(error) => assert_eq!(error, LeaseError::Stopped),
                }
            })
        });
        let stopper = world.spawn(|world| {
            if draw(2) == 0 {
                world.lessor.stop();
            }
        });
        join(Vec::from(threads));
        stopper.join();
        world.stop();
        world.check_store();
    });
}
