use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use lease_core::{
    Answer, BackendLessor, BoxError, Checkpoint, Checkpointer, Command, WriteBatch, probe,
};

/// Brings checkpoints into the state of its lessor, as a host does whose log has one member.
#[derive(Default)]
pub(super) struct Pusher {
    lessor: Mutex<Weak<BackendLessor>>,
    // Whether the log refuses some.
    refuses: bool,
    calls: AtomicU64,
    refused: AtomicU64,
    refused_resets: AtomicU64,
    // Whether it says of the next ones that they are there, and does nothing.
    pretends: AtomicBool,
}

impl Pusher {
    pub(super) fn new(refuses: bool) -> Self {
        Self {
            refuses,
            ..Self::default()
        }
    }

    pub(super) fn set_lessor(&self, lessor: &Arc<BackendLessor>) {
        *self.lessor.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(lessor);
    }

    pub(super) fn pretend(&self, pretends: bool) {
        self.pretends.store(pretends, Ordering::Relaxed);
    }

    /// How many proposals were refused since that was asked last, of which somebody has to be told.
    pub(super) fn take_refused(&self) -> u64 {
        self.refused.swap(0, Ordering::Relaxed)
    }

    /// The same of resets, of which who waits is told.
    pub(super) fn take_refused_resets(&self) -> u64 {
        self.refused_resets.swap(0, Ordering::Relaxed)
    }
}

/// Of so many calls one is refused.
const REFUSED_OF: u64 = 4;

impl Checkpointer for Pusher {
    fn checkpoint(&self, records: &[Checkpoint], _: Duration) -> Result<(), BoxError> {
        let lessor = self.lessor.lock().unwrap_or_else(PoisonError::into_inner);
        let lessor = lessor.upgrade().ok_or("the lessor is gone")?;
        if probe::is_planted("alone-pushes-nothing") || self.pretends.load(Ordering::Relaxed) {
            return Ok(());
        }
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        if self.refuses && calls % REFUSED_OF == REFUSED_OF - 1 {
            probe::mark("alone: a host's log refuses checkpoints");
            let is_reset = records.iter().any(|record| record.remaining.is_none());
            let refused = match is_reset {
                true => &self.refused_resets,
                false => &self.refused,
            };
            refused.fetch_add(1, Ordering::Relaxed);
            return Err("the log has refused it".into());
        }
        let command = Command::Checkpoint(records.to_vec());
        let answer = lessor.apply(&command, WriteBatch::default())?;
        probe::mark("alone: a host brings checkpoints into the state");
        // The lessor has just wanted them, and nothing has come between.
        if answer != Answer::Checkpointed(vec![true; records.len()]) {
            return Err(format!("{records:?} are answered {answer:?}").into());
        }
        Ok(())
    }
}
