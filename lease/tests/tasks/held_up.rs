//! Many tasks of one lease, or of one that hangs, hold up no others, and a stop ends their waits.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::future::join_all;
use lease::{
    BackendLessor, Driver, LeaseError, LeaseId, LeaseItem, Lessor, LessorEvent, ManualClock,
    Observer,
};

use crate::blocking::Slow;
use crate::on_one_thread;
use crate::support::{Mode, lessor, lessor_with, poll_once, watched};

fn id(number: i64) -> LeaseId {
    LeaseId::try_from(number).expect("not zero")
}

/// They took all places in the line, and the lessor answered nobody else.
#[test]
fn very_many_commands_of_a_lease_that_is_held_up_hold_up_no_other_lease() {
    on_one_thread(async {
        let slow = Slow::new();
        let (lessor, _) = lessor_with(|builder| builder.range_deleter(slow.clone()));
        lessor.grant(id(1), 60).await.expect("granted");
        let item: LeaseItem = "a".into();
        let attached = lessor.attach(id(1), std::slice::from_ref(&item)).await;
        attached.expect("attached");
        slow.gate.set(Mode::Closed);
        let its = lessor.clone();
        let revoke = tokio::spawn(async move { its.revoke(id(1)).await });
        slow.gate.arrived().await;
        for _ in 0..5_000 {
            let given_up = poll_once(lessor.attach(id(1), std::slice::from_ref(&item))).await;
            assert!(given_up.is_pending());
        }
        let waiting: Vec<_> = (0..3_000)
            .map(|_| {
                let (its, item) = (lessor.clone(), item.clone());
                tokio::spawn(async move { its.attach(id(1), &[item]).await })
            })
            .collect();
        // The runtime polls a few of them at a time.
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        for number in 2..20 {
            watched(lessor.grant(id(number), 60))
                .await
                .expect("granted");
        }
        slow.gate.set(Mode::Open);
        revoke.await.expect("no panic").expect("revoked");
        for attach in waiting {
            let attached = attach.await.expect("no panic");
            assert_eq!(attached, Err(LeaseError::LeaseNotFound));
        }
    });
}

/// As long as the store, or the host's range deleter, did not come back, tasks waited for ever.
#[test]
fn a_shutdown_answers_everybody_though_nothing_comes_back() {
    on_one_thread(async {
        let soon = Duration::from_millis(50);
        let slow = Slow::new();
        let (lessor, store) =
            lessor_with(|builder| builder.stop_timeout(soon).range_deleter(slow.clone()));
        for number in 1..=10 {
            lessor.grant(id(number), 60).await.expect("granted");
            let item = number.to_string().as_str().into();
            lessor.attach(id(number), &[item]).await.expect("attached");
        }
        slow.gate.set(Mode::Closed);
        // More than there are threads for.
        let revoke = |number| {
            let its = lessor.clone();
            tokio::spawn(async move { its.revoke(id(number)).await })
        };
        let mut waiting: Vec<_> = (1..=10).map(revoke).collect();
        slow.gate.arrived().await;
        store.set(Mode::Closed);
        let grant = |number| {
            let its = lessor.clone();
            tokio::spawn(async move { its.grant(id(number), 60).await.map(drop) })
        };
        waiting.push(grant(20));
        store.hangs().await;
        waiting.extend((21..30).map(grant));
        let its = lessor.clone();
        let stop = tokio::spawn(async move { its.shutdown().await });
        tokio::time::sleep(soon / 2).await;
        waiting.extend((30..40).map(grant));
        stop.await.expect("no panic").expect("there is room");
        for one in waiting {
            assert_eq!(one.await.expect("no panic"), Err(LeaseError::Stopped));
        }
        assert_eq!(lessor.grant(id(50), 60).await, Err(LeaseError::Stopped));
        assert_eq!(lessor.revoke(id(9)).await, Err(LeaseError::Stopped));
        assert_eq!(lessor.flush().await, Err(LeaseError::Stopped));
        slow.gate.set(Mode::Open);
        store.set(Mode::Open);
    });
}

/// Revokes that hang took the threads of all else that has one.
#[test]
fn revokes_that_hang_keep_nobody_from_looking_or_committing() {
    on_one_thread(async {
        let slow = Slow::new();
        let (lessor, _) = lessor_with(|builder| builder.range_deleter(slow.clone()));
        lessor.grant(id(100), 60).await.expect("granted");
        let many: Vec<LeaseItem> = (0..2_000).map(|n| format!("many {n}").into()).collect();
        lessor.attach(id(100), &many).await.expect("attached");
        for number in 1..=20 {
            lessor.grant(id(number), 60).await.expect("granted");
            let item = number.to_string().as_str().into();
            lessor.attach(id(number), &[item]).await.expect("attached");
        }
        slow.gate.set(Mode::Closed);
        let revoke = |number| {
            let its = lessor.clone();
            tokio::spawn(async move { its.revoke(id(number)).await })
        };
        let revokes: Vec<_> = (1..=20).map(revoke).collect();
        slow.gate.arrived().await;
        let found = watched(lessor.lookup(id(100))).await.expect("looked up");
        assert_eq!(found.expect("it is there").keys().len(), 2_000);
        let page = watched(lessor.page(None, 100)).await.expect("listed");
        assert_eq!(page.len(), 21);
        watched(lessor.flush()).await.expect("committed");
        slow.gate.set(Mode::Open);
        for revoke in revokes {
            revoke.await.expect("no panic").expect("revoked");
        }
    });
}

/// A waker that gives a command, as no executor's does.
struct Attaches {
    lessor: Arc<BackendLessor>,
    answers: Mutex<Vec<Result<(), LeaseError>>>,
}

impl Wake for Attaches {
    fn wake(self: Arc<Self>) {
        let answer = self.lessor.attach(id(1), &["c".into()]);
        self.answers.lock().expect("no panic").push(answer);
    }
}

/// It was called by the thread that had the command to carry out that it waited for.
#[test]
fn what_a_waker_gives_waits_for_no_command_of_another_task() {
    on_one_thread(async {
        let (lessor, store) = lessor();
        lessor.grant(id(1), 60).await.expect("granted");
        let waker = Arc::new(Attaches {
            lessor: Arc::clone(lessor.lessor()),
            answers: Mutex::default(),
        });
        let calls_back = Waker::from(Arc::clone(&waker));
        store.set(Mode::Closed);
        let its = lessor.clone();
        let first = tokio::spawn(async move { its.grant(id(2), 60).await });
        store.hangs().await;
        // Both stand in the line when the store comes back.
        let (a, b) = (["a".into()], ["b".into()]);
        let mut one = Box::pin(lessor.attach(id(1), &a));
        let polled = one.as_mut().poll(&mut Context::from_waker(&calls_back));
        assert!(polled.is_pending());
        let mut other = Box::pin(lessor.attach(id(1), &b));
        assert!(poll_once(other.as_mut()).await.is_pending());
        store.set(Mode::Open);
        first.await.expect("no panic").expect("granted");
        watched(other).await.expect("attached");
        let polled = one.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Ready(Ok(())));
        let answers = waker.answers.lock().expect("no panic").clone();
        // Refused if it would have had to wait, and served if not.
        assert!(
            matches!(answers[..], [Ok(()) | Err(LeaseError::Reentrant)]),
            "{answers:?}"
        );
        lessor.grant(id(3), 60).await.expect("it goes on");
    });
}

struct Counts(AtomicUsize);

impl Observer for Counts {
    fn observe(&self, event: &LessorEvent<'_>) {
        if matches!(event, LessorEvent::Granted { .. }) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// With an observer all that stood in the line was taken out of it and lined up again after each command:
/// 1,600 took 19 s, and 5,000 would have taken ten minutes.
#[test]
fn an_observer_makes_very_many_commands_of_one_lease_no_slower() {
    on_one_thread(async {
        let counts = Arc::new(Counts(AtomicUsize::new(0)));
        let (lessor, _) = lessor_with(|builder| builder.observer(counts.clone()));
        lessor.grant(id(1), 60).await.expect("granted");
        let items: Vec<[LeaseItem; 1]> = (0..5_000).map(|n| [format!("item {n}").into()]).collect();
        let attached = join_all(items.iter().map(|item| lessor.attach(id(1), item))).await;
        assert!(attached.iter().all(Result::is_ok));
        let told = counts.0.load(Ordering::Relaxed);
        assert_eq!(told, 1, "it is told before the task has its answer");
    });
}

/// A lessor that is driven by hand left its own command aside at each of its turns, as long as tasks used
/// the lease.
#[test]
fn an_expired_lease_that_tasks_use_is_revoked_though_nobody_but_them_ends_commands() {
    on_one_thread(async {
        let clock = Arc::new(ManualClock::default());
        let (lessor, store) =
            lessor_with(|builder| builder.driver(Driver::Manual).clock(clock.clone()));
        store.is_slow.store(true, Ordering::Relaxed);
        lessor.grant(id(1), 1).await.expect("granted");
        let is_over = Arc::new(AtomicBool::new(false));
        let users: Vec<_> =
            ["a", "b", "c"]
                .map(|item| {
                    let (its, is_over) = (lessor.clone(), Arc::clone(&is_over));
                    let runtime = tokio::runtime::Handle::current();
                    let attach = move || runtime.block_on(its.attach(id(1), &[item.into()]));
                    std::thread::spawn(move || {
                        while !is_over.load(Ordering::Relaxed) && attach().is_ok() {}
                    })
                })
                .into();
        clock.advance(Duration::from_secs(1));
        while lessor.time_to_live(id(1)).is_some() {
            lessor.lessor().tick();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        is_over.store(true, Ordering::Relaxed);
        for user in users {
            user.join().expect("no panic");
        }
    });
}
