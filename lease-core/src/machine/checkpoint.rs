use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use lease_queue::Timestamp;

use super::LessorCore;
use super::effect::{Effect, Remaindered};
use super::time::Now;
use crate::primary::Primary;
use crate::primary::checkpoints::Due;
use crate::probe::{planted, sized, sometimes};
use crate::table::record::Phase;
use crate::table::{LeaseTable, Remainder};
use crate::{Answer, Checkpoint, CheckpointBatch, CheckpointFence, LeaseId, WriteBatch};

/// What became of a batch of proposed checkpoints.
///
/// ```
/// # use lease_core::ProposalOutcome;
/// /// What a host reports of a proposal, by how its log has answered.
/// fn outcome(answer: Result<(), std::io::Error>) -> ProposalOutcome {
///     match answer {
///         Ok(()) => ProposalOutcome::Applied,
///         Err(error) if error.kind() == std::io::ErrorKind::TimedOut => ProposalOutcome::Unknown,
///         Err(_) => ProposalOutcome::Failed,
///     }
/// }
/// # assert_eq!(outcome(Ok(())), ProposalOutcome::Applied);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ProposalOutcome {
    /// All of them have been applied to this lessor.
    Applied,
    /// None of them will ever be applied.
    Failed,
    /// Some of them may still be applied.
    Unknown,
}

/// What happens to a lease whose checkpoint is due while a proposal of it may still be applied.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhileOpen {
    /// There is another one: the first may be lost.
    Propose,
    /// It waits for its outcome, and is looked at again after an interval.
    Wait,
}

/// How many due leases one call looks at.
const STEPS_PER_CALL: usize = 2048;

impl LessorCore {
    /// Of one lease each checkpoint sees what those before it in the list did.
    pub(super) fn decide_checkpoints(
        &self,
        checkpoints: &[Checkpoint],
        rows: &mut WriteBatch,
    ) -> (Answer, Effect) {
        let mut before = BTreeMap::new();
        let mut decided = Vec::with_capacity(checkpoints.len());
        let mut decide = |checkpoint: &Checkpoint| {
            let id = checkpoint.id;
            let old = before.get(&id).copied();
            let old = old.unwrap_or_else(|| self.table.remainders.get(id));
            let Some(one) = self.decide_checkpoint(old, checkpoint, rows) else {
                sometimes!("core: a checkpoint is stale");
                return false;
            };
            before.insert(id, one.remainder);
            decided.push(one);
            true
        };
        let answers = checkpoints.iter().map(&mut decide).collect();
        (Answer::Checkpointed(answers), Effect::Checkpoint(decided))
    }

    fn decide_checkpoint(
        &self,
        old: Remainder,
        checkpoint: &Checkpoint,
        rows: &mut WriteBatch,
    ) -> Option<Remaindered> {
        let remainder = self.table.remainder_after(old, checkpoint)?;
        let record = self.table.records.get(checkpoint.id)?;
        if self.config.checkpoint_persist || planted!("checkpoints-always-stored") {
            rows.put_lease(LeaseTable::row(record, remainder));
        }
        Some(Remaindered {
            checkpoint: *checkpoint,
            remainder,
        })
    }

    /// The running deadlines do not change.
    pub(super) fn apply_checkpoints(&mut self, now: Timestamp, decided: &[Remaindered]) {
        let now = self.read_clock(now);
        for Remaindered {
            checkpoint,
            remainder,
        } in decided
        {
            let id = checkpoint.id;
            self.stats.checkpoints_applied += 1;
            if let Some(primary) = &mut self.primary
                && let Some(record) = self.table.records.get_mut(id)
            {
                // The deadline of a lease that is not scheduled yet follows from what remained at
                // the promotion, not from what this checkpoint says.
                primary.ensure_scheduled(&self.table.remainders, record);
                if remainder.remaining.is_none() {
                    primary.checkpoints.close(id);
                }
                primary.checkpoints.reschedule(record, now);
                let is_guarded =
                    remainder.remaining.is_some() || planted!("reset-leaves-the-guard");
                record.set_marks(record.marks().with_guard(is_guarded));
            }
            self.table.remainders.set(id, *remainder);
        }
    }

    /// Hands out the next checkpoints to propose, or `None` if none is due or this is not the
    /// primary. Report what became of them to
    /// [`handle_checkpoints`](Self::handle_checkpoints).
    ///
    /// A lease is checkpointed when it is longer than the
    /// [`checkpoint_interval`](crate::LessorConfig::checkpoint_interval) and was neither renewed
    /// nor checkpointed within it. A bounded number of steps: while
    /// [`next_wakeup`](Self::next_wakeup) is not past `now` there may be more, also after a `None`.
    ///
    /// ```
    /// # use lease_core::{Command, Epoch, Grant, LeaseId, LessorConfig, LessorCore};
    /// # use lease_core::ProposalOutcome;
    /// # use lease_core::{Timestamp, Ttl, WriteBatch};
    /// # use std::time::Duration;
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # let mut rows = WriteBatch::default();
    /// # lessor.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
    /// # let id = LeaseId::try_from(7)?;
    /// # lessor.execute(Timestamp::ZERO, &Grant::new(id, Ttl::new(1000)?).into(), &mut rows);
    /// let now = Timestamp::from_secs(300);
    /// while let Some(batch) = lessor.poll_checkpoints(now) {
    ///     let command = Command::Checkpoint(batch.records.clone());
    ///     lessor.execute(now, &command, &mut rows);
    ///     lessor.handle_checkpoints(now, &batch, ProposalOutcome::Applied);
    /// }
    /// let lease = lessor.lookup(now, id).expect("it is there");
    /// assert_eq!(lease.checkpointed_remaining(), Some(Ttl::new(700)?));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn poll_checkpoints(&mut self, now: Timestamp) -> Option<CheckpointBatch> {
        self.poll_checkpoints_while(now, WhileOpen::Propose)
    }

    /// As [`poll_checkpoints`](Self::poll_checkpoints); `open` says what happens to a lease of which a
    /// proposal is open.
    pub(crate) fn poll_checkpoints_while(
        &mut self,
        now: Timestamp,
        open: WhileOpen,
    ) -> Option<CheckpointBatch> {
        let now = self.read_clock(now);
        let primary = self.primary.as_mut()?;
        let limit = self.config.max_checkpoint_batch_size.get() as usize;
        let mut records = Vec::new();
        let mut steps = 0;
        while steps < sized!(STEPS_PER_CALL) && records.len() < limit {
            let Some(id) = primary.checkpoints.pop_due(now) else {
                break;
            };
            steps += 1;
            records.extend(propose(primary, &mut self.table, id, now, open));
        }
        if records.is_empty() {
            return None;
        }
        let number = primary.checkpoints.seal();
        self.stats.checkpoints_proposed += records.len() as u64;
        Some(CheckpointBatch { number, records })
    }

    /// Reports what became of a batch that [`poll_checkpoints`](Self::poll_checkpoints) handed
    /// out. O(records).
    ///
    /// After [`ProposalOutcome::Failed`] the leases are checkpointed again in half an interval. The
    /// report of a batch of an earlier promotion is ignored.
    ///
    /// ```
    /// # use lease_core::{Epoch, Grant, LeaseId, LessorConfig, LessorCore, ProposalOutcome};
    /// # use lease_core::{Timestamp, Ttl, WriteBatch};
    /// # use std::time::Duration;
    /// # let mut lessor = LessorCore::new(LessorConfig::default());
    /// # lessor.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
    /// # lessor.handle_timeout(Timestamp::ZERO);
    /// # let grant = Grant::new(LeaseId::try_from(7)?, Ttl::new(1000)?).into();
    /// # lessor.execute(Timestamp::ZERO, &grant, &mut WriteBatch::default());
    /// let now = Timestamp::from_secs(300);
    /// let batch = lessor.poll_checkpoints(now).expect("a checkpoint is due");
    /// lessor.handle_checkpoints(now, &batch, ProposalOutcome::Failed);
    /// assert_eq!(lessor.next_checkpoint(), Some(Timestamp::from_secs(450)));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn handle_checkpoints(
        &mut self,
        now: Timestamp,
        batch: &CheckpointBatch,
        outcome: ProposalOutcome,
    ) {
        let now = self.read_clock(now);
        let Some(primary) = &mut self.primary else {
            return;
        };
        if outcome == ProposalOutcome::Unknown {
            return;
        }
        for checkpoint in &batch.records {
            let id = checkpoint.id;
            let epoch = checkpoint.fence.map(|fence| fence.epoch);
            let is_its = epoch == Some(primary.epoch) || planted!("alone-earlier-reports-count");
            if !is_its || !primary.checkpoints.close_batch(id, batch.number) {
                continue;
            }
            if let Some(record) = self.table.records.get_mut(id) {
                let remaining = self.table.remainders.get(id).remaining;
                let is_open = primary.checkpoints.is_open(id);
                record.set_marks(record.marks().with_guard(remaining.is_some() || is_open));
                if outcome == ProposalOutcome::Failed {
                    sometimes!("core: a failed checkpoint is scheduled again");
                    // What is due at once would be tried in the same call again and again.
                    let pause_ms = (primary.checkpoints.interval_ms() / 2).max(1);
                    let again_ms = now.ceil_ms.saturating_add(pause_ms);
                    primary.checkpoints.schedule_at(id, again_ms);
                }
            }
        }
    }
}

/// Enters the lease, whose entry has come up, again, and says what to propose if anything.
fn propose(
    primary: &mut Primary,
    table: &mut LeaseTable,
    id: LeaseId,
    now: Now,
    open: WhileOpen,
) -> Option<Checkpoint> {
    let remainder = table.remainders.get(id);
    let record = table.records.get_mut(id)?;
    let left = remainder.remaining.unwrap_or(record.ttl());
    let waits = open == WhileOpen::Wait && primary.checkpoints.is_open(id);
    if record.phase() != Phase::Active || waits {
        primary.checkpoints.reschedule(record, now);
        return None;
    }
    match primary.checkpoints.due(record, left, now) {
        Due::NotBefore(again_ms) => {
            sometimes!("core: a due checkpoint says nothing new");
            if !planted!("skipped-checkpoint-forgotten") {
                primary.checkpoints.schedule_at(id, again_ms);
            }
            None
        }
        Due::Propose(remaining) => {
            let permit_ms = primary.checkpoints.rate.next_permit(now.floor_ms);
            if permit_ms > now.floor_ms && !planted!("alone-checkpoint-rate-ignored") {
                primary.checkpoints.schedule_at(id, permit_ms);
                return None;
            }
            primary.checkpoints.rate.take(now.floor_ms);
            primary.checkpoints.reschedule(record, now);
            primary.checkpoints.open(id);
            record.set_marks(record.marks().with_guard(true));
            Some(Checkpoint {
                id,
                remaining: Some(remaining),
                fence: Some(CheckpointFence {
                    incarnation: record.incarnation(),
                    epoch: primary.epoch,
                    generation: remainder.generation,
                }),
            })
        }
    }
}
