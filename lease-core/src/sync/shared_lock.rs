#![expect(
    unsafe_code,
    reason = "with a lock of std around the value, readers share a cache line or a writer takes eight \
              locks: seven times the cost, see the bench `lock`"
)]

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};

use super::gate::Gate;
use super::leaf;
use super::occupants::Occupants;
use super::stripe::Stripe;
use super::thread::panicking;

/// A reader-writer lock for a state that many threads look at and few change.
///
/// Readers do not wait for each other, nor for each other's cache lines: each thread has a stripe,
/// which it shares with few. `S` is what else is in the stripe, for example a count that readers add
/// to, see [`ReadGuard::stripe`].
///
/// A writer that waits for readers lets no new ones in. When a writer is done the fastest wins; but
/// readers of which one has waited for a tenth of a millisecond get in before the next writer, and a
/// writer that has waited for as long is the next. A thread that holds the lock in any way must
/// not take it again.
pub(crate) struct SharedLock<T, S = ()> {
    gate: Gate<S>,
    occupants: Occupants,
    // Invariant: looked at only between `Gate::enter` and `leave`, changed only between
    // `Gate::shut` and `open`.
    value: UnsafeCell<T>,
}

/// The lock, shared with other readers.
#[must_use = "the lock is let go at once"]
pub(crate) struct ReadGuard<'a, T, S> {
    lock: &'a SharedLock<T, S>,
    stripe: &'a Stripe<S>,
    // As the guards of std: not to be sent to another thread.
    _guard: PhantomData<std::sync::MutexGuard<'static, ()>>,
}

/// The lock, alone.
#[must_use = "the lock is let go at once"]
pub(crate) struct WriteGuard<'a, T, S> {
    lock: &'a SharedLock<T, S>,
    // Whether it was taken while a panic unwound: then that is not a panic under the lock.
    was_panicking: bool,
    // As the guards of std: not to be sent to another thread.
    _guard: PhantomData<std::sync::MutexGuard<'static, ()>>,
}

// SAFETY: a thread that has the lock as a writer can take the value out, which needs `T: Send`;
// threads that have it as readers share the value, which needs `T: Sync`. The gate, which is all that
// else there is, is shared between threads at any time, which needs `S: Sync`, checked below.
unsafe impl<T: Send + Sync, S: Sync> Sync for SharedLock<T, S> {}

const _: () = {
    const fn is_sync<G: Sync>() {}
    is_sync::<Gate<()>>();
};

// A panic under the lock poisons it.
impl<T, S> UnwindSafe for SharedLock<T, S> {}
impl<T, S> RefUnwindSafe for SharedLock<T, S> {}

impl<T, S: Default> SharedLock<T, S> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            gate: Gate::new(),
            occupants: Occupants::default(),
            value: UnsafeCell::new(value),
        }
    }
}

impl<T, S> SharedLock<T, S> {
    /// Takes the lock beside others who do the same.
    ///
    /// # Panics
    ///
    /// If the lock is poisoned.
    #[inline]
    pub(crate) fn read(&self) -> ReadGuard<'_, T, S> {
        leaf::check("it is taken again");
        let stripe = self.gate.enter();
        self.occupants.enter();
        leaf::enter();
        ReadGuard {
            stripe,
            lock: self,
            _guard: PhantomData,
        }
    }

    /// Takes the lock alone.
    ///
    /// # Panics
    ///
    /// If the lock is poisoned.
    #[inline]
    pub(crate) fn write(&self) -> WriteGuard<'_, T, S> {
        leaf::check("it is taken again");
        self.gate.shut();
        self.occupants.shut();
        leaf::enter();
        WriteGuard {
            lock: self,
            was_panicking: panicking(),
            _guard: PhantomData,
        }
    }

    /// What the stripes hold, without the lock.
    pub(crate) fn stripes(&self) -> impl Iterator<Item = &S> {
        self.gate.stripes.iter().map(|stripe| &stripe.payload)
    }

    /// For a thread that takes the lock many times in a row, between two holds: whoever waited when
    /// it was called has had the lock when it returns, or a millisecond has passed.
    #[inline]
    pub(crate) fn give_way(&self) {
        self.gate.give_way();
    }

    /// Returns whether a thread has panicked while it could change the value.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.gate.is_poisoned()
    }
}

#[cfg(test)]
impl<T, S> SharedLock<T, S> {
    /// Returns whether a writer has the lock, or waits for readers only.
    pub(super) fn is_shut(&self) -> bool {
        self.gate.is_shut()
    }

    /// Returns how many wait in the queue.
    pub(super) fn waiting(&self) -> usize {
        self.gate.waiting()
    }

    /// Returns how many wait until others have had the lock.
    #[cfg(not(shuttle))]
    pub(super) fn givers(&self) -> usize {
        self.gate.givers()
    }
}

impl<'a, T, S> ReadGuard<'a, T, S> {
    /// What the stripe of this thread holds. Other threads may have the same stripe.
    #[inline]
    pub(crate) fn stripe(&self) -> &'a S {
        &self.stripe.payload
    }
}

impl<T, S> Deref for ReadGuard<'_, T, S> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard is inside the gate, so that nobody changes the value until it is gone.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T, S> Drop for ReadGuard<'_, T, S> {
    #[inline]
    fn drop(&mut self) {
        leaf::leave();
        self.lock.occupants.leave();
        self.lock.gate.leave(self.stripe);
    }
}

impl<T, S> Deref for WriteGuard<'_, T, S> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard has shut the gate, so that only through it the value can be reached, and
        // through it not to be changed while this borrow lasts.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T, S> DerefMut for WriteGuard<'_, T, S> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard has shut the gate, so that only through it the value can be reached, and
        // it is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T, S> Drop for WriteGuard<'_, T, S> {
    #[inline]
    fn drop(&mut self) {
        leaf::leave();
        self.lock.occupants.open();
        if !self.was_panicking && panicking() {
            self.lock.gate.poison();
        }
        self.lock.gate.open();
    }
}
