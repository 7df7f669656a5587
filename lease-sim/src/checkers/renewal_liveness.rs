use std::collections::{BTreeMap, BTreeSet};

use super::Checker;
use crate::event::{Came, Event, Name};

/// INV-27: a primary renews a lease that has time left, or that nothing may expire, unless it has
/// delivered it; and it takes at most two resets, while no other checkpoint is asked for. That the answer comes in
/// time is [`Recovery`](super::Recovery)'s.
#[derive(Debug, Default)]
pub struct RenewalLiveness {
    delivered: BTreeSet<(Name, u64)>,
    // How many resets there were since a checkpoint was asked for, in which epoch.
    resets: BTreeMap<Name, (u64, u32)>,
}

/// How many resets a renewal may need: one of a checkpoint that was applied, and one of a checkpoint
/// that was under way meanwhile.
const RESETS: u32 = 2;

impl RenewalLiveness {
    fn reset(&mut self, name: Name, epoch: u64) -> Option<String> {
        let (of, count) = self.resets.entry(name).or_default();
        if *of != epoch {
            (*of, *count) = (epoch, 0);
        }
        *count += 1;
        (*count > RESETS).then(|| format!("{name:?} is reset {count} times for one checkpoint"))
    }
}

impl Checker for RenewalLiveness {
    fn name(&self) -> &'static str {
        "INV-27 renewal liveness"
    }

    fn hear(&mut self, _: u64, event: &Event) -> Option<String> {
        match event {
            Event::Delivered { epoch, name, .. } => {
                self.delivered.insert((*name, *epoch));
                None
            }
            Event::CheckpointProposed { name, .. } => {
                self.resets.remove(name);
                None
            }
            Event::Checkpointed {
                name,
                epoch,
                remaining_ms: None,
                ..
            } => self.reset(*name, *epoch),
            Event::RenewalTried {
                node,
                epoch,
                name,
                is_alive: true,
                came_to: came_to @ (Came::Expiring | Came::Refused),
            } if !self.delivered.contains(&(*name, *epoch)) => Some(format!(
                "{name:?} lives and was not delivered, and node {node} does not renew it: {came_to:?}"
            )),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::{name, objects};

    fn tried(is_alive: bool, came_to: Came) -> (u64, Event) {
        let event = Event::RenewalTried {
            node: 0,
            epoch: 1,
            name: name(1, 1),
            is_alive,
            came_to,
        };
        (10, event)
    }

    #[test]
    fn objects_to_a_living_lease_that_is_not_renewed() {
        let checker = RenewalLiveness::default;
        for came_to in [Came::Expiring, Came::Refused] {
            assert!(objects(checker(), &[tried(true, came_to)]));
            assert!(!objects(checker(), &[tried(false, came_to)]));
        }
        assert!(!objects(checker(), &[tried(true, Came::Renewed)]));
        let delivered = |epoch| {
            let event = Event::Delivered {
                node: 0,
                epoch,
                name: name(1, 1),
                attempt: 0,
            };
            (9, event)
        };
        let expiring = || tried(true, Came::Expiring);
        assert!(!objects(checker(), &[delivered(1), expiring()]));
        assert!(objects(checker(), &[delivered(0), expiring()]));
    }
    #[test]
    fn objects_to_the_third_reset() {
        let (name, node) = (name(1, 1), 0);
        let reset = |epoch| {
            let event = Event::Checkpointed {
                name,
                epoch,
                remaining_ms: None,
                proposed_ms: 0,
            };
            (1, event)
        };
        let proposed = Event::CheckpointProposed {
            node,
            epoch: 1,
            name,
            remaining_ms: 9,
        };
        let checker = RenewalLiveness::default;
        assert!(objects(checker(), &[reset(1), reset(1), reset(1)]));
        assert!(!objects(checker(), &[reset(1), reset(1), reset(2)]));
        let between = [reset(1), reset(1), (1, proposed), reset(1)];
        assert!(!objects(checker(), &between));
    }
}
