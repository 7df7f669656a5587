use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use lease_core::{Checkpoint, LeaseError, LeaseId, Lessor, Renewal, Ttl};
use lease_http::ClientError;
use lease_http::messages::{BatchAnswer, MAX_BATCH, Renew, RenewBatch};

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

    /// Renews many leases at the primary, in as few messages as can be and under one confirmation of each.
    /// Those that have to wait for something are then renewed one by one.
    pub(crate) async fn renew_many(
        self: &Arc<Self>,
        ids: &[LeaseId],
        timeout: Duration,
    ) -> Vec<Result<Ttl, ReplicaError>> {
        let batches = ids.chunks(MAX_BATCH);
        let renewed = join_all(batches.map(|ids| self.renew_batch(ids, timeout))).await;
        renewed.into_iter().flatten().collect()
    }

    async fn renew_batch(
        self: &Arc<Self>,
        ids: &[LeaseId],
        timeout: Duration,
    ) -> Vec<Result<Ttl, ReplicaError>> {
        let since = self.clock.precise_now();
        let here = || async {
            let renewed = self.renew_batch_here(ids).await?;
            Ok(renewed.into_iter().map(as_answer).collect())
        };
        let answers: BatchAnswer = match self.at_primary(timeout, here, RenewBatch(ids)).await {
            Ok(answers) => answers,
            Err(error) => return vec![Err(error); ids.len()],
        };
        let spent = self.clock.precise_now().saturating_duration_since(since);
        let left = timeout.saturating_sub(spent);
        let each = ids.iter().zip(answers).map(|(id, answer)| async move {
            match answer {
                Ok(ttl) => Ok(ttl),
                Err(ClientError::NotFound) => Err(LeaseError::LeaseNotFound.into()),
                // It waits for its end or for a checkpoint, or the primary has changed meanwhile.
                Err(_) => self.renew(*id, left).await,
            }
        });
        join_all(each).await
    }

    /// Renews here what can be renewed at once.
    ///
    /// # Errors
    ///
    /// [`LeaseError::NotPrimary`] if this member does not lead, or that is not certain.
    pub(super) async fn renew_batch_here(
        self: &Arc<Self>,
        ids: &[LeaseId],
    ) -> Result<Vec<Result<Renewal, LeaseError>>, LeaseError> {
        let epoch = self.lessor.primary_epoch().ok_or(LeaseError::NotPrimary)?;
        let renewed = self.lessor.renew_many(ids);
        self.confirm().await.map_err(|_| LeaseError::NotPrimary)?;
        if self.lessor.primary_epoch() != Some(epoch) {
            return Err(LeaseError::NotPrimary);
        }
        Ok(renewed)
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

/// What another member would be answered.
fn as_answer(renewed: Result<Renewal, LeaseError>) -> Result<Ttl, ClientError> {
    match renewed {
        Ok(Renewal::Renewed(ttl)) => Ok(ttl),
        Ok(_) => Err(ClientError::MustWait),
        Err(LeaseError::LeaseNotFound) => Err(ClientError::NotFound),
        Err(_) => Err(ClientError::Demoted),
    }
}
