use std::time::Duration;

use super::atomic::{AtomicBool, Ordering::SeqCst};
use super::monitor::{Deadline, Monitor};

/// A wake-up for a thread that sleeps. One before the sleep is kept, and ends it at once.
///
/// Several threads may sleep: each ring wakes at least one of them, and rings that nobody has
/// heeded yet are as good as one.
#[derive(Default)]
pub(crate) struct Bell {
    is_rung: AtomicBool,
    sleepers: Monitor<usize>,
}

impl Bell {
    /// Costs one atomic operation if the bell has been rung already.
    pub(crate) fn ring(&self) {
        if !self.is_rung.swap(true, SeqCst) {
            // Under the lock a sleeper has not looked yet, or sleeps.
            let sleepers = self.sleepers.lock();
            if *sleepers > 0 {
                self.sleepers.wake_one();
            }
        }
    }

    /// Sleeps until the bell is rung.
    pub(crate) fn wait(&self) {
        self.wait_until(&Deadline::after(None));
    }

    /// Sleeps until the bell is rung, `timeout` at most. Returns whether it was rung.
    pub(crate) fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_until(&Deadline::after(Some(timeout)))
    }

    fn wait_until(&self, deadline: &Deadline) -> bool {
        let mut is_heard = false;
        let mut sleepers = self.sleepers.lock();
        *sleepers += 1;
        let mut sleepers = self.sleepers.wait_while(sleepers, deadline, |_| {
            is_heard = self.is_rung.swap(false, SeqCst);
            !is_heard
        });
        *sleepers -= 1;
        is_heard
    }
}
