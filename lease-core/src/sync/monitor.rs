use std::time::Duration;
#[cfg(not(shuttle))]
use std::time::Instant;

use super::{Condvar, Mutex, MutexGuard, PoisonError, lock};

/// A value behind a mutex, and a wait until it has changed.
#[derive(Default)]
pub(super) struct Monitor<T> {
    value: Mutex<T>,
    changed: Condvar,
}

/// When a wait ends at the latest.
///
/// Shuttle has no time. There a wait with a timeout does not sleep: it lets others go on, looks
/// again, and after each look may have timed out, as shuttle's random numbers decide. So any order
/// of a timeout and what else happens can occur, and nobody waits for ever who would not in truth.
/// Only a deadline that is an hour away or more never passes there: who is not woken before it has
/// been forgotten.
pub(crate) struct Deadline(Option<Moment>);

#[cfg(not(shuttle))]
type Moment = Instant;
#[cfg(shuttle)]
type Moment = ();

impl<T> Monitor<T> {
    pub(super) fn new(value: T) -> Self {
        Self {
            value: Mutex::new(value),
            changed: Condvar::new(),
        }
    }

    /// Takes the mutex. A panic under it is possible only in tests.
    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        lock(&self.value)
    }

    /// As [`lock`](Self::lock), for a look from outside while this thread has the lessor's lock.
    #[cfg(all(test, not(shuttle)))]
    pub(super) fn lock_in_test(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while `is_early` says so and the deadline has not passed.
    pub(super) fn wait_while<'a>(
        &'a self,
        mut value: MutexGuard<'a, T>,
        deadline: &Deadline,
        mut is_early: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        while is_early(&mut value) {
            match self.wait(value, deadline) {
                Ok(woken) => value = woken,
                Err(late) => return late,
            }
        }
        value
    }

    /// Costs a call of the system even if nobody waits.
    pub(super) fn wake_one(&self) {
        self.changed.notify_one();
    }

    /// Costs a call of the system even if nobody waits.
    pub(super) fn wake_all(&self) {
        self.changed.notify_all();
    }

    fn sleep<'a>(&self, value: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let woken = self.changed.wait(value);
        woken.unwrap_or_else(PoisonError::into_inner)
    }

    /// `Err` if the deadline has passed; `Ok` for any reason or none.
    #[cfg(not(shuttle))]
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever asks for a timeout waits in real time"
    )]
    fn wait<'a>(
        &'a self,
        value: MutexGuard<'a, T>,
        deadline: &Deadline,
    ) -> Result<MutexGuard<'a, T>, MutexGuard<'a, T>> {
        let Some(end) = deadline.0 else {
            return Ok(self.sleep(value));
        };
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(value);
        }
        let woken = self.changed.wait_timeout(value, left);
        Ok(woken.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// `Err` if the deadline has passed; `Ok` for any reason or none.
    #[cfg(shuttle)]
    fn wait<'a>(
        &'a self,
        value: MutexGuard<'a, T>,
        deadline: &Deadline,
    ) -> Result<MutexGuard<'a, T>, MutexGuard<'a, T>> {
        if deadline.0.is_none() {
            return Ok(self.sleep(value));
        }
        if is_over() {
            return Err(value);
        }
        drop(value);
        super::thread::yield_now();
        Ok(self.lock())
    }
}

impl Deadline {
    /// `None`, and what is too far away to be counted, is never.
    #[cfg(not(shuttle))]
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever asks for a timeout waits in real time"
    )]
    pub(crate) fn after(timeout: Option<Duration>) -> Self {
        Self(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    /// `None`, and what is far away, is never.
    #[cfg(shuttle)]
    pub(crate) fn after(timeout: Option<Duration>) -> Self {
        Self(timeout.filter(|timeout| *timeout < FAR_AWAY).map(drop))
    }

    /// How long it is until then; `None` if it never comes.
    #[cfg(not(shuttle))]
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever asks for a timeout waits in real time"
    )]
    pub(crate) fn left(&self) -> Option<Duration> {
        let now = Instant::now();
        self.0.map(|end| end.saturating_duration_since(now))
    }

    /// How long it is until then; `None` if it never comes. Another look may say otherwise.
    #[cfg(shuttle)]
    pub(crate) fn left(&self) -> Option<Duration> {
        let some = if self.has_passed() {
            Duration::ZERO
        } else {
            Duration::from_secs(1)
        };
        self.0.map(|()| some)
    }

    /// Returns whether it has passed.
    #[cfg(not(shuttle))]
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever asks for a timeout waits in real time"
    )]
    pub(super) fn has_passed(&self) -> bool {
        self.0.is_some_and(|end| end <= Instant::now())
    }

    /// Returns whether it has passed; another look may say otherwise.
    #[cfg(shuttle)]
    pub(super) fn has_passed(&self) -> bool {
        self.0.is_some() && is_over()
    }
}

/// What no schedule comes to: see [`Deadline`].
#[cfg(shuttle)]
const FAR_AWAY: Duration = Duration::from_secs(60 * 60);

#[cfg(shuttle)]
fn is_over() -> bool {
    use shuttle::rand::{Rng, thread_rng};
    thread_rng().gen_ratio(1, 4)
}
