use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::{Epoch, ExpiredBatch, LeaseError, LeaseId, Ttl};

/// Is told what happens in a lessor: the seam for metrics and logs.
///
/// Called without any lock of the lessor held, after the fact, by the thread that did it. Every
/// method does nothing by default. A method that panics is caught and not called again for that
/// event.
pub trait Observer: Send + Sync {
    /// A lease was granted.
    fn granted(&self, id: LeaseId, ttl: Ttl) {
        let _ = (id, ttl);
    }

    /// A lease was revoked.
    fn revoked(&self, id: LeaseId, reason: RevokeReason) {
        let _ = (id, reason);
    }

    /// A lease was renewed.
    fn renewed(&self, id: LeaseId, ttl: Ttl) {
        let _ = (id, ttl);
    }

    /// Leases were handed out as expired.
    fn expired(&self, batch: &ExpiredBatch) {
        let _ = batch;
    }

    /// This lessor became the primary of an epoch.
    fn promoted(&self, epoch: Epoch) {
        let _ = epoch;
    }

    /// This lessor ceased to be the primary.
    fn demoted(&self) {}

    /// Work that nobody waits for failed: a batched commit, an automatic revoke, a checkpoint. It
    /// is tried again.
    fn failed(&self, error: &LeaseError) {
        let _ = error;
    }
}

/// Several observers, told one after the other. One that panics does not keep the event from the
/// others.
///
/// ```
/// use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend, Observer, Ttl};
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// #[derive(Default)]
/// struct Grants(AtomicUsize);
///
/// impl Observer for Grants {
///     fn granted(&self, _: LeaseId, _: Ttl) {
///         self.0.fetch_add(1, Ordering::Relaxed);
///     }
/// }
///
/// let (one, other) = (Arc::new(Grants::default()), Arc::new(Grants::default()));
/// let both: Vec<Arc<dyn Observer>> = vec![one.clone(), other.clone()];
/// let lessor = BackendLessor::builder(Arc::new(NullBackend))
///     .observer(Arc::new(both))
///     .build()?;
/// lessor.grant(LeaseId::try_from(7)?, 60)?;
/// assert_eq!(one.0.load(Ordering::Relaxed), 1);
/// assert_eq!(other.0.load(Ordering::Relaxed), 1);
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
impl Observer for Vec<Arc<dyn Observer>> {
    fn granted(&self, id: LeaseId, ttl: Ttl) {
        tell_each(self, |observer| observer.granted(id, ttl));
    }

    fn revoked(&self, id: LeaseId, reason: RevokeReason) {
        tell_each(self, |observer| observer.revoked(id, reason));
    }

    fn renewed(&self, id: LeaseId, ttl: Ttl) {
        tell_each(self, |observer| observer.renewed(id, ttl));
    }

    fn expired(&self, batch: &ExpiredBatch) {
        tell_each(self, |observer| observer.expired(batch));
    }

    fn promoted(&self, epoch: Epoch) {
        tell_each(self, |observer| observer.promoted(epoch));
    }

    fn demoted(&self) {
        tell_each(self, |observer| observer.demoted());
    }

    fn failed(&self, error: &LeaseError) {
        tell_each(self, |observer| observer.failed(error));
    }
}

fn tell_each(observers: &[Arc<dyn Observer>], tell: impl Fn(&dyn Observer)) {
    for observer in observers {
        // Nobody waits for an observer's panic.
        let _ = catch_unwind(AssertUnwindSafe(|| tell(&**observer)));
    }
}

/// Why a lease was revoked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum RevokeReason {
    /// Somebody asked for it.
    User,
    /// Its time was up.
    Expired,
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Keeps the names of the events, and panics after each.
    #[derive(Default)]
    struct Panics(Mutex<Vec<&'static str>>);

    impl Panics {
        fn hear(&self, event: &'static str) {
            let mut heard = self
                .0
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            heard.push(event);
            drop(heard);
            panic!("this observer panics");
        }
    }

    impl Observer for Panics {
        fn granted(&self, _: LeaseId, _: Ttl) {
            self.hear("granted");
        }
        fn revoked(&self, _: LeaseId, _: RevokeReason) {
            self.hear("revoked");
        }
        fn renewed(&self, _: LeaseId, _: Ttl) {
            self.hear("renewed");
        }
        fn expired(&self, _: &ExpiredBatch) {
            self.hear("expired");
        }
        fn promoted(&self, _: Epoch) {
            self.hear("promoted");
        }
        fn demoted(&self) {
            self.hear("demoted");
        }
        fn failed(&self, _: &LeaseError) {
            self.hear("failed");
        }
    }

    #[test]
    fn every_observer_hears_every_event_though_each_panics() {
        let (one, other) = (Arc::new(Panics::default()), Arc::new(Panics::default()));
        let both: Vec<Arc<dyn Observer>> = vec![one.clone(), other.clone()];
        let id = LeaseId::new(7).expect("not zero");
        let batch = ExpiredBatch {
            number: 0,
            epoch: Epoch::ZERO,
            leases: Vec::new(),
        };
        both.promoted(Epoch::ZERO);
        both.granted(id, Ttl::MIN);
        both.renewed(id, Ttl::MIN);
        both.expired(&batch);
        both.revoked(id, RevokeReason::Expired);
        both.failed(&LeaseError::Stopped);
        both.demoted();
        for observer in [one, other] {
            assert_eq!(
                *observer.0.lock().expect("not held while it panics"),
                [
                    "promoted", "granted", "renewed", "expired", "revoked", "failed", "demoted"
                ]
            );
        }
    }
}
