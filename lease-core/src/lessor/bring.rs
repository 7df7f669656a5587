use super::job::Purpose;
use super::resets::ResetDone;
use super::state::State;
use super::{CheckpointMode, Shared};
use crate::sync::{Arc, Slot};
use crate::{Checkpoint, CheckpointFence, LeaseError};

impl State {
    /// Has the checkpoint of a lease taken back, for a renewal that waits.
    pub(super) fn want_reset(&mut self, checkpoint: Checkpoint) -> Arc<ResetDone> {
        let done = Arc::new(Slot::default());
        let is_void = self.is_void(&checkpoint);
        if is_void && !self.awaits_its_epoch() {
            // The change of the role has come between: the renewal looks again.
            self.errands.tell(Arc::clone(&done), Ok(()));
            return done;
        }
        let noted = self.resets.note(checkpoint, &done);
        let is_coming = noted.is_some_and(|earlier| !self.is_void(&earlier));
        // One that is void would change nothing: the change of the role, which follows, has the
        // renewal look again.
        if !is_void && !is_coming {
            self.resets.wanted.insert(checkpoint.id);
        }
        done
    }

    /// Whether an epoch has begun that this primary is to be promoted to.
    fn awaits_its_epoch(&self) -> bool {
        let primary = self.core.primary_epoch();
        primary.is_some_and(|primary| primary < self.core.epoch())
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

    /// Resets were brought, or could not be.
    pub(super) fn end_resets(
        &mut self,
        checkpoints: &[Checkpoint],
        result: &Result<(), LeaseError>,
    ) {
        for one in checkpoints {
            for done in self.resets.end(one) {
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
