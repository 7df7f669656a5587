use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Checker;
use crate::event::{Event, Glance, OwnTime};
use crate::plan::Parameters;

/// INV-13: in no second of its own clock does a primary deliver more leases than the revoke rate, each
/// attempt counted.
///
/// A host that does not take its leases finds what was delivered meanwhile at once: only a second
/// without such a disturbance counts.
#[derive(Debug)]
pub struct RevokeRate {
    rate: usize,
    // What each member took for the time when it last did something.
    read: BTreeMap<usize, OwnTime>,
    delivered: BTreeMap<usize, VecDeque<OwnTime>>,
    // The members that were disturbed when they were last looked at.
    disturbed: BTreeSet<usize>,
    // When a member was disturbed last.
    disturbed_at: BTreeMap<usize, OwnTime>,
}

const WINDOW_MS: u64 = 1_000;

impl RevokeRate {
    /// A checker over this revoke rate.
    #[must_use]
    pub fn new(parameters: &Parameters) -> Self {
        Self {
            rate: parameters.revoke_rate_per_sec as usize,
            read: BTreeMap::new(),
            delivered: BTreeMap::new(),
            disturbed: BTreeSet::new(),
            disturbed_at: BTreeMap::new(),
        }
    }

    fn disturb(&mut self, node: usize, at: OwnTime) {
        self.disturbed_at.insert(node, at);
        self.delivered.remove(&node);
    }

    fn count(&mut self, node: usize) -> Option<String> {
        let now = self.read.get(&node).copied().unwrap_or_default();
        if self.disturbed.contains(&node) {
            self.disturb(node, now);
        }
        let disturbed = self.disturbed_at.get(&node);
        if disturbed.is_some_and(|at| now.to_ms < at.from_ms + WINDOW_MS) {
            return None;
        }
        let delivered = self.delivered.entry(node).or_default();
        delivered.push_back(now);
        while delivered
            .front()
            .is_some_and(|first| first.from_ms + WINDOW_MS <= now.to_ms)
        {
            delivered.pop_front();
        }
        let (count, rate) = (delivered.len(), self.rate);
        (count > rate).then(|| {
            let now_ms = now.to_ms;
            format!(
                "node {node} has delivered {count} leases in the second before {now_ms} ms of its \
                 clock, at a rate of {rate}"
            )
        })
    }
}

impl Checker for RevokeRate {
    fn name(&self) -> &'static str {
        "INV-13 revoke rate"
    }

    fn hear(&mut self, _: u64, event: &Event) -> Option<String> {
        match event {
            Event::Read { node, clock, .. } => {
                self.read.insert(*node, *clock);
            }
            Event::Delivered { node, .. } if self.rate > 0 => return self.count(*node),
            // Each promotion counts anew, and so does a member that starts.
            Event::Promoted { node, .. } | Event::Recovered { node, .. } => {
                self.delivered.remove(node);
            }
            _ => {}
        }
        None
    }

    fn look(&mut self, _: u64, glance: &Glance) -> Option<String> {
        if glance.expires {
            self.disturbed.remove(&glance.node);
        } else {
            self.disturbed.insert(glance.node);
            self.disturb(glance.node, glance.clock);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::{self, Seen, name, parameters, primary, verdict};

    fn checker() -> RevokeRate {
        let mut parameters = parameters();
        parameters.revoke_rate_per_sec = 2;
        RevokeRate::new(&parameters)
    }

    fn delivered(at_ms: u64, attempt: u32) -> [(u64, Seen); 2] {
        let clock = OwnTime {
            from_ms: at_ms,
            to_ms: at_ms,
        };
        let delivered = Event::Delivered {
            node: 0,
            epoch: 1,
            name: name(1, 1),
            attempt,
        };
        let read = testing::read(clock);
        [read, delivered].map(|event| (at_ms, event.into()))
    }

    #[test]
    fn objects_to_one_too_many_in_a_second() {
        let times = |attempts: [(u64, u32); 3]| {
            let attempts = attempts.into_iter();
            attempts.flat_map(|(at_ms, attempt)| delivered(at_ms, attempt))
        };
        assert!(verdict(checker(), times([(1, 0), (500, 0), (1_000, 0)])).is_some());
        assert!(verdict(checker(), times([(1, 0), (500, 0), (1_001, 0)])).is_none());
        assert!(verdict(checker(), times([(1, 0), (500, 1), (1_000, 2)])).is_some());
    }

    #[test]
    fn what_has_piled_up_may_come_at_once() {
        let mut suspended = primary();
        suspended.expires = false;
        let mut history = vec![(0, suspended.into())];
        history.extend((0..3).flat_map(|_| delivered(5_000, 0)));
        assert!(verdict(checker(), history).is_none());
    }
}
