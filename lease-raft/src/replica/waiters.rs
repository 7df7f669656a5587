use std::collections::BTreeMap;

use futures::channel::oneshot;

use super::Inner;

/// Who waits until an entry is applied.
#[derive(Default)]
pub(super) struct Waiters {
    by_index: BTreeMap<u64, Vec<oneshot::Sender<()>>>,
}

impl Waiters {
    /// Takes those whose entry is applied.
    pub(super) fn take_through(&mut self, applied: u64) -> Self {
        let later = self.by_index.split_off(&(applied + 1));
        Self {
            by_index: std::mem::replace(&mut self.by_index, later),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_index.is_empty()
    }

    /// Tells them.
    pub(super) fn tell(self) {
        for one in self.by_index.into_values().flatten() {
            // Whoever has gone does not need to know.
            let _ = one.send(());
        }
    }
}

impl Inner {
    /// Waits until an entry is applied here. Returns whether it is: not if the member is stopped.
    pub(super) async fn wait_applied(&self, index: u64) -> bool {
        let told = {
            let mut state = self.state();
            if state.applied >= index {
                return true;
            }
            if state.is_stopped {
                return false;
            }
            let (tell, told) = oneshot::channel();
            let waiting = state.waiters.by_index.entry(index).or_default();
            waiting.retain(|one| !one.is_canceled());
            waiting.push(tell);
            told
        };
        told.await.is_ok()
    }
}
