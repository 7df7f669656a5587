use std::time::Duration;

use super::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use super::monitor::{Deadline, Monitor};

/// A word to many threads that something has changed.
///
/// A thread listens, looks whether there is what it waits for, and if not waits for a change since
/// it began to listen. Who changes something does so first and then notifies.
#[derive(Default)]
pub(crate) struct Signal {
    changes: AtomicU64,
    // Written before a sleeper looks at `changes`, and read after a change of them: of a sleeper and
    // a change at the same time at least one sees the other.
    sleepers: AtomicUsize,
    bed: Monitor<()>,
}

impl Signal {
    /// What to give to [`wait`](Self::wait). To be called before looking at what may change.
    pub(crate) fn listen(&self) -> u64 {
        self.changes.load(SeqCst)
    }

    /// Waits for a change since then, `timeout` at most. Returns whether there was one.
    pub(crate) fn wait(&self, since: u64, timeout: Option<Duration>) -> bool {
        let deadline = Deadline::after(timeout);
        let bed = self.bed.lock();
        self.sleepers.fetch_add(1, SeqCst);
        let is_same = |_: &mut ()| self.changes.load(SeqCst) == since;
        drop(self.bed.wait_while(bed, &deadline, is_same));
        self.sleepers.fetch_sub(1, SeqCst);
        self.changes.load(SeqCst) != since
    }

    /// Costs two atomic operations if nobody waits.
    pub(crate) fn notify_all(&self) {
        self.changes.fetch_add(1, SeqCst);
        if self.sleepers.load(SeqCst) > 0 {
            // Under the lock a sleeper has not looked yet, or sleeps.
            let bed = self.bed.lock();
            self.bed.wake_all();
            drop(bed);
        }
    }
}
