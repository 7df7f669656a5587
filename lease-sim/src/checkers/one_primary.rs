use std::collections::BTreeMap;

use super::Checker;
use crate::event::{Event, Glance};

/// INV-4: at most one member is the primary of an epoch, it becomes so once, and a member that has
/// applied a newer epoch is not the primary of an older one.
#[derive(Debug, Default)]
pub struct OnePrimary {
    promoted: BTreeMap<u64, usize>,
}

impl Checker for OnePrimary {
    fn name(&self) -> &'static str {
        "INV-4 one primary per epoch"
    }

    fn hear(&mut self, _: u64, event: &Event) -> Option<String> {
        let Event::Promoted { node, epoch } = event else {
            return None;
        };
        let first = self.promoted.insert(*epoch, *node)?;
        Some(format!(
            "node {node} was promoted to epoch {epoch}, as node {first} before"
        ))
    }

    fn look(&mut self, _: u64, glance: &Glance) -> Option<String> {
        let primary = glance.primary?;
        (primary < glance.epoch).then(|| {
            format!(
                "node {} has applied epoch {} and is the primary of epoch {primary}",
                glance.node, glance.epoch
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::{objects, primary, verdict};

    #[test]
    fn objects_to_a_second_promotion() {
        let promoted = |node, epoch| (0, Event::Promoted { node, epoch });
        let checker = OnePrimary::default;
        assert!(objects(checker(), &[promoted(0, 1), promoted(1, 1)]));
        assert!(objects(checker(), &[promoted(0, 1), promoted(0, 1)]));
        assert!(!objects(checker(), &[promoted(0, 1), promoted(1, 2)]));
    }

    #[test]
    fn objects_to_a_primary_of_the_past() {
        let of_epoch = |epoch| Glance { epoch, ..primary() };
        let checker = OnePrimary::default;
        assert!(verdict(checker(), [(0, of_epoch(1).into())]).is_none());
        assert!(verdict(checker(), [(0, of_epoch(2).into())]).is_some());
    }
}
