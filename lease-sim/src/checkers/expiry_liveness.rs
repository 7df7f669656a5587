use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use super::Checker;
use crate::event::{Event, Glance, Name};
use crate::plan::Parameters;

/// INV-9: on a primary that can expire leases, one whose time is up is delivered, again and again
/// until it is revoked; and when all is whole again every lease that nobody keeps alive goes.
#[derive(Debug)]
pub struct ExpiryLiveness {
    parameters: Parameters,
    due: BTreeMap<(usize, Name), Due>,
    // What a primary has delivered is delivered again a retry interval later.
    delivered: BTreeSet<(usize, Name)>,
    // Until when the clocks that were set back seem to stand still.
    still_until_ms: BTreeMap<usize, u64>,
}

/// A lease that is due on a member.
#[derive(Clone, Copy, Debug)]
struct Due {
    // When it became due, or was delivered last.
    since_ms: u64,
    // How many leases there were at most since then: as many may get permits of the rate before it.
    leases: usize,
}

/// What a member may take on top of what follows from rate and retry interval: it knows exactly when
/// a batch was taken, and a look at it that comes later than it should does not count.
const SLACK_MS: u64 = 50;

impl ExpiryLiveness {
    /// A checker that knows how fast leases may be revoked.
    #[must_use]
    pub fn new(parameters: &Parameters) -> Self {
        Self {
            parameters: parameters.clone(),
            due: BTreeMap::new(),
            delivered: BTreeSet::new(),
            still_until_ms: BTreeMap::new(),
        }
    }

    /// When a member's clock goes on from where it was at `at_ms`.
    fn counted_from_ms(&self, node: usize, at_ms: u64) -> u64 {
        let still_until_ms = self.still_until_ms.get(&node).copied();
        still_until_ms.unwrap_or(0).max(at_ms)
    }

    fn bound_ms(&self, due: Due, is_again: bool) -> u64 {
        let rate = u64::from(self.parameters.revoke_rate_per_sec);
        // The permits of the second before may be used up, by leases that are gone.
        let seconds = |rate: NonZeroU64| (due.leases as u64).div_ceil(rate.get());
        let throttled_ms = NonZeroU64::new(rate).map(|rate| 1000 * seconds(rate));
        let retry_ms = self.parameters.retry_interval_ms * u64::from(is_again);
        let span_ms = throttled_ms.unwrap_or(0) + retry_ms;
        span_ms + self.parameters.clock_error_ms(span_ms) + SLACK_MS
    }
}

impl Checker for ExpiryLiveness {
    fn name(&self) -> &'static str {
        "INV-9 expiry liveness"
    }

    fn hear(&mut self, at_ms: u64, event: &Event) -> Option<String> {
        match event {
            Event::Delivered { node, name, .. } => {
                let due = Due {
                    since_ms: self.counted_from_ms(*node, at_ms),
                    leases: 0,
                };
                self.due.insert((*node, *name), due);
                self.delivered.insert((*node, *name));
                None
            }
            Event::Paused { node } => {
                self.due.retain(|(of, _), _| of != node);
                None
            }
            Event::Ended { node, .. } | Event::Demoted { node } => {
                self.due.retain(|(of, _), _| of != node);
                self.delivered.retain(|(of, _)| of != node);
                None
            }
            Event::ClockSetBack { node, by_ms } => {
                let still_until_ms = self.counted_from_ms(*node, at_ms) + by_ms;
                self.still_until_ms.insert(*node, still_until_ms);
                for ((of, _), due) in &mut self.due {
                    if of == node {
                        due.since_ms += by_ms;
                    }
                }
                None
            }
            Event::Over { left, behind } if !left.is_empty() || !behind.is_empty() => {
                Some(at_the_end(left, behind))
            }
            _ => None,
        }
    }

    fn look(&mut self, at_ms: u64, glance: &Glance) -> Option<String> {
        let node = glance.node;
        if glance.primary.is_none() || !glance.expires {
            self.due.retain(|(of, _), _| *of != node);
            return None;
        }
        let is_due = |name: &Name| {
            let lease = glance.leases.iter().find(|(other, ..)| other == name);
            lease.is_some_and(|(_, left_ms, _)| *left_ms == Some(0))
        };
        self.due.retain(|(of, name), _| *of != node || is_due(name));
        let leases = glance.leases.len();
        for (name, left_ms, _) in &glance.leases {
            if *left_ms != Some(0) {
                continue;
            }
            let since_ms = self.counted_from_ms(node, at_ms);
            let due = self.due.entry((node, *name));
            let due = due.or_insert(Due { since_ms, leases });
            due.leases = due.leases.max(leases);
            let due @ Due { since_ms, .. } = *due;
            let is_again = self.delivered.contains(&(node, *name));
            if at_ms > since_ms + self.bound_ms(due, is_again) {
                return Some(format!(
                    "{name:?} is due on node {node} and nothing has happened since {since_ms} ms"
                ));
            }
        }
        None
    }
}

/// What is left when all is over, in words.
fn at_the_end(left: &[(usize, i64)], behind: &[usize]) -> String {
    let leases = left.iter().map(|(node, lease)| {
        format!("node {node} still has lease {lease}, which nobody keeps alive")
    });
    let members = behind
        .iter()
        .map(|node| format!("node {node} has not applied the whole log"));
    let sentences: Vec<_> = leases.chain(members).collect();
    format!("at the end {}", sentences.join(", and "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::{Seen, name, objects, parameters, primary, verdict};

    fn checker() -> ExpiryLiveness {
        let mut parameters = parameters();
        parameters.retry_interval_ms = 3_000;
        parameters.revoke_rate_per_sec = 0;
        ExpiryLiveness::new(&parameters)
    }

    fn with(left_ms: u64) -> Seen {
        let leases = vec![(name(1, 1), Some(left_ms), 1_000)];
        Glance {
            leases,
            ..primary()
        }
        .into()
    }

    fn delivered() -> Seen {
        let name = name(1, 1);
        Event::Delivered {
            node: 0,
            epoch: 1,
            name,
            attempt: 0,
        }
        .into()
    }

    #[test]
    fn objects_to_a_lease_that_is_due_and_stays() {
        assert!(verdict(checker(), [(0, with(0)), (51, with(0))]).is_some());
        assert!(verdict(checker(), [(0, with(0)), (50, with(0))]).is_none());
        let renewed = [(0, with(0)), (40, with(9)), (80, with(0))];
        assert!(verdict(checker(), renewed).is_none());
    }

    #[test]
    fn a_lease_may_wait_for_as_many_permits_as_there_were_leases() {
        let mut parameters = parameters();
        parameters.retry_interval_ms = 0;
        parameters.revoke_rate_per_sec = 1;
        let look = |others: i64| {
            let leases = (1..=1 + others).map(|number| (name(number, 1), Some(0), 1_000));
            Seen::from(Glance {
                leases: leases.collect(),
                ..primary()
            })
        };
        let checker = || ExpiryLiveness::new(&parameters);
        assert!(verdict(checker(), [(0, look(4)), (5_050, look(0))]).is_none());
        assert!(verdict(checker(), [(0, look(4)), (5_051, look(0))]).is_some());
        assert!(verdict(checker(), [(0, look(0)), (1_051, look(0))]).is_some());
    }

    #[test]
    fn the_permits_of_a_second_may_be_used_up() {
        let mut parameters = parameters();
        parameters.revoke_rate_per_sec = 3;
        let checker = || ExpiryLiveness::new(&parameters);
        assert!(verdict(checker(), [(0, with(0)), (1_050, with(0))]).is_none());
        assert!(verdict(checker(), [(0, with(0)), (1_051, with(0))]).is_some());
    }

    #[test]
    fn objects_to_a_lease_that_is_not_delivered_again() {
        let late = [(1_000, with(0)), (1_000, delivered()), (4_051, with(0))];
        assert!(verdict(checker(), late).is_some());
        let in_time = [(1_000, with(0)), (1_000, delivered()), (4_050, with(0))];
        assert!(verdict(checker(), in_time).is_none());
    }

    #[test]
    fn a_clock_that_was_set_back_has_to_come_to_where_it_was() {
        let set_back = |at_ms| {
            let event = Event::ClockSetBack {
                node: 0,
                by_ms: 500,
            };
            (at_ms, event.into())
        };
        for first in [set_back(0), set_back(1)] {
            let is_before = first.0 == 0;
            let due = (u64::from(is_before), with(0));
            let (one, other) = if is_before {
                (first, due)
            } else {
                (due, first)
            };
            let late = |at_ms| {
                [
                    (one.0, one.1.clone()),
                    (other.0, other.1.clone()),
                    (at_ms, with(0)),
                ]
            };
            assert!(verdict(checker(), late(50 + 500)).is_none());
            assert!(verdict(checker(), late(50 + 502)).is_some());
        }
    }

    #[test]
    fn a_member_that_may_not_expire_owes_nothing() {
        let mut suspended = primary();
        suspended.expires = false;
        let history = [(0, with(0)), (40, suspended.into()), (80, with(0))];
        assert!(verdict(checker(), history).is_none());
    }

    #[test]
    fn objects_to_what_is_left_at_the_end() {
        let over = |left, behind| [(0, Event::Over { left, behind })];
        assert!(!objects(checker(), &over(vec![], vec![])));
        assert!(objects(checker(), &over(vec![(0, 1)], vec![])));
        assert!(objects(checker(), &over(vec![], vec![1])));
        assert_eq!(
            at_the_end(&[(0, 7)], &[2]),
            "at the end node 0 still has lease 7, which nobody keeps alive, and node 2 has not \
             applied the whole log"
        );
    }
}
