use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::channel::mpsc::UnboundedSender;
use lease_backend::testing::SimDisk;
use madsim::runtime::NodeHandle;

use super::clock::SimClock;
use super::lock;
use crate::plan::{End, Plan};
use crate::wire::Message;

/// What the world knows of a member.
pub(super) struct Member {
    node: usize,
    pub(super) disk: Mutex<SimDisk>,
    pub(super) clock: SimClock,
    pub(super) handle: Mutex<Option<NodeHandle>>,
    pub(super) status: Mutex<Status>,
    mailbox: Mutex<Option<UnboundedSender<Letter>>>,
    applied: AtomicU64,
    /// The ids of its leases.
    pub(super) leases: Mutex<Vec<i64>>,
}

/// What a member finds in its mailbox.
#[derive(Debug)]
pub(super) enum Letter {
    /// A message of the network.
    Message(End, Message),
    /// It has learnt that it leads a term.
    Lead(u64),
    /// It is to give up its leadership.
    StepDown,
    /// A snapshot of it is to be sent to another member.
    SendSnapshot(usize),
    /// It is to suspend the expiry of leases, or to resume it.
    SuspendExpiry(bool),
    /// It is to stop in order, and to start again after this time.
    Stop(Duration),
    /// It is to have the members changed as they are wanted, if it leads.
    Change,
    /// It is to hand over its leadership to another member, if it leads.
    HandOver(usize),
}

/// What a member is to be in its cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// None yet.
    None,
    Learner,
    Voter,
    Gone,
}

/// The faults that a member has.
#[derive(Debug, Default)]
pub(super) struct Status {
    pub(super) is_up: bool,
    /// Whether it has lost its disk, and never comes back.
    pub(super) is_lost: bool,
    /// How many processes it has had that have ended.
    pub(super) ended: u64,
    pub(super) pauses: u32,
    pub(super) suspends: u32,
    pub(super) slow_by: Duration,
    /// Whether anything was done to its disk since it started.
    pub(super) has_bad_disk: bool,
    /// How many more commits fail once one has.
    pub(super) more_disk_errors: u32,
    /// When it went on after it had stood still.
    pub(super) resumed_ms: u64,
    /// Until it starts again after a power cut.
    pub(super) down_for: Duration,
    /// When it stops to wait for a snapshot.
    pub(super) wants_snapshot_until_ms: u64,
    /// The epoch that its lessor is the primary of.
    pub(super) primary: Option<u64>,
}

impl Member {
    pub(super) fn new(plan: &Plan, node: usize) -> Self {
        Self {
            node,
            disk: Mutex::new(SimDisk::new(plan.noise ^ node as u64)),
            clock: SimClock::new(node, &plan.parameters),
            handle: Mutex::default(),
            status: Mutex::new(Status {
                is_up: true,
                ..Status::default()
            }),
            mailbox: Mutex::default(),
            applied: AtomicU64::new(0),
            leases: Mutex::default(),
        }
    }

    pub(super) fn has_no_power(&self) -> bool {
        !lock(&self.disk).is_powered()
    }

    pub(super) fn is_running(&self) -> bool {
        let status = lock(&self.status);
        status.is_up && status.pauses == 0
    }

    pub(super) fn open_mailbox(&self, mailbox: UnboundedSender<Letter>) {
        *lock(&self.mailbox) = Some(mailbox);
    }

    pub(super) fn has_mailbox(&self) -> bool {
        lock(&self.mailbox).is_some()
    }

    pub(super) fn close_mailbox(&self) {
        *lock(&self.mailbox) = None;
    }

    /// Delivers a message, if the member is up.
    pub(super) fn deliver(&self, from: End, message: Message) {
        self.post(Letter::Message(from, message));
    }

    /// Puts a letter into the mailbox of a member that has one.
    pub(super) fn post(&self, letter: Letter) {
        if let Some(mailbox) = &*lock(&self.mailbox) {
            // A member that has just ended does not read it any more.
            let _ = mailbox.unbounded_send(letter);
        }
    }

    pub(super) fn primary_epoch(&self) -> Option<u64> {
        lock(&self.status).primary
    }

    pub(super) fn applied(&self) -> u64 {
        self.applied.load(Ordering::Relaxed)
    }

    pub(super) fn set_applied(&self, index: u64) {
        self.applied.store(index, Ordering::Relaxed);
    }

    pub(super) fn lease_count(&self) -> usize {
        lock(&self.leases).len()
    }

    /// The member in words.
    pub(super) fn describe(&self) -> String {
        format!(
            "node {}: applied {}, leases {:?}, {:?}",
            self.node,
            self.applied(),
            lock(&self.leases),
            lock(&self.status)
        )
    }
}
