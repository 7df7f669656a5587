use std::sync::Arc;
use std::time::Duration;

use lease_core::{AttemptOutcome, CheckpointBatch, ExpiredBatch, Lessor, ProposalOutcome};

use super::Inner;
use crate::ProposeError;
use crate::entry::Request;
use crate::probe::planted;

/// What of the lessor's own is under way in the log.
#[derive(Default)]
pub(super) struct Flights {
    pub(super) expired: usize,
    /// How late the last batch was that is revoked.
    pub(super) lag: Duration,
}

/// A batch of expired leases that is under way; its place is free when this is dropped.
struct Flight(Arc<Inner>);

impl Drop for Flight {
    fn drop(&mut self) {
        if planted!("raft-room-never-free") {
            return;
        }
        self.0.state().flights.expired -= 1;
        self.0.nudge();
    }
}

impl Inner {
    /// Proposes what has expired, and what is to be checkpointed. Returns whether there may be more.
    pub(super) fn propose_due(self: &Arc<Self>) -> bool {
        let expired = self.lessor.expired_leases();
        let mut has_more = false;
        while self.has_room()
            && let Ok(batch) = expired.try_recv()
        {
            has_more = true;
            let flight = self.begin_flight();
            let inner = Arc::clone(self);
            let revokes = async move {
                inner.revoke(batch).await;
                drop(flight);
            };
            self.runtime.spawn(Box::pin(revokes));
        }
        while let Some(batch) = self.lessor.poll_checkpoints() {
            let inner = Arc::clone(self);
            let checkpoints = async move { inner.checkpoint(batch).await };
            self.runtime.spawn(Box::pin(checkpoints));
        }
        has_more
    }

    fn has_room(&self) -> bool {
        self.state().flights.expired < self.options.max_expired_batches
    }

    fn begin_flight(self: &Arc<Self>) -> Flight {
        self.state().flights.expired += 1;
        Flight(Arc::clone(self))
    }

    /// Has leases revoked that have expired. What is not known comes again after a retry interval.
    async fn revoke(self: Arc<Self>, batch: ExpiredBatch) {
        let is_again = batch.leases.iter().any(|lease| lease.attempt > 0);
        if is_again && planted!("raft-expires-once") {
            return;
        }
        let taken = self.clock.precise_now();
        let request = Request::Revoke(batch.revocations().collect());
        if planted!("raft-batch-proposed-twice") {
            // What becomes of this one is the same.
            let _ = self.propose_once(request.clone()).await;
        }
        let proposes = Box::pin(self.propose_once(request));
        let timeout = self.options.config.expired_lease_retry_interval;
        let outcome = self.within(timeout, proposes).await;
        if let Some(Ok(_)) = outcome {
            let spent = self.clock.precise_now().saturating_duration_since(taken);
            let latest = batch.leases.iter().map(|lease| lease.lag).max();
            self.state().flights.lag = spent.saturating_add(latest.unwrap_or_default());
        }
        if let Some(Err(ProposeError::NotLeader)) = outcome {
            for revocation in batch.revocations() {
                if let Some(fence) = revocation.fence {
                    let failed = AttemptOutcome::Failed;
                    self.lessor.handle_attempt(revocation.id, fence, failed);
                }
            }
        }
    }

    async fn checkpoint(self: Arc<Self>, batch: CheckpointBatch) {
        let request = Request::Checkpoint(batch.records.clone());
        let proposes = Box::pin(self.propose_once(request));
        let timeout = self.options.config.checkpoint_interval;
        let outcome = match self.within(timeout, proposes).await {
            Some(Ok(_)) => ProposalOutcome::Applied,
            Some(Err(ProposeError::NotLeader)) => ProposalOutcome::Failed,
            Some(Err(ProposeError::Unknown)) | None => ProposalOutcome::Unknown,
        };
        self.lessor.handle_checkpoints(&batch, outcome);
        self.look_for_checkpoints();
    }
}
