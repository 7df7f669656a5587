use super::super::Shared;
use super::super::isolate::isolate;
use super::queue::{Awaitable, Queue};
use super::reply::Reply;
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
    waiting: Queue<Box<dyn Work>>,
    running: usize,
}

/// One of them.
pub(super) trait Work: Awaitable + Send {
    /// Does it; an error says that there is no thread for it.
    fn run(self: Box<Self>, shared: Result<&Shared, LeaseError>);
}

/// Work that a task waits for.
pub(super) struct Asked<T, F> {
    pub(super) reply: Reply<T>,
    pub(super) work: F,
}

/// How many run at the same time: while a range deleter hangs, revokes that it is called for are held up
/// when there are so many of them, and nothing else.
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
    fn run(self: Box<Self>, shared: Result<&Shared, LeaseError>) {
        let Self { reply, work } = *self;
        reply.answer(shared.and_then(work));
    }
}

impl Awaitable for Box<dyn Work> {
    fn is_given_up(&self) -> bool {
        (**self).is_given_up()
    }
}

impl Aside {
    pub(super) fn run(self: &Arc<Self>, shared: &Arc<Shared>, work: Box<dyn Work>) {
        let mut works = self.lock();
        let given_up = works.waiting.push(work);
        let has_room = works.running < THREADS;
        works.running += usize::from(has_room);
        drop(works);
        drop(given_up);
        if has_room {
            let (aside, its) = (Arc::clone(self), Arc::clone(shared));
            let spawned = thread::spawn("lease-aside", move || aside.work_off(&its));
            if let Err(error) = spawned {
                self.spawn_failed(&LeaseError::Spawn(HostError::new(error)));
            }
        }
    }

    fn work_off(&self, shared: &Shared) {
        while let Some(work) = self.next() {
            if !work.is_given_up() {
                // Who waits for it is told by its end.
                let _ = isolate("thread", || work.run(Ok(shared)));
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

    /// There is no room for another thread: those that run do it, if any does.
    fn spawn_failed(&self, error: &LeaseError) {
        let mut works = self.lock();
        works.running -= 1;
        if works.running == 0 {
            let left = works.waiting.take(usize::MAX);
            drop(works);
            left.into_iter()
                .for_each(|work| work.run(Err(error.clone())));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Works> {
        lock(&self.work)
    }
}
