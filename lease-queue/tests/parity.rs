//! etcd's two queues, each in the few calls that its lessor makes.

use lease_queue::{ExpiryQueue, LeaseExpiredNotifier, LeaseQueue, LeaseWithTime, Timestamp};

fn lease(key: i64, secs: u64) -> LeaseWithTime<i64> {
    let time = Timestamp::from_secs(secs);
    LeaseWithTime { key, time }
}

#[test]
fn a_lease_queue_is_a_heap_by_time() {
    let mut queue = LeaseQueue::new();
    assert_eq!((queue.len(), queue.pop()), (0, None));
    for (key, secs) in [(1, 30), (-2, 10), (3, 20)] {
        queue.push(lease(key, secs));
    }
    assert_eq!(queue.len(), 3);
    assert_eq!(queue.peek(), Some(lease(-2, 10)));
    let popped: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
    assert_eq!(popped, [lease(-2, 10), lease(3, 20), lease(1, 30)]);
}

#[test]
fn a_notifier_keeps_one_entry_for_each_lease() {
    let mut notifier = LeaseExpiredNotifier::new();
    assert_eq!((notifier.peek(), notifier.unregister()), (None, None));
    for (key, secs) in [(1, 30), (-2, 10), (1, 5), (-2, 40)] {
        notifier.register_or_update(key, Timestamp::from_secs(secs));
    }
    assert_eq!(notifier.len(), 2);
    assert_eq!(notifier.peek(), Some(lease(1, 5)));
    assert_eq!(notifier.unregister(), Some(lease(1, 5)));
    assert_eq!(notifier.unregister(), Some(lease(-2, 40)));
    assert_eq!(notifier.len(), 0);
}
