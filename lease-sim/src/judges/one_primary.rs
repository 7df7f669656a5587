use std::collections::BTreeMap;

use lease_core::Epoch;

use super::{Event, Judge};

/// INV-4: at most one member is the primary of an epoch.
#[derive(Default)]
pub struct OnePrimary {
    of: BTreeMap<Epoch, usize>,
}

impl Judge for OnePrimary {
    fn name(&self) -> &'static str {
        "INV-4 one primary per epoch"
    }

    fn hear(&mut self, _: u64, event: &Event) -> Option<String> {
        let Event::Promoted { node, epoch } = event else {
            return None;
        };
        let first = *self.of.entry(*epoch).or_insert(*node);
        (first != *node).then(|| format!("{first} and {node} are primaries of epoch {epoch}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judges::testing::objects;

    #[test]
    fn objects_to_a_second_primary() {
        let promoted = |node, epoch| {
            let epoch = Epoch::new(epoch);
            (0, Event::Promoted { node, epoch })
        };
        assert!(objects(
            OnePrimary::default(),
            &[promoted(0, 1), promoted(1, 1)]
        ));
        assert!(!objects(
            OnePrimary::default(),
            &[promoted(0, 1), promoted(1, 2)]
        ));
    }
}
