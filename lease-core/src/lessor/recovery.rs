use super::Shared;
use super::turn::Writer;
use crate::sync::Arc;
use crate::{Backend, BackendError, Epoch, LeaseError, LeaseRow, RangeDeleter, Recovery, Replaced};

/// How many rows are read before their leases are made: what the backend does between two rows would
/// keep the cache misses of one from overlapping with those of the next.
const ROWS_AT_ONCE: usize = 1024;

impl Shared {
    /// Replaces the state by what is in `backend`, and writes there from now on.
    ///
    /// It is a turn of the writer: what comes meanwhile waits, and is decided against the new state.
    /// What was acknowledged before is committed to the old backend first.
    pub(super) fn recover(
        &self,
        backend: Arc<dyn Backend>,
        range_deleter: Option<Arc<dyn RangeDeleter>>,
    ) -> Result<(), LeaseError> {
        let writer = self.become_writer(None)?;
        self.state.with(|state| {
            state.check_running()?;
            state.road.is_closed = true;
            Ok::<_, LeaseError>(())
        })?;
        let replaced = self
            .load_behind(&writer, &*backend)
            .map(|(recovery, epoch)| {
                self.state.with(|state| {
                    let old = std::mem::replace(&mut state.backend, backend);
                    let deleter = match range_deleter {
                        None => None,
                        some => std::mem::replace(&mut state.range_deleter, some),
                    };
                    (state.core.finish_recovery(recovery, epoch), old, deleter)
                })
            });
        self.state.with(|state| {
            state.road.is_closed = false;
            state.advance();
        });
        drop(writer);
        // Outside the lock: to drop it takes time, and may be the host's code.
        let replaced: Result<(Replaced, _, _), _> = replaced;
        replaced.map(drop)
    }

    /// Commits what is pending and reads the new state.
    fn load_behind(
        &self,
        writer: &Writer<'_>,
        backend: &dyn Backend,
    ) -> Result<(Recovery, Epoch), LeaseError> {
        writer.commit().map_err(LeaseError::Backend)?;
        let recovery = self.state.read(|state| state.core.begin_recovery());
        self.state
            .isolate_inside("backend", || load(backend, recovery))
            .unwrap_or_else(|panic| Err(BackendError::Io(panic)))
            .map_err(LeaseError::Backend)
    }
}

fn load(backend: &dyn Backend, mut recovery: Recovery) -> Result<(Recovery, Epoch), BackendError> {
    let mut rows = Vec::with_capacity(ROWS_AT_ONCE);
    let mut twice = None;
    let mut restore = |rows: &mut Vec<LeaseRow>| {
        for row in rows.drain(..) {
            if recovery.insert(&row).is_err() {
                twice = Some(row.id);
            }
        }
    };
    let epoch = backend.load(&mut |row| {
        rows.push(row);
        if rows.len() == ROWS_AT_ONCE {
            restore(&mut rows);
        }
    });
    restore(&mut rows);
    match (epoch, twice) {
        (Err(error), _) => Err(error),
        (Ok(_), Some(id)) => Err(BackendError::Damaged(format!("two rows of lease {id}"))),
        (Ok(epoch), None) => Ok((recovery, epoch)),
    }
}
