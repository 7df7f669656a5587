use std::sync::{Arc, PoisonError};

use super::isolate::isolate;
use super::{BackendLessor, Shared};
use crate::probe::planted;
use crate::{Backend, BackendError, LeaseError, LeaseRow, RangeDeleter};

/// How many rows are read before their leases are made: what the backend does between two rows would
/// keep the cache misses of one from overlapping with those of the next.
const ROWS_AT_ONCE: usize = 1024;

impl Shared {
    /// Replaces the state by what is in `backend`, and writes there from now on.
    pub(super) fn recover(
        &self,
        backend: Arc<dyn Backend>,
        range_deleter: Option<Arc<dyn RangeDeleter>>,
    ) -> Result<(), LeaseError> {
        let mut current = self.lock_backend();
        self.flush_to(&**current).map_err(LeaseError::Backend)?;
        let mut recovery = self.state.with(|state| {
            state.check_running()?;
            Ok::<_, LeaseError>(state.core.begin_recovery())
        })?;
        let mut rows = Vec::with_capacity(ROWS_AT_ONCE);
        let mut twice = None;
        let mut restore = |rows: &mut Vec<LeaseRow>| {
            for row in rows.drain(..) {
                if recovery.insert(&row).is_err() {
                    twice = Some(row.id);
                }
            }
        };
        let epoch = isolate("backend", || {
            let epoch = backend.load(&mut |row| {
                rows.push(row);
                if rows.len() == ROWS_AT_ONCE {
                    restore(&mut rows);
                }
            });
            restore(&mut rows);
            epoch
        })
        .unwrap_or_else(|panic| Err(BackendError::Io(panic)))
        .map_err(LeaseError::Backend)?;
        if let Some(id) = twice {
            let text = format!("two rows of lease {id}");
            return Err(LeaseError::Backend(BackendError::Damaged(text)));
        }
        let replaced = self.state.with(|state| {
            state.journal.abandon();
            state.core.finish_recovery(recovery, epoch)
        });
        *current = backend;
        drop(current);
        drop(replaced);
        if range_deleter.is_some() {
            let mut hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
            hooks.range_deleter = range_deleter;
        }
        Ok(())
    }
}

impl BackendLessor {
    /// Stops: no thread of the lessor does anything from then on.
    pub(super) fn stop_threads(&self) {
        let shared = &self.shared;
        let was_stopped = shared.state.with(|state| {
            state.core.release_waiters();
            std::mem::replace(&mut state.is_stopped, true)
        });
        if was_stopped {
            return;
        }
        shared.wakers.wake_all();
        self.threads.join(shared.options.stop_timeout);
        // A backend that is still busy after that has its writes; waiting on could be for ever.
        if !planted!("stop-forgets-writes")
            && let Ok(backend) = shared.backend.try_lock()
            && let Err(error) = shared.flush_to(&**backend)
        {
            shared.observe(|observer| observer.failed(&LeaseError::Backend(error)));
        }
    }
}
