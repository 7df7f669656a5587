//! Who is in a [`SharedLock`](super::SharedLock), counted a second time.
//!
//! In the explorer's build it is checked that a writer is alone, and a thread that has the lock may have to
//! wait there for others: else no schedule would show that the gate lets somebody in too early. In any
//! other build this is nothing.

#[cfg(shuttle)]
use super::atomic::{AtomicBool, Ordering::SeqCst};

/// A count of those who have the lock.
#[derive(Default)]
pub(super) struct Occupants {
    // Not of the schedule: a count is no reason to let others go on.
    #[cfg(shuttle)]
    readers: std::sync::atomic::AtomicUsize,
    #[cfg(shuttle)]
    writers: std::sync::atomic::AtomicUsize,
    #[cfg(shuttle)]
    anything: AtomicBool,
}

impl Occupants {
    /// A reader has come in.
    #[inline]
    pub(super) fn enter(&self) {
        #[cfg(shuttle)]
        {
            self.readers.fetch_add(1, SeqCst);
            self.let_others_go_on();
            assert_eq!(
                self.writers.load(SeqCst),
                0,
                "a reader is in beside a writer"
            );
        }
    }

    /// A reader is about to go.
    #[inline]
    pub(super) fn leave(&self) {
        #[cfg(shuttle)]
        self.readers.fetch_sub(1, SeqCst);
    }

    /// A writer has come in.
    #[inline]
    pub(super) fn shut(&self) {
        #[cfg(shuttle)]
        {
            self.writers.fetch_add(1, SeqCst);
            self.let_others_go_on();
            let inside = (self.readers.load(SeqCst), self.writers.load(SeqCst));
            assert_eq!(inside, (0, 1), "a writer is in beside others");
        }
    }

    /// A writer is about to go.
    #[inline]
    pub(super) fn open(&self) {
        #[cfg(shuttle)]
        self.writers.fetch_sub(1, SeqCst);
    }

    #[cfg(shuttle)]
    fn let_others_go_on(&self) {
        // Before each look at an atomic the explorer may change to another thread.
        self.anything.load(SeqCst);
    }
}
