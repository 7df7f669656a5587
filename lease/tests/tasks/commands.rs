use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::Poll;
use std::time::Duration;

use futures::future::join_all;
use lease::{
    AsyncLessor, Backend, BackendError, BackendLessor, ItemMode, LeaseError, LeaseId, Lessor,
    LessorEvent, MemoryBackend, Observer, Table, WriteBatch,
};

use crate::on_one_thread;
use crate::support::{Mode, lessor, lessor_with, poll_once, watched};

fn id(number: i64) -> LeaseId {
    LeaseId::try_from(number).expect("not zero")
}

#[test]
fn a_future_that_was_never_polled_has_done_nothing() {
    on_one_thread(async {
        let (lessor, _) = lessor();
        drop(lessor.grant(id(7), 60));
        lessor.grant(id(8), 60).await.expect("granted");
        assert_eq!(lessor.lessor().stats().granted, 1);
    });
}

#[test]
fn a_command_that_has_begun_goes_to_its_end_without_its_future() {
    on_one_thread(async {
        let (lessor, store) = lessor();
        store.set(Mode::Closed);
        let mut writes = WriteBatch::default();
        writes.put(Table::new("kv"), "session", "alice");
        let mut grant = Box::pin(lessor.grant_with(id(7), 60, writes));
        assert!(poll_once(&mut grant).await.is_pending());
        store.hangs().await;
        drop(grant);
        assert_eq!(lessor.time_to_live(id(7)), None, "nothing is done by half");
        store.set(Mode::Open);
        // Behind it.
        let again = lessor.grant(id(7), 60).await;
        assert_eq!(again, Err(LeaseError::LeaseExists));
        let row = store
            .get(&Table::new("kv"), b"session")
            .expect("it is read");
        assert_eq!(row.as_deref(), Some(&b"alice"[..]));
    });
}

#[test]
fn who_gives_up_while_the_store_hangs_leaves_nothing_behind() {
    on_one_thread(async {
        let (lessor, store) = lessor();
        store.set(Mode::Closed);
        let its = lessor.clone();
        let hanging = tokio::spawn(async move { its.grant(id(1), 60).await });
        store.hangs().await;
        for number in 2..=20_000 {
            assert!(poll_once(lessor.grant(id(number), 60)).await.is_pending());
        }
        store.set(Mode::Open);
        hanging.await.expect("no panic").expect("granted");
        lessor.grant(id(20_001), 60).await.expect("behind them all");
        assert_eq!(lessor.lessor().stats().granted, 2);
    });
}

#[test]
fn a_timeout_loses_the_answer_and_nothing_else() {
    on_one_thread(async {
        let (lessor, store) = lessor();
        lessor.grant(id(7), 60).await.expect("granted");
        store.set(Mode::Closed);
        let items = ["a".into()];
        let attach = lessor.attach(id(7), &items);
        let timeout = tokio::time::timeout(Duration::from_millis(10), attach).await;
        assert!(timeout.is_err());
        store.set(Mode::Open);
        lessor.detach(id(7), &[]).await.expect("behind the attach");
        assert_eq!(lessor.get_lease(b"a"), Some(id(7)));
    });
}

#[test]
fn errors_come_through() {
    on_one_thread(async {
        let (lessor, store) = lessor();
        let too_large = lessor.grant(id(7), i64::MAX).await;
        assert_eq!(too_large, Err(LeaseError::LeaseTtlTooLarge));
        let unknown = lessor.attach(id(7), &["a".into()]).await;
        assert_eq!(unknown, Err(LeaseError::LeaseNotFound));
        assert_eq!(lessor.renew(id(7)).await, Err(LeaseError::LeaseNotFound));

        store.set(Mode::Refuses);
        let grants = join_all((1..=100).map(|number| lessor.grant(id(number), 60))).await;
        for granted in grants {
            let error = granted.expect_err("the disk is full");
            assert!(
                matches!(error, LeaseError::Backend(BackendError::Io(_))),
                "{error}"
            );
        }
        assert_eq!(lessor.lessor().stats().leases, 0);
        store.set(Mode::Open);
        lessor.grant(id(7), 60).await.expect("there is room again");
        let answers = lessor.revoke_many(&[id(8), id(7)]).await;
        assert_eq!(answers, Ok(vec![Err(LeaseError::LeaseNotFound), Ok(())]));
    });
}

#[test]
fn a_lessor_without_an_epoch_begins_one_for_its_ids() {
    on_one_thread(async {
        let lessor = BackendLessor::builder(Arc::new(MemoryBackend::default())).build();
        let lessor =
            AsyncLessor::new(lessor.expect("an empty store is read")).expect("there is room");
        let grants = join_all((0..50).map(|_| watched(lessor.grant_new(60)))).await;
        let mut ids: Vec<_> = grants
            .into_iter()
            .map(|one| one.expect("granted").id())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 50);
        assert!(lessor.lessor().epoch() > lease::Epoch::ZERO);
    });
}

#[test]
fn commands_of_one_lease_are_done_one_after_the_other() {
    on_one_thread(async {
        let (lessor, _) = lessor();
        lessor.grant(id(7), 60).await.expect("granted");
        let attach = |number: i32| {
            let lessor = lessor.clone();
            async move { watched(lessor.attach(id(7), &[format!("{number}").into()])).await }
        };
        for attached in join_all((0..500).map(attach)).await {
            attached.expect("attached");
        }
        let found = lessor.lookup(id(7)).await.expect("looked up");
        assert_eq!(found.expect("it is there").keys().len(), 500);
    });
}

/// Attaches an item to each lease that is granted, from where it is told.
#[derive(Default)]
struct Attaches {
    lessor: OnceLock<Weak<BackendLessor>>,
    events: Mutex<Vec<String>>,
}

impl Observer for Attaches {
    fn observe(&self, event: &LessorEvent<'_>) {
        let mut events = self.events.lock().expect("nobody panics");
        match event {
            LessorEvent::Granted { id, .. } => {
                events.push(format!("granted {}", id.get()));
                let lessor = self.lessor.get().and_then(Weak::upgrade);
                let lessor = lessor.expect("it is there while it grants");
                let attached = lessor.attach(*id, &[format!("of {}", id.get()).into()]);
                attached.expect("the lease is there");
            }
            LessorEvent::Revoked { id, reason, items } => {
                events.push(format!("revoked {} {reason:?} {items:?}", id.get()));
            }
            _ => {}
        }
    }

    fn wants_items(&self) -> bool {
        true
    }
}

#[test]
fn an_observer_may_give_commands_while_others_stand_in_the_line() {
    on_one_thread(async {
        let observer = Arc::new(Attaches::default());
        let (lessor, _) = lessor_with(|builder| builder.observer(observer.clone()));
        let weak = Arc::downgrade(lessor.lessor());
        observer.lessor.set(weak).expect("once");
        // For each lease a grant, and behind it others that have to wait for it.
        let attach = |number: i64, item: &'static str| {
            let lessor = lessor.clone();
            async move {
                let item = format!("{item} {number}").into();
                watched(lessor.attach(id(number), &[item])).await
            }
        };
        let all = (1..=50).map(|number| {
            let grant = watched(lessor.grant(id(number), 60));
            async move { tokio::join!(grant, attach(number, "one"), attach(number, "other")) }
        });
        for (granted, one, other) in join_all(all).await {
            granted.expect("granted");
            one.expect("attached");
            other.expect("attached");
        }
        lessor.revoke(id(7)).await.expect("revoked");
        let events = observer.events.lock().expect("nobody panics").clone();
        assert_eq!(events.len(), 51);
        assert!(events.contains(&"granted 50".to_owned()));
        let last = events.last().expect("the revoke");
        assert!(
            last.starts_with("revoked 7 User") && last.contains("of 7"),
            "{last}"
        );
        assert!(last.contains("one 7") && last.contains("other 7"), "{last}");
    });
}

#[test]
fn a_renewal_of_an_expired_lease_sleeps_until_its_end() {
    on_one_thread(async {
        let (lessor, store) = lessor_with(|builder| builder.items(ItemMode::Replayed));
        lessor.grant(id(7), 1).await.expect("granted");
        store.set(Mode::Closed);
        store.hangs().await; // with the revoke of what has expired
        let mut renewal = Box::pin(watched(lessor.renew(id(7))));
        assert_eq!(poll_once(&mut renewal).await, Poll::Pending);
        store.set(Mode::Open);
        assert_eq!(renewal.await, Err(LeaseError::LeaseNotFound));
    });
}

#[test]
fn expired_leases_come_as_a_stream() {
    use futures::StreamExt;
    on_one_thread(async {
        let (lessor, _) = lessor_with(|builder| builder.expiry(lease::ExpiryMode::Deliver));
        let mut expired = lessor.expired();
        lessor.grant(id(7), 1).await.expect("granted");
        let batch = expired.next().await.expect("it is due");
        assert_eq!(batch.leases[0].id, id(7));
        let answers = lessor.revoke_expired(batch).await;
        assert_eq!(answers, Ok(vec![Ok(lease::Revoked::Done)]));
        lessor.shutdown().await.expect("it ends");
        assert_eq!(expired.next().await, None);
    });
}
