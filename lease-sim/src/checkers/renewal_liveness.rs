use std::collections::{BTreeMap, BTreeSet};

use super::Checker;
use super::settled::Settled;
use crate::event::{Came, Event, Glance, Name};
use crate::plan::Parameters;

/// INV-27: a primary renews a lease that has time left, or that nothing may expire, unless it has
/// delivered it. If nothing disturbs the primary, the answer comes after at most two resets, within the
/// time that they take.
#[derive(Debug)]
pub struct RenewalLiveness {
    bound_ms: u64,
    settled: Settled,
    delivered: BTreeSet<(Name, u64)>,
    // What a settled primary was asked and has not answered.
    asked: BTreeMap<u64, Asked>,
}

/// A question for a renewal.
#[derive(Clone, Copy, Debug)]
struct Asked {
    at_ms: u64,
    resets: u32,
}

/// How many resets a renewal may need: one of a checkpoint that was applied, and one of a checkpoint
/// that was under way meanwhile.
const RESETS: u32 = 2;

/// What a member may take to get to its messages.
const SLACK_MS: u64 = 100;

impl RenewalLiveness {
    /// A checker that knows how long an entry takes.
    #[must_use]
    pub fn new(parameters: &Parameters) -> Self {
        let confirmed_ms = 2 * parameters.latency_ms.1;
        let resets_ms = u64::from(RESETS) * parameters.healed_entry_ms();
        Self {
            bound_ms: resets_ms + confirmed_ms + SLACK_MS,
            settled: Settled::default(),
            delivered: BTreeSet::new(),
            asked: BTreeMap::new(),
        }
    }

    fn late(&self, at_ms: u64) -> Option<String> {
        let is_late = |(_, asked): &(&u64, &Asked)| asked.at_ms + self.bound_ms < at_ms;
        let (call, asked) = self.asked.iter().find(is_late)?;
        let node = self.settled.primary()?.node;
        Some(format!(
            "node {node} was asked for renewal {call} at {} ms and has not answered by {at_ms} ms",
            asked.at_ms
        ))
    }
}

impl Checker for RenewalLiveness {
    fn name(&self) -> &'static str {
        "INV-27 renewal liveness"
    }

    fn hear(&mut self, at_ms: u64, event: &Event) -> Option<String> {
        self.settled.hear(at_ms, event);
        if self.settled.primary().is_none() {
            self.asked.clear();
        }
        match event {
            Event::Delivered { epoch, name, .. } => {
                self.delivered.insert((*name, *epoch));
            }
            Event::RenewalAsked { node, call } if self.settled.is(*node).is_some() => {
                self.asked.insert(*call, Asked { at_ms, resets: 0 });
            }
            Event::RenewalTried {
                node,
                epoch,
                call,
                name,
                is_alive,
                came_to,
            } => {
                let is_late = matches!(came_to, Came::Expiring | Came::Refused);
                if is_late && *is_alive && !self.delivered.contains(&(*name, *epoch)) {
                    return Some(format!(
                        "{name:?} lives and was not delivered, and node {node} does not renew it: \
                         {came_to:?}"
                    ));
                }
                if is_late {
                    self.asked.remove(call);
                }
                let asked = self.asked.get_mut(call)?;
                asked.resets += u32::from(*came_to == Came::Reset);
                let resets = asked.resets;
                return (resets > RESETS)
                    .then(|| format!("renewal {call} of {name:?} needs reset {resets}"));
            }
            Event::RenewalAnswered { call, .. } => {
                let late = self.late(at_ms);
                self.asked.remove(call);
                return late;
            }
            Event::Over { .. } => return self.late(at_ms),
            _ => {}
        }
        None
    }

    fn look(&mut self, at_ms: u64, _: &Glance) -> Option<String> {
        self.late(at_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::{Seen, name, parameters, primary, verdict};

    fn checker() -> RenewalLiveness {
        let mut parameters = parameters();
        (parameters.latency_ms, parameters.apply_lag_ms) = ((0, 10), 300);
        RenewalLiveness::new(&parameters)
    }

    const BOUND_MS: u64 = 2 * (20 + 300) + 20 + SLACK_MS;

    fn settled() -> Vec<(u64, Seen)> {
        let elected = Event::Elected { node: 0, epoch: 1 };
        let promoted = Event::Promoted { node: 0, epoch: 1 };
        let events = [Event::Healed, elected, promoted];
        events.map(|event| (0, event.into())).to_vec()
    }

    fn asked() -> (u64, Seen) {
        (10, Event::RenewalAsked { node: 0, call: 5 }.into())
    }

    fn tried(is_alive: bool, came_to: Came) -> (u64, Seen) {
        let event = Event::RenewalTried {
            node: 0,
            epoch: 1,
            call: 5,
            name: name(1, 1),
            is_alive,
            came_to,
        };
        (10, event.into())
    }

    fn objects(history: &[(u64, Seen)]) -> bool {
        verdict(checker(), history.iter().cloned()).is_some()
    }

    #[test]
    fn objects_to_a_living_lease_that_is_not_renewed() {
        for came_to in [Came::Expiring, Came::Refused] {
            assert!(objects(&[tried(true, came_to)]));
            assert!(!objects(&[tried(false, came_to)]));
        }
        assert!(!objects(&[tried(true, Came::Renewed)]));
        let delivered = |epoch| {
            let event = Event::Delivered {
                node: 0,
                epoch,
                name: name(1, 1),
                attempt: 0,
            };
            (9, event.into())
        };
        assert!(!objects(&[delivered(1), tried(true, Came::Expiring)]));
        assert!(objects(&[delivered(0), tried(true, Came::Expiring)]));
    }

    #[test]
    fn objects_to_the_third_reset() {
        let mut history = settled();
        history.extend([asked(), tried(true, Came::Reset), tried(true, Came::Reset)]);
        assert!(!objects(&history));
        history.push(tried(true, Came::Reset));
        assert!(objects(&history));
        assert!(!objects(&history[3..]), "who is disturbed may need more");
    }

    #[test]
    fn objects_to_an_answer_that_is_late() {
        let answered = |at_ms| {
            let answered = Event::RenewalAnswered { node: 0, call: 5 };
            let mut history = settled();
            history.extend([asked(), (at_ms, answered.into())]);
            history
        };
        assert!(!objects(&answered(10 + BOUND_MS)));
        assert!(objects(&answered(11 + BOUND_MS)));
        let mut never = settled();
        never.extend([asked(), (11 + BOUND_MS, primary().into())]);
        assert!(objects(&never));
        never.insert(4, tried(false, Came::Expiring));
        assert!(!objects(&never), "that is a wait");
    }
}
