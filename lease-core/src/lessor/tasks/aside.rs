use std::collections::VecDeque;

use super::super::Shared;
use super::super::isolate::isolate;
use crate::sync::{Arc, Mutex, MutexGuard, lock, thread};
use crate::{HostError, LeaseError};

/// What tasks want done that may take long or wait for the host's code: each in a thread of its own,
/// a few at a time, in the order in which they came.
#[derive(Default)]
pub(super) struct Aside {
    work: Mutex<Works>,
}

#[derive(Default)]
struct Works {
    waiting: VecDeque<Work>,
    running: usize,
}

/// One of them. It is told if there is no thread for it.
pub(super) type Work = Box<dyn FnOnce(Result<&Shared, LeaseError>) + Send>;

/// How many run at the same time: while a range deleter hangs, revokes that it is called for are held up
/// when there are so many of them, and nothing else.
pub(super) const THREADS: usize = 8;

impl Aside {
    pub(super) fn run(self: &Arc<Self>, shared: &Arc<Shared>, work: Work) {
        let mut works = self.lock();
        works.waiting.push_back(work);
        if works.running == THREADS {
            return;
        }
        works.running += 1;
        drop(works);
        let (aside, its) = (Arc::clone(self), Arc::clone(shared));
        let spawned = thread::spawn("lease-aside", move || aside.work_off(&its));
        if let Err(error) = spawned {
            self.spawn_failed(&LeaseError::Spawn(HostError::new(error)));
        }
    }

    fn work_off(&self, shared: &Shared) {
        while let Some(work) = self.next() {
            // Who waits for it is told by its end.
            let _ = isolate("thread", || work(Ok(shared)));
        }
    }

    /// The next one for a thread; when there is none the thread ends.
    fn next(&self) -> Option<Work> {
        let mut works = self.lock();
        let next = works.waiting.pop_front();
        works.running -= usize::from(next.is_none());
        next
    }

    /// There is no room for another thread: those that run do it, if any does.
    fn spawn_failed(&self, error: &LeaseError) {
        let mut works = self.lock();
        works.running -= 1;
        if works.running == 0 {
            let left = std::mem::take(&mut works.waiting);
            drop(works);
            left.into_iter().for_each(|work| work(Err(error.clone())));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Works> {
        lock(&self.work)
    }
}
