use std::collections::BTreeMap;

use super::Checker;
use crate::event::Event;

/// INV-6, INV-7, INV-15 and INV-18: the replicated state after an entry is what the specification
/// says, on every member, whatever it went through to get there.
#[derive(Debug, Default)]
pub struct SameState {
    specified: BTreeMap<u64, u64>,
    // The member and the entry of which it was said in what they differ.
    told: Option<(usize, u64)>,
}

impl SameState {
    fn is_wrong(&self, node: usize, index: u64, digest: u64) -> bool {
        self.specified.get(&index) != Some(&digest) && self.told != Some((node, index))
    }
}

impl Checker for SameState {
    fn name(&self) -> &'static str {
        "INV-6, INV-18 same state"
    }

    fn hear(&mut self, _: u64, event: &Event) -> Option<String> {
        match event {
            Event::Specified { index, digest } => {
                self.specified.insert(*index, *digest);
                None
            }
            Event::Differs { node, index, row } => {
                self.told = Some((*node, *index));
                Some(format!("node {node} differs after entry {index}: {row}"))
            }
            Event::Applied {
                node,
                index,
                digest,
            } => self
                .is_wrong(*node, *index, *digest)
                .then(|| format!("node {node} holds another state after entry {index}")),
            Event::Recovered {
                node,
                index,
                digest,
                from_disk,
            } => {
                let from = if *from_disk { "its disk" } else { "a snapshot" };
                (*index > 0 && self.is_wrong(*node, *index, *digest)).then(|| {
                    format!("node {node} came back from {from} with another state at entry {index}")
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::objects;

    #[test]
    fn objects_to_a_member_that_differs() {
        let specified = |index, digest| (0, Event::Specified { index, digest });
        let applied = |node, index, digest| {
            let event = Event::Applied {
                node,
                index,
                digest,
            };
            (0, event)
        };
        let recovered = |index, digest| {
            let event = Event::Recovered {
                node: 0,
                index,
                digest,
                from_disk: true,
            };
            (0, event)
        };
        let checker = SameState::default;
        let row = "the epoch is 1 and must be 2".to_owned();
        let differs = Event::Differs {
            node: 3,
            index: 5,
            row,
        };
        assert_eq!(
            checker().hear(0, &differs).as_deref(),
            Some("node 3 differs after entry 5: the epoch is 1 and must be 2")
        );
        assert!(objects(checker(), &[specified(1, 7), applied(1, 1, 8)]));
        assert!(objects(checker(), &[applied(1, 1, 8)]));
        assert!(!objects(checker(), &[specified(1, 7), applied(0, 1, 7)]));
        assert!(objects(checker(), &[specified(1, 7), recovered(1, 8)]));
        assert!(!objects(checker(), &[recovered(0, 8)]));
    }
}
