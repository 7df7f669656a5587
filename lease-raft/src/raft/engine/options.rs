use std::time::Duration;

use openraft::{Config, SnapshotPolicy, StepDownPolicy};

use super::EngineError;

/// How an [`OpenraftEngine`](crate::OpenraftEngine) keeps time, and how much of its log it keeps. All
/// members of a cluster should have the same.
///
/// ```
/// use std::time::Duration;
/// use lease_raft::OpenraftOptions;
///
/// let options = OpenraftOptions::new()
///     .heartbeat(Duration::from_millis(50))
///     .election_timeout(Duration::from_millis(200), Duration::from_millis(300));
/// # assert_ne!(options, OpenraftOptions::new());
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenraftOptions {
    heartbeat: Duration,
    election_timeout: (Duration, Duration),
    snapshot_after: u64,
    keep_entries: u64,
    chunk_bytes: u64,
    is_strict: bool,
}

impl OpenraftOptions {
    /// A heartbeat each 100 ms, as etcd; election time-outs of 400 to 600 ms, so that a leader that is
    /// gone is replaced after 1 to 1.2 s; the log is purged each 10,000 entries, as etcd's, and keeps
    /// the last 5,000, as etcd's; chunks of 1 MiB.
    ///
    /// ```
    /// use lease_raft::OpenraftOptions;
    ///
    /// let spelled_out = OpenraftOptions::new()
    ///     .snapshot_after(10_000)
    ///     .keep_entries(5_000)
    ///     .chunk_bytes(1 << 20);
    /// assert_eq!(OpenraftOptions::new(), spelled_out);
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self {
            heartbeat: Duration::from_millis(100),
            election_timeout: (Duration::from_millis(400), Duration::from_millis(600)),
            snapshot_after: 10_000,
            keep_entries: 5_000,
            chunk_bytes: 1 << 20,
            is_strict: true,
        }
    }

    /// How often a leader says that it is there, in whole milliseconds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use lease_raft::OpenraftOptions;
    ///
    /// let options = OpenraftOptions::new().heartbeat(Duration::from_millis(50));
    /// # assert_ne!(options, OpenraftOptions::new());
    /// ```
    #[must_use]
    pub const fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval;
        self
    }

    /// The bounds of the election time-out, in whole milliseconds and a day at most; a member draws its own anew for
    /// each election.
    ///
    /// A leader that hears of no quorum for `max` no longer says that it leads. A follower waits for
    /// `max` and its own time-out since it heard of the leader before it wants to be elected.
    ///
    /// ```
    /// use std::time::Duration;
    /// use lease_raft::OpenraftOptions;
    ///
    /// let (min, max) = (Duration::from_secs(1), Duration::from_secs(2));
    /// let options = OpenraftOptions::new().election_timeout(min, max);
    /// # assert_ne!(options, OpenraftOptions::new());
    /// ```
    #[must_use]
    pub const fn election_timeout(mut self, min: Duration, max: Duration) -> Self {
        self.election_timeout = (min, max);
        self
    }

    /// After how many entries the log may be purged. A member that lags further behind than what is
    /// kept gets a snapshot.
    ///
    /// ```
    /// use lease_raft::OpenraftOptions;
    ///
    /// let options = OpenraftOptions::new().snapshot_after(100_000);
    /// # assert_ne!(options, OpenraftOptions::new());
    /// ```
    #[must_use]
    pub const fn snapshot_after(mut self, entries: u64) -> Self {
        self.snapshot_after = entries;
        self
    }

    /// How many entries a purge leaves for members that lag.
    ///
    /// ```
    /// use lease_raft::OpenraftOptions;
    ///
    /// let options = OpenraftOptions::new().keep_entries(50_000);
    /// # assert_ne!(options, OpenraftOptions::new());
    /// ```
    #[must_use]
    pub const fn keep_entries(mut self, entries: u64) -> Self {
        self.keep_entries = entries;
        self
    }

    /// How many bytes of a snapshot are sent at a time: 32 MiB at most, which a message of gRPC carries.
    ///
    /// ```
    /// use lease_raft::OpenraftOptions;
    ///
    /// let options = OpenraftOptions::new().chunk_bytes(64 << 10);
    /// # assert_ne!(options, OpenraftOptions::new());
    /// ```
    #[must_use]
    pub const fn chunk_bytes(mut self, bytes: u64) -> Self {
        self.chunk_bytes = bytes;
        self
    }

    /// Whether a leader refuses to change the voters so that a majority of them would be silent, and nothing
    /// could be decided. It does by default, as etcd with `--strict-reconfig-check`; without, one that is known to
    /// come back may be counted on.
    ///
    /// ```
    /// use lease_raft::OpenraftOptions;
    ///
    /// let options = OpenraftOptions::new().strict_reconfig_check(false);
    /// # assert_ne!(options, OpenraftOptions::new());
    /// ```
    #[must_use]
    pub const fn strict_reconfig_check(mut self, is_strict: bool) -> Self {
        self.is_strict = is_strict;
        self
    }

    pub(super) const fn is_strict(&self) -> bool {
        self.is_strict
    }

    pub(super) fn election_timeout_max(&self) -> Duration {
        self.election_timeout.1
    }

    pub(crate) fn config(&self, cluster: &str) -> Result<Config, EngineError> {
        let (min, max) = self.election_timeout;
        if max > MAX_ELECTION_TIMEOUT {
            return Err(EngineError::Options(format!(
                "an election time-out of {max:?}, and not of {MAX_ELECTION_TIMEOUT:?} at most"
            )));
        }
        if !(1..=MAX_CHUNK_BYTES).contains(&self.chunk_bytes) {
            return Err(EngineError::Options(format!(
                "chunks of {} bytes, and not of 1 to {MAX_CHUNK_BYTES}",
                self.chunk_bytes
            )));
        }
        let config = Config {
            cluster_name: cluster.to_owned(),
            heartbeat_interval: millis(self.heartbeat),
            election_timeout_min: millis(min),
            election_timeout_max: millis(max),
            enable_pre_vote: Some(true),
            // A leader sends entries before they are on its own disk. If it came back as the leader of its
            // old term, it could write others under their names.
            enable_leader_restore: Some(false),
            // The time for one chunk of a snapshot; the last one gets more.
            install_snapshot_timeout: millis(CHUNK_TIMEOUT),
            snapshot_max_chunk_size: self.chunk_bytes,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_after),
            max_in_snapshot_log_to_keep: self.keep_entries,
            // A member that is in reach of the log gets the log.
            replication_lag_threshold: u64::MAX,
            max_payload_entries: MAX_PAYLOAD_ENTRIES,
            removed_leader_step_down: StepDownPolicy::After(millis(min)),
            // So that a member that was away for a moment is not away for a second.
            backoff: "20ms 40ms 80ms ..500ms".to_owned(),
            ..Config::default()
        };
        config
            .validate()
            .map_err(|error| EngineError::Options(error.to_string()))
    }
}

impl Default for OpenraftOptions {
    fn default() -> Self {
        Self::new()
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

const MAX_ELECTION_TIMEOUT: Duration = Duration::from_hours(24);
const MAX_CHUNK_BYTES: u64 = 32 << 20;
const CHUNK_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_PAYLOAD_ENTRIES: u64 = 1024;
