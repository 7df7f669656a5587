use lease_core::{AttemptOutcome, CheckpointBatch, ExpiredBatch, Lessor, ProposalOutcome, probe};

use super::{Host, Pending, hear};
use crate::event::{Event, Name};
use crate::wire::Request;
use crate::world::clock::Round;

/// Who comes later than this is not measured by when he delivers leases.
const PROMPT_MS: u64 = 5;

impl Host {
    /// Does what is due, and proposes what the lessor asks for. The lessor must have said when, or have
    /// woken the host: whatever else wakes it must not hide that it did not.
    pub(super) fn tick(&mut self) {
        loop {
            if self.is_due() {
                self.drive();
            }
            if self.is_lingering() {
                probe::mark("host: expired leases are not taken");
                break;
            }
            let mut has_taken = false;
            while let Ok(batch) = self.expired.try_recv() {
                has_taken = true;
                self.revoke(batch);
            }
            if !has_taken {
                break;
            }
        }
        while let Some(batch) = self.lessor.poll_checkpoints() {
            self.checkpoint(batch);
        }
    }

    /// Drives the lessor.
    pub(super) fn drive(&mut self) {
        self.ticks += 1;
        self.wakeup = self.lessor.tick();
    }

    fn is_due(&self) -> bool {
        let now = self.member().clock.reading();
        self.wakeup.is_some_and(|due| due.as_nanos() <= now)
    }

    fn revoke(&mut self, batch: ExpiredBatch) {
        self.changes += batch.leases.len() as u64;
        while batch.leases.len() > 1 && probe::is_planted("host-hangs") {
            std::hint::spin_loop();
        }
        let is_again = batch.leases.iter().any(|lease| lease.attempt > 0);
        if is_again && probe::is_planted("expired-never-retried") {
            return;
        }
        let epoch = batch.epoch.get();
        if self.lessor.primary_epoch().map(|epoch| epoch.get()) != Some(epoch) {
            probe::mark("host: a batch of an ended promotion is taken");
        }
        self.tell_time();
        for lease in &batch.leases {
            let event = Event::Delivered {
                node: self.node,
                epoch,
                name: Name::new(lease.id, lease.incarnation),
                attempt: lease.attempt,
            };
            hear(self, event);
        }
        if batch.leases.len() > 1 {
            probe::mark("host: several leases expire in one batch");
        }
        let request = Request::Revoke(batch.revocations().collect());
        self.propose(request, Pending::Expired(batch));
    }

    fn checkpoint(&mut self, batch: CheckpointBatch) {
        for checkpoint in &batch.records {
            let (Some(fence), Some(remaining)) = (checkpoint.fence, checkpoint.remaining) else {
                continue;
            };
            let event = Event::CheckpointProposed {
                node: self.node,
                epoch: fence.epoch.get(),
                name: Name::new(checkpoint.id, fence.incarnation),
                remaining_ms: remaining.as_secs() * 1000,
            };
            hear(self, event);
        }
        if self.world.loses_checkpoints() {
            probe::mark("world: a proposal of checkpoints is lost");
            for checkpoint in &batch.records {
                if let Some(fence) = checkpoint.fence {
                    let name = Name::new(checkpoint.id, fence.incarnation);
                    hear(self, Event::CheckpointLost { name });
                }
            }
            return;
        }
        probe::mark("host: a lease is checkpointed");
        let request = Request::Checkpoint(batch.records.clone());
        self.propose(request, Pending::Checkpoints(batch));
    }

    /// Tells the checkers what the lessor takes for the time.
    fn tell_time(&self) {
        let clock = self.member().clock.own_time(Round::Down);
        let event = Event::Read {
            node: self.node,
            clock,
            is_punctual: self.is_punctual(PROMPT_MS),
        };
        hear(self, event);
    }

    pub(super) fn attempt_failed(&self, batch: &ExpiredBatch) {
        probe::mark("host: an attempt to revoke is known to have failed");
        self.tell_time();
        for revocation in batch.revocations() {
            if let Some(fence) = revocation.fence {
                let failed = AttemptOutcome::Failed;
                self.lessor.handle_attempt(revocation.id, fence, failed);
                let event = Event::AttemptFailed {
                    node: self.node,
                    epoch: fence.epoch.get(),
                    name: Name::new(revocation.id, fence.incarnation),
                };
                hear(self, event);
            }
        }
    }

    pub(super) fn checkpoints_failed(&self, batch: &CheckpointBatch) {
        self.lessor
            .handle_checkpoints(batch, ProposalOutcome::Failed);
    }
}
