use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What holds for a whole run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Parameters {
    /// How many members.
    pub nodes: usize,
    /// How many of them, the first ones, are whole again when the faults are over.
    pub core: usize,
    /// How long the part with faults takes.
    pub faulty_ms: u64,
    /// The longest TTL that the plan asks for; says how long the healed world gets.
    pub longest_ttl: i64,
    /// The shortest and longest delay of a message.
    pub latency_ms: (u64, u64),
    /// How far a member applies behind the log at most.
    pub apply_lag_ms: u64,
    /// How many in a thousand messages are lost.
    pub lost_per_mille: u32,
    /// How many in a thousand messages come twice.
    pub repeated_per_mille: u32,
    /// How many in a thousand proposals come into the log a second time, later.
    pub duplicated_per_mille: u32,
    /// How late a member learns who leads, at most, of its own engine.
    pub promotion_lag_ms: u64,
    /// How much a promotion adds to each lease.
    pub extend_ms: u64,
    /// How much each member's clock runs fast, in parts per million; slow if negative.
    pub drift_ppm: Vec<i32>,
    /// The members' own minimum TTLs, in seconds.
    pub min_ttl: Vec<i64>,
    /// The lessors' checkpoint interval.
    pub checkpoint_interval_ms: u64,
    /// The lessors' revoke rate; zero is without a limit.
    pub revoke_rate_per_sec: u32,
    /// The lessors' retry interval.
    pub retry_interval_ms: u64,
    /// The largest batch of expired leases.
    pub expired_batch: u32,
    /// How many such batches may be under way, and as many more wait for that.
    pub expired_capacity: usize,
    /// Whether every command is written before it is applied, or writes are batched and a crash loses the last
    /// of them.
    pub durable: bool,
    /// How long batched writes wait.
    pub commit_interval_ms: u64,
    /// Seeds the lessors' hash tables.
    #[serde(default)]
    pub hash_seed: u64,
    /// How many in a thousand proposals of checkpoints never come to the log, also when everything
    /// else is whole.
    #[serde(default)]
    pub lost_checkpoints_per_mille: u32,
    /// How many in a thousand proposals the log refuses although the leader makes them.
    #[serde(default)]
    pub refused_per_mille: u32,
    /// How far the members' clocks lag behind, where the lessor does not ask for the exact time.
    #[serde(default)]
    pub clock_lag_ms: u64,
    /// Where the members' clocks start; with 0 far from any power of two, and each elsewhere.
    #[serde(default)]
    pub clock_origin_ms: u64,
    /// The most that the lessors do in one piece of work; with 0 as much as in production.
    #[serde(default)]
    pub piece: usize,
    /// How many promotion tags there are before they come again; with 0 as many as in production.
    #[serde(default)]
    pub tags: u64,
    /// How often in a thousand times something is done while the lessor waits for one of its ports.
    #[serde(default)]
    pub meanwhile_per_mille: u32,
    /// What replicates the entries of members.
    #[serde(default)]
    pub engine: Engine,
    /// For how many entries a replica remembers which proposals it has applied; with 0 for as many as in
    /// production.
    #[serde(default)]
    pub remembered: u64,
    /// How many in a thousand calls of a replicated lessor are dropped half-way.
    #[serde(default)]
    pub dropped_per_mille: u32,
    /// How openraft is set up.
    #[serde(default)]
    pub raft: Raft,
    /// Whether there is one lessor that stands alone, without a log, and what it is like.
    #[serde(default)]
    pub alone: Option<Alone>,
}

/// What replicates the entries of members, which are replicas of lease-raft.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// The hostile log.
    #[default]
    Log,
    /// openraft.
    Raft,
}

/// How openraft is set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Raft {
    /// How many of the members are to decide from the beginning on.
    pub voters: usize,
    /// After how many entries the log may be purged.
    pub snapshot_after: u64,
    /// How many entries a purge leaves.
    pub keep_entries: u64,
    /// How many bytes of a snapshot are sent at a time.
    pub chunk_bytes: u64,
    /// How long at most what a disk is asked for takes until the faults are over, so that its log and its state are
    /// written in just any order.
    #[serde(default)]
    pub uneven_ms: u64,
}

/// What a lessor that stands alone is like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Alone {
    /// Whether its backend is the one in memory, which outlives it here.
    pub in_memory: bool,
    /// How many leases there may be; 0 is without a limit.
    pub max_leases: usize,
    /// Whether checkpoints are stored.
    pub stores_checkpoints: bool,
    /// Whether the host keeps the items, and attaches them again after a start.
    #[serde(default)]
    pub replays_items: bool,
    /// Whether the host brings checkpoints into the state, and not the lessor by itself.
    #[serde(default)]
    pub pushes_checkpoints: bool,
    /// Whether the observer wants to be told of items.
    #[serde(default = "always")]
    pub tells_items: bool,
    /// Whether the host takes expired leases and revokes them, and not the lessor by itself.
    #[serde(default)]
    pub delivers: bool,
    /// How long the host waits with each promotion.
    #[serde(default)]
    pub promotes_after_ms: u64,
    /// Whether a start finds rows that no lessor has written.
    #[serde(default)]
    pub strange_rows: bool,
    /// Whether the host keeps the items' rows, which go with their lease.
    #[serde(default)]
    pub keeps_rows: bool,
    /// Whether drawn ids are those of a member.
    #[serde(default)]
    pub ids_of_member: bool,
    /// How many writes start a commit; 0 is 50.
    #[serde(default)]
    pub max_writes: usize,
    /// How many items a lease may have; 0 is without a limit.
    #[serde(default)]
    pub max_items: usize,
    /// Whether the host asks for checkpoints and brings them into the state, and not the lessor by itself.
    #[serde(default)]
    pub polls_checkpoints: bool,
    /// Whether some of the checkpoints that the host is to bring into the state are refused, come in late, or get
    /// lost.
    #[serde(default)]
    pub loses_checkpoints: bool,
}

impl Alone {
    /// Whether checkpoints are refused or get lost.
    #[must_use]
    pub const fn may_lose_checkpoints(&self) -> bool {
        self.loses_checkpoints && (self.pushes_checkpoints || self.polls_checkpoints)
    }
}

const fn always() -> bool {
    true
}

impl Parameters {
    /// As a [`Duration`].
    #[must_use]
    pub const fn extend(&self) -> Duration {
        Duration::from_millis(self.extend_ms)
    }

    /// How much earlier than promised a lease of `ttl_ms` may expire because of the clocks. A lease
    /// may be counted by two members one after the other, each with its own error.
    #[must_use]
    pub fn clock_error_ms(&self, ttl_ms: u64) -> u64 {
        let drift = |ppm: &i32| u64::from(ppm.unsigned_abs());
        let largest = self.drift_ppm.iter().map(drift).max().unwrap_or(0);
        (2 * ttl_ms * largest).div_ceil(1_000_000)
    }

    /// How long the healed world may take for an entry, from its proposal until a member has applied
    /// it.
    #[must_use]
    pub const fn healed_entry_ms(&self) -> u64 {
        2 * self.latency_ms.1 + self.apply_lag_ms
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let is_sound = (1..=9).contains(&self.nodes)
            && (1..=self.nodes).contains(&self.core)
            && self.drift_ppm.len() == self.nodes
            && self.drift_ppm.iter().all(|ppm| ppm.abs() <= 500_000)
            && self.min_ttl.len() == self.nodes
            && self.min_ttl.iter().all(|ttl| (1..=1000).contains(ttl))
            && self.latency_ms.0 <= self.latency_ms.1
            && self.faulty_ms <= 3_600_000
            && self.longest_ttl <= 100_000
            && self.expired_batch > 0
            && self.expired_capacity > 0
            && self.retry_interval_ms > 0
            && self.clock_lag_ms <= 1_000
            && self.clock_origin_ms <= 1 << 40;
        if is_sound {
            Ok(())
        } else {
            Err(format!("no world has these parameters: {self:?}"))
        }
    }
}
