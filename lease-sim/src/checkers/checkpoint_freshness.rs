use std::collections::BTreeMap;

use super::Checker;
use crate::event::{Event, Name};

/// INV-10: a checkpoint from before a renewal does not take effect after it, whoever renews has taken back what it
/// has proposed itself, and what remains is more than nothing and at most the TTL.
#[derive(Debug, Default)]
pub struct CheckpointFreshness {
    ttl_ms: BTreeMap<Name, u64>,
    // The last renewal by each epoch.
    renewed_ms: BTreeMap<(Name, u64), u64>,
    // The epoch of the checkpoint that stands.
    standing: BTreeMap<Name, u64>,
}

impl Checker for CheckpointFreshness {
    fn name(&self) -> &'static str {
        "INV-10 checkpoint freshness"
    }

    fn hear(&mut self, at_ms: u64, event: &Event) -> Option<String> {
        match event {
            Event::Granted { name, ttl_ms } => drop(self.ttl_ms.insert(*name, *ttl_ms)),
            Event::Renewed { node, epoch, name } => {
                self.renewed_ms.insert((*name, *epoch), at_ms);
                if self.standing.get(name) == Some(epoch) {
                    return Some(format!(
                        "node {node} renews {name:?} and has not taken its checkpoint back"
                    ));
                }
            }
            Event::Checkpointed {
                name,
                remaining_ms: None,
                ..
            } => drop(self.standing.remove(name)),
            Event::Checkpointed {
                name,
                epoch,
                remaining_ms: Some(remaining_ms),
                proposed_ms,
            } => {
                self.standing.insert(*name, *epoch);
                let ttl_ms = self.ttl_ms.get(name).copied().unwrap_or(0);
                if *remaining_ms == 0 || *remaining_ms > ttl_ms {
                    return Some(format!(
                        "a checkpoint says that {remaining_ms} ms remain of the {ttl_ms} ms of \
                         {name:?}"
                    ));
                }
                let renewed_ms = *self.renewed_ms.get(&(*name, *epoch))?;
                return (renewed_ms > *proposed_ms).then(|| {
                    format!(
                        "a checkpoint of {name:?} from {proposed_ms} ms took effect after the \
                         renewal at {renewed_ms} ms"
                    )
                });
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::{name, objects};

    fn history(proposed_ms: u64, remaining_ms: u64) -> [(u64, Event); 3] {
        let name = name(1, 1);
        [
            (0, Event::Granted { name, ttl_ms: 1000 }),
            (
                50,
                Event::Renewed {
                    node: 0,
                    epoch: 1,
                    name,
                },
            ),
            (
                70,
                Event::Checkpointed {
                    name,
                    epoch: 1,
                    remaining_ms: Some(remaining_ms),
                    proposed_ms,
                },
            ),
        ]
    }

    #[test]
    fn objects_to_an_overtaken_checkpoint() {
        let checker = CheckpointFreshness::default;
        assert!(objects(checker(), &history(40, 900)));
        assert!(!objects(checker(), &history(60, 900)));
    }

    #[test]
    fn objects_to_a_checkpoint_that_stands() {
        let name = name(1, 1);
        let checkpointed = |at_ms, remaining_ms| {
            let checkpointed = Event::Checkpointed {
                name,
                epoch: 1,
                remaining_ms,
                proposed_ms: 10,
            };
            (at_ms, checkpointed)
        };
        let renewed = |epoch| {
            let node = 0;
            (30, Event::Renewed { node, epoch, name })
        };
        let granted = (0, Event::Granted { name, ttl_ms: 1000 });
        let objects = |events: &[_]| objects(CheckpointFreshness::default(), events);
        let set = checkpointed(11, Some(990));
        assert!(objects(&[granted.clone(), set.clone(), renewed(1)]));
        assert!(!objects(&[granted.clone(), set.clone(), renewed(2)]));
        let reset = checkpointed(12, None);
        assert!(!objects(&[granted, set, reset, renewed(1)]));
    }

    #[test]
    fn objects_to_nothing_and_to_too_much() {
        let checker = CheckpointFreshness::default;
        assert!(objects(checker(), &history(60, 0)));
        assert!(objects(checker(), &history(60, 1001)));
        assert!(!objects(checker(), &history(60, 1000)));
    }
}
