use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use lease_core::{BackendLessor, BoxError, Checkpoint, Checkpointer, Command, WriteBatch, probe};

/// Brings checkpoints into the state of its lessor, as a host does whose log has one member.
#[derive(Default)]
pub(super) struct Pusher(Mutex<Weak<BackendLessor>>);

impl Pusher {
    pub(super) fn set_lessor(&self, lessor: &Arc<BackendLessor>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(lessor);
    }
}

impl Checkpointer for Pusher {
    fn checkpoint(&self, records: &[Checkpoint], _: Duration) -> Result<(), BoxError> {
        let lessor = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lessor = lessor.upgrade().ok_or("the lessor is gone")?;
        if probe::is_planted("alone-pushes-nothing") {
            return Ok(());
        }
        let command = Command::Checkpoint(records.to_vec());
        lessor.apply(&command, WriteBatch::default())?;
        probe::mark("alone: a host brings checkpoints into the state");
        Ok(())
    }
}
