use std::time::Duration;

use super::expiry::CLOCK_PAUSE;
use super::isolate::isolate;
use super::job::{IfBusy, Job, Refusal};
use super::state::State;
use super::{CheckpointMode, Shared};
use crate::{
    Checkpoint, CheckpointBatch, Command, HostError, LeaseError, LeaseId, ProposalOutcome,
    Timestamp, WriteBatch,
};

impl Shared {
    /// Brings due checkpoints, and the resets that renewals wait for, to the host's log, or applies
    /// them if the host has none. Returns when one is due again.
    pub(super) fn drive_checkpoints(&self) -> Option<Timestamp> {
        loop {
            let Ok(now) = self.precise_time() else {
                let last = self.state.read(|state| state.core.now());
                return Some(last.saturating_add(CLOCK_PAUSE));
            };
            self.bring_resets();
            let (batch, next) = self.state.with(|state| state.checkpoint_slice(now));
            if let Some((mode, batch)) = batch {
                self.propose(mode, batch);
            }
            if next.is_none_or(|next| next > now) {
                return next;
            }
            self.state.give_way();
        }
    }

    fn propose(&self, mode: CheckpointMode, batch: CheckpointBatch) {
        let result = match mode {
            CheckpointMode::Local => self.propose_here(batch),
            mode => {
                let timeout = self.options.checkpoint_timeout;
                let result = self.bring_checkpoints(mode, &batch.records, timeout);
                let outcome = match result {
                    Ok(()) => ProposalOutcome::Applied,
                    Err(_) => ProposalOutcome::Unknown,
                };
                self.report(&batch, outcome);
                result
            }
        };
        if let Err(error) = result {
            self.observe_failure(&error);
        }
    }

    /// Applies checkpoints; those that have to be left out are due again soon.
    fn propose_here(&self, batch: CheckpointBatch) -> Result<(), LeaseError> {
        let CheckpointBatch { number, records } = batch;
        let proposed = self.checkpoint_free(records.clone());
        let is_left_out = |record: &Checkpoint| match &proposed {
            Ok(left_out) => left_out.contains(&record.id),
            Err(_) => true,
        };
        let (failed, applied) = records.into_iter().partition(is_left_out);
        let outcomes = [
            (applied, ProposalOutcome::Applied),
            (failed, ProposalOutcome::Failed),
        ];
        for (records, outcome) in outcomes {
            self.report(&CheckpointBatch { number, records }, outcome);
        }
        proposed.map(drop)
    }

    fn report(&self, batch: &CheckpointBatch, outcome: ProposalOutcome) {
        let now = self.time_or_last();
        self.state
            .with(|state| state.core.handle_checkpoints(now, batch, outcome));
    }

    /// Applies the checkpoints of those leases that no other command touches. Returns which are left
    /// out.
    pub(super) fn checkpoint_free(
        &self,
        checkpoints: Vec<Checkpoint>,
    ) -> Result<Vec<LeaseId>, LeaseError> {
        let mut left_out: Vec<_> = checkpoints.iter().map(|one| one.id).collect();
        let command = Command::Checkpoint(checkpoints);
        let mut job = Job::new(command, WriteBatch::default(), Refusal::Drops);
        job.busy = IfBusy::Leaves;
        let Some((Command::Checkpoint(applied), _)) = self.go(job)? else {
            unreachable!("a checkpoint stays one");
        };
        let mut applied = applied.iter().map(|one| one.id).peekable();
        // They are in the order in which they were given.
        left_out.retain(|id| applied.next_if_eq(id).is_none());
        Ok(left_out)
    }

    /// Brings checkpoints to the replicated state: through the host's log, or here if it has none.
    pub(super) fn bring_checkpoints(
        &self,
        mode: CheckpointMode,
        checkpoints: &[Checkpoint],
        left: Duration,
    ) -> Result<(), LeaseError> {
        match mode {
            CheckpointMode::Local => {
                let command = Command::Checkpoint(checkpoints.to_vec());
                let job = Job::new(command, WriteBatch::default(), Refusal::Drops);
                self.go(job).map(drop)
            }
            CheckpointMode::Polled => Err(host_polls()),
            CheckpointMode::Proposed(checkpointer) => {
                let propose = || checkpointer.checkpoint(checkpoints, left);
                let result = isolate("checkpointer", propose);
                let result = result.and_then(|result| result.map_err(HostError::new));
                result.map_err(LeaseError::Checkpointer)
            }
        }
    }
}

/// Why a reset is not waited for.
pub(super) fn host_polls() -> LeaseError {
    LeaseError::Checkpointer(HostError::new("the host polls checkpoints; use try_renew"))
}

impl State {
    /// What is to be proposed, and how; and when there is more.
    fn checkpoint_slice(
        &mut self,
        now: Timestamp,
    ) -> (Option<(CheckpointMode, CheckpointBatch)>, Option<Timestamp>) {
        let is_own = !self.is_stopped && !matches!(self.checkpoints, CheckpointMode::Polled);
        let batch = if is_own {
            self.core.poll_checkpoints(now)
        } else {
            None
        };
        let next = self.next_checkpoint();
        self.alarms.checkpoint = next.unwrap_or(Timestamp::MAX);
        (batch.map(|batch| (self.checkpoints.clone(), batch)), next)
    }
}
