use std::collections::VecDeque;

#[cfg(feature = "async")]
use super::tasks::Callers;
use crate::sync::thread::{ThreadId, current};
use crate::sync::{Arc, Bell, Mutex, MutexGuard, lock};
use crate::{Answer, BackendError, Command, Decision, WriteBatch};

/// What goes down the road.
pub(super) struct Job {
    /// `None` if the host has something to write and that is all.
    pub(super) command: Option<Command>,
    /// What the host writes with it.
    pub(super) writes: WriteBatch,
    pub(super) refusal: Refusal,
    pub(super) purpose: Purpose,
    /// How often one of the lessor's own had its turn while nobody was there to do it.
    pub(super) stood_aside: u32,
}

/// What becomes of the host's writes when the command is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// They are written all the same: the command is an entry of a log, and the refusal its outcome.
    Writes,
    /// They are not written.
    Drops,
}

/// The most leases that are revoked, or checkpointed, together: to decide over them is some 300 µs under
/// the lock. The schedule explorer's build has very small parts, so that a few leases take several.
pub(super) const LEASES_AT_ONCE: usize = if cfg!(shuttle) { 2 } else { 1024 };

/// Why a job is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// The host has given the command, and a thread of its waits.
    Host,
    /// Leases have expired.
    Expiry,
    /// Renewals wait for it.
    Reset,
    /// Checkpoints of the batch with this number were due.
    Checkpoint(u64),
}

/// A job that is decided.
pub(super) struct Decided {
    pub(super) decision: Option<Decision>,
    pub(super) rows: WriteBatch,
    pub(super) writes: WriteBatch,
    pub(super) refusal: Refusal,
    pub(super) purpose: Purpose,
}

/// Where a thread waits for its turn.
pub(super) struct Seat {
    calls: Mutex<VecDeque<Call>>,
    bell: Bell,
    // Who is told instead: a thread that has many seats, and the number of this one.
    #[cfg(feature = "async")]
    callers: Option<(Arc<Callers>, u64)>,
    pub(super) thread: ThreadId,
}

/// What a thread that waits is told.
pub(super) enum Call {
    /// Its job is decided.
    Decided(Box<Decided>),
    /// It is the writer.
    Write,
    /// The transaction with its rows is over.
    Written(Result<(), BackendError>),
    /// The lessor was stopped.
    Stopped,
}

/// A command that has gone to the end of the road, and what it came to; nothing for a job without
/// one.
pub(super) type Done = Option<(Command, Answer)>;

impl Job {
    pub(super) fn new(command: Command, writes: WriteBatch, refusal: Refusal) -> Self {
        Self {
            command: Some(command),
            writes,
            refusal,
            purpose: Purpose::Host,
            stood_aside: 0,
        }
    }

    /// A command that the lessor gives itself.
    pub(super) fn own(command: Command, purpose: Purpose, stood_aside: u32) -> Self {
        Self {
            purpose,
            stood_aside,
            ..Self::new(command, WriteBatch::default(), Refusal::Drops)
        }
    }

    /// It is decided.
    pub(super) fn decided(self, decision: Option<Decision>, rows: WriteBatch) -> Box<Decided> {
        Box::new(Decided {
            decision,
            rows,
            writes: self.writes,
            refusal: self.refusal,
            purpose: self.purpose,
        })
    }

    pub(super) const fn begins_epoch(&self) -> bool {
        matches!(self.command, Some(Command::BeginEpoch(_)))
    }
}

impl Decided {
    /// Whether nothing is to be written, not even what the host has.
    pub(super) fn is_dropped(&self) -> bool {
        let is_refusal = |decision: &Decision| decision.answer().is_refusal();
        self.refusal == Refusal::Drops && self.decision.as_ref().is_some_and(is_refusal)
    }
}

impl Seat {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            calls: Mutex::new(VecDeque::new()),
            bell: Bell::default(),
            #[cfg(feature = "async")]
            callers: None,
            thread: current().id(),
        })
    }

    /// One of many seats of this thread, which is told of all of them in one place.
    #[cfg(feature = "async")]
    pub(super) fn one_of_many(callers: &Arc<Callers>, number: u64) -> Arc<Self> {
        Arc::new(Self {
            calls: Mutex::new(VecDeque::new()),
            bell: Bell::default(),
            callers: Some((Arc::clone(callers), number)),
            thread: current().id(),
        })
    }

    pub(super) fn put(&self, call: Call) {
        #[cfg(feature = "async")]
        if let Some((callers, number)) = &self.callers {
            return callers.put(*number, call);
        }
        self.lock().push_back(call);
        self.bell.ring();
    }

    /// Waits for the next call.
    pub(super) fn next(&self) -> Call {
        loop {
            if let Some(call) = self.try_next() {
                return call;
            }
            self.bell.wait();
        }
    }

    pub(super) fn try_next(&self) -> Option<Call> {
        self.lock().pop_front()
    }

    /// Waits for the next call, at most until `timeout` has passed.
    pub(super) fn next_timeout(&self, timeout: std::time::Duration) -> Option<Call> {
        self.try_next().or_else(|| {
            self.bell.wait_timeout(timeout);
            self.try_next()
        })
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Call>> {
        lock(&self.calls)
    }
}
