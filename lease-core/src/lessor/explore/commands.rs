//! Grants, revokes, attaches and detaches of the same few leases and items.

use super::world::{SLOWLY, Setting, TIGHTLY, World, join};
use super::{explore, one_of};
use crate::{Durability, Lessor};

#[test]
fn commands_durable() {
    explore(|| run(Setting::default()));
}

#[test]
fn commands_batched() {
    explore(|| {
        run(Setting {
            durability: SLOWLY,
            ..Setting::default()
        });
    });
}

/// A grant is refused for want of room only if there is none: not because of one that comes to nothing.
#[test]
fn commands_limited() {
    explore(|| {
        run(Setting {
            durability: one_of(&[Durability::EveryCommand, SLOWLY]),
            max_leases: Some(2),
            fails_one_in: one_of(&[0, 3]),
            ..Setting::default()
        });
    });
}

#[test]
fn commands_stored_items() {
    explore(|| {
        let durability = one_of(&[Durability::EveryCommand, SLOWLY]);
        run(Setting {
            durability,
            stores_items: true,
            fails_one_in: one_of(&[0, 4]),
            ..Setting::default()
        });
    });
}

#[test]
fn commands_durable_failing() {
    explore(|| {
        run(Setting {
            fails_one_in: 4,
            ..Setting::default()
        });
    });
}

#[test]
fn commands_batched_failing() {
    explore(|| {
        let world = World::new(Setting {
            durability: TIGHTLY,
            fails_one_in: 3,
            ..Setting::default()
        });
        let mut threads = world.spawn_many(2, 4);
        threads.push(world.spawn(|world| {
            for _ in 0..3 {
                let _failed = world.lessor.flush();
                world.advance(1);
                world.lessor.tick();
            }
        }));
        join(threads);
        world.finish();
    });
}

/// An attach of three items comes to be as a whole, beside readers.
#[test]
fn commands_whole_moves() {
    explore(|| {
        let world = World::new(Setting::default());
        world.grant(1).expect("free");
        world.grant(2).expect("free");
        let mover = |from: i64, to: i64| {
            world.spawn(move |world| {
                let _gone = world.attach(from, &[0, 1, 2]);
                let _gone = world.attach(to, &[0, 1, 2]);
            })
        };
        let threads = [mover(1, 2), mover(2, 1)];
        let reader = world.spawn(|world| {
            for _ in 0..2 {
                world.lookup(1);
                world.lookup(2);
            }
        });
        let revoker = world.spawn(|world| drop(world.revoke(1)));
        join(Vec::from(threads));
        join(Vec::from([reader, revoker]));
        world.finish();
    });
}

/// INV-21: a look at a lease with many items sees what it had at one time, also if they change while
/// they are copied.
#[test]
fn commands_many_items() {
    explore(|| {
        let world = World::new(Setting {
            durability: SLOWLY,
            ..Setting::default()
        });
        world.grant(1).expect("free");
        world.attach(1, &[0, 1, 2, 3]).expect("there");
        let changer = world.spawn(|world| {
            for item in [3, 0] {
                world.detach(1, &[item]).expect("there");
            }
            for item in [3, 0] {
                world.attach(1, &[item]).expect("there");
            }
        });
        let reader = world.spawn(|world| {
            for _ in 0..2 {
                world.lookup(1);
            }
        });
        join(Vec::from([changer, reader]));
        world.finish();
    });
}

fn run(setting: Setting) {
    let world = World::new(setting);
    join(world.spawn_many(3, 4));
    world.finish();
}
