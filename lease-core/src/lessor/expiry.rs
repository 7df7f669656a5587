use std::time::Duration;

use super::isolate::isolate;
use super::job::LEASES_AT_ONCE;
use super::oversights::Found;
use super::own::Kind;
use super::state::State;
use super::told::RevokedItems;
use super::{Driver, ExpiryMode, Shared};
use crate::observer::LessorEvent;
use crate::probe::{planted, sized, sometimes};
use crate::{
    AttemptOutcome, ExpiredBatch, LeaseError, LeaseItem, Revocation, RevokeReason, Revoked,
    Timestamp,
};

/// How long the driver pauses when the host's clock has failed.
pub(super) const CLOCK_PAUSE: Duration = Duration::from_millis(100);

/// A slice of what is due.
struct Slice {
    /// What was delivered, to be told to the observer and, if nobody else does, to be revoked.
    batch: Option<ExpiredBatch>,
    /// What the host seems to have forgotten.
    oversight: Option<Found>,
    /// Against which state.
    generation: u64,
    next: Option<Timestamp>,
}

impl Shared {
    /// Does everything that is due, as far as the host has room for expired leases. Returns when
    /// something is due again.
    pub(super) fn drive_expiry(&self) -> Option<Timestamp> {
        loop {
            self.begin_round(Kind::Expiries);
            let now = match self.precise_time() {
                Ok(now) => now,
                Err(error) => {
                    self.observe_failure(&error);
                    let last = self.state.read(|state| state.core.now());
                    return Some(last.saturating_add(CLOCK_PAUSE));
                }
            };
            let mut retired = Vec::new();
            let slice = self.state.with(|state| {
                retired = std::mem::take(&mut state.retired);
                state.expire_slice(now, self.options.expiry, self.is_observed())
            });
            drop(retired);
            if let Some(found) = &slice.oversight {
                self.tell_oversight(found);
            }
            if let Some(batch) = slice.batch {
                let (batch, items) = (&batch, &*self.items_of_expired(&batch));
                self.observe(|| LessorEvent::Expired { batch, items });
                if self.options.expiry == ExpiryMode::AutoRevoke {
                    self.auto_revoke(batch, slice.generation);
                }
            }
            let mut has_more = self.carry_out_own(Kind::Expiries);
            if self.is_manual() {
                has_more |= self.carry_out_own(Kind::Deletions);
            }
            has_more |= slice.next.is_some_and(|next| next <= now);
            if !has_more && let Some(next) = self.end_round(Kind::Expiries, slice.next) {
                return next;
            }
            self.state.give_way();
        }
    }

    /// Has what has expired revoked, unless a recovery has come between.
    fn auto_revoke(&self, batch: &ExpiredBatch, generation: u64) {
        let revocations: Vec<_> = batch.revocations().collect();
        for some in revocations.chunks(sized!(LEASES_AT_ONCE)) {
            self.state.with(|state| {
                if state.own.generation() == generation {
                    state.revoke_own(some);
                }
            });
            if planted!("second-chunk-not-revoked") {
                break;
            }
        }
    }

    pub(super) fn attempt_failed(&self, revocations: &[Revocation], error: &LeaseError) {
        let now = self.time_or_last();
        self.state.with(|state| {
            for revocation in revocations {
                if let Some(fence) = revocation.fence {
                    let failed = AttemptOutcome::Failed;
                    state.core.handle_attempt(now, revocation.id, fence, failed);
                }
            }
        });
        self.observe_failure_of_own(error);
    }

    pub(super) fn observe_revoked(
        &self,
        revocations: &[Revocation],
        answers: &[Result<Revoked, LeaseError>],
        items: &RevokedItems,
    ) {
        if !self.is_observed() {
            return;
        }
        for (revocation, answer) in revocations.iter().zip(answers) {
            if *answer == Ok(Revoked::Done) {
                let reason = match revocation.fence {
                    None => RevokeReason::User,
                    Some(_) => RevokeReason::Expired,
                };
                let id = revocation.id;
                let items = items.get(&id).map_or(&[][..], Vec::as_slice);
                self.observe(|| LessorEvent::Revoked { id, reason, items });
            }
        }
    }

    /// Whether items of these leases have to be copied before, for the observer or for their rows.
    pub(super) fn has_to_copy(&self, state: &State, revocations: &[Revocation]) -> bool {
        let has_items = |one: &Revocation| state.core.has_items(one.id);
        let stores_items = self.options.stores_items && !planted!("alone-rows-of-items-stay");
        let copies = self.tells_items() || stores_items;
        copies && revocations.iter().any(has_items)
    }

    /// The items that the observer is told of leases that have expired.
    fn items_of_expired(&self, batch: &ExpiredBatch) -> Vec<Vec<LeaseItem>> {
        let leases = batch.leases.iter().filter(|_| self.tells_items());
        leases.map(|lease| self.items_now(lease.id)).collect()
    }

    /// Commits the pending writes if they are due. Returns when they are due again.
    pub(super) fn drive_flush(&self) -> Option<Timestamp> {
        let Ok(now) = self.precise_time() else {
            let last = self.state.read(|state| state.core.now());
            return Some(last.saturating_add(CLOCK_PAUSE));
        };
        let due = self.state.with(|state| state.flush_due(now))?;
        if due <= now
            && let Err(error) = self.flush()
        {
            self.observe_failure(&LeaseError::Backend(error));
        }
        self.state.with(|state| state.flush_due(now))
    }

    /// When the lessor has something to do.
    pub(super) fn next_wakeup(&self) -> Option<Timestamp> {
        if self.is_manual() {
            self.state.with(State::tell_wakeup)
        } else {
            self.state.read(State::next_wakeup)
        }
    }

    pub(super) fn is_manual(&self) -> bool {
        self.options.driver == Driver::Manual
    }

    /// Tells the observer and the streams of events, if there are any.
    #[inline]
    pub(super) fn observe<'e>(&self, event: impl FnOnce() -> LessorEvent<'e>) {
        if self.is_observed() {
            self.tell(&event());
        }
    }

    /// Whether there is anybody who is told what happens.
    #[inline]
    pub(super) fn is_observed(&self) -> bool {
        #[cfg(feature = "async")]
        if self.feed.is_heard() {
            return true;
        }
        self.observer.is_some()
    }

    /// Tells the observer, and the log, of a failure that nobody waits for.
    pub(super) fn observe_failure(&self, error: &LeaseError) {
        #[cfg(feature = "tracing")]
        crate::metrics::warn_of_failure(error);
        self.observe(|| LessorEvent::Failed(error));
    }

    #[cold]
    fn tell(&self, event: &LessorEvent<'_>) {
        #[cfg(feature = "async")]
        self.feed.tell(event);
        if let Some(observer) = &self.observer
            && let Some(event) = self.for_the_observer(event)
        {
            // Nobody waits for an observer's panic.
            let _ = isolate("observer", || observer.observe(&event));
        }
    }

    /// What the observer wants to know of an event that streams may want more of.
    fn for_the_observer<'e>(&self, event: &LessorEvent<'e>) -> Option<LessorEvent<'e>> {
        let wants_items = self.options.tells_items || planted!("alone-observer-told-of-items");
        Some(match *event {
            LessorEvent::Attached { .. } | LessorEvent::Detached { .. }
                if !self.options.tells_attachments =>
            {
                return None;
            }
            LessorEvent::Revoked { id, reason, .. } if !wants_items => {
                let items = &[];
                LessorEvent::Revoked { id, reason, items }
            }
            LessorEvent::Expired { batch, .. } if !wants_items => {
                LessorEvent::Expired { batch, items: &[] }
            }
            ref event => event.clone(),
        })
    }
}

impl State {
    fn expire_slice(&mut self, now: Timestamp, expiry: ExpiryMode, is_observed: bool) -> Slice {
        if self.is_stopped {
            return Slice {
                batch: None,
                oversight: None,
                generation: self.own.generation(),
                next: None,
            };
        }
        self.core.handle_timeout(now);
        let mut delivered = None;
        if self.outbox.is_full() {
            sometimes!("core: the host has no room for expired leases");
        } else if let Some(batch) = self.poll_expired(now) {
            match expiry {
                ExpiryMode::AutoRevoke => {
                    self.core.handle_taken(now, &batch);
                    delivered = Some(batch);
                }
                ExpiryMode::Deliver => {
                    delivered = is_observed.then(|| batch.clone());
                    self.deliver(batch);
                }
            }
        }
        let oversight = self.find_oversight(now);
        let next = self.next_expiry();
        self.alarms.expiry = next;
        Slice {
            batch: delivered,
            oversight,
            generation: self.own.generation(),
            next,
        }
    }

    /// What is due, but for what is on its way to be revoked.
    fn poll_expired(&mut self, now: Timestamp) -> Option<ExpiredBatch> {
        let is_revoking = |id| self.own.is_revoking(id);
        self.core.poll_expired_but(now, &is_revoking)
    }

    /// When the pending writes are due, for whoever sleeps until then.
    fn flush_due(&mut self, now: Timestamp) -> Option<Timestamp> {
        if let Some(journal) = &mut self.journal {
            journal.hold(now);
        }
        let due = self.next_flush();
        self.alarms.flush = due;
        due
    }
}
