use std::collections::{BTreeMap, BTreeSet};

use super::job::LEASES_AT_ONCE;
use crate::probe::planted;
use crate::sync::{Arc, Slot, Weak};
use crate::{Checkpoint, LeaseError, LeaseId};

/// What renewals need before they are acknowledged: that the checkpoint of their lease is taken back.
#[derive(Default)]
pub(super) struct Resets {
    pub(super) of: BTreeMap<LeaseId, Reset>,
    // Those of `of` that nobody is bringing yet.
    pub(super) wanted: BTreeSet<LeaseId>,
}

pub(super) struct Reset {
    checkpoint: Checkpoint,
    pub(super) waiting: Vec<Weak<ResetDone>>,
    // With how many those who have given up are looked for.
    prune_at: usize,
}

/// Where a renewal waits for its reset: then it looks at its lease again.
pub(super) type ResetDone = Slot<Result<(), LeaseError>>;

/// Fewer renewals of one lease than this are kept also when they have given up.
const FEW: usize = 16;

impl Resets {
    pub(super) fn is_wanted(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Notes a renewal that waits. Returns what others of its lease wait for.
    pub(super) fn note(
        &mut self,
        checkpoint: Checkpoint,
        done: &Arc<ResetDone>,
    ) -> Option<Checkpoint> {
        let earlier = self.of.get(&checkpoint.id).map(|reset| reset.checkpoint);
        let reset = self.of.entry(checkpoint.id).or_insert_with(|| Reset {
            checkpoint,
            waiting: Vec::new(),
            prune_at: FEW,
        });
        reset.checkpoint = checkpoint;
        if reset.waiting.len() >= reset.prune_at {
            let least = usize::from(planted!("alone-crowds-are-forgotten"));
            reset.waiting.retain(|one| one.strong_count() > least);
            reset.prune_at = FEW.max(2 * reset.waiting.len());
        }
        reset.waiting.push(Arc::downgrade(done));
        earlier
    }

    /// The next ones that are wanted, not too many.
    pub(super) fn begin(&mut self) -> Vec<Checkpoint> {
        let mut begun = Vec::new();
        while begun.len() < LEASES_AT_ONCE
            && let Some(id) = self.wanted.pop_first()
        {
            let reset = self.of.get(&id);
            let reset = reset.filter(|_| !planted!("alone-resets-of-tasks-forgotten"));
            begun.extend(reset.map(|reset| reset.checkpoint));
        }
        begun
    }

    /// A checkpoint was brought, or could not be. Returns who waits for it. If they wait for another one
    /// of the lease by now, of a later epoch perhaps, that is wanted.
    pub(super) fn end(
        &mut self,
        brought: &Checkpoint,
    ) -> impl Iterator<Item = Arc<ResetDone>> + use<> {
        let id = brought.id;
        let reset = match self.of.get(&id) {
            Some(reset) if reset.checkpoint != *brought => {
                self.wanted.insert(id);
                None
            }
            _ => {
                self.wanted.remove(&id);
                self.of.remove(&id)
            }
        };
        let waiting = reset.map(|reset| reset.waiting).unwrap_or_default();
        waiting.into_iter().filter_map(|one| one.upgrade())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewals_that_have_given_up_do_not_pile_up() {
        let mut resets = Resets::default();
        let id = LeaseId::new(1).expect("not zero");
        let checkpoint = Checkpoint::new(id, None);
        let stays = Arc::new(Slot::default());
        assert_eq!(
            resets.note(checkpoint, &stays),
            None,
            "the first of its lease"
        );
        for _ in 0..10_000 {
            let again = resets.note(checkpoint, &Arc::new(Slot::default()));
            assert_eq!(again, Some(checkpoint));
        }
        assert!(resets.of[&id].waiting.len() <= 2 * FEW);
        assert_eq!(resets.end(&checkpoint).count(), 1);
        assert_eq!(resets.note(checkpoint, &stays), None, "it is over");
    }
}
