//! Those who receive expired leases, and those who drive a lessor by hand.

use std::time::Duration;

use super::explore;
use super::world::{Setting, World, config, join, lease};
use crate::sync::{Arc, Mutex, lock};
use crate::{ExpiredBatch, Lessor, LessorConfig, RecvError};

/// Each batch goes to one receiver, and none is lost, however they receive and whoever ticks.
#[test]
fn receivers_share() {
    explore(|| {
        let world = World::with(Setting::default(), |builder| {
            builder.expired_capacity(1).config(LessorConfig {
                max_expired_batch_size: std::num::NonZeroU32::MIN,
                expired_lease_retry_interval: Duration::from_secs(1_000_000),
                ..config()
            })
        });
        let all = Arc::<Mutex<Vec<ExpiredBatch>>>::default();
        for id in 1..=3 {
            world.lessor.grant(lease(id), 1).expect("free");
        }
        world.advance(2);
        let (one, other, third) = (Arc::clone(&all), Arc::clone(&all), Arc::clone(&all));
        let receivers = [
            world.spawn(move |world| {
                let expired = world.lessor.expired_leases();
                while let Ok(batch) = expired.recv() {
                    lock(&one).push(batch);
                }
            }),
            world.spawn(move |world| {
                let expired = world.lessor.expired_leases();
                shuttle::future::block_on(async {
                    while let Ok(batch) = expired.recv_async().await {
                        lock(&other).push(batch);
                    }
                });
            }),
            world.spawn(move |world| {
                let expired = world.lessor.expired_leases();
                let received = expired.recv_timeout(Duration::from_secs(1));
                if let Ok(batch) = received.clone() {
                    lock(&third).push(batch);
                }
                if let Ok(batch) = expired.try_recv() {
                    lock(&third).push(batch);
                }
                assert_ne!(received, Err(RecvError::Empty));
            }),
        ];
        let tickers = [0, 1].map(|_| {
            let all = Arc::clone(&all);
            world.spawn(move |world| {
                while lock(&all).len() < 3 {
                    world.lessor.tick();
                    crate::sync::thread::yield_now();
                }
            })
        });
        join(Vec::from(tickers));
        world.lessor.stop();
        join(Vec::from(receivers));
        let all = lock(&all);
        let mut ids: Vec<_> = all
            .iter()
            .flat_map(|batch| &batch.leases)
            .map(|one| one.id)
            .collect();
        ids.sort_unstable();
        assert_eq!(ids, [1, 2, 3].map(lease), "each once");
        drop(all);
        world.stop();
    });
}

/// A task that sleeps until the wake-up of a lessor that it drives by hand is told when that has
/// come closer, also if it came before it listened.
#[test]
fn receivers_wakeup_moved() {
    explore(|| {
        let world = World::new(Setting::default());
        let granters = [1, 2].map(|id| {
            world.spawn(move |world| {
                world.lessor.grant(lease(id), 1).expect("free");
            })
        });
        // Sleeps until there is something; what is there then is due in a second.
        while world.lessor.tick().is_none() {
            shuttle::future::block_on(world.lessor.wakeup_moved());
        }
        join(Vec::from(granters));
        world.stop();
    });
}

/// One who gave up listening does not take the news with it.
#[test]
fn receivers_wakeup_cancelled() {
    use std::future::Future;
    use std::task::{Context, Waker};
    explore(|| {
        let world = World::new(Setting::default());
        let granter = world.spawn(|world| world.lessor.grant(lease(1), 1).map(drop).expect("free"));
        loop {
            let mut given_up = Box::pin(world.lessor.wakeup_moved());
            let _ = given_up
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            drop(given_up);
            if world.lessor.tick().is_some() {
                break;
            }
            shuttle::future::block_on(world.lessor.wakeup_moved());
        }
        granter.join();
        world.stop();
    });
}
