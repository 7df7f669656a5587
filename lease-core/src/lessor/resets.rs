use std::collections::BTreeMap;

use super::isolate::isolate;
use super::state::State;
use super::{CheckpointMode, Shared};
use crate::sync::{Arc, Slot};
use crate::{Checkpoint, LeaseError, LeaseId};

/// What renewals need before they are acknowledged: that the checkpoint of their lease is taken back.
#[derive(Default)]
pub(super) struct Resets {
    wanted: Vec<Reset>,
    // Those of leases that another command touches: they are wanted again when it is over, so that
    // the others need not wait for it.
    put_off: Vec<Reset>,
    // Those that somebody is bringing, by a number that he got.
    under_way: BTreeMap<u64, Vec<Reset>>,
    next: u64,
}

struct Reset {
    checkpoint: Checkpoint,
    done: Arc<ResetDone>,
}

/// Where a renewal waits for its reset.
pub(super) type ResetDone = Slot<Result<(), LeaseError>>;

impl Resets {
    pub(super) fn is_wanted(&self) -> bool {
        !self.wanted.is_empty()
    }

    pub(super) fn want(&mut self, checkpoint: Checkpoint) -> Arc<ResetDone> {
        let done = Arc::new(Slot::default());
        self.wanted.push(Reset {
            checkpoint,
            done: Arc::clone(&done),
        });
        done
    }

    /// All that are wanted, if there are any, for somebody to bring them, and the number under which
    /// they [end](Self::end).
    fn begin(&mut self) -> Option<(u64, Vec<Checkpoint>)> {
        if self.wanted.is_empty() {
            return None;
        }
        let wanted = std::mem::take(&mut self.wanted);
        let checkpoints = wanted.iter().map(|reset| reset.checkpoint).collect();
        let number = self.next;
        self.next += 1;
        self.under_way.insert(number, wanted);
        Some((number, checkpoints))
    }

    /// Those that were under way by this number. None if a stop has ended the wait.
    fn end(&mut self, number: u64) -> Vec<Reset> {
        self.under_way.remove(&number).unwrap_or_default()
    }

    /// Everybody who waits, to be told that it is over.
    pub(super) fn take_all(&mut self) -> Vec<Arc<ResetDone>> {
        let Self {
            wanted,
            put_off,
            under_way,
            ..
        } = std::mem::take(self);
        let under_way = under_way.into_values().flatten();
        let resets = wanted.into_iter().chain(put_off).chain(under_way);
        resets.map(|reset| reset.done).collect()
    }
}

impl State {
    /// Ends the way of resets, of which those of the leases `left_out` were not brought. Returns who
    /// waits for the others.
    fn end_resets(&mut self, number: u64, left_out: &[LeaseId]) -> Vec<Arc<ResetDone>> {
        let resets = self.resets.end(number);
        let is_left_out = |reset: &Reset| left_out.contains(&reset.checkpoint.id);
        let (left_out, brought): (Vec<_>, Vec<_>) = resets.into_iter().partition(is_left_out);
        self.resets.put_off.extend(left_out);
        self.resume_resets();
        brought.into_iter().map(|reset| reset.done).collect()
    }

    /// Wants those resets again whose leases no other command touches any more.
    pub(super) fn resume_resets(&mut self) {
        if self.resets.put_off.is_empty() {
            return;
        }
        let put_off = std::mem::take(&mut self.resets.put_off);
        for reset in put_off {
            let list = if self.is_busy(reset.checkpoint.id) {
                &mut self.resets.put_off
            } else {
                &mut self.resets.wanted
            };
            list.push(reset);
        }
    }
}

impl Shared {
    /// Takes back the checkpoints of all leases whose renewals wait for it.
    pub(super) fn bring_resets(&self) {
        let begun = self.state.with(|state| {
            let begun = state.resets.begin()?;
            Some((state.checkpoints.clone(), begun))
        });
        let Some((mode, (number, checkpoints))) = begun else {
            return;
        };
        let brought = match mode {
            CheckpointMode::Local => self.checkpoint_free(checkpoints),
            mode => {
                let timeout = self.options.checkpoint_timeout;
                let result = self.bring_checkpoints(mode, &checkpoints, timeout);
                result.map(|()| Vec::new())
            }
        };
        let left_out = brought.as_deref().unwrap_or_default();
        let waiting = self.state.with(|state| state.end_resets(number, left_out));
        tell_all(waiting, &brought.map(drop));
    }
}

/// Tells renewals what became of their resets. To be called without a lock: it runs wakers.
pub(super) fn tell_all(waiting: Vec<Arc<ResetDone>>, result: &Result<(), LeaseError>) {
    for done in waiting {
        let waker = done.put(result.clone());
        // Nobody waits for the panic of a waker.
        let _ = waker.map(|waker| isolate("waker", || waker.wake()));
    }
}
