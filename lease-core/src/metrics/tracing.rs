use std::error::Error;
use std::fmt;

use tracing::{debug, trace, warn};

use crate::{ExpiredBatch, LeaseError, LessorEvent, Observer, Oversight, RevokeReason};

/// Tells what happens in a lessor to the installed `tracing` subscriber.
///
/// The lessor itself, with or without this observer, warns once of what its host seems to have forgotten
/// ([`Oversight`]), and each time that work in the background fails, with the cause.
///
/// Every event has the target `lease_core`. Strange rows are at level warn, changes of the role and expired
/// batches at level debug; what concerns one lease is at level trace, since there are as many of those as
/// there are grants, renewals and revokes. TTLs are in seconds, ids in hexadecimal as etcd's tools
/// print them. A level that nobody wants costs a load and a comparison.
///
/// ```
/// use lease_core::metrics::TracingObserver;
/// use lease_core::{BackendLessor, NullBackend};
/// use std::sync::Arc;
///
/// let lessor = BackendLessor::builder(Arc::new(NullBackend))
///     .observer(Arc::new(TracingObserver))
///     .build()?;
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingObserver;

impl Observer for TracingObserver {
    fn observe(&self, event: &LessorEvent<'_>) {
        match event {
            LessorEvent::Granted { id, ttl } => {
                trace!(target: TARGET, %id, ttl_secs = ttl.as_secs(), "granted");
            }
            LessorEvent::Revoked { id, reason, .. } => {
                let reason = match reason {
                    RevokeReason::User => "user",
                    RevokeReason::Expired => "expired",
                };
                trace!(target: TARGET, %id, reason, "revoked");
            }
            LessorEvent::Renewed { id, ttl } => {
                trace!(target: TARGET, %id, ttl_secs = ttl.as_secs(), "renewed");
            }
            LessorEvent::Expired { batch, .. } => expired(batch),
            LessorEvent::Attached { id, items } => {
                trace!(target: TARGET, %id, items = items.len(), "attached");
            }
            LessorEvent::Detached { id, items } => {
                trace!(target: TARGET, %id, items = items.len(), "detached");
            }
            LessorEvent::Promoted(epoch) => debug!(target: TARGET, epoch = epoch.get(), "promoted"),
            LessorEvent::Demoted => debug!(target: TARGET, "demoted"),
            // The lessor warns itself, also where there is no observer.
            LessorEvent::Failed(_) | LessorEvent::Overlooked(_) => {}
            LessorEvent::StrangeRow(row) => warn!(target: TARGET, row = %row, "strange row"),
        }
    }
}

/// Warns of what a host seems to have forgotten.
pub(crate) fn warn_of(oversight: Oversight) {
    warn!(target: TARGET, "{oversight}");
}

/// Warns of work in the background that has failed.
pub(crate) fn warn_of_failure(error: &LeaseError) {
    warn!(target: TARGET, error = %Chain(error), "failed");
}

fn expired(batch: &ExpiredBatch) {
    let (epoch, number) = (batch.epoch.get(), batch.number);
    debug!(target: TARGET, epoch, number, leases = batch.leases.len(), "leases expired");
    for lease in &batch.leases {
        let (id, incarnation) = (lease.id, lease.incarnation);
        trace!(target: TARGET, %id, %incarnation, attempt = lease.attempt, "expired");
    }
}

const TARGET: &str = "lease_core";

/// An error and what caused it: the texts of [`LeaseError`](crate::LeaseError) leave the cause to the caller.
struct Chain<'e>(&'e dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        match self.0.source() {
            None => Ok(()),
            Some(cause) => write!(f, ": {}", Chain(cause)),
        }
    }
}
