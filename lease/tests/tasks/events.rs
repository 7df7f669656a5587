use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt};
use lease::{
    Answer, BackendError, BackendLessor, Command, Driver, Durability, Epoch, ExpiryMode, ItemMode,
    LeaseError, LeaseEvent, LeaseEvents, LeaseId, LeaseItem, Lessor, ManualClock, MemoryBackend,
    RevokeReason, Ttl, WriteBatch,
};

use crate::on_one_thread;
use crate::support::{Mode, lessor, lessor_with};

fn id(number: i64) -> LeaseId {
    LeaseId::try_from(number).expect("not zero")
}

/// All that are there.
fn received(events: &mut LeaseEvents) -> Vec<LeaseEvent> {
    std::iter::from_fn(|| events.next().now_or_never().flatten()).collect()
}

/// A lessor that is driven by hand.
fn by_hand(expiry: ExpiryMode) -> (BackendLessor, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    let lessor = BackendLessor::builder(Arc::new(MemoryBackend::default()))
        .clock(clock.clone())
        .driver(Driver::Manual)
        .expiry(expiry)
        .build();
    (lessor.expect("an empty store is read"), clock)
}

#[test]
fn each_event_says_what_happened_and_why() {
    let (lessor, clock) = by_hand(ExpiryMode::AutoRevoke);
    let mut events = lessor.events(100).with_items().with_renewals();
    let epoch = lessor.promote(Duration::ZERO).expect("stored");
    let ttl = Ttl::new(10).expect("in range");
    for number in [1, 2] {
        lessor.grant(id(number), 10).expect("granted");
        let items = [format!("b{number}").into(), format!("a{number}").into()];
        lessor.attach(id(number), &items).expect("attached");
    }
    lessor.renew(id(2)).expect("renewed");
    lessor.renew_many(&[id(2)]);
    lessor.revoke(id(1)).expect("revoked");
    clock.advance(Duration::from_secs(10));
    lessor.tick();
    lessor.demote();
    let two = || Arc::from(["a2".into(), "b2".into()]);
    let seen = received(&mut events);
    let LeaseEvent::Expired { incarnation, .. } = seen[6] else {
        panic!("{seen:?}");
    };
    let expected = [
        LeaseEvent::Promoted(epoch),
        LeaseEvent::Granted { id: id(1), ttl },
        LeaseEvent::Granted { id: id(2), ttl },
        LeaseEvent::Renewed { id: id(2), ttl },
        LeaseEvent::Renewed { id: id(2), ttl },
        LeaseEvent::Revoked {
            id: id(1),
            reason: RevokeReason::User,
            items: Arc::from(["a1".into(), "b1".into()]),
        },
        LeaseEvent::Expired {
            id: id(2),
            incarnation,
            attempt: 0,
            items: two(),
        },
        LeaseEvent::Revoked {
            id: id(2),
            reason: RevokeReason::Expired,
            items: two(),
        },
        LeaseEvent::Demoted,
    ];
    assert_eq!(seen, expected);
}

#[test]
fn renewals_and_items_come_only_to_who_asks_for_them() {
    let (lessor, _) = by_hand(ExpiryMode::AutoRevoke);
    lessor.promote(Duration::ZERO).expect("stored");
    lessor.grant(id(1), 10).expect("granted");
    lessor.attach(id(1), &["a".into()]).expect("attached");
    let (mut plain, mut full) = (lessor.events(9), lessor.events(9).with_items());
    lessor.renew(id(1)).expect("renewed");
    lessor.revoke(id(1)).expect("revoked");
    let revoked = |items| LeaseEvent::Revoked {
        id: id(1),
        reason: RevokeReason::User,
        items,
    };
    assert_eq!(received(&mut plain), [revoked(Arc::default())]);
    assert_eq!(received(&mut full), [revoked(Arc::from(["a".into()]))]);
    drop((plain, full));
    lessor.grant(id(2), 10).expect("nobody is told");
}

#[test]
fn attachments_are_told_exactly_and_only_to_who_asks() {
    // Decided at once if nobody asks, on the road, and stored.
    let by_hand = |durability, items| {
        let builder = BackendLessor::builder(Arc::new(MemoryBackend::default()));
        let builder = builder.driver(Driver::Manual).durability(durability);
        builder
            .items(items)
            .build()
            .expect("an empty store is read")
    };
    for durability in [Durability::EveryCommand, Durability::ETCD] {
        for mode in [ItemMode::Replayed, ItemMode::Stored] {
            let lessor = by_hand(durability, mode);
            for number in [1, 2, 3] {
                lessor.grant(id(number), 10).expect("granted");
            }
            let (mut plain, mut full) = (lessor.events(99), lessor.events(99).with_attachments());
            let items = |names: &str| {
                let names = names.split_whitespace();
                names.map(LeaseItem::from).collect::<Vec<_>>()
            };
            let attached = |number, names| LeaseEvent::Attached {
                id: id(number),
                items: items(names).into(),
            };
            let detached = |number, names| LeaseEvent::Detached {
                id: id(number),
                items: items(names).into(),
            };
            let attach = |number, names| lessor.attach(id(number), &items(names));
            let detach = |number, names| lessor.detach(id(number), &items(names));
            attach(1, "b a b").expect("attached");
            assert_eq!(
                received(&mut full),
                [attached(1, "a b")],
                "sorted, and once"
            );
            attach(1, "a c").expect("attached");
            assert_eq!(received(&mut full), [attached(1, "c")], "it had the other");
            attach(2, "d").expect("attached");
            attach(3, "a d e c").expect("attached");
            let moved = [
                attached(2, "d"),
                detached(1, "a c"),
                detached(2, "d"),
                attached(3, "a c d e"),
            ];
            assert_eq!(received(&mut full), moved);
            detach(3, "e b x a").expect("detached");
            assert_eq!(received(&mut full), [detached(3, "a e")], "b is another's");
            detach(3, "x").expect("detached");
            attach(3, "d").expect("attached");
            attach(3, "").expect("attached");
            assert_eq!(attach(4, "f"), Err(LeaseError::LeaseNotFound));
            assert_eq!(received(&mut full), [], "nothing has changed");
            let command = Command::Attach {
                id: id(1),
                items: items("f"),
            };
            let applied = lessor.apply(&command, WriteBatch::default());
            assert_eq!(applied, Ok(Answer::Attached(Ok(()))));
            assert_eq!(
                received(&mut full),
                [attached(1, "f")],
                "of a log's command, too"
            );
            assert_eq!(received(&mut plain), []);
            drop(full);
            attach(1, "g").expect("attached");
        }
    }
}

#[test]
fn attachments_of_tasks_are_told() {
    on_one_thread(async {
        let (lessor, store) = lessor();
        let mut events = lessor.events(99).with_attachments();
        let id = lessor.grant_new(60).await.expect("granted").id();
        let items = ["a".into(), "b".into()];
        lessor.attach(id, &items).await.expect("attached");
        lessor.detach(id, &items[1..]).await.expect("detached");
        store.set(Mode::Refuses);
        let failed = lessor.detach(id, &items[..1]).await;
        assert!(matches!(failed, Err(LeaseError::Backend(_))), "{failed:?}");
        let seen = received(&mut events);
        let attached = LeaseEvent::Attached {
            id,
            items: items.clone().into(),
        };
        let detached = LeaseEvent::Detached {
            id,
            items: items[1..].into(),
        };
        assert_eq!(seen[1..], [attached, detached]);
    });
}

#[test]
fn who_is_too_slow_is_told_how_much_is_missing() {
    let (lessor, _) = by_hand(ExpiryMode::AutoRevoke);
    let (mut slow, mut fast) = (lessor.events(3), lessor.events(100));
    for number in 1..=10 {
        lessor.grant(id(number), 10).expect("it does not wait");
    }
    let ids = |events: &[LeaseEvent]| {
        let id = |event: &LeaseEvent| match event {
            LeaseEvent::Granted { id, .. } => Some(id.get()),
            _ => None,
        };
        events.iter().filter_map(id).collect::<Vec<_>>()
    };
    let seen = received(&mut slow);
    assert_eq!(seen[0], LeaseEvent::Lagged(7));
    assert_eq!(ids(&seen), [8, 9, 10], "the newest are there");
    assert_eq!(seen.len(), 4);
    assert_eq!(ids(&received(&mut fast)), Vec::from_iter(1..=10));
    lessor.grant(id(11), 10).expect("granted");
    assert_eq!(ids(&received(&mut slow)), [11], "it has caught up");
}

#[test]
fn a_stream_ends_with_its_lessor_behind_what_happened_before() {
    on_one_thread(async {
        let (lessor, _) = lessor();
        let mut events = lessor.events(10);
        let granted = lessor.grant_new(60).await.expect("granted").id();
        // It sleeps until there is something.
        let told = tokio::spawn(async move {
            let first = events.next().await;
            let second = events.next().await;
            (first, second)
        });
        tokio::task::yield_now().await;
        assert!(!told.is_finished());
        lessor.shutdown().await.expect("it ends");
        let (first, second) = told.await.expect("no panic");
        assert!(matches!(first, Some(LeaseEvent::Granted { id, .. }) if id == granted));
        assert_eq!(second, None);
        let mut late = lessor.events(10);
        assert_eq!(late.next().await, None);

        let (lessor, _) = by_hand(ExpiryMode::Deliver);
        let mut events = lessor.events(10);
        drop(lessor);
        assert_eq!(events.next().await, None);
    });
}

#[test]
fn failures_that_nobody_waits_for_are_events() {
    on_one_thread(async {
        let (lessor, store) = lessor();
        let mut events = lessor.events(100);
        lessor.grant(id(1), 1).await.expect("granted");
        store.set(Mode::Refuses);
        let failed = loop {
            match events.next().await.expect("it runs") {
                LeaseEvent::Failed(error) => break error,
                LeaseEvent::Revoked { .. } => panic!("the disk is full"),
                _ => {}
            }
        };
        assert!(
            matches!(failed, LeaseError::Backend(BackendError::Io(_))),
            "{failed}"
        );
    });
}

#[test]
fn commands_of_tasks_and_of_threads_are_told_once() {
    on_one_thread(async {
        let (lessor, _) = lessor_with(|builder| builder);
        let mut events = lessor.events(10_000);
        let mut by_threads = Vec::new();
        for thread in 0..2 {
            let lessor = Arc::clone(lessor.lessor());
            by_threads.push(std::thread::spawn(move || {
                for number in 1..=50 {
                    let id = id(number * 10 + thread);
                    lessor.grant(id, 60).expect("granted");
                    lessor.revoke(id).expect("revoked");
                }
            }));
        }
        for number in 1..=50 {
            let id = id(number * 10 + 5);
            lessor.grant(id, 60).await.expect("granted");
            lessor.revoke(id).await.expect("revoked");
        }
        for thread in by_threads {
            thread.join().expect("no panic");
        }
        let (mut granted, mut revoked) = (BTreeSet::new(), BTreeSet::new());
        for event in received(&mut events) {
            let is_new = match event {
                LeaseEvent::Granted { id, .. } => granted.insert(id),
                LeaseEvent::Revoked { id, .. } => revoked.insert(id),
                other => panic!("{other:?}"),
            };
            assert!(is_new, "it is told twice");
        }
        assert_eq!((granted.len(), revoked.len()), (150, 150));
        assert_ne!(lessor.lessor().epoch(), Epoch::ZERO);
    });
}

#[test]
fn only_the_last_task_that_asked_is_woken_and_a_dropped_stream_is_forgotten() {
    on_one_thread(async {
        let (lessor, _) = lessor();
        let mut events = lessor.events(1);
        let pending = poll_fn(|cx| Poll::Ready(Pin::new(&mut events).poll_next(cx))).await;
        assert_eq!(pending, Poll::Pending);
        drop(events);
        lessor.grant_new(60).await.expect("nobody is woken");
    });
}
