//! A recovery beside everything else.

use super::store::Store;
use super::world::{SLOWLY, Setting, World, join};
use super::{draw, explore, one_of, op::What};
use crate::sync::Arc;
use crate::{Durability, Lessor};

#[test]
fn recoveries_same_durable() {
    explore(|| same(Durability::EveryCommand, 0));
}

#[test]
fn recoveries_same_batched() {
    explore(|| same(SLOWLY, 0));
}

#[test]
fn recoveries_same_failing() {
    explore(|| same(Durability::EveryCommand, 3));
}

/// The items come back too.
#[test]
fn recoveries_stored_items() {
    explore(|| {
        let world = World::new(Setting {
            durability: one_of(&[Durability::EveryCommand, SLOWLY]),
            stores_items: true,
            fails_one_in: one_of(&[0, 4]),
            ..Setting::default()
        });
        let mut threads = world.spawn_many(2, 3);
        threads.push(world.spawn(|world| (0..2).for_each(|_| world.recover_same())));
        join(threads);
        world.finish();
    });
}

#[test]
fn recoveries_other_durable() {
    explore(|| other(Durability::EveryCommand, Place::Other));
}

#[test]
fn recoveries_other_batched() {
    explore(|| other(SLOWLY, Place::Other));
}

/// As a snapshot is installed.
#[test]
fn recoveries_in_place() {
    explore(|| {
        let durability = one_of(&[Durability::EveryCommand, SLOWLY]);
        other(durability, Place::Same);
    });
}

/// Where the other state is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Other,
    Same,
}

/// To the same store: what is acknowledged survives.
fn same(durability: Durability, fails_one_in: usize) {
    let world = World::new(Setting {
        durability,
        fails_one_in,
        ..Setting::default()
    });
    let mut threads = Vec::from([0, 1].map(|_| world.spawn(without_items)));
    threads.push(world.spawn(|world| {
        world.recover_same();
        let _failed = world.promote();
        world.recover_same();
    }));
    join(threads);
    world.finish();
}

pub(super) fn without_items(world: &World) {
    for _ in 0..4 {
        let id = 1 + draw(2) as i64;
        match draw(5) {
            0 | 1 => drop(world.grant(id)),
            2 => drop(world.revoke(id)),
            3 => world.try_renew(id),
            _ => world.lookup(id),
        }
    }
}

/// To another state, which is empty, or which cannot be had.
fn other(durability: Durability, place: Place) {
    let world = World::new(Setting {
        durability,
        has_one_store: false,
        ..Setting::default()
    });
    let other = Store::new();
    let is_there = draw(3) > 0;
    other.change(|contents| contents.refuses_to_load = !is_there);
    // The last look at the old store is at what it has when the new one is read.
    let threads = world.spawn_many(2, 4);
    let target = Arc::clone(&other);
    let recoverer = world.spawn(move |world| {
        let began = world.history.step();
        world.note_since(began, || {
            What::Replace(match place {
                Place::Other => world.lessor.recover(target, None),
                Place::Same => {
                    let replace = || world.store.replace(is_there);
                    world.lessor.recover_in_place(replace)
                }
            })
        });
    });
    join(threads);
    recoverer.join();
    world.look_at_all();
    // Every command is in one state or the other, and none is in both.
    world.history.check(world.start.clone());
    if !world.is_durable {
        world.lessor.flush().expect("the store works");
    }
    let is_other = is_there && place == Place::Other;
    let store = if is_other { &other } else { &world.store };
    let rows: Vec<_> = store.contents().rows.values().copied().collect();
    assert_eq!(world.lessor.rows(), rows, "INV-21");
    world.stop();
}
