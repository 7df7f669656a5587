use std::collections::BTreeMap;

use super::Shared;
use super::isolate::isolate;
use crate::sync::{Arc, Slot};
use crate::{Checkpoint, LeaseError};

/// What renewals need before they are acknowledged: that the checkpoint of their lease is taken back.
#[derive(Default)]
pub(super) struct Resets {
    wanted: Vec<(Checkpoint, Arc<ResetDone>)>,
    // Those that somebody is bringing, by a number that he got.
    under_way: BTreeMap<u64, Vec<Arc<ResetDone>>>,
    next: u64,
}

/// Where a renewal waits for its reset.
pub(super) type ResetDone = Slot<Result<(), LeaseError>>;

impl Resets {
    pub(super) fn is_wanted(&self) -> bool {
        !self.wanted.is_empty()
    }

    pub(super) fn want(&mut self, checkpoint: Checkpoint) -> Arc<ResetDone> {
        let done = Arc::new(Slot::default());
        self.wanted.push((checkpoint, Arc::clone(&done)));
        done
    }

    /// All that are wanted, if there are any, for somebody to bring them, and the number under which
    /// they [end](Self::end).
    fn begin(&mut self) -> Option<(u64, Vec<Checkpoint>)> {
        if self.wanted.is_empty() {
            return None;
        }
        let wanted = std::mem::take(&mut self.wanted);
        let (checkpoints, waiting) = wanted.into_iter().unzip();
        let number = self.next;
        self.next += 1;
        self.under_way.insert(number, waiting);
        Some((number, checkpoints))
    }

    /// Who waits for them. Nobody if a stop has ended the wait.
    fn end(&mut self, number: u64) -> Vec<Arc<ResetDone>> {
        self.under_way.remove(&number).unwrap_or_default()
    }

    /// Everybody who waits, to be told that it is over.
    pub(super) fn take_all(&mut self) -> Vec<Arc<ResetDone>> {
        let wanted = std::mem::take(&mut self.wanted);
        let wanted = wanted.into_iter().map(|(_, done)| done);
        let under_way = std::mem::take(&mut self.under_way);
        wanted.chain(under_way.into_values().flatten()).collect()
    }
}

impl Shared {
    /// Takes back the checkpoints of all leases whose renewals wait for it.
    pub(super) fn bring_resets(&self) {
        let Some((number, checkpoints)) = self.state.with(|state| state.resets.begin()) else {
            return;
        };
        let result = self.bring_checkpoints(&checkpoints, self.options.checkpoint_timeout);
        let waiting = self.state.with(|state| state.resets.end(number));
        tell_all(waiting, &result);
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
