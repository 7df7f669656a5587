use std::collections::{BTreeMap, VecDeque};

use super::Checker;
use crate::event::{Event, Glance, Name, OwnTime};
use crate::plan::Parameters;

/// INV-9: if nothing disturbs the primary, and the revoke rate leaves room, a lease is delivered within
/// 50 ms of the time that the primary has counted it to, by the primary's own clock.
#[derive(Debug)]
pub struct Punctual {
    rate: usize,
    members: BTreeMap<usize, Member>,
}

/// What is known of a member.
#[derive(Debug, Default)]
struct Member {
    until: BTreeMap<Name, OwnTime>,
    now: OwnTime,
    is_prompt: bool,
    is_disturbed: bool,
    // Since when nothing disturbs it.
    calm_since: OwnTime,
    // What it has delivered in the last second, which the revoke rate counts.
    delivered: VecDeque<OwnTime>,
}

/// How late a lease may be.
const LATE_MS: u64 = 50;

const WINDOW_MS: u64 = 1_000;

impl Punctual {
    /// A checker that knows the revoke rate.
    #[must_use]
    pub fn new(parameters: &Parameters) -> Self {
        Self {
            rate: parameters.revoke_rate_per_sec as usize,
            members: BTreeMap::new(),
        }
    }
}

impl Member {
    /// Counts a delivery, and returns whether the rate had room for it all the time.
    fn has_room(&mut self, rate: usize) -> bool {
        let now_ms = self.now.to_ms;
        let is_over = |at: &OwnTime| at.to_ms + WINDOW_MS < now_ms;
        while self.delivered.front().is_some_and(is_over) {
            self.delivered.pop_front();
        }
        self.delivered.push_back(self.now);
        rate == 0 || self.delivered.len() < rate
    }

    /// How late a lease is delivered.
    fn late_ms(&self, name: Name) -> Option<u64> {
        let until = self.until.get(&name)?;
        let due_ms = until.to_ms.max(self.calm_since.to_ms);
        Some(self.now.from_ms.saturating_sub(due_ms))
    }
}

impl Checker for Punctual {
    fn name(&self) -> &'static str {
        "INV-9 punctual expiry"
    }

    fn hear(&mut self, _: u64, event: &Event) -> Option<String> {
        match event {
            Event::Counted { node, name, until } => {
                let member = self.members.entry(*node).or_default();
                let counted = member.until.entry(*name).or_default();
                *counted = counted.max(*until);
            }
            Event::Read {
                node,
                clock,
                is_punctual,
            } => {
                let member = self.members.entry(*node).or_default();
                (member.now, member.is_prompt) = (*clock, *is_punctual);
            }
            Event::Delivered {
                node,
                name,
                attempt,
                ..
            } => {
                let member = self.members.get_mut(node)?;
                let has_room = member.has_room(self.rate);
                let is_owed = has_room && member.is_prompt && !member.is_disturbed && *attempt == 0;
                let late_ms = member.late_ms(*name).filter(|_| is_owed)?;
                return (late_ms > LATE_MS).then(|| {
                    let now_ms = member.now.from_ms;
                    format!(
                        "node {node} delivered {name:?} {late_ms} ms late, at {now_ms} ms of its \
                         clock"
                    )
                });
            }
            Event::Promoted { node, .. } | Event::Ended { node, .. } => {
                self.members.remove(node);
            }
            _ => {}
        }
        None
    }

    fn look(&mut self, _: u64, glance: &Glance) -> Option<String> {
        let member = self.members.entry(glance.node).or_default();
        if !glance.expires || member.is_disturbed {
            member.calm_since = glance.clock;
        }
        member.is_disturbed = !glance.expires;
        let is_there = |name: &Name| glance.leases.iter().any(|(other, ..)| other == name);
        member.until.retain(|name, _| is_there(name));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::{self, Seen, at, name, parameters, primary, verdict};

    fn counted(lease: i64, until_ms: u64) -> Seen {
        let event = Event::Counted {
            node: 0,
            name: name(lease, 1),
            until: at(until_ms),
        };
        event.into()
    }

    fn delivered(lease: i64, now_ms: u64) -> [Seen; 2] {
        let delivered = Event::Delivered {
            node: 0,
            epoch: 1,
            name: name(lease, 1),
            attempt: 0,
        };
        [testing::read(at(now_ms)).into(), delivered.into()]
    }

    fn looked(now_ms: u64, expires: bool) -> Seen {
        let leases = vec![(name(1, 1), Some(1), 9_000)];
        Glance {
            clock: at(now_ms),
            expires,
            leases,
            ..primary()
        }
        .into()
    }

    fn objects(rate: u32, history: impl IntoIterator<Item = Seen>) -> bool {
        let mut parameters = parameters();
        parameters.revoke_rate_per_sec = rate;
        let history = history.into_iter().map(|seen| (0, seen));
        verdict(Punctual::new(&parameters), history).is_some()
    }

    #[test]
    fn objects_to_a_delivery_that_is_late() {
        let history = |now_ms| [counted(1, 700)].into_iter().chain(delivered(1, now_ms));
        assert!(!objects(0, history(750)));
        assert!(objects(0, history(751)));
    }

    #[test]
    fn who_is_disturbed_may_be_late() {
        let history = |looks: &[Seen]| {
            let first = [counted(1, 700)].into_iter();
            first.chain(looks.to_vec()).chain(delivered(1, 900))
        };
        assert!(objects(
            0,
            history(&[looked(690, false), looked(695, true)])
        ));
        assert!(!objects(0, history(&[looked(800, false)])));
        assert!(!objects(
            0,
            history(&[looked(800, false), looked(850, true)])
        ));
        let late = Event::Read {
            node: 0,
            clock: at(900),
            is_punctual: false,
        };
        let mut unpunctual: Vec<_> = history(&[]).collect();
        unpunctual[1] = late.into();
        assert!(!objects(0, unpunctual));
    }

    #[test]
    fn the_rate_may_make_a_lease_late() {
        let history = || {
            let counted = [counted(1, 100), counted(2, 100)].into_iter();
            counted.chain(delivered(1, 100)).chain(delivered(2, 1_100))
        };
        assert!(!objects(1, history()));
        assert!(objects(3, history()));
    }
}
