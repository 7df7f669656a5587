use std::collections::BTreeMap;

use super::Checker;
use crate::event::{Event, Exit};
use crate::plan::Parameters;

/// INV-15 and INV-19: a stop in order loses nothing that was applied, and with durable commands
/// nothing else does either.
#[derive(Debug)]
pub struct BoundedStop {
    durable: bool,
    had_applied: BTreeMap<usize, (u64, Exit)>,
}

impl BoundedStop {
    /// A checker that knows whether commands are durable.
    #[must_use]
    pub fn new(parameters: &Parameters) -> Self {
        Self {
            durable: parameters.durable,
            had_applied: BTreeMap::new(),
        }
    }
}

impl Checker for BoundedStop {
    fn name(&self) -> &'static str {
        "INV-15, INV-19 nothing lost"
    }

    fn hear(&mut self, _: u64, event: &Event) -> Option<String> {
        match event {
            Event::Ended { node, index, how } => {
                self.had_applied.insert(*node, (*index, *how));
                None
            }
            Event::Recovered {
                node,
                index,
                from_disk: true,
                ..
            } => {
                let (had, how) = self.had_applied.remove(node)?;
                let is_owed = self.durable || how == Exit::Stopped;
                (is_owed && *index < had).then(|| {
                    format!("node {node} had applied {had} entries and came back with {index}")
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::{objects, parameters};

    fn history(how: Exit, index: u64) -> [(u64, Event); 2] {
        let node = 0;
        [
            (
                0,
                Event::Ended {
                    node,
                    index: 5,
                    how,
                },
            ),
            (
                1,
                Event::Recovered {
                    node,
                    index,
                    digest: 0,
                    from_disk: true,
                },
            ),
        ]
    }

    #[test]
    fn objects_to_what_a_stop_has_lost() {
        let checker = |durable| {
            let mut parameters = parameters();
            parameters.durable = durable;
            BoundedStop::new(&parameters)
        };
        assert!(objects(checker(false), &history(Exit::Stopped, 4)));
        assert!(!objects(checker(false), &history(Exit::Stopped, 5)));
        assert!(!objects(checker(false), &history(Exit::PowerLost, 4)));
        assert!(objects(checker(true), &history(Exit::PowerLost, 4)));
    }
}
