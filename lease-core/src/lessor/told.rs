use std::collections::{BTreeMap, BTreeSet};

use super::Shared;
use super::job::Decided;
use crate::observer::LessorEvent;
#[cfg(feature = "async")]
use crate::probe::planted;
use crate::{Answer, Command, Decision, LeaseId, LeaseItem};

/// What was attached to leases that are revoked.
pub(super) type RevokedItems = BTreeMap<LeaseId, Vec<LeaseItem>>;

/// What observers and streams are told of a decided command's items, when it has gone well.
#[derive(Default)]
pub(super) struct Told {
    pub(super) revoked: RevokedItems,
    pub(super) changes: Changes,
}

/// What an attach or a detach changes: what is taken from leases, and what is added to one.
#[derive(Default)]
pub(super) struct Changes {
    taken: BTreeMap<LeaseId, Vec<LeaseItem>>,
    added: Option<(LeaseId, Vec<LeaseItem>)>,
}

/// How many items are looked at before the lock is given to others.
pub(super) const ITEMS_PER_LOCK: usize = 256;

impl Shared {
    /// What is to be told of the items of a job, for as long as its claim keeps them as they are.
    pub(super) fn items_to_tell(&self, decided: &Decided) -> Told {
        let Some(decision) = &decided.decision else {
            return Told::default();
        };
        let revoked = decision.revoked().iter().filter(|_| self.tells_items());
        let items = revoked.map(|id| (*id, self.items_of_claimed(*id)));
        Told {
            revoked: items.collect(),
            changes: self.changes_to_tell(decision),
        }
    }

    fn changes_to_tell(&self, decision: &Decision) -> Changes {
        let mut changes = Changes::default();
        if !self.tells_attachments() {
            return changes;
        }
        let (id, items, is_attach) = match (decision.command(), decision.answer()) {
            (Command::Attach { id, items }, Answer::Attached(Ok(()))) => (*id, items, true),
            (Command::Detach { id, items }, Answer::Detached(Ok(()))) => (*id, items, false),
            _ => return changes,
        };
        // In sorted order, and once, as the items of a revoke are told.
        let items: Vec<_> = items.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let mut added = Vec::new();
        for some in items.chunks(ITEMS_PER_LOCK) {
            self.state.read(|state| {
                for item in some {
                    let owner = state.core.get_lease(item.as_bytes());
                    if is_attach && owner != Some(id) {
                        added.push((*item).clone());
                    }
                    // An item that is moved is taken from the lease that it belonged to.
                    let loser = owner.filter(|owner| is_attach != (*owner == id));
                    if let Some(loser) = loser {
                        let taken = changes.taken.entry(loser).or_default();
                        taken.push((*item).clone());
                    }
                }
            });
        }
        changes.added = (!added.is_empty()).then_some((id, added));
        changes
    }

    /// Tells what an attach or a detach has changed.
    pub(super) fn observe_changes(&self, changes: &Changes) {
        for (id, items) in &changes.taken {
            self.observe(|| LessorEvent::Detached { id: *id, items });
        }
        if let Some((id, items)) = &changes.added {
            self.observe(|| LessorEvent::Attached { id: *id, items });
        }
    }

    /// Whether anybody is told of the items of leases that expire or are revoked.
    pub(super) fn tells_items(&self) -> bool {
        #[cfg(feature = "async")]
        if self.feed.wants_items() && !planted!("alone-streams-without-items") {
            return true;
        }
        self.options.tells_items
    }

    /// Whether anybody is told of what is attached and detached.
    pub(super) fn tells_attachments(&self) -> bool {
        #[cfg(feature = "async")]
        if self.feed.wants_attachments() {
            return true;
        }
        self.options.tells_attachments
    }
}
