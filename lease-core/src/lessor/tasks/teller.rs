use std::collections::VecDeque;

use super::super::Shared;
use super::super::isolate::isolate;
use super::super::job::Done;
use super::super::told::Told;
use super::reply::Reply;
use crate::sync::{Arc, Bell, Deadline, Mutex, MutexGuard, Slot, lock, thread};
use crate::{HostError, LeaseError};

/// Tells the lessor's observer what the commands of tasks have done, and then the tasks.
///
/// The observer may wait for a command of its own. So the thread that carries the commands out does not call
/// it: that command could stand behind one of those.
pub(super) struct Teller {
    inbox: Mutex<Inbox>,
    bell: Bell,
    end: Slot<()>,
}

#[derive(Default)]
struct Inbox {
    finished: VecDeque<Finished>,
    is_closed: bool,
}

/// A command at the end of the road.
pub(super) struct Finished {
    pub(super) result: Result<Done, LeaseError>,
    pub(super) told: Told,
    pub(super) reply: Reply<Done>,
}

impl Teller {
    /// # Errors
    ///
    /// [`LeaseError::Spawn`].
    pub(super) fn start(shared: &Arc<Shared>) -> Result<Arc<Self>, LeaseError> {
        let teller = Arc::new(Self {
            inbox: Mutex::default(),
            bell: Bell::default(),
            end: Slot::default(),
        });
        let (its, shared) = (Arc::clone(&teller), Arc::clone(shared));
        let run = move || {
            its.tell_until_closed(&shared);
            // Who waits for the end is to have the last of the lessor.
            drop(shared);
            let _nobody_polls = its.end.put(());
        };
        thread::spawn("lease-teller", run)
            .map_err(|error| LeaseError::Spawn(HostError::new(error)))?;
        Ok(teller)
    }

    pub(super) fn give(&self, finished: Vec<Finished>) {
        self.lock().finished.extend(finished);
        self.bell.ring();
    }

    /// Has the thread end when all that was given is told.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.bell.ring();
    }

    /// Waits for the end of the thread.
    pub(super) fn join(&self, deadline: &Deadline) {
        self.end.take_waiting(deadline.left());
    }

    fn tell_until_closed(&self, shared: &Shared) {
        loop {
            let mut inbox = self.lock();
            let next = inbox.finished.pop_front();
            let is_over = next.is_none() && inbox.is_closed;
            drop(inbox);
            match next {
                Some(finished) => {
                    // The observer's own panics are caught before.
                    let _ = isolate("thread", || finished.tell(shared));
                }
                None if is_over => return,
                None => self.bell.wait(),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        lock(&self.inbox)
    }
}

impl Finished {
    pub(super) fn of(result: Result<Done, LeaseError>, reply: Reply<Done>) -> Self {
        Self {
            result,
            told: Told::default(),
            reply,
        }
    }

    pub(super) fn tell(self, shared: &Shared) {
        if let Ok(done) = &self.result {
            shared.tell_done(done, &self.told);
        }
        self.reply.answer(self.result);
    }
}
