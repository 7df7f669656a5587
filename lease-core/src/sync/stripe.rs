use super::atomic::AtomicUsize;

/// What the threads of a stripe write to and the others do not.
pub(super) struct Stripe<S> {
    /// How many hold the lock for reading, or have just tried to.
    pub(super) readers: AtomicUsize,
    pub(super) payload: S,
}

/// As many as there are processors in a small machine: a thread that reads writes to the cache line
/// of its stripe, and one that writes looks at all of them.
#[cfg(not(shuttle))]
pub(super) const STRIPES: usize = 8;
/// So few that some threads of a test share one and some do not.
#[cfg(shuttle)]
pub(super) const STRIPES: usize = 2;

impl<S: Default> Default for Stripe<S> {
    fn default() -> Self {
        Self {
            readers: AtomicUsize::new(0),
            payload: S::default(),
        }
    }
}

/// The stripe of the thread that asks.
#[cfg(not(shuttle))]
#[inline]
pub(super) fn current_stripe() -> usize {
    let stripe = STRIPE.get();
    if stripe < STRIPES {
        stripe
    } else {
        choose_stripe()
    }
}

/// The stripe of the thread that asks.
#[cfg(shuttle)]
pub(super) fn current_stripe() -> usize {
    usize::from(super::thread::current().id()) % STRIPES
}

#[cfg(not(shuttle))]
std::thread_local! {
    // A value that needs neither an initializer nor a destructor is as cheap to get as a static.
    static STRIPE: std::cell::Cell<usize> = const { std::cell::Cell::new(STRIPES) };
}

#[cfg(not(shuttle))]
#[cold]
fn choose_stripe() -> usize {
    use std::sync::atomic::Ordering;
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    let stripe = THREADS.fetch_add(1, Ordering::Relaxed) % STRIPES;
    STRIPE.set(stripe);
    stripe
}
