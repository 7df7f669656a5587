use super::super::Shared;
use super::super::isolate::isolate;
use super::queue::{Awaitable, Queue};
use super::reply::Reply;
use crate::sync::{Arc, Deadline, Mutex, MutexGuard, Signal, lock, thread};
use crate::{HostError, LeaseError};

/// Threads for what may take long, or wait for the host's code. What is of one kind holds up no other.
#[derive(Default)]
pub(super) struct Pools {
    /// Revokes for which the host's range deleter is called.
    pub(super) deletions: Arc<Pool>,
    /// What waits for a commit.
    pub(super) commits: Arc<Pool>,
    /// Looks at many items.
    pub(super) looks: Arc<Pool>,
}

impl Pools {
    /// Nothing that changes anything is begun any more.
    pub(super) fn close(&self, shared: &Shared) {
        self.deletions.close(shared);
        self.commits.close(shared);
    }

    /// Waits for the threads that are there.
    pub(super) fn join(&self, deadline: &Deadline) {
        for pool in [&self.deletions, &self.commits, &self.looks] {
            pool.join(deadline);
        }
    }
}

/// A few threads, which are there while there is work. It is begun in the order in which it came.
#[derive(Default)]
pub(super) struct Pool {
    work: Mutex<Works>,
    ended: Signal,
}

#[derive(Default)]
struct Works {
    waiting: Queue<Box<dyn Work>>,
    running: usize,
    // Those that run, and those that have nothing to do any more and still have the lessor.
    threads: usize,
    is_closed: bool,
}

/// Something to do.
pub(super) trait Work: Awaitable + Send {
    /// Does it, unless it is not to be begun any more or there is no thread for it.
    fn run(self: Box<Self>, shared: &Shared, may_begin: Result<(), LeaseError>);
}

/// Work that a task waits for.
pub(super) struct Asked<T, F> {
    pub(super) reply: Reply<T>,
    pub(super) work: F,
}

/// How many run at the same time: while a range deleter hangs, revokes that it is called for are held up
/// when there are so many of them.
const THREADS: usize = 8;

impl<T, F> Awaitable for Asked<T, F> {
    fn is_given_up(&self) -> bool {
        self.reply.is_given_up()
    }
}

impl<T, F> Work for Asked<T, F>
where
    T: Send,
    F: FnOnce(&Shared) -> Result<T, LeaseError> + Send,
{
    fn run(self: Box<Self>, shared: &Shared, may_begin: Result<(), LeaseError>) {
        let Self { reply, work } = *self;
        reply.answer(may_begin.and_then(|()| work(shared)));
    }
}

impl Awaitable for Box<dyn Work> {
    fn is_given_up(&self) -> bool {
        (**self).is_given_up()
    }
}

impl Pool {
    pub(super) fn run(self: &Arc<Self>, shared: &Arc<Shared>, work: Box<dyn Work>) {
        let mut works = self.lock();
        if works.is_closed {
            drop(works);
            return work.run(shared, Err(LeaseError::Stopped));
        }
        let given_up = works.waiting.push(work);
        let has_room = works.running < THREADS;
        works.running += usize::from(has_room);
        works.threads += usize::from(has_room);
        drop(works);
        drop(given_up);
        if has_room {
            let (pool, its) = (Arc::clone(self), Arc::clone(shared));
            let run = move || {
                pool.work_off(&its);
                // Who waits for the end is to have the last of the lessor.
                drop(its);
                pool.note_end();
            };
            let spawned = thread::spawn("lease-pool", run);
            if let Err(error) = spawned {
                self.spawn_failed(shared, &LeaseError::Spawn(HostError::new(error)));
            }
        }
    }

    fn work_off(&self, shared: &Shared) {
        while let Some(work) = self.next() {
            if !work.is_given_up() {
                // Who waits for it is told by its end.
                let _ = isolate("thread", || work.run(shared, Ok(())));
            }
        }
    }

    /// The next one for a thread; when there is none the thread ends.
    fn next(&self) -> Option<Box<dyn Work>> {
        let mut works = self.lock();
        let next = works.waiting.pop();
        works.running -= usize::from(next.is_none());
        next
    }

    fn note_end(&self) {
        self.lock().threads -= 1;
        self.ended.notify_all();
    }

    fn join(&self, deadline: &Deadline) {
        loop {
            let since = self.ended.listen();
            if self.lock().threads == 0 || !self.ended.wait(since, deadline.left()) {
                return;
            }
        }
    }

    /// There is no room for another thread: those that run do it, if any does.
    fn spawn_failed(&self, shared: &Shared, error: &LeaseError) {
        let mut works = self.lock();
        works.running -= 1;
        works.threads -= 1;
        if works.running == 0 {
            let left = works.waiting.take(usize::MAX);
            drop(works);
            left.into_iter()
                .for_each(|work| work.run(shared, Err(error.clone())));
        }
    }

    fn close(&self, shared: &Shared) {
        let mut works = self.lock();
        works.is_closed = true;
        let left = works.waiting.take(usize::MAX);
        drop(works);
        for work in left {
            work.run(shared, Err(LeaseError::Stopped));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Works> {
        lock(&self.work)
    }
}
