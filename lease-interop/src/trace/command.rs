use std::fmt;

/// One thing that the host of a lessor does. Numbers of batches and proposals are taken modulo how
/// many there are, so that a trace means something without any of its commands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Command {
    Grant {
        id: i64,
        ttl: i64,
    },
    /// Grants `count` leases with ids from `id` on.
    Many {
        id: i64,
        count: u32,
        ttl: i64,
    },
    Revoke {
        id: i64,
    },
    Renew {
        id: i64,
    },
    Attach {
        id: i64,
        keys: Vec<Vec<u8>>,
    },
    Detach {
        id: i64,
        keys: Vec<Vec<u8>>,
    },
    GetLease {
        key: Vec<u8>,
    },
    Lookup {
        id: i64,
    },
    List,
    /// Looks a lease up and keeps what it got.
    Keep {
        id: i64,
    },
    /// Shows what was kept.
    Kept,
    Checkpoint {
        id: i64,
        secs: i64,
    },
    /// Applies a proposed batch of checkpoints.
    Apply {
        number: usize,
    },
    /// A proposed batch of checkpoints will never be applied.
    Drop {
        number: usize,
    },
    /// Whether the checkpointer fails from now on.
    Fails(bool),
    Promote {
        extend_ms: u64,
    },
    /// A promotion of the epoch before.
    PromoteLate,
    Demote,
    /// A demotion of the epoch before.
    DemoteLate,
    Advance {
        micros: u64,
    },
    /// Whether the host leaves expired leases where they are.
    Hold(bool),
    /// The host takes expired leases that it has left.
    Take,
    /// Revokes what the host once took.
    RevokeTaken {
        number: usize,
    },
    /// To revoke what the host once took has failed.
    FailTaken {
        number: usize,
    },
    Restart {
        min_ttl: i64,
        persist: bool,
    },
    Crash {
        min_ttl: i64,
        persist: bool,
    },
    Recover {
        has_deleter: bool,
    },
    Stop,
    /// The stored rows.
    Rows,
    /// What another lessor has of these rows as a primary.
    Load {
        rows: Vec<Row>,
    },
    Counters,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grant { id, ttl } => write!(f, "grant {id} {ttl}"),
            Self::Many { id, count, ttl } => write!(f, "many {id} {count} {ttl}"),
            Self::Revoke { id } => write!(f, "revoke {id}"),
            Self::Renew { id } => write!(f, "renew {id}"),
            Self::Attach { id, keys } => write!(f, "attach {id} {}", hex_all(keys, " ")),
            Self::Detach { id, keys } => write!(f, "detach {id} {}", hex_all(keys, " ")),
            Self::GetLease { key } => write!(f, "get {}", hex(key)),
            Self::Lookup { id } => write!(f, "lookup {id}"),
            Self::List => f.write_str("list"),
            Self::Keep { id } => write!(f, "keep {id}"),
            Self::Kept => f.write_str("kept"),
            Self::Checkpoint { id, secs } => write!(f, "checkpoint {id} {secs}"),
            Self::Apply { number } => write!(f, "apply {number}"),
            Self::Drop { number } => write!(f, "drop {number}"),
            Self::Fails(fails) => write!(f, "fails {fails}"),
            Self::Promote { extend_ms } => write!(f, "promote {extend_ms}"),
            Self::PromoteLate => f.write_str("promote-late"),
            Self::Demote => f.write_str("demote"),
            Self::DemoteLate => f.write_str("demote-late"),
            Self::Advance { micros } => write!(f, "advance {micros}"),
            Self::Hold(holds) => write!(f, "hold {holds}"),
            Self::Take => f.write_str("take"),
            Self::RevokeTaken { number } => write!(f, "revoke-taken {number}"),
            Self::FailTaken { number } => write!(f, "fail-taken {number}"),
            Self::Restart { min_ttl, persist } => write!(f, "restart {min_ttl} {persist}"),
            Self::Crash { min_ttl, persist } => write!(f, "crash {min_ttl} {persist}"),
            Self::Recover { has_deleter } => write!(f, "recover {has_deleter}"),
            Self::Stop => f.write_str("stop"),
            Self::Rows => f.write_str("rows"),
            Self::Load { rows } => {
                f.write_str("load")?;
                let mut rows = rows.iter();
                rows.try_for_each(|(key, value)| write!(f, " {}:{}", hex(key), hex(value)))
            }
            Self::Counters => f.write_str("counters"),
        }
    }
}

/// The key and the value of a stored row.
pub(crate) type Row = ([u8; 8], Vec<u8>);

/// The bytes of a key; `-` if it has none.
pub(crate) fn hex(key: &[u8]) -> String {
    if key.is_empty() {
        return "-".to_owned();
    }
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn hex_all<K: AsRef<[u8]>>(keys: &[K], separator: &str) -> String {
    let keys: Vec<_> = keys.iter().map(|key| hex(key.as_ref())).collect();
    keys.join(separator)
}
