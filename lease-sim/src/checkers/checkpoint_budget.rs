use std::collections::{BTreeMap, VecDeque};

use super::Checker;
use crate::event::{Event, Name};
use crate::plan::Parameters;

/// INV-11: a primary proposes at most two checkpoints of a lease in any interval.
#[derive(Debug)]
pub struct CheckpointBudget {
    window_ms: u64,
    proposed_ms: BTreeMap<(Name, u64), VecDeque<u64>>,
}

const BUDGET: usize = 2;

impl CheckpointBudget {
    /// A checker over this checkpoint interval.
    #[must_use]
    pub fn new(parameters: &Parameters) -> Self {
        let interval_ms = parameters.checkpoint_interval_ms;
        Self {
            // On a fast clock an interval is shorter.
            window_ms: interval_ms - parameters.clock_error_ms(interval_ms).min(interval_ms),
            proposed_ms: BTreeMap::new(),
        }
    }
}

impl Checker for CheckpointBudget {
    fn name(&self) -> &'static str {
        "INV-11 checkpoint budget"
    }

    fn hear(&mut self, at_ms: u64, event: &Event) -> Option<String> {
        let Event::CheckpointProposed { epoch, name, .. } = event else {
            return None;
        };
        let proposed = self.proposed_ms.entry((*name, *epoch)).or_default();
        proposed.push_back(at_ms);
        while proposed
            .front()
            .is_some_and(|first| first + self.window_ms <= at_ms)
        {
            proposed.pop_front();
        }
        let count = proposed.len();
        (count > BUDGET).then(|| {
            format!(
                "epoch {epoch} proposed {count} checkpoints of {name:?} in {} ms",
                self.window_ms
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::{name, objects, parameters};

    #[test]
    fn objects_to_the_third_in_an_interval() {
        let mut parameters = parameters();
        parameters.checkpoint_interval_ms = 1_000;
        let proposals = |times: [u64; 3]| {
            times.map(|at_ms| {
                let event = Event::CheckpointProposed {
                    node: 0,
                    epoch: 1,
                    name: name(1, 1),
                    remaining_ms: 5,
                };
                (at_ms, event)
            })
        };
        let checker = || CheckpointBudget::new(&parameters);
        assert!(objects(checker(), &proposals([0, 500, 999])));
        assert!(!objects(checker(), &proposals([0, 500, 1_000])));
    }
}
