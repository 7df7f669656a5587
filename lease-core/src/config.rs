use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;

use crate::probe::planted;
use crate::{LeaseError, MAX_LEASE_TTL, RequestedTtl, Ttl};

/// How a lessor behaves. The defaults are etcd's.
///
/// Any release may add a setting: take the default for what is not named, as here.
///
/// ```
/// use lease_core::{LessorConfig, Ttl};
///
/// let config = LessorConfig {
///     min_ttl: Ttl::new(5)?,
///     max_leases: Some(1_000_000),
///     ..LessorConfig::default()
/// };
/// assert_eq!(config.admit_ttl(0)?.as_secs(), 5);
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct LessorConfig {
    /// A grant with a smaller TTL is raised to this one. Default 1 s; etcd's server sets it to a
    /// bit more than its election timeout.
    pub min_ttl: Ttl,
    /// A lease with a longer TTL has its remaining TTL checkpointed this often. Default 5 min.
    pub checkpoint_interval: Duration,
    /// An expired lease that was delivered and is still there is delivered again when this time has
    /// passed since the host took it. Default 3 s.
    pub expired_lease_retry_interval: Duration,
    /// Whether a checkpoint is written to the backend. Default true, as etcd since 3.6.
    pub checkpoint_persist: bool,
    /// At most this many leases are delivered as expired in any second, each attempt counted; the
    /// others live on until later. `None` is without a limit. Default 1,000.
    pub revoke_rate_per_sec: Option<NonZeroU32>,
    /// At most this many leases in one expired batch. Default 500, etcd's revoke rate divided by
    /// its two batches a second.
    pub max_expired_batch_size: NonZeroU32,
    /// At most this many checkpoints are proposed in any second; `None` is without a limit.
    /// Default 1,000.
    pub checkpoint_rate_per_sec: Option<NonZeroU32>,
    /// At most this many records in one checkpoint batch. Default 1,000.
    pub max_checkpoint_batch_size: NonZeroU32,
    /// A grant beyond this number of leases is refused. Default `None`, no limit. Members of one log
    /// need the same limit: what one refuses the others must refuse.
    pub max_leases: Option<usize>,
    /// An attach beyond this number of items of one lease is refused. Default 2^20. Unlike etcd's
    /// there is a limit, because a look-up copies all items of a lease and its revoke deletes them
    /// in one commit, and a client that is not trusted decides how many there are. `None` is
    /// without a limit. Members of one log need the same limit.
    pub max_items_per_lease: Option<usize>,
    /// How far the clock's answers may lag behind the true time: an expiry is this much later, so
    /// that it is never early. Default 0; [`BackendLessor`](crate::BackendLessor) sets it from its
    /// clock.
    pub clock_lag: Duration,
    /// Seeds the hash tables: who does not know it cannot choose ids or items that slow them down.
    /// Nothing that the lessor answers depends on it but the order of
    /// [`LessorCore::page`](crate::LessorCore::page). Default `None`: a
    /// [`BackendLessor`](crate::BackendLessor) draws one at random, and a
    /// [`LessorCore`](crate::LessorCore), which is deterministic, takes 0. It is neither printed nor
    /// serialized, only read.
    #[cfg_attr(feature = "serde", serde(skip_serializing))]
    pub hash_seed: Option<u64>,
}

impl LessorConfig {
    /// The TTL that a grant gets that asks for this one: raised to [`min_ttl`](Self::min_ttl).
    ///
    /// Do this where a command is made, not where it is applied: members with different settings
    /// would diverge.
    ///
    /// # Errors
    ///
    /// [`LeaseError::LeaseTtlTooLarge`] above [`MAX_LEASE_TTL`].
    ///
    /// ```
    /// use lease_core::{LeaseError, LessorConfig, MAX_LEASE_TTL, Ttl};
    ///
    /// let config = LessorConfig::default();
    /// assert_eq!(config.admit_ttl(-1)?, Ttl::MIN);
    /// assert_eq!(config.admit_ttl(MAX_LEASE_TTL + 1), Err(LeaseError::LeaseTtlTooLarge));
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub fn admit_ttl(&self, ttl: impl Into<RequestedTtl>) -> Result<Ttl, LeaseError> {
        let secs = ttl.into().as_secs();
        let is_refused = planted!("alone-longest-ttl-refused") && secs == MAX_LEASE_TTL;
        if secs > MAX_LEASE_TTL || is_refused {
            return Err(LeaseError::LeaseTtlTooLarge);
        }
        Ok(Ttl::new(secs).map_or(self.min_ttl, |ttl| ttl.max(self.min_ttl)))
    }
}

impl Default for LessorConfig {
    fn default() -> Self {
        Self {
            min_ttl: Ttl::MIN,
            checkpoint_interval: Duration::from_mins(5),
            expired_lease_retry_interval: Duration::from_secs(3),
            checkpoint_persist: true,
            revoke_rate_per_sec: NonZeroU32::new(1000),
            max_expired_batch_size: const { NonZeroU32::new(500).expect("not zero") },
            checkpoint_rate_per_sec: NonZeroU32::new(1000),
            max_checkpoint_batch_size: const { NonZeroU32::new(1000).expect("not zero") },
            max_leases: None,
            max_items_per_lease: Some(1 << 20),
            clock_lag: Duration::ZERO,
            hash_seed: None,
        }
    }
}

/// Without the hash seed, which nobody is to read in a log.
impl fmt::Debug for LessorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            min_ttl,
            checkpoint_interval,
            expired_lease_retry_interval,
            checkpoint_persist,
            revoke_rate_per_sec,
            max_expired_batch_size,
            checkpoint_rate_per_sec,
            max_checkpoint_batch_size,
            max_leases,
            max_items_per_lease,
            clock_lag,
            hash_seed: _,
        } = self;
        f.debug_struct("LessorConfig")
            .field("min_ttl", min_ttl)
            .field("checkpoint_interval", checkpoint_interval)
            .field("expired_lease_retry_interval", expired_lease_retry_interval)
            .field("checkpoint_persist", checkpoint_persist)
            .field("revoke_rate_per_sec", revoke_rate_per_sec)
            .field("max_expired_batch_size", max_expired_batch_size)
            .field("checkpoint_rate_per_sec", checkpoint_rate_per_sec)
            .field("max_checkpoint_batch_size", max_checkpoint_batch_size)
            .field("max_leases", max_leases)
            .field("max_items_per_lease", max_items_per_lease)
            .field("clock_lag", clock_lag)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn its_text_has_units_and_no_secret() {
        let config = LessorConfig {
            hash_seed: Some(0x5eed),
            ..LessorConfig::default()
        };
        let text = format!("{config:?}");
        assert!(text.contains("min_ttl: Ttl(1 s), checkpoint_interval: 300s"));
        assert!(!text.contains("seed") && !text.contains(&format!("{}", 0x5eed)));
    }
}
