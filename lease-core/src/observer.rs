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

/// Why a lease was revoked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum RevokeReason {
    /// Somebody asked for it.
    User,
    /// Its time was up.
    Expired,
}
