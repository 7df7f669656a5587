use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use lease_core::{
    BackendLessor, BoxError, Checkpoint, CheckpointBatch, Checkpointer, Clock, Command, Deleted,
    ManualClock, RangeDeleter, TxnDelete, WriteBatch,
};

use super::text;
use crate::trace::hex_all;

/// What the lessor calls: it writes down what happens beside the answers.
pub(super) struct Host {
    clock: Arc<ManualClock>,
    me: Weak<Host>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    lessor: Weak<BackendLessor>,
    events: Vec<String>,
    fails: bool,
    deleters: u64,
    pending: Vec<CheckpointBatch>,
}

impl Host {
    pub(super) fn new(clock: Arc<ManualClock>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            clock,
            me: me.clone(),
            inner: Mutex::default(),
        })
    }

    pub(super) fn set_lessor(&self, lessor: &Arc<BackendLessor>) {
        self.inner().lessor = Arc::downgrade(lessor);
    }

    pub(super) fn set_fails(&self, fails: bool) {
        self.inner().fails = fails;
    }

    /// Adds a line: what, and at which time.
    pub(super) fn note(&self, what: &str, how: &str) {
        let at = text::millis(i128::from(self.clock.now().as_nanos()));
        self.inner().events.push(format!("{what}@{at}: {how}"));
    }

    /// What has happened since the last time.
    pub(super) fn take_events(&self) -> Vec<String> {
        let mut events = std::mem::take(&mut self.inner().events);
        events.sort_unstable();
        events
    }

    /// Makes one line of the deletes of many revokes.
    pub(super) fn merge_deletes(&self) {
        let mut inner = self.inner();
        let is_delete = |line: &mut String| line.starts_with("deleted");
        let deletes: Vec<_> = inner.events.extract_if(.., is_delete).collect();
        let lists = deletes.iter().filter_map(|line| line.split_once(": "));
        let mut keys: Vec<_> = lists.flat_map(|(_, keys)| keys.split(',')).collect();
        keys.sort_unstable();
        if !keys.is_empty() {
            inner.events.push(format!("deleted: {}", keys.join(",")));
        }
    }

    pub(super) fn note_checkpoints(&self, records: &[Checkpoint]) {
        self.note("checkpoints", &text::checkpoints(records));
    }

    pub(super) fn pending(&self) -> usize {
        self.inner().pending.len()
    }

    pub(super) fn propose(&self, batch: CheckpointBatch) {
        self.note_checkpoints(&batch.records);
        self.inner().pending.push(batch);
    }

    pub(super) fn take_pending(&self, number: usize) -> CheckpointBatch {
        let mut inner = self.inner();
        let at = number % inner.pending.len();
        inner.pending.remove(at)
    }

    pub(super) fn put_back(&self, number: usize, batch: CheckpointBatch) {
        let mut inner = self.inner();
        let at = number % (inner.pending.len() + 1);
        inner.pending.insert(at, batch);
    }

    pub(super) fn checkpointer(&self) -> Arc<dyn Checkpointer> {
        self.me.upgrade().expect("it is in use")
    }

    /// A lessor that starts has the first range deleter, if any.
    pub(super) fn deleter(&self) -> Arc<dyn RangeDeleter> {
        Arc::new(Deleter {
            host: self.me.upgrade().expect("it is in use"),
            number: 0,
        })
    }

    pub(super) fn next_deleter(&self) -> Arc<dyn RangeDeleter> {
        let mut inner = self.inner();
        inner.deleters += 1;
        Arc::new(Deleter {
            host: self.me.upgrade().expect("it is in use"),
            number: inner.deleters,
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Checkpointer for Host {
    fn checkpoint(&self, records: &[Checkpoint], _timeout: Duration) -> Result<(), BoxError> {
        self.note_checkpoints(records);
        let (lessor, fails) = {
            let inner = self.inner();
            (inner.lessor.clone(), inner.fails)
        };
        if fails {
            return Err("the log has no leader".into());
        }
        let lessor = lessor.upgrade().ok_or("the lessor is gone")?;
        lessor.apply(
            &Command::Checkpoint(records.to_vec()),
            WriteBatch::default(),
        )?;
        Ok(())
    }
}

struct Deleter {
    host: Arc<Host>,
    number: u64,
}

struct Deletes<'d> {
    deleter: &'d Deleter,
    keys: Vec<Vec<u8>>,
}

impl RangeDeleter for Deleter {
    fn begin<'t>(&'t self, _: &'t mut WriteBatch) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
        Ok(Box::new(Deletes {
            deleter: self,
            keys: Vec::new(),
        }))
    }
}

impl TxnDelete for Deletes<'_> {
    fn delete_range(&mut self, key: &[u8], _end: Option<&[u8]>) -> Result<Deleted, BoxError> {
        self.keys.push(key.to_vec());
        Ok(Deleted::default())
    }

    fn end(self: Box<Self>) -> Result<(), BoxError> {
        if !self.keys.is_empty() {
            let what = format!("deleted by {}", self.deleter.number);
            self.deleter.host.note(&what, &hex_all(&self.keys, ","));
        }
        Ok(())
    }
}
