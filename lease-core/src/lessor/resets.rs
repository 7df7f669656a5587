use std::collections::{BTreeMap, BTreeSet};

use super::job::Purpose;
use super::own::{OWN_AT_ONCE, in_line_together};
use super::state::State;
use super::{CheckpointMode, Shared};
use crate::sync::{Arc, Slot, Weak};
use crate::{Checkpoint, CheckpointFence, Command, LeaseError, LeaseId};

/// What renewals need before they are acknowledged: that the checkpoint of their lease is taken back.
#[derive(Default)]
pub(super) struct Resets {
    of: BTreeMap<LeaseId, Reset>,
    // Those of `of` that nobody is bringing yet.
    wanted: BTreeSet<LeaseId>,
}

struct Reset {
    checkpoint: Checkpoint,
    waiting: Vec<Weak<ResetDone>>,
    // With how many those who have given up are looked for.
    prune_at: usize,
}

/// Where a renewal waits for its reset: then it looks at its lease again.
pub(super) type ResetDone = Slot<Result<(), LeaseError>>;

/// Fewer renewals of one lease than this are kept also when they have given up.
const FEW: usize = 16;

impl Resets {
    pub(super) fn is_wanted(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Notes a renewal that waits. Returns whether it is the first one of its lease.
    fn note(&mut self, checkpoint: Checkpoint, done: &Arc<ResetDone>) -> bool {
        let mut is_new = false;
        let reset = self.of.entry(checkpoint.id).or_insert_with(|| {
            is_new = true;
            Reset {
                checkpoint,
                waiting: Vec::new(),
                prune_at: FEW,
            }
        });
        reset.checkpoint = checkpoint;
        if reset.waiting.len() >= reset.prune_at {
            reset.waiting.retain(|one| one.strong_count() > 0);
            reset.prune_at = FEW.max(2 * reset.waiting.len());
        }
        reset.waiting.push(Arc::downgrade(done));
        is_new
    }

    /// The next ones that are wanted, not too many.
    fn begin(&mut self) -> Vec<Checkpoint> {
        let mut begun = Vec::new();
        while begun.len() < OWN_AT_ONCE
            && let Some(id) = self.wanted.pop_first()
        {
            begun.extend(self.of.get(&id).map(|reset| reset.checkpoint));
        }
        begun
    }

    fn end(&mut self, id: LeaseId) -> impl Iterator<Item = Arc<ResetDone>> + use<> {
        self.wanted.remove(&id);
        let reset = self.of.remove(&id);
        let waiting = reset.map(|reset| reset.waiting).unwrap_or_default();
        waiting.into_iter().filter_map(|one| one.upgrade())
    }
}

impl State {
    /// Has the checkpoint of a lease taken back, for a renewal that waits.
    pub(super) fn want_reset(&mut self, checkpoint: Checkpoint) -> Arc<ResetDone> {
        let done = Arc::new(Slot::default());
        let is_new = self.resets.note(checkpoint, &done);
        // One that is void would change nothing: the change of the role, which follows, has the
        // renewal look again.
        if is_new && !self.is_void(&checkpoint) {
            self.resets.wanted.insert(checkpoint.id);
        }
        done
    }

    /// Whether a newer epoch has begun than that of the checkpoint.
    pub(super) fn is_void(&self, checkpoint: &Checkpoint) -> bool {
        let is_old = |fence: CheckpointFence| fence.epoch < self.core.epoch();
        checkpoint.fence.is_some_and(is_old)
    }

    /// Begins to bring resets. Returns those that the host's log is to carry.
    fn begin_resets(&mut self) -> (CheckpointMode, Vec<Checkpoint>) {
        let begun = self.resets.begin();
        if !matches!(self.checkpoints, CheckpointMode::Local) {
            return (self.checkpoints.clone(), begun);
        }
        self.checkpoint_own(begun, Purpose::Reset);
        (CheckpointMode::Local, Vec::new())
    }

    /// Has checkpoints applied, those of leases that other commands touch each on its own.
    pub(super) fn checkpoint_own(&mut self, checkpoints: Vec<Checkpoint>, purpose: Purpose) {
        let is_busy = |one: &Checkpoint| self.is_busy(one.id);
        let (busy, free): (Vec<_>, Vec<_>) = checkpoints.into_iter().partition(is_busy);
        if !free.is_empty() {
            self.admit_own(Command::Checkpoint(free), purpose);
        }
        for some in busy.chunks(in_line_together(busy.len())) {
            self.admit_own(Command::Checkpoint(some.to_vec()), purpose);
        }
    }

    /// Resets were brought, or could not be.
    pub(super) fn end_resets(
        &mut self,
        checkpoints: &[Checkpoint],
        result: &Result<(), LeaseError>,
    ) {
        for one in checkpoints {
            for done in self.resets.end(one.id) {
                self.errands.tell(done, result.clone());
            }
        }
    }

    /// Has every renewal that waits for a reset look again, or end.
    pub(super) fn end_all_resets(&mut self, result: &Result<(), LeaseError>) {
        let resets = std::mem::take(&mut self.resets);
        let waiting = resets.of.into_values().flat_map(|reset| reset.waiting);
        for done in waiting.filter_map(|one| one.upgrade()) {
            self.errands.tell(done, result.clone());
        }
    }
}

impl Shared {
    /// Takes back the checkpoints of leases whose renewals wait for it. Those that the lessor applies
    /// itself are left to be carried out.
    pub(super) fn bring_resets(&self) {
        if !self.state.read(|state| state.resets.is_wanted()) {
            return;
        }
        let (mode, checkpoints) = self.state.with(State::begin_resets);
        if checkpoints.is_empty() {
            return;
        }
        let timeout = self.options.checkpoint_timeout;
        let result = self.bring_checkpoints(&mode, &checkpoints, timeout);
        self.state
            .with(|state| state.end_resets(&checkpoints, &result));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewals_that_have_given_up_do_not_pile_up() {
        let mut resets = Resets::default();
        let id = LeaseId::new(1).expect("not zero");
        let checkpoint = Checkpoint::new(id, None);
        let stays = Arc::new(Slot::default());
        assert!(resets.note(checkpoint, &stays), "the first of its lease");
        for _ in 0..10_000 {
            assert!(!resets.note(checkpoint, &Arc::new(Slot::default())));
        }
        assert!(resets.of[&id].waiting.len() <= 2 * FEW);
        assert_eq!(resets.end(id).count(), 1);
        assert!(resets.note(checkpoint, &stays), "it is over");
    }
}
