use std::time::Duration;

use super::state::State;
use super::{BackendLessor, CheckpointMode, ExpiredLeases};
use crate::lessor_trait::Lessor;
use crate::probe::planted;
use crate::sync::Arc;
use crate::{
    Backend, BackendError, Checkpoint, Checkpointer, Epoch, ExpiredBatch, Lease, LeaseError,
    LeaseId, LeaseItem, RangeDeleter, Renewal, RequestedTtl, Revocation, Revoked, TimeToLive,
    Timestamp, Ttl, WriteBatch,
};

impl Lessor for BackendLessor {
    fn set_range_deleter(&self, range_deleter: Arc<dyn RangeDeleter>) {
        let state = &self.shared.state;
        let old = state.with(|state| state.range_deleter.replace(range_deleter));
        // Outside the lock: to drop it is the host's code.
        drop(old);
    }

    fn set_checkpointer(&self, checkpointer: Arc<dyn Checkpointer>) {
        let mode = CheckpointMode::Proposed(checkpointer);
        let state = &self.shared.state;
        let old = state.with(|state| std::mem::replace(&mut state.checkpoints, mode));
        drop(old);
    }

    fn grant_lease(&self, id: Option<LeaseId>, ttl: RequestedTtl) -> Result<Lease, LeaseError> {
        match id {
            Some(id) => self.grant(id, ttl),
            None => self.grant_new(ttl),
        }
    }

    fn revoke(&self, id: LeaseId) -> Result<(), LeaseError> {
        self.shared.revoke(id, WriteBatch::default())
    }

    fn revoke_many(&self, ids: &[LeaseId]) -> Result<Vec<Result<(), LeaseError>>, LeaseError> {
        let revocations = ids.iter().copied().map(Revocation::by_user).collect();
        let answers = self.shared.revoke_many(revocations)?;
        Ok(answers.into_iter().map(|answer| answer.map(drop)).collect())
    }

    fn revoke_expired(
        &self,
        batch: &ExpiredBatch,
    ) -> Result<Vec<Result<Revoked, LeaseError>>, LeaseError> {
        self.shared.revoke_many(batch.revocations().collect())
    }

    fn checkpoint(&self, id: LeaseId, remaining: i64) -> Result<(), LeaseError> {
        let remaining = match remaining {
            0 => None,
            secs => Some(Ttl::new(secs).map_err(|_| LeaseError::RemainingTtlOutOfRange)?),
        };
        let command = Checkpoint::new(id, remaining).into();
        self.shared.apply(command, WriteBatch::default()).map(drop)
    }

    fn attach(&self, id: LeaseId, items: &[LeaseItem]) -> Result<(), LeaseError> {
        self.shared.attach(id, items, WriteBatch::default())
    }

    fn detach(&self, id: LeaseId, items: &[LeaseItem]) -> Result<(), LeaseError> {
        self.shared.detach(id, items, WriteBatch::default())
    }

    fn get_lease(&self, item: &[u8]) -> Option<LeaseId> {
        self.shared.state.read(|state| state.core.get_lease(item))
    }

    fn promote(&self, extend: Duration) -> Result<Epoch, LeaseError> {
        let epoch = self.shared.state.read(|state| state.core.next_epoch());
        self.shared.begin_epoch(epoch)?;
        self.promote_to(epoch, extend);
        self.primary_epoch().ok_or(LeaseError::NotPrimary)
    }

    fn demote(&self) {
        if let Some(epoch) = self.shared.state.read(|state| state.core.primary_epoch()) {
            self.demote_from(epoch);
        }
    }

    fn renew(&self, id: LeaseId) -> Result<Ttl, LeaseError> {
        self.shared.renew(id, self.shared.options.renew_timeout)
    }

    fn renew_timeout(&self, id: LeaseId, timeout: Duration) -> Result<Ttl, LeaseError> {
        self.shared.renew(id, timeout)
    }

    fn try_renew(&self, id: LeaseId) -> Result<Renewal, LeaseError> {
        self.shared.try_renew(id)
    }

    fn renew_many(&self, ids: &[LeaseId]) -> Vec<Result<Renewal, LeaseError>> {
        self.shared.renew_many(ids)
    }

    fn lookup(&self, id: LeaseId) -> Option<Lease> {
        self.shared.lookup(id)
    }

    fn time_to_live(&self, id: LeaseId) -> Option<TimeToLive> {
        self.shared.time_to_live(id)
    }

    fn leases(&self) -> Vec<Lease> {
        self.shared.leases()
    }

    fn page(&self, after: Option<LeaseId>, limit: usize) -> Vec<Lease> {
        self.shared.page(after, limit)
    }

    fn expired_leases(&self) -> ExpiredLeases {
        ExpiredLeases::of(&self.shared)
    }

    fn recover(
        &self,
        backend: Arc<dyn Backend>,
        range_deleter: Option<Arc<dyn RangeDeleter>>,
    ) -> Result<(), LeaseError> {
        self.shared.recover(backend, range_deleter)
    }

    fn tick(&self) -> Option<Timestamp> {
        if self.shared.is_manual() {
            self.shared.drive_expiry();
            self.shared.drive_checkpoints();
            self.shared.drive_flush();
            let next = self.shared.state.with(State::rest);
            if planted!("never-at-rest") {
                return Some(Timestamp::ZERO);
            }
            if planted!("woken-late") {
                return next.map(|next| next.saturating_add(Duration::from_millis(100)));
            }
            return next;
        }
        self.shared.next_wakeup()
    }

    fn next_wakeup(&self) -> Option<Timestamp> {
        self.shared.next_wakeup()
    }

    fn flush(&self) -> Result<(), BackendError> {
        self.shared.flush()
    }

    fn stop(&self) {
        self.stop_all();
    }
}
