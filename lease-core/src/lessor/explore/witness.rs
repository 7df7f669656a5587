use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::heard::Heard;
use super::history::History;
use super::op::{Op, What};
use super::world::secs;
use crate::{
    Incarnation, LeaseId, LeaseItem, LessorEvent, ManualClock, Observer, RevokeReason, Revoked,
};

/// Whom the lessor tells what happens. It writes down what the lessor does by itself, and counts what it
/// is told, which has to be what was done.
pub(super) struct Witness {
    history: Arc<History>,
    clock: Arc<ManualClock>,
    /// Whether the lessor revokes by itself: those are the revokes that no host takes down.
    revokes: bool,
    wants_items: bool,
    wants_attachments: bool,
    incarnations: Mutex<BTreeMap<LeaseId, Incarnation>>,
    heard: Mutex<Heard>,
}

impl Observer for Witness {
    fn observe(&self, event: &LessorEvent<'_>) {
        self.hear(event);
        if !self.revokes {
            return;
        }
        match event {
            LessorEvent::Expired { batch, .. } => {
                for lease in batch.leases.iter().filter(|lease| lease.attempt == 0) {
                    self.incarnations().insert(lease.id, lease.incarnation);
                    self.note(What::Expire(lease.id.get(), lease.incarnation));
                }
            }
            LessorEvent::Revoked {
                id,
                reason: RevokeReason::Expired,
                ..
            } => {
                let incarnation = self.incarnations().get(id).copied();
                let incarnation = incarnation.expect("it was delivered");
                self.note(What::RevokeExpired(
                    id.get(),
                    incarnation,
                    Ok(Revoked::Done),
                ));
            }
            _ => {}
        }
    }

    fn wants_items(&self) -> bool {
        self.wants_items
    }

    fn wants_attachments(&self) -> bool {
        self.wants_attachments
    }
}

impl Witness {
    pub(super) fn new(history: &Arc<History>, clock: &Arc<ManualClock>, revokes: bool) -> Self {
        // With neither of them, commands that could not be are decided and applied in one step.
        let (wants_items, wants_attachments) =
            super::one_of(&[(false, false), (true, false), (true, true)]);
        Self {
            history: Arc::clone(history),
            clock: Arc::clone(clock),
            revokes,
            wants_items,
            wants_attachments,
            incarnations: Mutex::default(),
            heard: Mutex::default(),
        }
    }

    /// Checks that what was told is what was done; `has` is who has an item.
    pub(super) fn check(&self, has: impl Fn(&LeaseItem) -> Option<LeaseId>) {
        let has = self.wants_attachments.then_some(has);
        self.heard().check(&self.history, has);
    }

    fn hear(&self, event: &LessorEvent<'_>) {
        let mut heard = self.heard();
        match event {
            LessorEvent::Granted { id, ttl } => heard.granted(*id, ttl.as_secs()),
            LessorEvent::Revoked { id, items, .. } => heard.revoked(*id, items),
            LessorEvent::Attached { id, items } => heard.attached(*id, items),
            LessorEvent::Detached { id, items } => heard.detached(*id, items),
            _ => {}
        }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn incarnations(&self) -> MutexGuard<'_, BTreeMap<LeaseId, Incarnation>> {
        let incarnations = self.incarnations.lock();
        incarnations.unwrap_or_else(PoisonError::into_inner)
    }

    // It happened at some time before: nobody knows when.
    fn note(&self, what: What) {
        let at = secs(&self.clock);
        self.history.note(Op {
            began: 0,
            ended: self.history.step(),
            began_at: at,
            ended_at: at,
            what,
        });
    }
}
