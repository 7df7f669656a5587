use std::pin::Pin;
use std::task::Poll;

use lease_core::{LeaseError, Ttl, probe};

use super::Host;
use super::clients::id_of;
use super::sleeper::Sleeper;

/// A renewal of a task's, which waits for a reset, with the lease.
pub(super) struct Resetting {
    lease: i64,
    grant: u64,
    // Whether the host only says that it has reset the checkpoint.
    is_pretended: bool,
    renewal: Pin<Box<dyn Future<Output = Result<Ttl, LeaseError>> + Send>>,
    sleeper: Sleeper,
}

/// So many tasks renew a lease at once, now and then.
const CROWD: usize = 20;

impl Host {
    /// A task renews a lease, or very many do. If a reset is needed it is there as soon as the lessor has been driven.
    pub(super) fn renew_in_tasks(&mut self, lease: i64) {
        let is_crowd = (self.steps / 6).is_multiple_of(3);
        (0..if is_crowd { CROWD } else { 1 }).for_each(|_| self.renew_in_task(lease));
        self.poll_resetting(false);
    }

    fn renew_in_task(&mut self, lease: i64) {
        let id = id_of(lease);
        let lessor = std::sync::Arc::clone(&self.lessor);
        let renewal = Box::pin(async move { lessor.renew_async(id).await });
        let grant = self.held.get(&lease).map_or(0, |held| held.grant);
        let is_pretended = self.alone.loses_checkpoints && (self.steps / 3).is_multiple_of(2);
        self.resetting.push(Resetting {
            lease,
            grant,
            is_pretended: is_pretended && self.alone.pushes_checkpoints,
            renewal,
            sleeper: Sleeper::default(),
        });
    }

    /// The resets that renewals wait for have been brought.
    pub(super) fn look_at_resetting(&mut self) {
        self.poll_resetting(true);
        self.pusher.pretend(false);
    }

    fn poll_resetting(&mut self, is_brought: bool) {
        // Of whom one is told all are told.
        let is_refused = !self.resetting.is_empty() && self.pusher.take_refused_resets() > 0;
        for mut waiting in std::mem::take(&mut self.resetting) {
            let (polled, overslept) = waiting.sleeper.poll(waiting.renewal.as_mut());
            if overslept {
                let lease = waiting.lease;
                self.object(format!(
                    "a renewal of lease {lease} is not woken for {polled:?}"
                ));
            }
            match polled {
                Poll::Ready(renewed) => self.look_at_reset(&waiting, renewed, is_refused),
                Poll::Pending => {
                    probe::mark("alone: a task waits for the reset of a checkpoint");
                    if is_brought && !self.may_go_on(&waiting) {
                        let lease = waiting.lease;
                        self.object(format!("a renewal of lease {lease} goes on to wait"));
                    }
                    if waiting.is_pretended {
                        self.pusher.pretend(true);
                    }
                    if !is_brought {
                        self.resetting.push(waiting);
                    }
                }
            }
        }
    }

    /// A lease that was delivered meanwhile is waited for; on a bad disk nothing is certain.
    fn may_go_on(&self, waiting: &Resetting) -> bool {
        self.deliveries.has(waiting.lease) || self.now_ms() < self.disturbed_until_ms
    }

    fn look_at_reset(
        &mut self,
        waiting: &Resetting,
        renewed: Result<Ttl, LeaseError>,
        is_refused: bool,
    ) {
        let lease = waiting.lease;
        let is_there = |held: &super::Held| held.grant == waiting.grant;
        let is_there = self.held.get(&lease).is_some_and(is_there);
        let is_disturbed = self.now_ms() < self.disturbed_until_ms;
        match renewed {
            Ok(_) if is_there => self.renewed(lease),
            Err(LeaseError::LeaseNotFound) if !is_there => {}
            Err(LeaseError::Checkpointer(_)) if waiting.is_pretended => {
                probe::mark("alone: a host has reset a checkpoint, and has not");
            }
            Err(LeaseError::Checkpointer(_)) if is_refused => {}
            Err(LeaseError::Backend(_) | LeaseError::Checkpointer(_)) if is_disturbed => {}
            renewed => self.object(format!(
                "a renewal of lease {lease} in a task was answered {renewed:?}"
            )),
        }
    }
}
