use crossbeam_utils::CachePadded;

use super::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
use super::hint;
use super::monitor::{Deadline, Monitor};
use super::queue::{GIVING_WAY, Queue};
use super::stripe::{STRIPES, Stripe, current_stripe};
use super::thread;

/// A reader-writer lock without the value.
///
/// A reader adds itself to the count of its stripe and then looks whether the gate is open. A writer
/// shuts the gate and then looks at the counts. All of this is sequentially consistent, so that at
/// least one of two sees the other: it is the reader that turns back.
///
/// Who has to wait for long joins the queue and parks. Who opens the gate wakes the readers of the
/// queue and the first writer, and they race for the lock with whoever else comes: handing it over
/// each time would cost a change of threads each time. Who has lost for too long does not race any
/// more. Such readers are let in before the gate is opened, by counting them in on their behalf, so
/// that the next writer waits for them even if it is the same thread. To such a writer the gate is
/// handed over shut.
pub(super) struct Gate<S> {
    state: CachePadded<AtomicU32>,
    pub(super) stripes: [CachePadded<Stripe<S>>; STRIPES],
    // The length of the queue. Changes under the lock of the queue.
    waiting: AtomicUsize,
    queue: Monitor<Queue>,
}

/// A writer has the lock, or waits until the readers are out.
const WRITER: u32 = 1;
/// The writer is parked until the readers are out.
const DRAINING: u32 = 2;
/// Who opens the gate must look into the queue. Changes under the lock of the queue. Invariant: if it
/// is not set, whoever in the queue could have the lock next is awake, and sets it before it sleeps.
const QUEUED: u32 = 4;
/// A writer has panicked.
const POISONED: u32 = 8;

impl<S: Default> Gate<S> {
    pub(super) fn new() -> Self {
        Self {
            state: CachePadded::new(AtomicU32::new(0)),
            stripes: std::array::from_fn(|_| CachePadded::new(Stripe::default())),
            waiting: AtomicUsize::new(0),
            queue: Monitor::default(),
        }
    }
}

/// Readers.
impl<S> Gate<S> {
    /// Lets in a reader. The answer is to be given to [`leave`](Self::leave).
    ///
    /// # Panics
    ///
    /// If the lock is poisoned.
    #[inline]
    pub(super) fn enter(&self) -> &Stripe<S> {
        let stripe = &*self.stripes[current_stripe()];
        if !self.try_enter(stripe) {
            self.enter_slowly(stripe);
        }
        stripe
    }

    #[inline]
    pub(super) fn leave(&self, stripe: &Stripe<S>) {
        stripe.readers.fetch_sub(1, SeqCst);
        if self.state.load(SeqCst) & DRAINING != 0 {
            self.wake_drainer();
        }
    }

    // Who turns back has to leave.
    #[inline]
    fn try_enter(&self, stripe: &Stripe<S>) -> bool {
        stripe.readers.fetch_add(1, SeqCst);
        self.state.load(SeqCst) & (WRITER | POISONED) == 0
    }

    #[cold]
    fn enter_slowly(&self, stripe: &Stripe<S>) {
        loop {
            self.leave(stripe);
            self.check_poison();
            if !spin_until(|| self.state.load(SeqCst) & WRITER == 0) {
                self.wait_to_enter(stripe);
                break;
            }
            if self.try_enter(stripe) {
                return;
            }
        }
        if self.is_poisoned() {
            self.leave(stripe);
            self.check_poison();
        }
    }

    fn wait_to_enter(&self, stripe: &Stripe<S>) {
        let mut queue = self.queue.lock();
        let ticket = queue.add_reader();
        self.note_arrival(&queue);
        // Until it is let in.
        while queue.readers.contains(ticket) {
            // Before the attempt: who has shut the gate wakes this thread.
            let is_shut = self.state.fetch_or(QUEUED, SeqCst) & WRITER != 0;
            // Counted in a poisoned lock, it has to leave again.
            if !is_shut && (self.try_enter(stripe) || self.is_poisoned()) {
                queue.readers.remove(ticket);
                self.note_departure(&queue);
                return;
            }
            if !is_shut {
                // Nobody to wake: a writer that has shut the gate since needs the queue to park.
                stripe.readers.fetch_sub(1, SeqCst);
            }
            drop(queue);
            thread::park();
            queue = self.queue.lock();
        }
    }

    #[cold]
    fn wake_drainer(&self) {
        // The last one out sees that it is.
        if self.is_empty() {
            self.queue.lock().wake_drainer();
        }
    }
}

/// Writers.
impl<S> Gate<S> {
    /// Lets in a writer, alone.
    ///
    /// # Panics
    ///
    /// If the lock is poisoned.
    #[inline]
    pub(super) fn shut(&self) {
        let shut = self.state.compare_exchange(0, WRITER, SeqCst, SeqCst);
        if shut.is_err() {
            self.shut_slowly();
        }
        if !self.is_empty() {
            self.drain();
        }
    }

    #[inline]
    pub(super) fn open(&self) {
        let open = self.state.compare_exchange(WRITER, 0, SeqCst, SeqCst);
        if open.is_err() {
            self.open_slowly();
        }
    }

    /// From now on who takes the lock panics.
    #[cold]
    pub(super) fn poison(&self) {
        self.state.fetch_or(POISONED, SeqCst);
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.state.load(SeqCst) & POISONED != 0
    }

    fn try_shut(&self) -> bool {
        let free = |state| (state & WRITER == 0).then_some(state | WRITER);
        self.state.fetch_update(SeqCst, SeqCst, free).is_ok()
    }

    #[cold]
    fn shut_slowly(&self) {
        if !spin_until(|| self.try_shut()) {
            self.wait_to_shut();
        }
        if self.is_poisoned() {
            self.open();
            self.check_poison();
        }
    }

    fn wait_to_shut(&self) {
        let mut queue = self.queue.lock();
        let ticket = queue.add_writer();
        self.note_arrival(&queue);
        // Until it is handed the gate.
        while queue.writers.contains(ticket) {
            // Before the attempt: who has shut the gate wakes this thread, or the next one.
            self.state.fetch_or(QUEUED, SeqCst);
            if self.try_shut() {
                queue.writers.remove(ticket);
                self.note_departure(&queue);
                return;
            }
            drop(queue);
            thread::park();
            queue = self.queue.lock();
        }
    }

    #[cold]
    fn drain(&self) {
        for stripe in &self.stripes {
            let is_empty = || stripe.readers.load(SeqCst) == 0;
            if !spin_until(is_empty) {
                self.wait_until(is_empty);
            }
        }
    }

    fn wait_until(&self, is_empty: impl Fn() -> bool) {
        loop {
            self.queue.lock().set_drainer();
            // From here on the last one out wakes this thread.
            self.state.fetch_or(DRAINING, SeqCst);
            if is_empty() {
                break;
            }
            thread::park();
        }
        self.state.fetch_and(!DRAINING, SeqCst);
    }

    #[cold]
    fn open_slowly(&self) {
        let mut queue = self.queue.lock();
        let mut awake: Vec<_> = queue.readers.take_all_if_overdue().collect();
        for reader in &awake {
            self.stripes[reader.stripe].readers.fetch_add(1, SeqCst);
        }
        let handed = queue.writers.take_overdue();
        let mut woken = Vec::new();
        if handed.is_none() {
            self.state.fetch_and(!(WRITER | QUEUED), SeqCst);
            let first = queue.writers.first().map(|first| first.thread.clone());
            woken.extend(queue.readers.threads().chain(first));
        }
        awake.extend(handed);
        self.note_departure(&queue);
        drop(queue);
        let awake = awake.into_iter().map(|waiter| waiter.thread);
        awake.chain(woken).for_each(|thread| thread.unpark());
    }
}

/// Both.
impl<S> Gate<S> {
    /// Waits until those who wait have had the lock, a millisecond at most.
    #[inline]
    pub(super) fn give_way(&self) {
        if self.waiting.load(SeqCst) != 0 {
            self.wait_for_others();
        }
    }

    #[cold]
    fn wait_for_others(&self) {
        let mut queue = self.queue.lock();
        let end = queue.end();
        queue.givers += 1;
        let deadline = Deadline::after(Some(GIVING_WAY));
        let is_early = |queue: &mut Queue| queue.has_any_before(end);
        let mut queue = self.queue.wait_while(queue, &deadline, is_early);
        queue.givers -= 1;
    }

    #[inline]
    fn is_empty(&self) -> bool {
        let counts = self.stripes.iter();
        // Without a branch for each.
        counts.fold(0, |any, stripe| any | stripe.readers.load(SeqCst)) == 0
    }

    fn note_arrival(&self, queue: &Queue) {
        self.waiting.store(queue.len(), SeqCst);
    }

    fn note_departure(&self, queue: &Queue) {
        self.waiting.store(queue.len(), SeqCst);
        if queue.givers > 0 {
            self.queue.wake_all();
        }
    }

    fn check_poison(&self) {
        assert!(!self.is_poisoned(), "{NOT_POISONED}");
    }
}

#[cfg(test)]
impl<S> Gate<S> {
    pub(super) fn is_shut(&self) -> bool {
        self.state.load(SeqCst) & WRITER != 0
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    #[cfg(not(shuttle))]
    pub(super) fn givers(&self) -> usize {
        self.queue.lock_in_test().givers
    }
}

/// Waits for a little while, and returns whether it was enough.
fn spin_until(is_done: impl Fn() -> bool) -> bool {
    (0..SPINS).any(|_| {
        let is_done = is_done();
        if !is_done {
            hint::spin_loop();
        }
        is_done
    })
}

/// Some microseconds, as in the locks of `std`: longer than most holds, shorter than a sleep.
#[cfg(not(shuttle))]
const SPINS: usize = 100;
#[cfg(shuttle)]
const SPINS: usize = 1;

const NOT_POISONED: &str = "nothing that runs under the lessor's lock panics";
