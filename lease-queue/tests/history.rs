//! Bugs that timer wheels and delay queues had in public, one test each, on every queue.
//!
//! A number is an issue or pull request of tokio-rs/tokio unless another repository is named. Only
//! the shape of the failure is taken from there.

use lease_queue::{ExpiryQueue, LeaseExpiredNotifier, LeaseWithTime, Timestamp, TimingWheel};

const MAX: Timestamp = Timestamp::MAX;

fn on_each_queue(test: fn(&mut dyn ExpiryQueue<u32>)) {
    test(&mut LeaseExpiredNotifier::new());
    test(&mut TimingWheel::new());
}

fn ms(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn lease(key: u32, time: Timestamp) -> Option<LeaseWithTime<u32>> {
    Some(LeaseWithTime { key, time })
}

/// #5536: a queue that had run for 2^36 ms refused an ordinary delay.
#[test]
fn an_old_queue_accepts_ordinary_times() {
    on_each_queue(|queue| {
        let age = 1 << 36;
        queue.register_or_update(1, ms(age));
        assert_eq!(queue.pop_due(ms(age)), lease(1, ms(age)));
        queue.register_or_update(2, ms(age + 10_000));
        assert_eq!(queue.pop_due(ms(age + 9_999)), None);
        assert_eq!(queue.pop_due(ms(age + 10_000)), lease(2, ms(age + 10_000)));
    });
}

/// A delay beyond the wheel's range panicked; leases may be 9,000,000,000 s long.
#[test]
fn far_future_times_do_not_panic() {
    on_each_queue(|queue| {
        queue.register_or_update(1, MAX);
        queue.register_or_update(2, Timestamp::from_secs(9_000_000_000));
        queue.register_or_update(3, ms(1));
        assert_eq!(queue.pop_due(ms(1)), lease(3, ms(1)));
        assert_eq!(queue.pop_due(Timestamp::from_secs(1_000_000_000)), None);
        let far = Timestamp::from_secs(9_000_000_000);
        assert_eq!(queue.unregister(), lease(2, far));
        assert_eq!(queue.pop_due(MAX), lease(1, MAX));
    });
}

/// #2789: a wheel that had been driven to the end of time panicked on the next insert.
#[test]
fn a_queue_at_the_end_of_time_still_accepts_the_past() {
    on_each_queue(|queue| {
        queue.register_or_update(1, MAX);
        assert_eq!(queue.pop_due(MAX), lease(1, MAX));
        queue.register_or_update(2, ms(1_006));
        assert_eq!(queue.pop_due(ms(1_005)), None);
        assert_eq!(queue.pop_due(ms(1_006)), lease(2, ms(1_006)));
    });
}

/// #8334: after 12 days a short timer fell into a slot of the top level that had wrapped around.
#[test]
fn no_slot_wraps_around() {
    on_each_queue(|queue| {
        // The first tick of the last slot of each level, and then a short time beyond it.
        for level in 0..5 {
            let edge = Timestamp::from_nanos(255 << (20 + 8 * level));
            queue.register_or_update(0, edge);
            assert_eq!(queue.pop_due(edge), lease(0, edge));
            let span = core::time::Duration::from_nanos(2 << (20 + 8 * level));
            let short = edge.saturating_add(span);
            let long = short.saturating_add(span);
            queue.register_or_update(1, long);
            queue.register_or_update(2, short);
            assert_eq!(queue.pop_due(edge), None);
            assert_eq!(queue.unregister(), lease(2, short));
            assert_eq!(queue.unregister(), lease(1, long));
        }
    });
}

/// #2473: resetting a timer that was due and not yet taken panicked with `elapsed == when`.
#[test]
fn a_due_key_can_be_moved_before_it_is_taken() {
    on_each_queue(|queue| {
        for key in 1..=3 {
            queue.register_or_update(key, ms(7_481_664));
        }
        assert_eq!(queue.pop_due(MAX), lease(1, ms(7_481_664)));
        queue.register_or_update(2, ms(7_481_664));
        queue.register_or_update(3, ms(8_000_000));
        assert_eq!(queue.pop_due(ms(7_481_664)), lease(2, ms(7_481_664)));
        assert_eq!(queue.pop_due(ms(7_481_664)), None);
    });
}

/// #3270: a key that was inserted late, then reset to the future, could not be touched again.
#[test]
fn a_late_key_can_be_moved_to_the_future_twice() {
    on_each_queue(|queue| {
        queue.register_or_update(1, ms(500));
        queue.unregister();
        queue.register_or_update(2, ms(100));
        assert_eq!(queue.register_or_update(2, ms(600)), Some(ms(100)));
        assert_eq!(queue.register_or_update(2, ms(900)), Some(ms(600)));
        assert_eq!(queue.cancel(&2), Some(ms(900)));
        assert_eq!(queue.peek(), None);
    });
}

/// #3270: keys of slot 0 of a higher level could not be removed once the first was taken.
#[test]
fn the_rest_of_a_slot_can_be_cancelled_once_the_first_was_taken() {
    on_each_queue(|queue| {
        let edge = Timestamp::from_nanos(1 << 36);
        for key in 1..=4 {
            queue.register_or_update(key, edge);
        }
        assert_eq!(queue.pop_due(edge), lease(1, edge));
        assert_eq!(queue.cancel(&3), Some(edge));
        assert_eq!(queue.register_or_update(2, MAX), Some(edge));
        assert_eq!(queue.unregister(), lease(4, edge));
        assert_eq!(queue.unregister(), lease(2, MAX));
    });
}

/// #849: the wake-up was the edge of a slot and not a deadline, and a reset did not move it.
#[test]
fn a_wake_up_is_a_deadline_and_follows_a_reset() {
    on_each_queue(|queue| {
        queue.register_or_update(1, ms(200));
        assert_eq!(queue.peek(), lease(1, ms(200)));
        queue.register_or_update(1, ms(5));
        assert_eq!(queue.peek(), lease(1, ms(5)));
        assert_eq!(queue.pop_due(ms(20)), lease(1, ms(5)));
    });
}

/// #868: several resets of several timers panicked.
#[test]
fn many_resets_of_many_keys() {
    on_each_queue(|queue| {
        queue.register_or_update(1, ms(200));
        queue.register_or_update(2, ms(250));
        assert_eq!(queue.peek(), lease(1, ms(200)));
        queue.register_or_update(1, ms(300));
        queue.register_or_update(2, ms(350));
        queue.register_or_update(1, ms(400));
        assert_eq!(queue.peek(), lease(2, ms(350)));
        assert_eq!(queue.len(), 2);
    });
}

/// #854 and #2217: a second timer that was earlier than the first did not move the wake-up.
#[test]
fn an_earlier_key_moves_the_wake_up() {
    on_each_queue(|queue| {
        queue.register_or_update(1, ms(10_000));
        assert_eq!(queue.peek(), lease(1, ms(10_000)));
        queue.register_or_update(2, ms(600));
        assert_eq!(queue.peek(), lease(2, ms(600)));
        assert_eq!(queue.pop_due(ms(600)), lease(2, ms(600)));
    });
}

/// #871: resetting the earliest timer to later than the second left the wake-up on it.
#[test]
fn moving_the_earliest_key_away_moves_the_wake_up() {
    on_each_queue(|queue| {
        queue.register_or_update(1, ms(100));
        queue.register_or_update(2, ms(200));
        assert_eq!(queue.peek(), lease(1, ms(100)));
        queue.register_or_update(1, ms(300));
        assert_eq!(queue.peek(), lease(2, ms(200)));
    });
}

/// #1700: an insert after a pop postponed what was queued before it.
#[test]
fn an_insert_after_a_pop_postpones_nothing() {
    on_each_queue(|queue| {
        for key in 1..=5 {
            queue.register_or_update(key, ms(u64::from(key) * 1_000));
        }
        assert_eq!(queue.pop_due(ms(1_000)), lease(1, ms(1_000)));
        queue.register_or_update(6, ms(11_000));
        assert_eq!(queue.peek(), lease(2, ms(2_000)));
    });
}

/// #4161 and #6751: a queue whose last timer was removed claimed to be waiting for it.
#[test]
fn cancelling_the_last_key_leaves_nothing_to_wait_for() {
    on_each_queue(|queue| {
        queue.register_or_update(1, ms(10_000));
        assert_eq!(queue.pop_due(ms(0)), None);
        assert_eq!(queue.cancel(&1), Some(ms(10_000)));
        assert_eq!(queue.peek(), None);
        assert_eq!(queue.pop_due(MAX), None);
        assert!(queue.is_empty());
    });
}

/// #8320: a cleared queue kept its old wake-up; here also that it can be used again.
#[test]
fn a_cleared_queue_is_as_good_as_new() {
    on_each_queue(|queue| {
        for key in 0..100 {
            queue.register_or_update(key, ms(5_000 + u64::from(key)));
        }
        assert_eq!(queue.pop_due(ms(5_000)), lease(0, ms(5_000)));
        queue.clear();
        assert_eq!(queue.peek(), None);
        assert_eq!(queue.pop_due(MAX), None);
        assert_eq!(queue.time_of(&50), None);
        assert_eq!(queue.register_or_update(50, ms(1)), None);
        assert_eq!(queue.pop_due(ms(1)), lease(50, ms(1)));
    });
}

/// #8402: a peek into a slot of many ticks named the newest key and not the earliest.
#[test]
fn peek_names_the_key_that_comes_out_next() {
    on_each_queue(|queue| {
        for (first, second) in (1..=90).flat_map(|a| (1..=90).map(move |b| (a, b))) {
            queue.register_or_update(0, ms(first * 7));
            queue.register_or_update(1, ms(second * 7));
            let peeked = queue.peek();
            assert_eq!(
                peeked.map(|lease| lease.time),
                Some(ms(first.min(second) * 7))
            );
            assert_eq!(queue.unregister(), peeked);
            queue.clear();
        }
    });
}

/// #8274: a key reset to the past was ready while the wake-up still waited for its old time.
#[test]
fn a_key_moved_to_the_past_is_ready_at_once() {
    on_each_queue(|queue| {
        queue.register_or_update(1, ms(50));
        queue.unregister();
        queue.register_or_update(2, ms(60_000));
        assert_eq!(queue.peek(), lease(2, ms(60_000)));
        queue.register_or_update(2, ms(10));
        assert_eq!(queue.peek(), lease(2, ms(10)));
        assert_eq!(queue.pop_due(ms(55)), lease(2, ms(10)));
    });
}

/// #5569: a key inserted at the very time of the queue was in neither of its two parts.
#[test]
fn a_key_is_due_at_its_exact_time_and_not_a_nanosecond_before() {
    on_each_queue(|queue| {
        for nanos in [
            0,
            1,
            1 << 20,
            (1 << 20) - 1,
            1 << 28,
            (1 << 44) + 1,
            1 << 63,
        ] {
            let time = Timestamp::from_nanos(nanos);
            queue.register_or_update(1, time);
            if nanos > 0 {
                assert_eq!(queue.pop_due(Timestamp::from_nanos(nanos - 1)), None);
            }
            assert_eq!(queue.pop_due(time), lease(1, time));
            queue.register_or_update(1, time);
            assert_eq!(queue.pop_due(time), lease(1, time), "again, at `now`");
        }
    });
}

/// glommio#44: a short timer on the fine level hid an earlier one on a coarse level.
#[test]
fn a_fine_slot_never_hides_an_earlier_coarse_one() {
    on_each_queue(|queue| {
        queue.register_or_update(1, ms(300));
        queue.register_or_update(0, ms(250));
        assert_eq!(queue.pop_due(ms(250)), lease(0, ms(250)));
        queue.register_or_update(2, ms(310));
        assert_eq!(queue.peek(), lease(1, ms(300)));
    });
}

/// twitter/rpc-perf#180: timers longer than one turn of the wheel fired a turn early.
#[test]
fn long_times_do_not_fire_a_turn_early() {
    on_each_queue(|queue| {
        for turn in 0..5 {
            let time = Timestamp::from_nanos((3 << 20) + (1 << (28 + 8 * turn)));
            queue.register_or_update(1, time);
            assert_eq!(queue.pop_due(Timestamp::from_nanos(3 << 20)), None);
            let before = Timestamp::from_nanos(time.as_nanos() - 1);
            assert_eq!(queue.pop_due(before), None);
            assert_eq!(queue.pop_due(time), lease(1, time));
            queue.clear();
        }
    });
}

/// The key that a peek has just named can be cancelled, and the next one takes its turn.
#[test]
fn the_peeked_key_can_be_cancelled() {
    on_each_queue(|queue| {
        for key in 0..200 {
            queue.register_or_update(key, ms(70_000 + u64::from(key % 3)));
        }
        let mut taken = 0;
        while let Some(peeked) = queue.peek() {
            assert_eq!(queue.cancel(&peeked.key), Some(peeked.time));
            assert_eq!(queue.time_of(&peeked.key), None);
            taken += 1;
        }
        assert_eq!(taken, 200);
    });
}
