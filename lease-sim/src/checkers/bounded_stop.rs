use std::collections::{BTreeMap, BTreeSet};

use super::Checker;
use crate::event::{Event, Exit};
use crate::plan::Parameters;

/// INV-15 and INV-19: a stop in order loses nothing that was applied, and with durable commands
/// nothing else does either. Where writes are batched a loss of power takes at most what the commit
/// interval has held back, unless something else was ever done to the disk.
#[derive(Debug)]
pub struct BoundedStop {
    durable: bool,
    held_ms: u64,
    members: BTreeMap<usize, Member>,
    // What was done to a disk may last beyond a restart.
    harmed: BTreeSet<usize>,
}

/// What is known of a member since it started.
#[derive(Debug, Default)]
struct Member {
    applied_ms: BTreeMap<u64, u64>,
    is_paused: bool,
    // Its clock goes, and it does, since then.
    goes_since_ms: u64,
    ended: Option<(u64, Exit, u64)>,
}

/// What a member may take to get to its commit.
const SLACK_MS: u64 = 50;

impl BoundedStop {
    /// A checker that knows whether commands are durable, and how long writes wait.
    #[must_use]
    pub fn new(parameters: &Parameters) -> Self {
        let interval_ms = parameters.commit_interval_ms;
        Self {
            durable: parameters.durable,
            held_ms: interval_ms + parameters.clock_error_ms(interval_ms) + SLACK_MS,
            members: BTreeMap::new(),
            harmed: BTreeSet::new(),
        }
    }

    fn member(&mut self, node: usize) -> &mut Member {
        self.members.entry(node).or_default()
    }

    fn recovered(&mut self, node: usize, index: u64) -> Option<String> {
        let member = self.members.remove(&node)?;
        let (had, how, ended_ms) = member.ended?;
        if index >= had {
            return None;
        }
        if self.durable || how == Exit::Stopped {
            return Some(format!(
                "node {node} had applied {had} entries and came back with {index}"
            ));
        }
        let applied_ms = *member.applied_ms.get(&(index + 1))?;
        let due_ms = applied_ms.max(member.goes_since_ms) + self.held_ms;
        let is_owed = !self.harmed.contains(&node) && !member.is_paused && due_ms < ended_ms;
        is_owed.then(|| {
            format!(
                "node {node} had applied entry {} at {applied_ms} ms, and lost it when it lost \
                 power at {ended_ms} ms",
                index + 1
            )
        })
    }
}

impl Checker for BoundedStop {
    fn name(&self) -> &'static str {
        "INV-15, INV-19 nothing lost"
    }

    fn hear(&mut self, at_ms: u64, event: &Event) -> Option<String> {
        match event {
            Event::Applied { node, index, .. } => {
                self.member(*node).applied_ms.insert(*index, at_ms);
            }
            Event::DiskLost { node } => drop(self.members.remove(node)),
            Event::DiskHarmed { node } => drop(self.harmed.insert(*node)),
            Event::Paused { node } => self.member(*node).is_paused = true,
            Event::Resumed { node } => {
                let member = self.member(*node);
                member.is_paused = false;
                member.goes_since_ms = member.goes_since_ms.max(at_ms);
            }
            Event::ClockSetBack { node, by_ms } => {
                let member = self.member(*node);
                member.goes_since_ms = member.goes_since_ms.max(at_ms) + by_ms;
            }
            Event::Ended { node, index, how } => {
                // It may end again before it has come back.
                let ended = &mut self.member(*node).ended;
                ended.get_or_insert((*index, *how, at_ms));
            }
            Event::Recovered {
                node,
                index,
                from_disk: true,
                ..
            } => return self.recovered(*node, *index),
            _ => {}
        }
        None
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

    #[test]
    fn the_first_end_counts_of_a_member_that_does_not_come_back() {
        let [stopped, recovered] = history(Exit::Stopped, 4);
        let [lost, _] = history(Exit::PowerLost, 4);
        assert!(objects(
            BoundedStop::new(&parameters()),
            &[stopped, lost, recovered]
        ));
    }

    #[test]
    fn objects_to_a_loss_of_more_than_the_interval() {
        let node = 0;
        let applied = |at_ms| {
            let event = Event::Applied {
                node,
                index: 5,
                digest: 0,
            };
            (at_ms, event)
        };
        let losing = |events: &[(u64, Event)]| {
            let ended = Event::Ended {
                node,
                index: 5,
                how: Exit::PowerLost,
            };
            let [_, recovered] = history(Exit::PowerLost, 4);
            let mut events = events.to_vec();
            events.extend([(10_000, ended), recovered]);
            let mut parameters = parameters();
            (parameters.durable, parameters.commit_interval_ms) = (false, 500);
            objects(BoundedStop::new(&parameters), &events)
        };
        assert!(!losing(&[applied(10_000 - 550)]));
        assert!(losing(&[applied(10_000 - 551)]));
        for excuse in [
            Event::DiskHarmed { node },
            Event::Paused { node },
            Event::Resumed { node },
            Event::ClockSetBack { node, by_ms: 1 },
        ] {
            assert!(
                !losing(&[applied(1), (9_500, excuse.clone())]),
                "{excuse:?}"
            );
        }
        let resumed = Event::Resumed { node };
        assert!(losing(&[applied(1), (9_449, resumed)]), "it had its time");
    }
}
