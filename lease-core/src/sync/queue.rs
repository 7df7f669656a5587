use std::collections::VecDeque;
use std::time::Duration;

use super::monitor::Deadline;
use super::stripe::current_stripe;
use super::thread::{self, Thread};

/// Who waits for a lock, asleep or about to be. Who has got it is not here any more.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) readers: Line,
    pub(super) writers: Line,
    next_ticket: u64,
    // Who has the lock and waits until the readers are out.
    drainer: Option<Thread>,
    /// How many wait until others have had the lock.
    pub(super) givers: usize,
}

/// Those of one kind, the oldest first.
#[derive(Default)]
pub(super) struct Line(VecDeque<Waiter>);

pub(super) struct Waiter {
    ticket: Ticket,
    pub(super) stripe: usize,
    pub(super) thread: Thread,
    patience: Deadline,
}

/// Names one that waits. A later one is greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
pub(super) struct Ticket(u64);

impl Queue {
    pub(super) fn add_reader(&mut self) -> Ticket {
        let waiter = self.waiter();
        self.readers.add(waiter)
    }

    pub(super) fn add_writer(&mut self) -> Ticket {
        let waiter = self.waiter();
        self.writers.add(waiter)
    }

    fn waiter(&mut self) -> Waiter {
        let ticket = self.end();
        self.next_ticket += 1;
        Waiter {
            ticket,
            stripe: current_stripe(),
            thread: thread::current(),
            patience: Deadline::after(Some(PATIENCE)),
        }
    }

    /// A ticket later than all there are.
    pub(super) const fn end(&self) -> Ticket {
        Ticket(self.next_ticket)
    }

    pub(super) fn has_any_before(&self, end: Ticket) -> bool {
        let mut firsts = [&self.readers, &self.writers].map(Line::first).into_iter();
        firsts.any(|first| first.is_some_and(|first| first.ticket < end))
    }

    pub(super) fn len(&self) -> usize {
        self.readers.0.len() + self.writers.0.len()
    }

    /// The thread that asks has the lock and waits until the readers are out.
    pub(super) fn set_drainer(&mut self) {
        self.drainer = Some(thread::current());
    }

    pub(super) fn wake_drainer(&mut self) {
        if let Some(drainer) = self.drainer.take() {
            drainer.unpark();
        }
    }
}

impl Line {
    fn add(&mut self, waiter: Waiter) -> Ticket {
        let ticket = waiter.ticket;
        self.0.push_back(waiter);
        ticket
    }

    pub(super) fn remove(&mut self, ticket: Ticket) {
        self.0.retain(|waiter| waiter.ticket != ticket);
    }

    pub(super) fn contains(&self, ticket: Ticket) -> bool {
        self.0.iter().any(|waiter| waiter.ticket == ticket)
    }

    pub(super) fn first(&self) -> Option<&Waiter> {
        self.0.front()
    }

    /// Takes out the first if it has waited for too long.
    pub(super) fn take_overdue(&mut self) -> Option<Waiter> {
        let is_overdue = self.0.front()?.patience.has_passed();
        is_overdue.then(|| self.0.pop_front())?
    }

    /// Takes out all if the first has waited for too long.
    pub(super) fn take_all_if_overdue(&mut self) -> impl Iterator<Item = Waiter> + use<> {
        let first = self.take_overdue();
        let rest = first.as_ref().map(|_| std::mem::take(&mut self.0));
        first.into_iter().chain(rest.into_iter().flatten())
    }

    pub(super) fn threads(&self) -> impl Iterator<Item = Thread> {
        self.0.iter().map(|waiter| waiter.thread.clone())
    }
}

/// How long one races for the lock with whoever else comes. The time of some changes of threads: if
/// eight threads on two processors let in readers that have waited for less, each write waits for a
/// thread that has no processor, and they do a tenth of the work. If writers race for a millisecond,
/// one grant in a thousand takes two.
pub(super) const PATIENCE: Duration = Duration::from_micros(100);

/// How long a thread that takes the lock many times in a row waits for the others.
pub(super) const GIVING_WAY: Duration = Duration::from_millis(1);
