use std::collections::VecDeque;
use std::time::Duration;

use super::monitor::Deadline;
use super::thread::{self, Thread};

/// Who waits for a lock, asleep or about to be.
#[derive(Default)]
pub(super) struct Queue {
    // The oldest first. Who has got the lock is not here any more.
    writers: VecDeque<Writer>,
    readers: Vec<Reader>,
    next_ticket: u64,
    /// Who has the lock and waits until the readers are out.
    pub(super) drainer: Option<Thread>,
    /// How many wait until others have had the lock.
    pub(super) givers: usize,
}

/// Names a writer that waits. A later one is greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
pub(super) struct Ticket(u64);

struct Writer {
    ticket: Ticket,
    thread: Thread,
    patience: Deadline,
}

/// A reader that waits.
pub(super) struct Reader {
    pub(super) stripe: usize,
    pub(super) thread: Thread,
}

/// What is to be done for the writers when the lock is free.
pub(super) enum Next {
    /// Nobody waits.
    Open,
    /// Wake this one, and let it race with whoever else comes.
    Wake(Thread),
    /// Give the lock to this one: it has waited for too long.
    HandOver(Thread),
}

impl Queue {
    pub(super) fn add_writer(&mut self) -> Ticket {
        let ticket = self.end();
        self.next_ticket += 1;
        self.writers.push_back(Writer {
            ticket,
            thread: thread::current(),
            patience: Deadline::after(Some(PATIENCE)),
        });
        ticket
    }

    pub(super) fn add_reader(&mut self, stripe: usize) {
        let thread = thread::current();
        self.readers.push(Reader { stripe, thread });
    }

    pub(super) fn remove_writer(&mut self, ticket: Ticket) {
        self.writers.retain(|writer| writer.ticket != ticket);
    }

    pub(super) fn take_readers(&mut self) -> Vec<Reader> {
        std::mem::take(&mut self.readers)
    }

    /// Whoever is handed the lock leaves the queue.
    pub(super) fn next_writer(&mut self) -> Next {
        match self
            .writers
            .pop_front_if(|first| first.patience.has_passed())
        {
            Some(first) => Next::HandOver(first.thread),
            None => match self.writers.front() {
                Some(first) => Next::Wake(first.thread.clone()),
                None => Next::Open,
            },
        }
    }

    /// Returns whether this writer has been handed the lock.
    pub(super) fn has_been_handed(&self, ticket: Ticket) -> bool {
        self.writers.iter().all(|writer| writer.ticket != ticket)
    }

    /// A ticket later than all there are.
    pub(super) const fn end(&self) -> Ticket {
        Ticket(self.next_ticket)
    }

    pub(super) fn has_writer_before(&self, ticket: Ticket) -> bool {
        self.writers
            .front()
            .is_some_and(|first| first.ticket < ticket)
    }

    pub(super) fn has_readers(&self) -> bool {
        !self.readers.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.writers.len() + self.readers.len()
    }
}

/// How long a writer races for the lock with whoever else comes before it is handed the lock.
pub(super) const PATIENCE: Duration = Duration::from_millis(1);
