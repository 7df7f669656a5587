use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// What was told.
#[derive(Default)]
struct Heard {
    grants: BTreeMap<(i64, u64), usize>,
    revokes: BTreeMap<i64, usize>,
    /// Of each lease and item how often it came less how often it went.
    attached: BTreeMap<(LeaseId, LeaseItem), i64>,
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

    /// Checks that each grant and each revoke that was done was told once, and nothing else was; and that the
    /// items which are left, by what was told, are those that `has` knows: unless a recovery has taken some
    /// without a word.
    pub(super) fn check(&self, has: impl Fn(&LeaseItem) -> Option<LeaseId>) {
        let heard = self.heard();
        let (mut grants, mut revokes) = (BTreeMap::new(), BTreeMap::new());
        let mut recovers = false;
        for op in self.history.ops() {
            match op.what {
                What::Grant(id, ttl, Ok(_)) => {
                    *grants.entry((id, ttl as u64)).or_default() += 1;
                }
                What::Revoke(id, Ok(())) | What::RevokeExpired(id, _, Ok(Revoked::Done)) => {
                    *revokes.entry(id).or_default() += 1;
                }
                What::Recover(_) | What::Replace(_) => recovers = true,
                _ => {}
            }
        }
        assert_eq!(heard.grants, grants, "the grants that were told");
        assert_eq!(heard.revokes, revokes, "the revokes that were told");
        if self.wants_attachments && !recovers {
            for ((id, item), count) in &heard.attached {
                let is_there = has(item) == Some(*id);
                assert_eq!(
                    *count,
                    i64::from(is_there),
                    "what was told of {item} at {id}"
                );
            }
        }
    }

    fn hear(&self, event: &LessorEvent<'_>) {
        let mut heard = self.heard();
        let mut count = |id: LeaseId, items: &[LeaseItem], by: i64| {
            for item in items {
                *heard.attached.entry((id, item.clone())).or_default() += by;
            }
        };
        match event {
            LessorEvent::Granted { id, ttl } => {
                *heard.grants.entry((id.get(), ttl.as_secs())).or_default() += 1;
            }
            LessorEvent::Revoked { id, items, .. } => {
                count(*id, items, -1);
                *heard.revokes.entry(id.get()).or_default() += 1;
            }
            LessorEvent::Attached { id, items } => count(*id, items, 1),
            LessorEvent::Detached { id, items } => count(*id, items, -1),
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
