use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Checker;
use crate::event::{Event, Glance};
use crate::plan::Parameters;

/// INV-13: in no second does a primary expire more leases than the revoke rate.
///
/// A member that stood still, or whose host did not take its leases, delivers at once what became
/// due meanwhile: only a second without such a disturbance counts.
#[derive(Debug)]
pub struct RevokeRate {
    rate: usize,
    window_ms: u64,
    delivered_ms: BTreeMap<usize, VecDeque<u64>>,
    disturbed_ms: BTreeMap<usize, u64>,
    // The members that were disturbed when they were last looked at.
    disturbed: BTreeSet<usize>,
}

impl RevokeRate {
    /// A checker over this revoke rate.
    #[must_use]
    pub fn new(parameters: &Parameters) -> Self {
        Self {
            rate: parameters.revoke_rate_per_sec as usize,
            // Two milliseconds for the rounding of two clocks.
            window_ms: 998 - parameters.clock_error_ms(1_000).min(900),
            delivered_ms: BTreeMap::new(),
            disturbed_ms: BTreeMap::new(),
            disturbed: BTreeSet::new(),
        }
    }

    fn disturb(&mut self, node: usize, at_ms: u64) {
        self.disturbed_ms.insert(node, at_ms);
        self.delivered_ms.remove(&node);
    }
}

impl Checker for RevokeRate {
    fn name(&self) -> &'static str {
        "INV-13 revoke rate"
    }

    fn hear(&mut self, at_ms: u64, event: &Event) -> Option<String> {
        match event {
            Event::Delivered {
                node, attempt: 0, ..
            } if self.rate > 0 => {
                if self.disturbed.contains(node) {
                    self.disturb(*node, at_ms);
                }
                let disturbed_ms = self.disturbed_ms.get(node).copied();
                if disturbed_ms.is_some_and(|since_ms| at_ms <= since_ms + self.window_ms) {
                    return None;
                }
                let delivered = self.delivered_ms.entry(*node).or_default();
                delivered.push_back(at_ms);
                while delivered
                    .front()
                    .is_some_and(|first| first + self.window_ms <= at_ms)
                {
                    delivered.pop_front();
                }
                let count = delivered.len();
                (count > self.rate).then(|| {
                    let Self {
                        rate, window_ms, ..
                    } = self;
                    format!(
                        "node {node} expired {count} leases in {window_ms} ms, at a rate of {rate}"
                    )
                })
            }
            Event::Promoted { node, .. } => {
                // Each promotion counts anew.
                self.delivered_ms.remove(node);
                None
            }
            Event::Resumed { node } | Event::Recovered { node, .. } => {
                self.disturb(*node, at_ms);
                None
            }
            _ => None,
        }
    }

    fn look(&mut self, at_ms: u64, glance: &Glance) -> Option<String> {
        if glance.expires {
            self.disturbed.remove(&glance.node);
        } else {
            self.disturbed.insert(glance.node);
            self.disturb(glance.node, at_ms);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::{Seen, name, parameters, primary, verdict};

    fn checker() -> RevokeRate {
        let mut parameters = parameters();
        parameters.revoke_rate_per_sec = 2;
        RevokeRate::new(&parameters)
    }

    fn delivered(at_ms: u64, attempt: u32) -> (u64, Seen) {
        let event = Event::Delivered {
            node: 0,
            epoch: 1,
            name: name(1, 1),
            attempt,
        };
        (at_ms, event.into())
    }

    #[test]
    fn objects_to_one_too_many_in_a_second() {
        let times = |times: [u64; 3]| times.map(|at_ms| delivered(at_ms, 0));
        assert!(verdict(checker(), times([0, 500, 997])).is_some());
        assert!(verdict(checker(), times([0, 500, 998])).is_none());
        let retries = [0, 1, 2].map(|at_ms| delivered(at_ms, 1));
        assert!(verdict(checker(), retries).is_none());
    }

    #[test]
    fn what_has_piled_up_may_come_at_once() {
        let mut suspended = primary();
        suspended.expires = false;
        let history = [
            (0, suspended.into()),
            delivered(5_000, 0),
            delivered(5_000, 0),
            delivered(5_000, 0),
        ];
        assert!(verdict(checker(), history).is_none());
    }
}
