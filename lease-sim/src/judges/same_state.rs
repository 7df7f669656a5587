use std::collections::BTreeMap;

use super::{Event, Judge};

/// INV-6 and INV-18: the replicated state at an index of the log is the same on every member,
/// whatever it went through to get there.
#[derive(Default)]
pub struct SameState {
    digests: BTreeMap<u64, u64>,
}

impl Judge for SameState {
    fn name(&self) -> &'static str {
        "INV-6, INV-18 same state"
    }

    fn hear(&mut self, _: u64, event: &Event) -> Option<String> {
        match event {
            Event::Applied {
                node,
                index,
                digest,
            } => {
                let first = *self.digests.entry(*index).or_insert(*digest);
                (first != *digest).then(|| format!("node {node} differs at index {index}"))
            }
            Event::Broken { node, message } => Some(format!("node {node}: {message}")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judges::testing::objects;

    #[test]
    fn objects_to_a_member_that_differs() {
        let applied = |node, index, digest| {
            (
                0,
                Event::Applied {
                    node,
                    index,
                    digest,
                },
            )
        };
        let judge = SameState::default;
        assert!(objects(judge(), &[applied(0, 1, 7), applied(1, 1, 8)]));
        assert!(!objects(
            judge(),
            &[applied(0, 1, 7), applied(1, 1, 7), applied(0, 2, 9)]
        ));
    }
}
