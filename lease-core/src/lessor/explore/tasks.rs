//! Commands of tasks beside those of threads: some of them stand in the line, some are dropped, and the
//! lessor is stopped meanwhile.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use shuttle::future::block_on;

use super::world::{SLOWLY, Setting, TIGHTLY, World, join, lease};
use super::{draw, explore, one_of};
use crate::sync::Arc;
use crate::sync::thread::refuse;
use crate::{AsyncLessor, Driver, Durability, ExpiryMode, LeaseError, LeaseId, Lessor};

#[test]
fn tasks_durable() {
    explore(|| run(Setting::default()));
}

#[test]
fn tasks_batched() {
    explore(|| {
        run(Setting {
            durability: TIGHTLY,
            driver: Driver::Threads,
            ..Setting::default()
        });
    });
}

#[test]
fn tasks_failing() {
    explore(|| {
        run(Setting {
            fails_one_in: 4,
            ..Setting::default()
        });
    });
}

#[test]
fn tasks_stored_items() {
    explore(|| {
        run(Setting {
            durability: one_of(&[Durability::EveryCommand, SLOWLY]),
            stores_items: true,
            ..Setting::default()
        });
    });
}

/// What an epoch or a recovery has come between is given again.
#[test]
fn tasks_beside_roles() {
    explore(|| {
        let world = World::with_tasks(
            Setting {
                durability: one_of(&[Durability::EveryCommand, SLOWLY]),
                stores_items: true,
                ..Setting::default()
            },
            |builder| builder,
        );
        world.grant(1).expect("free");
        let mut threads = world.spawn_many(2, 3);
        threads.push(world.spawn(|world| {
            for _ in 0..2 {
                match draw(3) {
                    0 => world.demote(),
                    1 => drop(world.promote()),
                    _ => world.recover_same(),
                }
                world.renew(1);
            }
        }));
        join(threads);
        world.finish();
    });
}

/// What has expired is revoked by the lessor's own threads, or by one that the thread of tasks leaves it to,
/// and an observer is told of it.
#[test]
fn tasks_beside_expiry() {
    explore(|| {
        let world = World::with_tasks(
            Setting {
                driver: Driver::Threads,
                expiry: ExpiryMode::AutoRevoke,
                ..Setting::default()
            },
            |builder| builder,
        );
        world.grant_for(1, 10).expect("free");
        world.advance(10);
        let mut threads = world.spawn_many(2, 2);
        threads.push(world.spawn(|world| world.renew(1)));
        join(threads);
        world.stop();
        world.check_store();
    });
}

/// INV-9: an expired lease that tasks and threads use all the time goes when it is its turn, also if the
/// host's range deleter is called for it, and whoever lets its revoke be decided.
#[test]
fn tasks_use_an_expired_lease() {
    explore(|| {
        let driver = if draw(2) == 0 {
            Driver::Manual
        } else {
            Driver::Threads
        };
        let setting = Setting {
            driver,
            expiry: ExpiryMode::AutoRevoke,
            ..Setting::default()
        };
        let world = World::with_tasks(setting, |builder| builder);
        for id in 1..=2 {
            world.grant_for(id, 2).expect("free");
        }
        let attacher = |item: usize| {
            world.spawn(move |world| {
                for _ in 0..3 {
                    let _gone = world.attach(1, &[item]);
                }
            })
        };
        let attachers = [attacher(0), attacher(1)];
        let _gone = world.attach(2, &[2]);
        let driver = world.spawn(|world| {
            world.advance(3);
            world.lessor.tick();
        });
        join(Vec::from(attachers));
        driver.join();
        // By hand, one that has stood aside comes with the next tick.
        world.lessor.tick();
        world.store.wait_until(|contents| contents.rows.is_empty());
        world.stop();
        world.check_store();
    });
}

/// INV-9: the same where there is no room for the thread that it is left to.
#[test]
fn tasks_without_room() {
    explore(|| {
        let world = World::with_tasks(
            Setting {
                expiry: ExpiryMode::AutoRevoke,
                ..Setting::default()
            },
            |builder| builder,
        );
        world.grant_for(1, 2).expect("free");
        refuse(Some("lease-pool"));
        let attacher = |item: usize| {
            world.spawn(move |world| {
                for _ in 0..2 {
                    let _gone = world.attach(1, &[item]);
                }
            })
        };
        let attachers = [attacher(0), attacher(1)];
        world.advance(3);
        world.lessor.tick();
        join(Vec::from(attachers));
        refuse(None);
        // What has stood aside comes with the next tick.
        world.lessor.tick();
        world.store.wait_until(|contents| contents.rows.is_empty());
        world.stop();
        world.check_store();
    });
}

fn run(setting: Setting) {
    let world = World::with_tasks(setting, |builder| builder);
    join(world.spawn_many(3, 3));
    world.finish();
}

/// A command that has begun goes to its end whatever becomes of its future, and a stop leaves nobody
/// waiting.
#[test]
fn tasks_dropped_and_stopped() {
    explore(|| {
        let durability = if draw(2) == 0 {
            Durability::EveryCommand
        } else {
            SLOWLY
        };
        let world = World::new(Setting {
            durability,
            ..Setting::default()
        });
        let tasks = AsyncLessor::new(Arc::clone(&world.lessor)).expect("there is room");
        let granter = |number: i64| {
            let tasks = tasks.clone();
            world.spawn(move |_| {
                let id = LeaseId::try_from(number).expect("not zero");
                let answer = block_on(polled_at_most(draw(4), tasks.grant(id, 60)));
                assert!(matches!(
                    answer,
                    None | Some(Ok(_) | Err(LeaseError::Stopped))
                ));
            })
        };
        let mut threads = Vec::from([1, 2, 3].map(granter));
        let stopper = tasks.clone();
        threads.push(world.spawn(move |world| match draw(2) {
            0 => block_on(stopper.shutdown()).expect("there is room"),
            _ => world.lessor.stop(),
        }));
        join(threads);
        let refused = block_on(tasks.revoke(lease(9)));
        assert_eq!(refused, Err(LeaseError::Stopped), "though there is none");
        block_on(tasks.shutdown()).expect("there is room");
        world.check_store();
    });
}

/// Drops the future when it has been polled so often.
async fn polled_at_most<F: Future>(times: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = times;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(cx).map(Some)
    })
    .await
}
