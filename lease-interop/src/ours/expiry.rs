use std::time::Duration;

use anyhow::Result;
use lease_core::{
    AttemptOutcome, ExpiredBatch, LeaseError, Lessor, Revoked, TicketOutcome, Timestamp, Wait,
};

use super::{World, text};

/// A lessor that has still something to do after so many turns at one time spins.
const MOST_TURNS: usize = 10_000;

/// Batches that the host took at one time.
pub(super) type Taken = Vec<ExpiredBatch>;

/// A renewal that waits for the end of an expired lease.
pub(super) struct Waiting {
    number: usize,
    wait: Option<Wait>,
    deadline: Timestamp,
}

impl World<'_> {
    /// Lets time pass, and does everything at its time.
    pub(super) fn advance(&mut self, span: Duration) -> Result<()> {
        let target = self.now().saturating_add(span);
        while let Some(next) = self.next_stop().filter(|next| *next <= target) {
            self.clock.set(next);
            self.settle()?;
        }
        self.clock.set(target);
        Ok(())
    }

    fn next_stop(&self) -> Option<Timestamp> {
        let waiting = self.waiting.iter();
        let deadlines = waiting.filter(|one| one.wait.is_some());
        let polled = self.lessor().next_checkpoint();
        let stops = [self.lessor().next_wakeup(), polled];
        let stops = stops.into_iter().flatten();
        let stops = stops.chain(deadlines.map(|one| one.deadline));
        stops.filter(|at| *at > self.now()).min()
    }

    /// Does what is due now.
    pub(super) fn settle(&mut self) -> Result<()> {
        let mut turns = 0;
        loop {
            let next = self.lessor().tick();
            while let Some(batch) = self.lessor().poll_checkpoints() {
                self.host.propose(batch);
            }
            let polled = self
                .lessor()
                .next_checkpoint()
                .filter(|_| self.is_deferred());
            let is_due = |next: Option<Timestamp>| next.is_some_and(|next| next <= self.now());
            if !is_due(next) && !is_due(polled) {
                break;
            }
            turns += 1;
            if turns == MOST_TURNS {
                self.host
                    .note("due for ever", &format!("{next:?} {polled:?}"));
                break;
            }
        }
        if !self.is_held {
            self.take();
        }
        self.end_waits();
        self.lessor().check_invariants();
        Ok(())
    }

    /// The host takes the expired leases that there are.
    pub(super) fn take(&mut self) {
        let taken: Taken = self.lessor().expired_leases().try_iter().collect();
        if taken.is_empty() {
            return;
        }
        let leases = taken.iter().flat_map(|batch| &batch.leases);
        let mut ids: Vec<_> = leases.map(|lease| lease.id.get().to_string()).collect();
        ids.sort_unstable();
        self.host.note("expired", &ids.join(","));
        self.taken.push(taken);
    }

    pub(super) fn revoke_taken(&self, number: usize) -> String {
        if self.taken.is_empty() {
            return "none".to_owned();
        }
        let mut answers = Vec::new();
        for batch in &self.taken[number % self.taken.len()] {
            let revoked = match self.lessor().revoke_expired(batch) {
                Ok(revoked) => revoked,
                Err(error) => return text::error(&error),
            };
            for (lease, revoked) in batch.leases.iter().zip(revoked) {
                answers.push(format!("{}={}", lease.id.get(), revoked_text(revoked)));
            }
        }
        self.host.merge_deletes();
        answers.sort_unstable();
        answers.join(",")
    }

    pub(super) fn fail_taken(&self, number: usize) -> String {
        if self.taken.is_empty() {
            return "none".to_owned();
        }
        for batch in &self.taken[number % self.taken.len()] {
            for revocation in batch.revocations() {
                let fence = revocation.fence.expect("it is an expiry");
                let failed = AttemptOutcome::Failed;
                self.lessor().handle_attempt(revocation.id, fence, failed);
            }
        }
        "ok".to_owned()
    }

    /// A renewal waits for the end of a lease, as long as one does by default.
    pub(super) fn wait(&mut self, wait: Option<Wait>) -> String {
        let number = self.waiting.len();
        self.waiting.push(Waiting {
            number,
            wait,
            deadline: self.now().saturating_add(Duration::from_secs(5)),
        });
        format!("waiting {number}")
    }

    fn end_waits(&mut self) {
        let now = self.now();
        for waiting in &mut self.waiting {
            let Some(wait) = &waiting.wait else { continue };
            let outcome = match wait.try_outcome() {
                Some(TicketOutcome::Revoked) => LeaseError::LeaseNotFound,
                Some(_) => LeaseError::NotPrimary,
                None if waiting.deadline <= now => LeaseError::DeadlineExceeded,
                None => continue,
            };
            waiting.wait = None;
            let what = format!("wait {}", waiting.number);
            let outcome = match outcome {
                LeaseError::DeadlineExceeded => "deadline exceeded".to_owned(),
                other => text::error(&other),
            };
            self.host.note(&what, &outcome);
        }
    }
}

fn revoked_text(revoked: Result<Revoked, LeaseError>) -> String {
    match revoked {
        Ok(Revoked::Stale) => "stale".to_owned(),
        other => text::answer(other),
    }
}
