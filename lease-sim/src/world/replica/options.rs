//! How a replica is set up; bugs are planted here as well.

use std::num::NonZeroU32;
use std::time::Duration;

use lease_core::{LessorConfig, Ttl, probe};
use lease_raft::ReplicaOptions;

use super::lock;
use crate::world::World;

/// How long a member waits for the answer of another one.
const ASK_TIMEOUT: Duration = Duration::from_millis(700);

impl World {
    pub(super) fn options(&self, node: usize) -> ReplicaOptions {
        let parameters = &self.parameters;
        ReplicaOptions {
            config: self.config(node),
            cluster: "world".to_owned(),
            extend: parameters.extend(),
            commit_interval: self.commit_interval(),
            ask_timeout: ASK_TIMEOUT,
            max_expired_batches: parameters.expired_capacity,
            suspend_expiry: lock(&self.members[node].status).suspends > 0,
            ..ReplicaOptions::default()
        }
    }

    fn commit_interval(&self) -> Duration {
        let interval = Duration::from_millis(self.parameters.commit_interval_ms);
        match self.parameters.durable {
            true => Duration::ZERO,
            false if probe::is_planted("writes-wait-longer") => interval * 3,
            false => interval,
        }
    }

    fn config(&self, node: usize) -> LessorConfig {
        let parameters = &self.parameters;
        let mut config = LessorConfig {
            min_ttl: Ttl::new(parameters.min_ttl[node]).expect("the plan is sound"),
            checkpoint_interval: Duration::from_millis(parameters.checkpoint_interval_ms),
            revoke_rate_per_sec: NonZeroU32::new(parameters.revoke_rate_per_sec),
            expired_lease_retry_interval: Duration::from_millis(parameters.retry_interval_ms),
            max_expired_batch_size: NonZeroU32::new(parameters.expired_batch)
                .expect("the plan is sound"),
            hash_seed: Some(parameters.hash_seed),
            ..LessorConfig::default()
        };
        spoil(&mut config);
        config
    }
}

/// What a wrong host makes of its configuration.
fn spoil(config: &mut LessorConfig) {
    if probe::is_planted("rate-ignored") {
        config.revoke_rate_per_sec = None;
    }
    if probe::is_planted("batches-without-a-limit") {
        config.max_expired_batch_size = LessorConfig::default().max_expired_batch_size;
    }
    if probe::is_planted("checkpoints-multiply") {
        config.checkpoint_interval /= 4;
    }
    if probe::is_planted("checkpoints-too-seldom") {
        config.checkpoint_interval *= 4;
    }
    if probe::is_planted("retried-too-soon") {
        config.expired_lease_retry_interval /= 2;
    }
    if probe::is_planted("retried-a-bit-too-soon") {
        config.expired_lease_retry_interval -= Duration::from_millis(1);
    }
}
