//! Tasks that give up what they have begun, in crowds: what nobody waits for any more is taken out, and
//! nothing else.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use shuttle::future::block_on;

use super::explore;
use super::world::{Setting, World, items, lease};
use crate::sync::Arc;
use crate::{AsyncLessor, LeaseError, Lessor};

fn world_and_tasks() -> (Arc<World>, AsyncLessor) {
    let world = World::new(Setting {
        has_witness: false,
        ..Setting::default()
    });
    let tasks = AsyncLessor::new(Arc::clone(&world.lessor)).expect("there is room");
    (world, tasks)
}

/// A command that was given, and not waited for.
enum Begun<'a, T> {
    Answered(T),
    Waits(Pin<Box<dyn Future<Output = T> + 'a>>),
}

fn begin<'a, T>(command: impl Future<Output = T> + 'a) -> Begun<'a, T> {
    let mut command = Box::pin(command);
    let mut cx = Context::from_waker(Waker::noop());
    match command.as_mut().poll(&mut cx) {
        Poll::Ready(answer) => Begun::Answered(answer),
        Poll::Pending => Begun::Waits(command),
    }
}

impl<T> Begun<'_, T> {
    fn end(self) -> T {
        match self {
            Self::Answered(answer) => answer,
            Self::Waits(command) => block_on(command),
        }
    }
}

/// INV-5: those that stay in the line are done in the order in which they were given, and a stop ends.
#[test]
fn given_up_in_the_line() {
    explore(|| {
        let (world, tasks) = world_and_tasks();
        world.store.change(|contents| contents.hangs = true);
        let granter =
            world.spawn(|world| world.lessor.grant(lease(1), 60).map(drop).expect("free"));
        world
            .store
            .wait_until(|contents| !contents.hanging.is_empty());
        let (item, other) = (items(&[0]), items(&[1]));
        let mut changes = Vec::new();
        for _ in 0..3 {
            changes.push(begin(tasks.attach(lease(1), &item)));
            drop(begin(tasks.attach(lease(1), &other)));
            drop(begin(tasks.attach(lease(1), &other)));
            changes.push(begin(tasks.detach(lease(1), &item)));
        }
        for _ in 0..2 {
            drop(begin(tasks.attach(lease(1), &other)));
        }
        world.store.change(|contents| contents.hangs = false);
        granter.join();
        for change in changes {
            change.end().expect("there");
        }
        assert_eq!(world.lessor.get_lease(b"a"), None, "it was the last one");
        end(&world, tasks);
    });
}

/// A stop waits for all threads that still have the lessor, also if nobody waits for what they do.
#[test]
fn given_up_flushes() {
    explore(|| {
        let (world, tasks) = world_and_tasks();
        for _ in 0..3 {
            drop(begin(tasks.flush()));
        }
        end(&world, tasks);
        let store = Arc::clone(&world.store);
        drop(world);
        assert_eq!(Arc::strong_count(&store), 1, "a thread is left");
    });
}

/// INV-21: what was answered before a stop is the answer also for a task that looks only after it.
#[test]
fn given_up_for_a_while() {
    explore(|| {
        let (world, tasks) = world_and_tasks();
        let grant = begin(tasks.grant(lease(1), 60));
        world.store.wait_until(|contents| contents.rows.len() == 1);
        block_on(tasks.shutdown()).expect("there is room");
        assert_eq!(grant.end().map(|lease| lease.id()), Ok(lease(1)));
        end(&world, tasks);
    });
}

fn end(world: &World, tasks: AsyncLessor) {
    block_on(tasks.shutdown()).expect("there is room");
    assert_eq!(world.lessor.stats().waiting, 0, "INV-5");
    world.lessor.check_invariants();
    let refused = block_on(tasks.flush());
    assert_eq!(refused, Err(LeaseError::Stopped));
}
