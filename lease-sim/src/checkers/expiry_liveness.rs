use std::collections::BTreeMap;

use super::Checker;
use crate::event::{Event, Glance, Name};
use crate::plan::Parameters;

/// INV-9: on a primary that can expire leases, one whose time is up is delivered, again and again
/// until it is revoked; and when all is whole again every lease that nobody keeps alive goes.
#[derive(Debug)]
pub struct ExpiryLiveness {
    retry_ms: u64,
    rate: u64,
    due: BTreeMap<(usize, Name), Due>,
}

/// A lease that is due on a member.
#[derive(Clone, Copy, Debug)]
struct Due {
    // When it became due, or was delivered last.
    since_ms: u64,
    // How many leases there were at most since then: as many may have turns before it.
    leases: usize,
}

/// What a member may take on top of what follows from rate and retry interval.
const SLACK_MS: u64 = 2_000;

impl ExpiryLiveness {
    /// A checker that knows how fast leases may be revoked.
    #[must_use]
    pub fn new(parameters: &Parameters) -> Self {
        Self {
            retry_ms: parameters.retry_interval_ms,
            rate: u64::from(parameters.revoke_rate_per_sec),
            due: BTreeMap::new(),
        }
    }

    fn bound_ms(&self, leases: usize) -> u64 {
        let turns_ms = (1000 * leases as u64).checked_div(self.rate);
        // Members count with clocks of their own, off by 2 % at most.
        (turns_ms.unwrap_or(0) + self.retry_ms) * 11 / 10 + SLACK_MS
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
                    since_ms: at_ms,
                    leases: 0,
                };
                self.due.insert((*node, *name), due);
                None
            }
            Event::Paused { node } | Event::Ended { node, .. } | Event::Demoted { node } => {
                self.due.retain(|(of, _), _| of != node);
                None
            }
            Event::ClockSetBack { node, by_ms } => {
                for ((of, _), due) in &mut self.due {
                    if of == node {
                        due.since_ms += by_ms;
                    }
                }
                None
            }
            Event::Over { left, behind } if !left.is_empty() || !behind.is_empty() => {
                Some(format!("left: {left:?}, behind: {behind:?}"))
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
            let since_ms = at_ms;
            let due = self.due.entry((node, *name));
            let due = due.or_insert(Due { since_ms, leases });
            due.leases = due.leases.max(leases);
            let Due { since_ms, leases } = *due;
            if at_ms > since_ms + self.bound_ms(leases) {
                return Some(format!(
                    "{name:?} is due on node {node} and nothing has happened since {since_ms} ms"
                ));
            }
        }
        None
    }
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
        assert!(verdict(checker(), [(0, with(0)), (5_301, with(0))]).is_some());
        assert!(verdict(checker(), [(0, with(0)), (5_300, with(0))]).is_none());
        let renewed = [(0, with(0)), (1_000, with(9)), (5_500, with(0))];
        assert!(verdict(checker(), renewed).is_none());
    }

    #[test]
    fn a_lease_may_wait_for_as_many_turns_as_there_were_leases() {
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
        assert!(verdict(checker(), [(0, look(4)), (7_500, look(0))]).is_none());
        assert!(verdict(checker(), [(0, look(4)), (7_501, look(0))]).is_some());
        assert!(verdict(checker(), [(0, look(0)), (3_101, look(0))]).is_some());
    }

    #[test]
    fn objects_to_a_lease_that_is_not_delivered_again() {
        let late = [(0, with(0)), (1_000, delivered()), (7_000, with(0))];
        assert!(verdict(checker(), late).is_some());
        let in_time = [(0, with(0)), (1_000, delivered()), (5_000, with(0))];
        assert!(verdict(checker(), in_time).is_none());
    }

    #[test]
    fn a_member_that_may_not_expire_owes_nothing() {
        let mut suspended = primary();
        suspended.expires = false;
        let history = [(0, with(0)), (2_000, suspended.into()), (2_100, with(0))];
        assert!(verdict(checker(), history).is_none());
    }

    #[test]
    fn objects_to_what_is_left_at_the_end() {
        let over = |left, behind| [(0, Event::Over { left, behind })];
        assert!(!objects(checker(), &over(vec![], vec![])));
        assert!(objects(checker(), &over(vec![(0, 1)], vec![])));
        assert!(objects(checker(), &over(vec![], vec![1])));
    }
}
