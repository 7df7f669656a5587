//! Renewals beside revokes and expiry.

use super::world::{NEVER, SLOWLY, Setting, World, join};
use super::{draw, explore};
use crate::sync::Arc;
use crate::{ExpiryMode, Lessor, RecvError};

#[test]
fn renewals_delivered() {
    explore(|| delivered(short()));
}

/// INV-9: what is taken, and not revoked because a commit fails, comes again.
#[test]
fn renewals_delivered_failing() {
    explore(|| {
        delivered(Setting {
            fails_one_in: 3,
            ..short()
        });
    });
}

fn delivered(setting: Setting) {
    let world = World::with(setting, |builder| builder.renew_timeout(NEVER));
    let threads = [renewer(&world), renewer(&world), ticker(&world)];
    let receiver = world.spawn(receive);
    join(Vec::from(threads));
    tick(&world, 20);
    world.store.change(|contents| contents.fails_one_in = 0);
    settle(&world);
    world.lessor.stop();
    receiver.join();
    end(&world);
}

#[test]
fn renewals_auto_revoked() {
    explore(|| {
        let world = World::new(Setting {
            expiry: ExpiryMode::AutoRevoke,
            ..short()
        });
        let threads = [renewer(&world), renewer(&world), ticker(&world)];
        let revoker = world.spawn(|world| {
            let _gone = world.revoke(1);
            let _there = world.grant_for(1, 2);
        });
        join(Vec::from(threads));
        revoker.join();
        settle(&world);
        end(&world);
    });
}

#[test]
fn renewals_auto_revoked_batched() {
    explore(|| {
        let world = World::new(Setting {
            expiry: ExpiryMode::AutoRevoke,
            durability: SLOWLY,
            ..short()
        });
        let threads = [renewer(&world), renewer(&world), ticker(&world)];
        join(Vec::from(threads));
        settle(&world);
        end(&world);
    });
}

/// INV-9: an expired lease that others attach to all the time goes when it is its turn, and not when it
/// comes again.
#[test]
fn renewals_auto_revoked_in_use() {
    explore(|| {
        let world = World::new(Setting {
            expiry: ExpiryMode::AutoRevoke,
            ..short()
        });
        world.grant_for(1, 2).expect("free");
        let attacher = |item: usize| {
            world.spawn(move |world| {
                for _ in 0..4 {
                    let _gone = world.attach(1, &[item]);
                }
            })
        };
        let attachers = [attacher(0), attacher(1)];
        let driver = world.spawn(|world| {
            world.advance(3);
            world.lessor.tick();
        });
        join(Vec::from(attachers));
        driver.join();
        assert!(world.lessor.leases().is_empty(), "INV-9: it was its turn");
        end(&world);
    });
}

/// INV-9: an expired lease goes at last, though commits fail now and then.
#[test]
fn renewals_auto_revoked_failing() {
    explore(|| {
        let world = World::new(Setting {
            expiry: ExpiryMode::AutoRevoke,
            fails_one_in: 3,
            ..short()
        });
        let threads = [renewer(&world), ticker(&world), ticker(&world)];
        join(Vec::from(threads));
        world.store.change(|contents| contents.fails_one_in = 0);
        settle(&world);
        end(&world);
    });
}

/// INV-2: a role that changes in between lets no expiry of the old one through.
#[test]
fn renewals_beside_promotions() {
    explore(|| {
        let world = World::with(short(), |builder| builder.renew_timeout(NEVER));
        world.grant_for(1, 2).expect("free");
        world.advance(3);
        world.lessor.tick();
        let receiver = world.spawn(|world| {
            let since = world.history.step();
            if let Ok(batch) = world.lessor.expired_leases().try_recv() {
                world.revoke_expired(&batch, since);
            }
        });
        let promoter = world.spawn(|world| {
            world.promote().expect("the store works");
            world.try_renew(1);
        });
        join(Vec::from([receiver, promoter]));
        world.look_at_all();
        end(&world);
    });
}

fn short() -> Setting {
    Setting::default()
}

fn renewer(world: &Arc<World>) -> super::world::Thread {
    world.spawn(|world| {
        for _ in 0..3 {
            let id = 1 + draw(2) as i64;
            match draw(3) {
                0 => drop(world.grant_for(id, 2)),
                _ => world.try_renew(id),
            }
        }
    })
}

fn ticker(world: &Arc<World>) -> super::world::Thread {
    world.spawn(|world| {
        for _ in 0..3 {
            world.advance(1);
            world.lessor.tick();
        }
    })
}

fn receive(world: &World) {
    let expired = world.lessor.expired_leases();
    loop {
        let since = world.history.step();
        match expired.recv() {
            Ok(batch) => world.revoke_expired(&batch, since),
            Err(error) => return assert_eq!(error, RecvError::Stopped),
        }
    }
}

// Everything expires, and is revoked, if it takes ten minutes.
fn settle(world: &World) {
    tick(world, 60);
    let left = world.lessor.leases();
    assert!(left.is_empty(), "INV-9: {left:?} is never revoked");
}

// Until no lease is left, or so often.
fn tick(world: &World, times: usize) {
    for _ in 0..times {
        if world.lessor.leases().is_empty() {
            return;
        }
        world.advance(10);
        world.lessor.tick();
        crate::sync::thread::yield_now();
    }
}

fn end(world: &World) {
    world.lessor.check_invariants();
    world.history.check(world.start.clone());
    if !world.is_durable {
        world.lessor.flush().expect("the store works");
    }
    world.check_store();
    world.stop();
}
