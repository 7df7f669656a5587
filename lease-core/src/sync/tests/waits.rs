//! What [`Bell`], [`Slot`] and [`Signal`] promise. A lost wake-up is a deadlock, which shuttle
//! reports.

use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::{check, check_alone};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use crate::sync::thread::scope;
use crate::sync::{Arc, Bell, Signal, Slot};

const TIMEOUT: Duration = Duration::from_millis(1);

#[test]
fn a_ring_before_the_sleep_is_kept() {
    check_alone(|| {
        let bell = Bell::default();
        bell.ring();
        bell.ring();
        bell.wait();
        assert!(!bell.wait_timeout(TIMEOUT), "two rings are as good as one");
    });
}

#[test]
fn no_ring_is_lost() {
    check(|| {
        let bell = Bell::default();
        let work = AtomicUsize::new(0);
        scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    work.fetch_add(1, SeqCst);
                    bell.ring();
                });
            }
            let mut done = 0;
            while done < 2 {
                bell.wait();
                done += work.swap(0, SeqCst);
            }
        });
    });
}

#[test]
fn a_ring_wakes_one_of_several() {
    check(|| {
        let bell = Bell::default();
        scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    bell.wait();
                    // For the next one.
                    bell.ring();
                });
            }
            bell.ring();
        });
    });
}

#[test]
fn a_ring_that_a_timeout_runs_into_is_heard_once() {
    check(|| {
        let bell = Bell::default();
        let heard = AtomicUsize::new(0);
        scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let is_heard = bell.wait_timeout(TIMEOUT);
                    heard.fetch_add(usize::from(is_heard), SeqCst);
                });
            }
            scope.spawn(|| bell.ring());
        });
        let late = bell.wait_timeout(Duration::ZERO);
        // Under shuttle even that is waited for or not.
        let all = heard.load(SeqCst) + usize::from(late);
        assert_eq!(all, 1);
    });
}

#[test]
fn a_value_reaches_the_thread_that_waits() {
    check(|| {
        let slot = Arc::new(Slot::default());
        scope(|scope| {
            let there = Arc::clone(&slot);
            scope.spawn(move || assert!(there.put(7).is_none()));
            assert_eq!(slot.take_waiting(None), Some(7));
        });
        assert!(slot.is_filled());
        assert_eq!(slot.try_take(), None);
        assert_eq!(slot.take_waiting(None), None, "it does not come again");
    });
}

#[test]
fn a_value_and_a_timeout_exclude_each_other() {
    check(|| {
        let slot = Slot::default();
        let taken = scope(|scope| {
            scope.spawn(|| drop(slot.put(7)));
            slot.take_waiting(Some(TIMEOUT))
        });
        assert_eq!(taken.or(slot.peek()), Some(7));
        assert_eq!(taken.is_some(), slot.try_take().is_none());
    });
}

#[test]
fn nobody_puts_and_the_wait_ends() {
    check_alone(|| {
        let slot = Slot::<u8>::default();
        assert_eq!(slot.take_waiting(Some(TIMEOUT)), None);
        assert!(!slot.is_filled());
    });
}

/// A task is run again when its bell has been rung.
#[derive(Default)]
struct Task(Bell);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.ring();
    }
}

#[test]
fn a_value_wakes_the_task_that_asked() {
    check(|| {
        let slot = Slot::default();
        scope(|scope| {
            scope.spawn(|| {
                let waker = slot.put(7);
                waker.into_iter().for_each(Waker::wake);
            });
            let task = Arc::new(Task::default());
            let waker = Waker::from(Arc::clone(&task));
            let mut cx = Context::from_waker(&waker);
            while slot.poll_take(&mut cx) != Poll::Ready(7) {
                task.0.wait();
            }
        });
    });
}

#[test]
fn a_change_wakes_all() {
    check(|| {
        let (signal, is_changed) = (Signal::default(), AtomicBool::new(false));
        scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    loop {
                        let since = signal.listen();
                        if is_changed.load(SeqCst) {
                            break;
                        }
                        assert!(signal.wait(since, None));
                    }
                });
            }
            scope.spawn(|| {
                is_changed.store(true, SeqCst);
                signal.notify_all();
            });
        });
    });
}

#[test]
fn a_change_since_then_ends_the_wait_at_once() {
    check_alone(|| {
        let signal = Signal::default();
        let since = signal.listen();
        assert!(!signal.wait(since, Some(TIMEOUT)));
        signal.notify_all();
        assert!(signal.wait(since, None));
        assert!(signal.wait(since, Some(Duration::ZERO)));
    });
}
