//! Streams of events beside commands: what they tell, and that they end.

use std::future::poll_fn;
use std::pin::Pin;

use futures_core::Stream;
use shuttle::future::block_on;

use super::heard::Heard;
use super::world::{SLOWLY, Setting, World, join};
use super::{draw, explore, one_of};
use crate::sync::Arc;
use crate::{Durability, LeaseEvent, LeaseEvents, LeaseItem, Lessor};

/// Who listens from the beginning hears of each command once, whatever others listen to; and a stop ends
/// each stream when all is heard, also one that is opened just then.
#[test]
fn streams_tell_all() {
    explore(|| {
        let setting = Setting {
            durability: one_of(&[Durability::EveryCommand, SLOWLY]),
            has_witness: draw(2) == 0,
            ..Setting::default()
        };
        let world = World::with_tasks(setting, |builder| builder);
        let wants_items = draw(2) == 0;
        let events = open(&world, wants_items);
        let heard = Arc::new(std::sync::Mutex::new(Heard::default()));
        let notes = Arc::clone(&heard);
        let listener = world.spawn(move |_| {
            hear_all(events, &mut notes.lock().expect("nobody else has it"));
        });
        let mut threads = world.spawn_many(2, 3);
        threads.push(world.spawn(|world| {
            for _ in 0..2 {
                let mut others = open(world, draw(2) == 0);
                if draw(2) == 0 {
                    // It waits for nothing.
                    block_on(polled_once(&mut others));
                }
            }
        }));
        join(threads);
        let late = world.spawn(|world| {
            let wants_items = draw(2) == 0;
            hear_all(open(world, wants_items), &mut Heard::default());
        });
        world.stop();
        join(Vec::from([listener, late]));
        let has = |item: &LeaseItem| world.lessor.get_lease(item.as_bytes());
        let heard = heard.lock().expect("it has ended");
        heard.check(&world.history, wants_items.then_some(has));
        drop(heard);
        let feed = &world.lessor.shared.feed;
        assert!(
            !feed.is_heard() && !feed.wants_items() && !feed.wants_attachments(),
            "nobody listens any more"
        );
        world.check_store();
    });
}

/// A stream that nobody reads keeps the newest events, and says how many are missing.
#[test]
fn streams_lag() {
    explore(|| {
        let world = World::new(Setting::default());
        let events = world.lessor.events(2);
        let granters = [1, 2, 3].map(|id| world.spawn(move |world| drop(world.grant(id))));
        join(Vec::from(granters));
        world.stop();
        let mut told = Vec::new();
        let mut events = events;
        while let Some(event) = block_on(next(&mut events)) {
            told.push(event);
        }
        assert!(
            matches!(
                *told,
                [
                    LeaseEvent::Lagged(1),
                    LeaseEvent::Granted { .. },
                    LeaseEvent::Granted { .. }
                ]
            ),
            "{told:?}"
        );
    });
}

fn open(world: &World, wants_items: bool) -> LeaseEvents {
    let events = world.lessor.events(1000);
    if wants_items {
        events.with_items().with_attachments()
    } else {
        events
    }
}

fn hear_all(mut events: LeaseEvents, heard: &mut Heard) {
    while let Some(event) = block_on(next(&mut events)) {
        match event {
            LeaseEvent::Granted { id, ttl } => heard.granted(id, ttl.as_secs()),
            LeaseEvent::Revoked { id, items, .. } => heard.revoked(id, &items),
            LeaseEvent::Attached { id, items } => heard.attached(id, &items),
            LeaseEvent::Detached { id, items } => heard.detached(id, &items),
            LeaseEvent::Lagged(missed) => panic!("{missed} were missed"),
            _ => {}
        }
    }
}

async fn next(events: &mut LeaseEvents) -> Option<LeaseEvent> {
    poll_fn(|cx| Pin::new(&mut *events).poll_next(cx)).await
}

async fn polled_once(events: &mut LeaseEvents) {
    poll_fn(|cx| {
        let _any = Pin::new(&mut *events).poll_next(cx);
        std::task::Poll::Ready(())
    })
    .await;
}
