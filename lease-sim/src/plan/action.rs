use serde::{Deserialize, Serialize};

/// What a plan can do.
///
/// A fault lasts for a time of its own and then ends by itself, so that each can be left out of a
/// plan alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A member becomes the leader of a new term; the old leader learns of it from the log.
    Elect {
        /// Which.
        node: usize,
    },
    /// The leader steps down and a member becomes the leader of a new term.
    Transfer {
        /// Which.
        node: usize,
    },
    /// A member loses power at once.
    Crash {
        /// Which.
        node: usize,
        /// Until it starts again from its disk.
        for_ms: u64,
    },
    /// A member loses power in the middle of an operation of its disk.
    PowerCut {
        /// Which.
        node: usize,
        /// The operation, counted from now.
        after_operations: u64,
        /// Until it starts again from its disk.
        for_ms: u64,
    },
    /// A member is shut down in order.
    Stop {
        /// Which.
        node: usize,
        /// Until it starts again.
        for_ms: u64,
    },
    /// The process of a member stands still, and goes on as if nothing had been.
    Pause {
        /// Which.
        node: usize,
        /// For how long.
        for_ms: u64,
    },
    /// Nothing that one end sends reaches the other; the way back is open.
    Cut {
        /// From here.
        from: End,
        /// To here.
        to: End,
        /// For how long.
        for_ms: u64,
    },
    /// A member hears nothing and nobody hears it.
    Isolate {
        /// Which.
        node: usize,
        /// For how long.
        for_ms: u64,
    },
    /// What is sent to a member is held up, and comes all at once at the end.
    Clog {
        /// Which.
        node: usize,
        /// For how long.
        for_ms: u64,
    },
    /// A member's clock goes back.
    ClockBack {
        /// Whose.
        node: usize,
        /// By how much.
        by_ms: u64,
    },
    /// An operation of a member's disk fails, and maybe the first of each of the next commits; then
    /// it works.
    DiskError {
        /// Whose.
        node: usize,
        /// The operation, counted from now.
        after_operations: u64,
        /// How many commits in a row fail.
        #[serde(default = "once")]
        times: u32,
    },
    /// A member's disk has no room.
    DiskFull {
        /// Whose.
        node: usize,
        /// For how long.
        for_ms: u64,
    },
    /// A member's disk is slow.
    DiskSlow {
        /// Whose.
        node: usize,
        /// How long an entry takes to apply.
        by_ms: u64,
        /// For how long.
        for_ms: u64,
    },
    /// A member gets a snapshot of another one's state in the place of the log.
    Snapshot {
        /// Which.
        node: usize,
    },
    /// The host does not take expired leases; only where a lessor stands alone.
    Linger {
        /// Which.
        node: usize,
        /// For how long.
        for_ms: u64,
    },
    /// A member suspends the expiry of leases.
    Suspend {
        /// Which.
        node: usize,
        /// For how long.
        for_ms: u64,
    },
    /// A client asks for a lease.
    Grant {
        /// The id.
        lease: i64,
        /// Seconds.
        ttl: i64,
    },
    /// A client asks for a lease and keeps it alive; then it goes away without a word.
    Hold {
        /// The id.
        lease: i64,
        /// Seconds.
        ttl: i64,
        /// The time between two renewals.
        every_ms: u64,
        /// How many renewals.
        times: u32,
    },
    /// A client renews a lease, which need not be its own.
    Renew {
        /// The id.
        lease: i64,
    },
    /// A client revokes a lease.
    Revoke {
        /// The id.
        lease: i64,
    },
    /// A client puts a key, with a lease or without: attaches, moves or detaches it.
    Put {
        /// The key.
        key: u8,
        /// The lease that it is attached to.
        lease: Option<i64>,
    },
    /// A client attaches very many items to a lease in one command, or detaches them if they are its
    /// already; only where a lessor stands alone.
    PutMany {
        /// The id.
        lease: i64,
        /// How many.
        count: u16,
    },
    /// A client asks how long a lease has.
    TimeToLive {
        /// The id.
        lease: i64,
    },
    /// All members lose power at once; not where a lessor stands alone, as all that follows.
    Blackout {
        /// Until they start again from their disks.
        for_ms: u64,
    },
    /// A member loses its disk, and comes back with an empty one. On openraft it never comes back, and is
    /// removed; if the others could not go on without it, it loses power only.
    LoseDisk {
        /// Which.
        node: usize,
        /// Until it starts again.
        for_ms: u64,
    },
    /// A member is to get the log, and not to decide; only on openraft, as the next two.
    Learn {
        /// Which.
        node: usize,
    },
    /// A member is to decide.
    Admit {
        /// Which.
        node: usize,
    },
    /// A member is to go, for ever.
    Remove {
        /// Which.
        node: usize,
    },
    /// A client asks for a lease under an id that the lessor makes.
    GrantNew {
        /// Seconds.
        ttl: i64,
    },
    /// A client renews leases in one call.
    RenewMany {
        /// The first id.
        lease: i64,
        /// How many ids, one after the other.
        count: u8,
    },
    /// A client looks at what there is.
    Look {
        /// The id, which also says for which key.
        lease: i64,
        /// At what.
        how: Look,
    },
}

/// What a client of a replicated lessor looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    /// How long a lease has.
    TimeToLive,
    /// The same, with its keys.
    Keys,
    /// A lease.
    Lookup,
    /// A lease as the member has it.
    LookupLocal,
    /// Some leases, or all of them.
    Page,
    /// The same as the member has them.
    PageLocal,
    /// The lease of a key.
    Owner,
    /// The same as the member has it.
    OwnerLocal,
    /// The keys that the member has when it has caught up.
    CatchUp,
}

impl Look {
    /// All there are, each at the place of its number.
    pub const ALL: [Self; 9] = [
        Self::TimeToLive,
        Self::Keys,
        Self::Lookup,
        Self::LookupLocal,
        Self::Page,
        Self::PageLocal,
        Self::Owner,
        Self::OwnerLocal,
        Self::CatchUp,
    ];
}

/// One end of a link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// A member.
    Node(usize),
    /// The consensus log.
    Log,
    /// The clients.
    Clients,
}

const fn once() -> u32 {
    1
}

impl Action {
    /// The same with the lease's id as far from zero as it was close to it.
    pub(super) fn with_far_id(mut self) -> Self {
        let far = |id: i64| match id {
            1.. => i64::MAX - (id - 1),
            _ => i64::MIN - (id + 1),
        };
        match &mut self {
            Self::Grant { lease, .. }
            | Self::Hold { lease, .. }
            | Self::Renew { lease }
            | Self::Revoke { lease }
            | Self::PutMany { lease, .. }
            | Self::RenewMany { lease, .. }
            | Self::Look { lease, .. }
            | Self::TimeToLive { lease } => *lease = far(*lease),
            Self::Put { lease, .. } => *lease = lease.map(far),
            _ => {}
        }
        self
    }

    /// The same with this TTL, if it asks for one.
    pub(super) fn with_ttl(mut self, secs: i64) -> Self {
        if let Self::Grant { ttl, .. } | Self::Hold { ttl, .. } = &mut self {
            *ttl = secs;
        }
        self
    }

    /// The lease that it asks for, if it asks for one, and the TTL.
    #[must_use]
    pub const fn asks_for(&self) -> Option<(i64, i64)> {
        match self {
            Self::Grant { lease, ttl } | Self::Hold { lease, ttl, .. } => Some((*lease, *ttl)),
            _ => None,
        }
    }

    /// The member that it happens to.
    #[must_use]
    pub const fn node(&self) -> Option<usize> {
        match self {
            Self::Elect { node }
            | Self::Transfer { node }
            | Self::Crash { node, .. }
            | Self::PowerCut { node, .. }
            | Self::Stop { node, .. }
            | Self::Pause { node, .. }
            | Self::Isolate { node, .. }
            | Self::Clog { node, .. }
            | Self::ClockBack { node, .. }
            | Self::DiskError { node, .. }
            | Self::DiskFull { node, .. }
            | Self::DiskSlow { node, .. }
            | Self::LoseDisk { node, .. }
            | Self::Learn { node }
            | Self::Admit { node }
            | Self::Remove { node }
            | Self::Snapshot { node }
            | Self::Linger { node, .. }
            | Self::Suspend { node, .. } => Some(*node),
            Self::Cut { from, to, .. } => match (from, to) {
                (End::Node(node), _) | (_, End::Node(node)) => Some(*node),
                _ => None,
            },
            _ => None,
        }
    }

    /// How long it lasts.
    #[must_use]
    pub const fn for_ms(&self) -> Option<u64> {
        match self {
            Self::Crash { for_ms, .. }
            | Self::PowerCut { for_ms, .. }
            | Self::Stop { for_ms, .. }
            | Self::Pause { for_ms, .. }
            | Self::Cut { for_ms, .. }
            | Self::Isolate { for_ms, .. }
            | Self::Clog { for_ms, .. }
            | Self::DiskFull { for_ms, .. }
            | Self::DiskSlow { for_ms, .. }
            | Self::Blackout { for_ms }
            | Self::LoseDisk { for_ms, .. }
            | Self::Linger { for_ms, .. }
            | Self::Suspend { for_ms, .. } => Some(*for_ms),
            _ => None,
        }
    }

    /// Whether it happens to a link.
    pub(super) const fn is_of_link(&self) -> bool {
        matches!(self, Self::Cut { .. })
    }

    /// Whether it is something that a client does.
    #[must_use]
    pub const fn is_of_client(&self) -> bool {
        self.lease().is_some() || matches!(self, Self::Put { .. } | Self::GrantNew { .. })
    }

    pub(super) fn check(&self, nodes: usize) -> Result<(), String> {
        if let Self::Cut { from, to, .. } = self
            && (from == to || self.node().is_none())
        {
            return Err(format!("{self:?} names no link"));
        }
        if self.node().is_some_and(|node| node >= nodes) {
            return Err(format!("{self:?} names none of {nodes} members"));
        }
        if self.lease() == Some(0) {
            return Err(format!("{self:?} names no lease"));
        }
        match self {
            Self::Grant { ttl, .. } | Self::Hold { ttl, .. } | Self::GrantNew { ttl }
                if *ttl < 1 =>
            {
                Err(format!("{self:?} has no legal TTL"))
            }
            Self::Hold { every_ms: 0, .. } => Err(format!("{self:?} renews without a pause")),
            _ => Ok(()),
        }
    }

    const fn lease(&self) -> Option<i64> {
        match self {
            Self::Grant { lease, .. }
            | Self::Hold { lease, .. }
            | Self::Renew { lease }
            | Self::Revoke { lease }
            | Self::PutMany { lease, .. }
            | Self::RenewMany { lease, .. }
            | Self::Look { lease, .. }
            | Self::TimeToLive { lease } => Some(*lease),
            Self::Put { lease, .. } => *lease,
            _ => None,
        }
    }
}
