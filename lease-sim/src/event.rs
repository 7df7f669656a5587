use std::fmt;

use lease_core::{Incarnation, LeaseId};
use serde::{Deserialize, Serialize};

use crate::plan::End;

/// A lease and which grant of its id it is: no two leases of a run have the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Name {
    /// The id.
    pub lease: i64,
    /// The index of the entry that granted it.
    pub incarnation: u64,
}

impl Name {
    /// The name of a lease whose incarnation the log has supplied.
    #[must_use]
    pub fn new(lease: LeaseId, incarnation: Incarnation) -> Self {
        Self {
            lease: lease.get(),
            incarnation: incarnation.as_supplied().unwrap_or(0),
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lease {} of entry {}", self.lease, self.incarnation)
    }
}

/// What happens in a run, as the checkers hear it. Epochs and indexes are those of the log; times are
/// virtual milliseconds.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The log made a member the leader of a term.
    Elected {
        /// Which.
        node: usize,
        /// The term.
        epoch: u64,
    },
    /// A member has started, or has installed a snapshot, and this is what it has.
    Recovered {
        /// Which.
        node: usize,
        /// The last entry that it had applied.
        index: u64,
        /// Its replicated state.
        digest: u64,
        /// Whether it comes from its own disk.
        from_disk: bool,
    },
    /// A member's process has ended.
    Ended {
        /// Which.
        node: usize,
        /// The last entry that it had applied.
        index: u64,
        /// Why.
        how: Exit,
    },
    /// A member stands still.
    Paused {
        /// Which.
        node: usize,
    },
    /// A member goes on.
    Resumed {
        /// Which.
        node: usize,
    },
    /// Something was done to a member's disk: it may fail, lose power or be slow until the member
    /// starts anew.
    DiskHarmed {
        /// Whose.
        node: usize,
    },
    /// A member's clock was set back; for so long it will seem to stand still.
    ClockSetBack {
        /// Whose.
        node: usize,
        /// By how much.
        by_ms: u64,
    },
    /// A member became the primary.
    Promoted {
        /// Which.
        node: usize,
        /// In which epoch.
        epoch: u64,
    },
    /// A member is no primary any more.
    Demoted {
        /// Which.
        node: usize,
    },
    /// What the replicated state must be after an entry.
    Specified {
        /// The entry.
        index: u64,
        /// The state.
        digest: u64,
    },
    /// A member does not hold what it must after an entry.
    Differs {
        /// Which.
        node: usize,
        /// The entry.
        index: u64,
        /// The first row that differs: what it is there, and what it must be.
        row: String,
    },
    /// A member has applied an entry.
    Applied {
        /// Which.
        node: usize,
        /// The entry.
        index: u64,
        /// Its replicated state after it.
        digest: u64,
    },
    /// An epoch began: the first member has applied its entry.
    Began {
        /// The epoch.
        epoch: u64,
    },
    /// A lease was granted: the first member has applied the entry.
    Granted {
        /// The lease.
        name: Name,
        /// Its TTL.
        ttl_ms: u64,
    },
    /// A lease was revoked: the first member has applied the entry.
    Revoked {
        /// The lease.
        name: Name,
        /// The epoch that expired it; `None` if a client revoked it.
        by: Option<u64>,
    },
    /// A primary has asked the log for a checkpoint.
    CheckpointProposed {
        /// Which.
        node: usize,
        /// Its epoch.
        epoch: u64,
        /// The lease.
        name: Name,
        /// What remains of its TTL.
        remaining_ms: u64,
    },
    /// A checkpoint took effect: the first member has applied the entry.
    Checkpointed {
        /// The lease.
        name: Name,
        /// The epoch that asked for it.
        epoch: u64,
        /// What remains of its TTL; `None` if the checkpoint is taken back.
        remaining_ms: Option<u64>,
        /// When it was asked for.
        proposed_ms: u64,
    },
    /// A proposal of a checkpoint never comes to the log, and nobody tells.
    CheckpointLost {
        /// The lease.
        name: Name,
    },
    /// What the lessor of a primary has said to a renewal.
    RenewalTried {
        /// Which.
        node: usize,
        /// Its epoch.
        epoch: u64,
        /// The lease, which is there.
        name: Name,
        /// Whether it has time left, or nothing may expire and nothing that has waits for the host.
        is_alive: bool,
        /// The answer.
        came_to: Came,
    },
    /// A primary has renewed a lease; the client does not know it yet.
    Renewed {
        /// Which.
        node: usize,
        /// Its epoch.
        epoch: u64,
        /// The lease.
        name: Name,
    },
    /// A member's own clock, as its lessor has read it for what it does next.
    Read {
        /// Which member.
        node: usize,
        /// The time.
        clock: OwnTime,
        /// Whether the member has come when it was to.
        is_punctual: bool,
    },
    /// A primary has counted a lease anew: it is there until this time of the primary's own clock.
    Counted {
        /// Which member.
        node: usize,
        /// The lease.
        name: Name,
        /// The time.
        until: OwnTime,
    },
    /// A primary has delivered a lease as expired.
    Delivered {
        /// Which.
        node: usize,
        /// Its epoch.
        epoch: u64,
        /// The lease.
        name: Name,
        /// How many times it had been delivered before.
        attempt: u32,
    },
    /// A replica has proposed to revoke a lease that it has delivered.
    ExpiryProposed {
        /// Which.
        node: usize,
        /// Its epoch.
        epoch: u64,
        /// The lease.
        name: Name,
    },
    /// A primary was told that an attempt to revoke an expired lease will never take effect.
    AttemptFailed {
        /// Which.
        node: usize,
        /// Its epoch.
        epoch: u64,
        /// The lease.
        name: Name,
    },
    /// A client holds the answer that its lease lives for a TTL.
    Acknowledged {
        /// The lease.
        name: Name,
        /// When it asked.
        asked_ms: u64,
        /// The TTL.
        ttl_ms: u64,
    },
    /// A client is told how long a lease has, by whatever member it has asked.
    ToldTimeToLive {
        /// The lease.
        name: Name,
        /// What remains.
        left_ms: u64,
        /// Its TTL.
        ttl_ms: u64,
    },
    /// A client waits for the end of a call.
    WaitBegan {
        /// Where.
        node: usize,
        /// Which wait.
        wait: u64,
        /// When it ends at the latest.
        until_ms: u64,
    },
    /// What the lessor of a member says to somebody who waits for the end of a lease.
    WaitTold {
        /// Where.
        node: usize,
        /// The lease.
        name: Name,
        /// The answer.
        told: Told,
        /// Whether the lease is there.
        is_there: bool,
        /// Whether the member runs, and is the primary that it was when the wait began.
        is_primary: bool,
    },
    /// A call has ended.
    WaitEnded {
        /// Where.
        node: usize,
        /// Which wait.
        wait: u64,
    },
    /// Something that holds in every state does not.
    Broken {
        /// Where.
        node: usize,
        /// What.
        message: String,
    },
    /// A lessor that stands alone does not do what it must.
    Wrong {
        /// What.
        message: String,
    },
    /// A client of a replicated lessor is told what cannot be so, or what another one was told happens
    /// otherwise.
    NotLinear {
        /// What.
        message: String,
    },
    /// A call of a replicated lessor was neither done nor refused in its time.
    CallFailed {
        /// Where it was made.
        node: usize,
        /// When.
        asked_ms: u64,
        /// How long it was to take at most.
        timeout_ms: u64,
    },
    /// A member's disk is gone, and all that was on it.
    DiskLost {
        /// Whose.
        node: usize,
    },
    /// The faults are over: the first members are whole, and no message is lost any more.
    Healed,
    /// The run is over.
    Over {
        /// The leases that are still there, and where.
        left: Vec<(usize, i64)>,
        /// The healed members that have not applied the whole log.
        behind: Vec<usize>,
    },
    /// A message has arrived, or was lost. Only in a trace.
    Message {
        /// From where.
        from: End,
        /// To where.
        to: End,
        /// When it was sent.
        sent_ms: u64,
        /// What it was.
        what: String,
        /// Whether it arrived.
        arrived: bool,
    },
}

/// A time of a member's own clock, in milliseconds. A clock that is behind where it was leaves open
/// what the lessor has taken for the time: it is between the two.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct OwnTime {
    /// At least.
    pub from_ms: u64,
    /// At most.
    pub to_ms: u64,
}

impl OwnTime {
    /// So much later.
    #[must_use]
    pub const fn plus(self, span_ms: u64) -> Self {
        Self {
            from_ms: self.from_ms + span_ms,
            to_ms: self.to_ms + span_ms,
        }
    }

    /// The later of two times.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            from_ms: self.from_ms.max(other.from_ms),
            to_ms: self.to_ms.max(other.to_ms),
        }
    }
}

/// What an attempt to renew a lease comes to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Came {
    /// It has its whole TTL again.
    Renewed,
    /// A checkpoint must be reset before.
    Reset,
    /// It is too late.
    Expiring,
    /// Something else is wrong.
    Refused,
}

/// What a lessor says to somebody who waits for the end of a lease.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// Nothing: the wait goes on.
    Nothing,
    /// The lease is gone.
    Gone,
    /// This is no primary, or not any more.
    NotPrimary,
}

/// How a member's process ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It lost power.
    PowerLost,
    /// It was shut down in order: nothing that it had applied may be lost.
    Stopped,
}

/// What can be seen of a member between two things that it does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Glance {
    /// Which member.
    pub node: usize,
    /// The epoch that it is the primary of.
    pub primary: Option<u64>,
    /// Its own clock.
    pub clock: OwnTime,
    /// The newest epoch that it has applied.
    pub epoch: u64,
    /// How many callers wait inside of the lessor.
    pub waiting: usize,
    /// How often the lessor was driven since the member started.
    pub ticks: u64,
    /// How many letters the member has read since then, and leases it has taken as expired.
    pub changes: u64,
    /// Whether it delivers expired leases: nothing suspends that, and the host takes them.
    pub expires: bool,
    /// Its leases by id: the name, what remains (`None` while it is no primary), and the TTL.
    pub leases: Vec<(Name, Option<u64>, u64)>,
}
