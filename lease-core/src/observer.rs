use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::{Epoch, ExpiredBatch, LeaseError, LeaseId, LeaseItem, StrangeRow, Ttl};

/// Is told what happens in a lessor: the seam for metrics and logs.
///
/// Called without any lock of the lessor held, after the fact, by the thread that did it. It may call
/// the lessor back. A panic is caught, and nobody hears of it.
///
/// ```
/// use lease_core::{BackendLessor, LessorEvent, LeaseId, Lessor, NullBackend, Observer};
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// #[derive(Default)]
/// struct Grants(AtomicUsize);
///
/// impl Observer for Grants {
///     fn observe(&self, event: &LessorEvent<'_>) {
///         if let LessorEvent::Granted { .. } = event {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
///
/// let grants = Arc::new(Grants::default());
/// let lessor = BackendLessor::builder(Arc::new(NullBackend))
///     .observer(grants.clone())
///     .build()?;
/// lessor.grant(LeaseId::try_from(7)?, 60)?;
/// assert_eq!(grants.0.load(Ordering::Relaxed), 1);
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
pub trait Observer: Send + Sync {
    /// Something has happened.
    ///
    /// ```
    /// # use lease_core::{LeaseError, LessorEvent, Observer};
    /// struct Failures;
    ///
    /// impl Observer for Failures {
    ///     fn observe(&self, event: &LessorEvent<'_>) {
    ///         if let LessorEvent::Failed(error) = event {
    ///             eprintln!("it is tried again: {error}");
    ///         }
    ///     }
    /// }
    /// # Failures.observe(&LessorEvent::Failed(&LeaseError::Stopped));
    /// ```
    fn observe(&self, event: &LessorEvent<'_>);

    /// Whether the events of expired and revoked leases are to have their items. Asked once, when the
    /// lessor is made. Default: no, because then the items of each such lease are copied for it, and a
    /// revoke of a lease with items is never decided and applied in one step.
    ///
    /// ```
    /// use lease_core::{BackendLessor, LessorEvent, Lessor, NullBackend, Observer};
    /// use std::sync::{Arc, Mutex};
    ///
    /// /// The keys that are gone.
    /// #[derive(Default)]
    /// struct Gone(Mutex<Vec<String>>);
    ///
    /// impl Observer for Gone {
    ///     fn observe(&self, event: &LessorEvent<'_>) {
    ///         if let LessorEvent::Revoked { items, reason, .. } = event {
    ///             let lines = items.iter().map(|item| format!("{item}: {reason:?}"));
    ///             self.0.lock().expect("nobody panics").extend(lines);
    ///         }
    ///     }
    ///
    ///     fn wants_items(&self) -> bool {
    ///         true
    ///     }
    /// }
    ///
    /// let gone = Arc::new(Gone::default());
    /// let lessor = BackendLessor::builder(Arc::new(NullBackend)).observer(gone.clone()).build()?;
    /// let id = lessor.grant_new(60)?.id();
    /// lessor.attach(id, &["services/web/1".into()])?;
    /// lessor.revoke(id)?;
    /// assert_eq!(*gone.0.lock().expect("nobody panics"), ["services/web/1: User"]);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    fn wants_items(&self) -> bool {
        false
    }

    /// Whether [`LessorEvent::Attached`] and [`LessorEvent::Detached`] are to be told. Asked once, when the
    /// lessor is made. Default: no, because then each item of such a command is looked up once more, and the
    /// command is never decided and applied in one step.
    ///
    /// ```
    /// use lease_core::{BackendLessor, LessorEvent, Lessor, NullBackend, Observer};
    /// use std::sync::{Arc, Mutex};
    ///
    /// /// The keys that have a lease.
    /// #[derive(Default)]
    /// struct Here(Mutex<Vec<String>>);
    ///
    /// impl Observer for Here {
    ///     fn observe(&self, event: &LessorEvent<'_>) {
    ///         if let LessorEvent::Attached { items, .. } = event {
    ///             let keys = items.iter().map(ToString::to_string);
    ///             self.0.lock().expect("nobody panics").extend(keys);
    ///         }
    ///     }
    ///
    ///     fn wants_attachments(&self) -> bool {
    ///         true
    ///     }
    /// }
    ///
    /// let here = Arc::new(Here::default());
    /// let lessor = BackendLessor::builder(Arc::new(NullBackend)).observer(here.clone()).build()?;
    /// let id = lessor.grant_new(60)?.id();
    /// lessor.attach(id, &["services/web/1".into()])?;
    /// assert_eq!(*here.0.lock().expect("nobody panics"), ["services/web/1"]);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    fn wants_attachments(&self) -> bool {
        false
    }
}

/// What an [`Observer`] is told.
///
/// ```
/// use lease_core::{LessorEvent, RevokeReason};
///
/// fn line(event: &LessorEvent<'_>) -> Option<String> {
///     match event {
///         LessorEvent::Granted { id, ttl } => Some(format!("{id}: granted for {ttl}")),
///         LessorEvent::Revoked { id, reason: RevokeReason::Expired, .. } => {
///             Some(format!("{id}: expired"))
///         }
///         _ => None,
///     }
/// }
/// assert_eq!(line(&LessorEvent::Demoted), None);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LessorEvent<'a> {
    /// A lease was granted.
    Granted {
        /// Which lease.
        id: LeaseId,
        /// For how long.
        ttl: Ttl,
    },
    /// A lease was revoked.
    Revoked {
        /// Which lease.
        id: LeaseId,
        /// Why.
        reason: RevokeReason,
        /// What was attached to it, sorted; empty unless the observer
        /// [wants items](Observer::wants_items).
        items: &'a [LeaseItem],
    },
    /// A lease was renewed.
    Renewed {
        /// Which lease.
        id: LeaseId,
        /// For how long.
        ttl: Ttl,
    },
    /// Leases were delivered as expired; they are not revoked yet.
    Expired {
        /// The leases.
        batch: &'a ExpiredBatch,
        /// For each of them, in the order of the batch, what is attached to it, sorted; empty unless the
        /// observer [wants items](Observer::wants_items). A host that revokes a lease at once may do so
        /// before they are copied, which leaves none for this event; that of the revoke has them.
        items: &'a [Vec<LeaseItem>],
    },
    /// Items were added to a lease. Only if the observer [wants attachments](Observer::wants_attachments).
    Attached {
        /// Which lease.
        id: LeaseId,
        /// Those that it did not have before, sorted. One that another lease had was taken from that one,
        /// which is told first.
        items: &'a [LeaseItem],
    },
    /// Items were taken from a lease, by a detach, or by an attach that moved them to another one. Told as
    /// [`Attached`](Self::Attached) is. A lease that is revoked loses its items without this event.
    Detached {
        /// Which lease.
        id: LeaseId,
        /// Those that it had, sorted.
        items: &'a [LeaseItem],
    },
    /// This lessor became the primary of an epoch.
    Promoted(Epoch),
    /// This lessor ceased to be the primary.
    Demoted,
    /// Work that nobody waits for failed: a batched commit, an automatic revoke, a checkpoint. It is
    /// tried again.
    Failed(&'a LeaseError),
    /// A stored row was mended or skipped by a recovery.
    StrangeRow(&'a StrangeRow),
    /// The host seems to have forgotten something, and leases do not expire. Told each time; with the
    /// feature `tracing` the first one of its kind is a warning, also without an observer.
    Overlooked(Oversight),
}

/// What a host seems to have forgotten.
///
/// ```
/// use lease_core::Oversight;
///
/// println!("{}", Oversight::NotPromoted);
/// assert!(Oversight::NotTaken.to_string().contains("expired_leases"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Oversight {
    /// The host grants leases, and has not promoted the lessor ten seconds later; told once. Leases that a
    /// log brings ([`BackendLessor::apply`](crate::BackendLessor::apply)) do not count: the members of a
    /// cluster that are no primary get them so.
    NotPromoted,
    /// A batch of expired leases has lain for ten seconds, and nobody has taken any.
    NotTaken,
}

impl fmt::Display for Oversight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPromoted => {
                "leases are granted and do not expire: the lessor was never promoted; \
                 call promote, or make it with BackendLessor::standalone"
            }
            Self::NotTaken => {
                "leases have expired and live on: nobody takes them from expired_leases; \
                 take and revoke them, or make the lessor with ExpiryMode::AutoRevoke"
            }
        })
    }
}

/// Several observers, told one after the other. One that panics does not keep the event from the
/// others.
///
/// ```
/// use lease_core::{BackendLessor, LessorEvent, NullBackend, Observer};
/// use std::sync::Arc;
///
/// struct Log(&'static str);
///
/// impl Observer for Log {
///     fn observe(&self, event: &LessorEvent<'_>) {
///         println!("{}: {event:?}", self.0);
///     }
/// }
///
/// let both: Vec<Arc<dyn Observer>> = vec![Arc::new(Log("one")), Arc::new(Log("other"))];
/// let lessor = BackendLessor::builder(Arc::new(NullBackend))
///     .observer(Arc::new(both))
///     .build()?;
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
impl Observer for Vec<Arc<dyn Observer>> {
    fn observe(&self, event: &LessorEvent<'_>) {
        for observer in self {
            // Nobody waits for an observer's panic.
            let _ = catch_unwind(AssertUnwindSafe(|| observer.observe(event)));
        }
    }

    /// If one of them does.
    fn wants_items(&self) -> bool {
        self.iter().any(|observer| observer.wants_items())
    }

    /// If one of them does.
    fn wants_attachments(&self) -> bool {
        self.iter().any(|observer| observer.wants_attachments())
    }
}

/// Why a lease was revoked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum RevokeReason {
    /// Somebody asked for it.
    User,
    /// Its time was up.
    Expired,
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// Keeps the events, and panics after each.
    #[derive(Default)]
    struct Panics(Mutex<Vec<String>>);

    impl Observer for Panics {
        fn observe(&self, event: &LessorEvent<'_>) {
            let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            heard.push(format!("{event:?}"));
            drop(heard);
            panic!("this observer panics");
        }
    }

    #[test]
    fn every_observer_hears_every_event_though_each_panics() {
        let (one, other) = (Arc::new(Panics::default()), Arc::new(Panics::default()));
        let both: Vec<Arc<dyn Observer>> = vec![one.clone(), other.clone()];
        both.observe(&LessorEvent::Promoted(Epoch::ZERO));
        both.observe(&LessorEvent::Failed(&LeaseError::Stopped));
        both.observe(&LessorEvent::Demoted);
        for observer in [one, other] {
            let heard = observer.0.lock().expect("not held while it panics");
            assert_eq!(*heard, ["Promoted(Epoch(0))", "Failed(Stopped)", "Demoted"]);
        }
    }
}
