use std::time::Duration;

use super::expiry::CLOCK_PAUSE;
use super::isolate::isolate;
use super::job::Purpose;
use super::own::Kind;
use super::state::State;
use super::{CheckpointMode, Shared};
use crate::machine::WhileOpen;
use crate::probe::planted;
use crate::{Checkpoint, CheckpointBatch, HostError, LeaseError, ProposalOutcome, Timestamp};

impl Shared {
    /// Brings due checkpoints, and the resets that renewals wait for, to the host's log, or applies
    /// them if the host has none. Returns when one is due again.
    pub(super) fn drive_checkpoints(&self) -> Option<Timestamp> {
        loop {
            self.begin_round(Kind::Checkpoints);
            let Ok(now) = self.precise_time() else {
                let last = self.state.read(|state| state.core.now());
                return Some(last.saturating_add(CLOCK_PAUSE));
            };
            self.bring_resets();
            let (proposed, next) = self.state.with(|state| state.checkpoint_slice(now));
            if let Some((mode, batch)) = proposed {
                self.propose(&mode, &batch);
            }
            let has_more = self.carry_out_own(Kind::Checkpoints);
            let has_more = has_more || next.is_some_and(|next| next <= now);
            if !has_more && let Some(next) = self.end_round(Kind::Checkpoints, next) {
                return next;
            }
            self.state.give_way();
        }
    }

    /// Has checkpoints carried through the host's log.
    fn propose(&self, mode: &CheckpointMode, batch: &CheckpointBatch) {
        let timeout = self.options.checkpoint_timeout;
        let result = self.bring_checkpoints(mode, &batch.records, timeout);
        let outcome = match result {
            Ok(()) => ProposalOutcome::Applied,
            Err(_) if planted!("alone-refused-is-certain") => ProposalOutcome::Failed,
            Err(_) => ProposalOutcome::Unknown,
        };
        self.report(batch, outcome);
        if let Err(error) = result {
            self.observe_failure(&error);
        }
    }

    pub(super) fn report(&self, batch: &CheckpointBatch, outcome: ProposalOutcome) {
        let now = self.time_or_last();
        self.state
            .with(|state| state.core.handle_checkpoints(now, batch, outcome));
    }

    /// Has the host's log carry checkpoints, which it does not if it is asked for them.
    pub(super) fn bring_checkpoints(
        &self,
        mode: &CheckpointMode,
        checkpoints: &[Checkpoint],
        left: Duration,
    ) -> Result<(), LeaseError> {
        let CheckpointMode::Proposed(checkpointer) = mode else {
            return Err(host_polls());
        };
        let propose = || checkpointer.checkpoint(checkpoints, left);
        let result = isolate("checkpointer", propose);
        let result = result.and_then(|result| result.map_err(HostError::new));
        result.map_err(LeaseError::Checkpointer)
    }
}

/// Why a reset is not waited for.
pub(super) fn host_polls() -> LeaseError {
    LeaseError::Checkpointer(HostError::new("the host polls checkpoints; use try_renew"))
}

impl State {
    /// What is to be carried through the host's log, and how; and when there is more. What the lessor
    /// applies itself is left to be carried out.
    fn checkpoint_slice(
        &mut self,
        now: Timestamp,
    ) -> (Option<(CheckpointMode, CheckpointBatch)>, Option<Timestamp>) {
        let is_own = !self.is_stopped && !matches!(self.checkpoints, CheckpointMode::Polled);
        let batch = match self.checkpoints {
            _ if !is_own => None,
            // Nobody waits for the outcome, which comes in the end: till then there is one for each lease.
            CheckpointMode::Local => self.core.poll_checkpoints_while(now, WhileOpen::Wait),
            _ => self.core.poll_checkpoints(now),
        };
        let batch = match (&self.checkpoints, batch) {
            (CheckpointMode::Local, Some(CheckpointBatch { number, records })) => {
                self.checkpoint_own(records, Purpose::Checkpoint(number));
                None
            }
            (_, batch) => batch.map(|batch| (self.checkpoints.clone(), batch)),
        };
        let next = self.next_checkpoint();
        self.alarms.checkpoint = next;
        (batch, next)
    }
}
