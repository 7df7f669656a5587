//! Promotions and demotions, also while the store fails.

use super::world::{SLOWLY, Setting, World, join};
use super::{draw, explore};
use crate::sync::Arc;
use crate::{Epoch, Lessor};

#[test]
fn roles_durable() {
    explore(|| run(Setting::default()));
}

#[test]
fn roles_batched() {
    explore(|| {
        run(Setting {
            durability: SLOWLY,
            ..Setting::default()
        });
    });
}

#[test]
fn roles_durable_failing() {
    explore(|| {
        run(Setting {
            fails_one_in: 2,
            ..Setting::default()
        });
    });
}

#[test]
fn roles_batched_failing() {
    explore(|| {
        run(Setting {
            durability: SLOWLY,
            fails_one_in: 2,
            ..Setting::default()
        });
    });
}

fn run(setting: Setting) {
    let world = World::new(Setting {
        is_primary: false,
        ..setting
    });
    let promoters = [promoter(&world), promoter(&world)];
    let renewer = world.spawn(|world| {
        let _failed = world.grant(1);
        world.renew(1);
        world.lookup(1);
    });
    join(Vec::from(promoters));
    renewer.join();
    check_epoch(&world);
    world.lessor.check_invariants();
    world.store.change(|contents| contents.fails_one_in = 0);
    if !world.is_durable {
        world.lessor.flush().expect("the store works");
    }
    world.check_store();
    world.stop();
}

fn promoter(world: &Arc<World>) -> super::world::Thread {
    world.spawn(|world| {
        for _ in 0..2 {
            if draw(3) == 0 {
                world.demote();
            } else {
                let _failed = world.promote();
            }
            check_epoch(world);
        }
    })
}

/// INV-3, INV-4: whoever is the primary of an epoch has it in the store, so that no other is after it.
fn check_epoch(world: &World) {
    let epoch = world.lessor.primary_epoch().unwrap_or(Epoch::ZERO);
    let stored = world.store.contents().epoch;
    assert!(
        epoch <= stored,
        "INV-4: {epoch} is not written, {stored} is"
    );
}
