use std::sync::Arc;
use std::time::Duration;

use lease_core::{Checkpoint, LeaseError, LeaseId, Lessor, Renewal, Ttl};
use lease_http::messages::Renew;

use super::Inner;
use crate::ReplicaError;
use crate::entry::Request;

impl Inner {
    /// Renews a lease at the primary, wherever that is.
    ///
    /// # Errors
    ///
    /// [`ReplicaError`]; a renewal whose outcome is not known may be repeated.
    pub(crate) async fn renew(
        self: &Arc<Self>,
        id: LeaseId,
        timeout: Duration,
    ) -> Result<Ttl, ReplicaError> {
        self.at_primary(timeout, || async { self.renew_here(id).await }, Renew(id))
            .await
    }

    /// Renews a lease here, and answers when it is certain that this member leads.
    ///
    /// # Errors
    ///
    /// [`LeaseError::NotPrimary`] if it does not, or that is not certain;
    /// [`LeaseError::LeaseNotFound`].
    pub(super) async fn renew_here(self: &Arc<Self>, id: LeaseId) -> Result<Ttl, LeaseError> {
        loop {
            let epoch = self.lessor.primary_epoch().ok_or(LeaseError::NotPrimary)?;
            match self.lessor.try_renew(id)? {
                Renewal::Renewed(ttl) => {
                    self.confirm().await.map_err(|_| LeaseError::NotPrimary)?;
                    // Between the two another member may have led: then the time did not count.
                    if self.lessor.primary_epoch() != Some(epoch) {
                        return Err(LeaseError::NotPrimary);
                    }
                    return Ok(ttl);
                }
                Renewal::Reset(checkpoint) => self.reset(checkpoint).await?,
                Renewal::Expiring => {
                    if let Some(wait) = self.lessor.wait(id) {
                        wait.await;
                    }
                    // It is gone now, or this is no primary, which the next look finds.
                }
                _ => return Err(LeaseError::NotPrimary),
            }
        }
    }

    /// Has the checkpoint of a lease taken back, which a renewal needs.
    async fn reset(self: &Arc<Self>, checkpoint: Checkpoint) -> Result<(), LeaseError> {
        let request = Request::Checkpoint(vec![checkpoint]);
        let proposed = self.propose_once(request).await;
        // Whether it is in the log is not known: the renewal looks again at the next attempt.
        proposed.map(drop).map_err(|_| LeaseError::NotPrimary)
    }
}
