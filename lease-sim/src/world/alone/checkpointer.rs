use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use lease_core::{
    Answer, BackendLessor, BoxError, Checkpoint, Checkpointer, Command, WriteBatch, probe,
};

use super::Host;

/// Brings checkpoints into the state of its lessor, as a host does whose log has one member.
#[derive(Default)]
pub(super) struct Pusher {
    lessor: Mutex<Weak<BackendLessor>>,
    // Whether the log refuses some.
    refuses: bool,
    calls: AtomicU64,
    refused: AtomicU64,
    refused_resets: AtomicU64,
    // What was refused, comes into the state later nevertheless.
    late: Mutex<Vec<Late>>,
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

    fn late(&self) -> MutexGuard<'_, Vec<Late>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that come now, and since when by the lessor's clock at most. Of new ones it is noted that they are
    /// refused now.
    fn take_late(&self, now_ms: u64, own_ms: u64) -> Vec<(Vec<Checkpoint>, u64)> {
        let mut late = self.late();
        let mut come = Vec::new();
        late.retain_mut(|one| {
            let (since_ms, since_own_ms) = *one.since_ms.get_or_insert((now_ms, own_ms));
            let comes = since_ms + LATE_MS <= now_ms;
            if comes {
                come.push((std::mem::take(&mut one.records), since_own_ms));
            }
            !comes
        });
        come
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

/// Checkpoints that were refused.
struct Late {
    records: Vec<Checkpoint>,
    // When that was, by the world and by the lessor's clock at most.
    since_ms: Option<(u64, u64)>,
}

/// How late they come.
const LATE_MS: u64 = 1_500;

/// Of so many calls one is refused.
const REFUSED_OF: u64 = 4;

impl Host {
    /// A proposal that seemed to be refused comes into the state. Who has renewed meanwhile was promised more.
    pub(super) fn bring_late_checkpoints(&mut self) {
        for (records, since_ms) in self.pusher.take_late(self.now_ms(), self.own_ms()) {
            let applied = self
                .lessor
                .apply(&Command::Checkpoint(records.clone()), WriteBatch::default());
            if !self.expect("a checkpoint that comes late", &applied, None) {
                continue;
            }
            let Ok(Answer::Checkpointed(effects)) = applied else {
                return self.object(format!("{records:?} are answered {applied:?}"));
            };
            probe::mark("alone: a checkpoint comes that was refused");
            let primary = self.lessor.primary_epoch();
            for (record, has_effect) in records.iter().zip(effects) {
                let is_of_now = record.fence.map(|fence| fence.epoch) == primary;
                let held = self.held.get(&record.id.get());
                let lag_ms = self.parameters.clock_lag_ms;
                let is_renewed =
                    held.is_none_or(|held| held.until.from_ms > since_ms + held.ttl_ms + lag_ms);
                if is_of_now && is_renewed && has_effect {
                    self.object(format!(
                        "{record:?} of {since_ms} ms has an effect on {held:?}"
                    ));
                }
            }
        }
    }
}

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
            if !is_reset {
                let records = records.to_vec();
                self.late().push(Late {
                    records,
                    since_ms: None,
                });
            }
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
