use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{Either, join_all, select};
use lease_core::{Checkpoint, Epoch, LeaseError, LeaseId, Lessor, Renewal, Ttl};
use lease_http::ClientError;
use lease_http::messages::{BatchAnswer, MAX_BATCH, Renew, RenewBatch};

use super::Inner;
use super::traced::{call_span, traced};
use crate::ReplicaError;
use crate::entry::Request;
use crate::probe::planted;

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
        if planted!("raft-follower-renews")
            && let Some(lease) = self.lessor.lookup(id)
        {
            return Ok(lease.ttl());
        }
        let here = || async { self.renew_here(id).await };
        let span = call_span!("renew", self.member, Some(id));
        traced(span, self.at_primary(timeout, here, Renew(id))).await
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
        // Not by the lessor's clock, which may go back.
        let deadline = self.runtime.sleep(timeout).shared();
        let here = || async {
            let renewed = self.renew_batch_here(ids).await?;
            Ok(renewed.into_iter().map(as_answer).collect())
        };
        let span = call_span!("renew_many", self.member, None::<LeaseId>);
        let asked = traced(span, self.at_primary(timeout, here, RenewBatch(ids)));
        let answers: BatchAnswer = match asked.await {
            Ok(answers) => answers,
            Err(error) => return vec![Err(error); ids.len()],
        };
        let each = ids.iter().zip(answers).map(|(id, answer)| {
            let deadline = deadline.clone();
            async move {
                match answer {
                    Ok(ttl) => Ok(ttl),
                    Err(ClientError::NotFound) => Err(LeaseError::LeaseNotFound.into()),
                    // It waits for its end or for a checkpoint, or the primary has changed meanwhile.
                    Err(_) => {
                        let renews = Box::pin(self.renew(*id, timeout));
                        match select(renews, deadline).await {
                            Either::Left((renewed, _)) => renewed,
                            Either::Right(_) => Err(ReplicaError::DeadlineExceeded),
                        }
                    }
                }
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
        let epoch = self.primary_epoch()?;
        let mut renewed = self.lessor.renew_many(ids);
        self.reset_many(ids, &mut renewed).await?;
        loop {
            self.confirm_as(epoch).await?;
            let mut granted = Vec::new();
            for (at, (id, answer)) in ids.iter().zip(&mut renewed).enumerate() {
                match answer {
                    Ok(Renewal::Renewed(_)) => {
                        *answer = self.ttl_of(*id).map(Renewal::Renewed);
                    }
                    Err(LeaseError::LeaseNotFound) if self.is_there(*id) => granted.push(at),
                    _ => {}
                }
            }
            if granted.is_empty() {
                return Ok(renewed);
            }
            self.renew_again(ids, &granted, &mut renewed);
        }
    }

    /// Has the checkpoints taken back, in one entry, of those leases whose renewal needs it, and renews these.
    async fn reset_many(
        self: &Arc<Self>,
        ids: &[LeaseId],
        renewed: &mut [Result<Renewal, LeaseError>],
    ) -> Result<(), LeaseError> {
        let (mut at, mut checkpoints) = (Vec::new(), Vec::new());
        for (index, answer) in renewed.iter().enumerate() {
            if let Ok(Renewal::Reset(checkpoint)) = answer {
                at.push(index);
                checkpoints.push(*checkpoint);
            }
        }
        if !checkpoints.is_empty() {
            self.reset(checkpoints).await?;
            self.renew_again(ids, &at, renewed);
        }
        Ok(())
    }

    /// Renews those at these places again.
    fn renew_again(
        &self,
        ids: &[LeaseId],
        places: &[usize],
        renewed: &mut [Result<Renewal, LeaseError>],
    ) {
        let again: Vec<_> = places.iter().map(|at| ids[*at]).collect();
        for (at, answer) in places.iter().zip(self.lessor.renew_many(&again)) {
            renewed[*at] = answer;
        }
    }

    /// Renews a lease here, and answers when it is certain that this member leads.
    ///
    /// # Errors
    ///
    /// [`LeaseError::NotPrimary`] if it does not, or that is not certain;
    /// [`LeaseError::LeaseNotFound`].
    pub(super) async fn renew_here(self: &Arc<Self>, id: LeaseId) -> Result<Ttl, LeaseError> {
        loop {
            let epoch = self.primary_epoch()?;
            match self.lessor.try_renew(id) {
                Ok(Renewal::Renewed(ttl)) => {
                    self.confirm_as(epoch).await?;
                    if planted!("raft-renews-what-was-there") && self.is_there(id) {
                        return Ok(ttl);
                    }
                    return self.ttl_of(id);
                }
                Ok(Renewal::Reset(checkpoint)) => {
                    let ttl = self.lessor.lookup(id).map(|lease| lease.ttl());
                    if let Some(ttl) = ttl.filter(|_| planted!("raft-renews-without-reset")) {
                        return Ok(ttl);
                    }
                    self.reset(vec![checkpoint]).await?;
                }
                Ok(Renewal::Expiring) if planted!("renew-expiring") => return self.ttl_of(id),
                Ok(Renewal::Expiring) => {
                    if let Some(wait) = self.lessor.wait(id) {
                        wait.await;
                    }
                    // It is gone now, or this is no primary, which the next look finds.
                }
                Ok(_) => return Err(LeaseError::NotPrimary),
                Err(LeaseError::LeaseNotFound) => {
                    self.confirm_as(epoch).await?;
                    if !self.is_there(id) {
                        return Err(LeaseError::LeaseNotFound);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn primary_epoch(&self) -> Result<Epoch, LeaseError> {
        self.lessor.primary_epoch().ok_or(LeaseError::NotPrimary)
    }

    /// Makes certain that this member is the primary of this epoch still, and has applied all that anybody was
    /// told before: a grant or a revoke is acknowledged by the member that was asked for it, and this one may
    /// apply it later. What was found before is looked at again then.
    ///
    /// # Errors
    ///
    /// [`LeaseError::NotPrimary`] if it is not, or that is not certain.
    async fn confirm_as(self: &Arc<Self>, epoch: Epoch) -> Result<(), LeaseError> {
        self.confirm().await.map_err(|_| LeaseError::NotPrimary)?;
        // Between the two another member may have led: then the time did not count.
        match self.lessor.primary_epoch() == Some(epoch) {
            true => Ok(()),
            false => Err(LeaseError::NotPrimary),
        }
    }

    /// The TTL of a lease that was renewed, when all that anybody was told before is applied. If it was
    /// granted again meanwhile it is another one, which has its whole TTL since then.
    fn ttl_of(&self, id: LeaseId) -> Result<Ttl, LeaseError> {
        let lease = self.lessor.time_to_live(id);
        let lease = lease.ok_or(LeaseError::LeaseNotFound)?;
        Ok(lease.ttl())
    }

    fn is_there(&self, id: LeaseId) -> bool {
        self.lessor.time_to_live(id).is_some()
    }

    /// Has the checkpoints of leases taken back, which their renewals need.
    async fn reset(self: &Arc<Self>, checkpoints: Vec<Checkpoint>) -> Result<(), LeaseError> {
        let request = Request::Checkpoint(checkpoints);
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
