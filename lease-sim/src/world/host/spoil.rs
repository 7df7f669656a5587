use std::time::Duration;

use lease_core::{Command, Epoch, Incarnation, LeaseId, Lessor, LessorConfig, Ttl, probe};

use super::Host;

impl Host {
    /// What a wrong host makes of an entry's command.
    pub(super) fn spoil(&self, command: &mut Command) {
        match command {
            Command::Grant(grant) if probe::is_planted("min-ttl-at-apply") => {
                let own = self.world.parameters.min_ttl[self.node];
                grant.ttl = grant.ttl.max(Ttl::new(own).expect("the plan is sound"));
            }
            Command::Revoke(revocations) => {
                for revocation in revocations {
                    let id = revocation.id;
                    if let Some(fence) = &mut revocation.fence {
                        self.lift(id, &mut fence.epoch, &mut fence.incarnation);
                    }
                }
            }
            Command::Checkpoint(checkpoints) if probe::is_planted("checkpoint-overtakes-renew") => {
                let rows = self.lessor.rows();
                for checkpoint in checkpoints {
                    let row = rows.iter().find(|row| row.id == checkpoint.id);
                    if let (Some(fence), Some(row)) = (&mut checkpoint.fence, row) {
                        fence.generation = row.checkpoint_generation;
                    }
                }
            }
            _ => {}
        }
    }

    /// Makes an expiry hit what it does not mean.
    fn lift(&self, id: LeaseId, epoch: &mut Epoch, incarnation: &mut Incarnation) {
        if probe::is_planted("epoch-unfenced") {
            *epoch = self.lessor.epoch();
        }
        if probe::is_planted("incarnation-unfenced")
            && let Some(lease) = self.lessor.lookup(id)
        {
            *incarnation = lease.incarnation();
        }
    }
}

/// What a wrong host makes of its configuration.
pub(super) fn spoil(config: &mut LessorConfig) {
    if probe::is_planted("rate-ignored") {
        config.revoke_rate_per_sec = None;
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
