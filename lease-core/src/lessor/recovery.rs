use std::cell::Cell;
use std::collections::VecDeque;

use super::job::Job;
use super::own::OwnCommands;
use super::state::State;
use super::stored_items::{refuse_items, restore_items};
use super::turn::Writer;
use super::{BackendLessor, Shared};
#[cfg(doc)]
use crate::Lessor;
use crate::probe::{planted, sized};
use crate::sync::Arc;
use crate::{
    Backend, BackendError, Epoch, ExpiredBatch, LeaseError, LeaseRow, LessorEvent, RangeDeleter,
    Recovery, Replaced, StrangeRow,
};

/// How many rows are read before their leases are made: what the backend does between two rows would
/// keep the cache misses of one from overlapping with those of the next.
const ROWS_AT_ONCE: usize = 1024;

impl BackendLessor {
    /// Replaces what is in the lessor's own backend, as the snapshot of another member does, and then the
    /// whole state by it. The lessor is no primary afterwards. Items are attached again by the host, unless
    /// the lessor stores them.
    ///
    /// `replace` exchanges the contents of the store, at best in one transaction. Commands of other threads
    /// wait meanwhile and are decided against the new state: nothing of the old state is written on top of the
    /// new one, as could happen between a [`flush`](Lessor::flush) and a [`recover`](Lessor::recover). What was
    /// acknowledged before is committed first. `replace` must give this lessor no command, which would be
    /// refused as [`LeaseError::Reentrant`], and wait for no other thread that gives it one.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Backend`] if what is pending cannot be committed, if `replace` fails or panics, or if what
    /// it has left cannot be read; [`LeaseError::Reentrant`] and [`LeaseError::Stopped`]. If `replace` has not
    /// been called, or has returned an error, nothing was changed: an error says that the store is what it was.
    /// Else the store may have another state than the lessor, which has therefore [stopped](Lessor::stop) and
    /// writes no more: the host opens it again. [`LeaseError::Stopped`] may also come after the store was
    /// replaced, if the lessor was stopped meanwhile.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
    /// # use std::sync::Arc;
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// lessor.grant(LeaseId::try_from(7)?, 60)?;
    /// lessor.recover_in_place(|| {
    ///     // The rows of the snapshot take the place of those in the store; here there are none.
    ///     Ok(())
    /// })?;
    /// assert!(lessor.leases().is_empty());
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn recover_in_place(
        &self,
        replace: impl FnOnce() -> Result<(), BackendError>,
    ) -> Result<(), LeaseError> {
        if planted!("replaced-before-the-recovery") {
            self.shared.flush().map_err(LeaseError::Backend)?;
            replace().map_err(LeaseError::Backend)?;
            return self.shared.recover_from(None, None, &mut None::<Replace>);
        }
        let mut replace = Some(replace);
        let recovered = self.shared.recover_from(None, None, &mut replace);
        if self.shared.state.read(|state| state.is_torn) {
            self.stop_all();
        }
        recovered
    }
}

impl Shared {
    /// Replaces the state by what is in `backend`, and writes there from now on.
    pub(super) fn recover(
        &self,
        backend: Arc<dyn Backend>,
        range_deleter: Option<Arc<dyn RangeDeleter>>,
    ) -> Result<(), LeaseError> {
        self.recover_from(Some(backend), range_deleter, &mut None::<Replace>)
    }

    /// Replaces the state by what is in `backend`, and writes there from now on. Without a backend it is the one
    /// that the lessor has, after `replace`, which is taken if it is called.
    ///
    /// It is a turn of the writer: what comes meanwhile waits, and is decided against the new state.
    /// What was acknowledged before is committed to the old backend first.
    fn recover_from(
        &self,
        backend: Option<Arc<dyn Backend>>,
        range_deleter: Option<Arc<dyn RangeDeleter>>,
        replace: &mut Option<impl FnOnce() -> Result<(), BackendError>>,
    ) -> Result<(), LeaseError> {
        let writer = self.become_writer(None)?;
        let own = self.state.with(|state| {
            state.check_running()?;
            state.road.is_closed = true;
            Ok::<_, LeaseError>(Arc::clone(&state.backend))
        })?;
        let backend = backend.unwrap_or(own);
        // Those that are not taken are dropped without the lock.
        let _kept = (Arc::clone(&backend), range_deleter.clone());
        let may_be_replaced = Cell::new(false);
        let loaded = self.load_behind(&writer, replace, &may_be_replaced, &*backend);
        let replaced = self.state.with(|state| {
            let replaced = loaded.and_then(|loaded| state.replace(loaded, backend, range_deleter));
            // Before anybody goes on who has waited.
            state.is_torn |= may_be_replaced.get() && replaced.is_err();
            state.road.is_closed = false;
            state.advance();
            replaced
        });
        drop(writer);
        self.help();
        // What is replaced is dropped here, outside the lock: it takes time, and may be the host's code.
        let Old {
            was_primary,
            strange,
            ..
        } = replaced?;
        if was_primary && !planted!("alone-recovery-not-told") {
            self.observe(|| LessorEvent::Demoted);
        }
        for row in &strange {
            self.observe(|| LessorEvent::StrangeRow(row));
        }
        Ok(())
    }

    /// Commits what is pending, has the store replaced and reads the new state.
    fn load_behind(
        &self,
        writer: &Writer<'_>,
        replace: &mut Option<impl FnOnce() -> Result<(), BackendError>>,
        may_be_replaced: &Cell<bool>,
        backend: &dyn Backend,
    ) -> Result<Loaded, LeaseError> {
        writer.commit().map_err(LeaseError::Backend)?;
        let recovery = self.state.read(|state| {
            // A stop may have given up waiting for the commit: the store is somebody else's by now.
            state.check_running()?;
            Ok::<_, LeaseError>(state.core.begin_recovery())
        })?;
        self.state
            .isolate_inside("backend", || {
                if let Some(replace) = replace.take() {
                    // If it panics nobody knows.
                    may_be_replaced.set(true);
                    let replaced = replace();
                    may_be_replaced.set(replaced.is_ok());
                    replaced?;
                }
                load(backend, recovery, self.options.stores_items)
            })
            .unwrap_or_else(|panic| Err(BackendError::Io(panic)))
            .map_err(LeaseError::Backend)
    }
}

/// What replaces a store where nothing does.
type Replace = fn() -> Result<(), BackendError>;

/// What a recovery has replaced.
struct Old {
    was_primary: bool,
    strange: Vec<StrangeRow>,
    _state: Replaced,
    _own: (OwnCommands, Vec<Job>),
    _batches: VecDeque<ExpiredBatch>,
    _backend: Arc<dyn Backend>,
    _deleter: Option<Arc<dyn RangeDeleter>>,
}

impl State {
    /// # Errors
    ///
    /// [`LeaseError::Stopped`]: a stop may have given up waiting for the recovery.
    fn replace(
        &mut self,
        (recovery, epoch, strange): Loaded,
        backend: Arc<dyn Backend>,
        range_deleter: Option<Arc<dyn RangeDeleter>>,
    ) -> Result<Old, LeaseError> {
        self.check_running()?;
        let was_primary = self.core.is_primary();
        // What the old state has delivered, or has come to, is not done to the new one.
        let own = (self.own.clear(), self.road.waiting.take_own());
        let old = Old {
            _own: own,
            _batches: std::mem::take(&mut self.outbox.batches),
            was_primary,
            strange,
            _state: self.core.finish_recovery(recovery, epoch),
            _backend: std::mem::replace(&mut self.backend, backend),
            _deleter: range_deleter.and_then(|new| self.range_deleter.replace(new)),
        };
        // Whoever waits for a reset looks again.
        self.end_all_resets(&Ok(()));
        Ok(old)
    }
}

/// The state in a store, and the rows that are not in it as they are stored.
type Loaded = (Recovery, Epoch, Vec<StrangeRow>);

fn load(
    backend: &dyn Backend,
    mut recovery: Recovery,
    stores_items: bool,
) -> Result<Loaded, BackendError> {
    let mut rows = Vec::with_capacity(ROWS_AT_ONCE);
    let mut twice = None;
    let mut mended = Vec::new();
    let mut restore = |rows: &mut Vec<LeaseRow>| {
        for row in rows.drain(..) {
            match recovery.insert(&row) {
                Ok(strange) => mended.extend(strange),
                Err(_) => twice = Some(row.id),
            }
        }
    };
    let mut visit = |row| {
        rows.push(row);
        if rows.len() >= sized!(ROWS_AT_ONCE) {
            restore(&mut rows);
        }
    };
    let mut told = Vec::new();
    let epoch = backend.load_telling(&mut visit, &mut |strange| told.push(strange))?;
    restore(&mut rows);
    if let Some(id) = twice {
        return Err(BackendError::Damaged(format!("two rows of lease {id}")));
    }
    if stores_items {
        restore_items(backend, &mut recovery)?;
    } else {
        refuse_items(backend)?;
    }
    told.iter().for_each(|strange| recovery.count(strange));
    told.append(&mut mended);
    Ok((recovery, epoch, told))
}
