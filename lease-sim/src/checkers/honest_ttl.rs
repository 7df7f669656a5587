use std::collections::BTreeMap;

use super::Checker;
use crate::event::{Event, Glance, Name};
use crate::plan::Parameters;

/// INV-17: a primary says of each lease how much remains, no more than it can be; any other member
/// says that it does not know, or what the primary has said: of the lease that was asked for, with the
/// TTL that it was granted, and not that it is not there while it is.
#[derive(Debug)]
pub struct HonestTtl {
    extend_ms: u64,
    granted: BTreeMap<Name, Granted>,
}

#[derive(Debug)]
struct Granted {
    at_ms: u64,
    ttl_ms: u64,
    is_revoked: bool,
}

/// Rounding, and the error of the clocks over the extension.
const SLACK_MS: u64 = 1_000;

impl HonestTtl {
    /// A checker that knows what may lengthen a lease.
    #[must_use]
    pub fn new(parameters: &Parameters) -> Self {
        Self {
            extend_ms: parameters.extend_ms,
            granted: BTreeMap::new(),
        }
    }

    const fn longest_ms(&self, ttl_ms: u64) -> u64 {
        ttl_ms + self.extend_ms + SLACK_MS
    }

    /// What is wrong with an answer: the lease, what remains and its TTL.
    fn object(&self, lease: i64, (name, left_ms, ttl_ms): (Name, u64, u64)) -> Option<String> {
        let is_another = name.lease != lease;
        let is_too_long = left_ms > self.longest_ms(ttl_ms);
        (is_another || is_too_long)
            .then(|| format!("asked for lease {lease}: {name:?} has {left_ms} of {ttl_ms} ms"))
    }

    /// What is wrong with the TTL of an answer.
    fn object_to_ttl(&self, name: Name, ttl_ms: u64) -> Option<String> {
        match self.granted.get(&name) {
            None => Some(format!("{name:?} was told of, and never granted")),
            Some(granted) if granted.ttl_ms != ttl_ms => Some(format!(
                "{name:?} was told to have {ttl_ms} ms, and granted {} ms",
                granted.ttl_ms
            )),
            Some(_) => None,
        }
    }

    /// A lease that was there when it was asked for, and is.
    fn living(&self, lease: i64, asked_ms: u64) -> Option<Name> {
        let incarnation = |incarnation| Name { lease, incarnation };
        let mut granted = self.granted.range(incarnation(0)..=incarnation(u64::MAX));
        let living = granted.find(|(_, it)| it.at_ms < asked_ms && !it.is_revoked);
        living.map(|(name, _)| *name)
    }
}

impl Checker for HonestTtl {
    fn name(&self) -> &'static str {
        "INV-17 honest TTL"
    }

    fn hear(&mut self, at_ms: u64, event: &Event) -> Option<String> {
        match event {
            Event::Granted { name, ttl_ms } => {
                let granted = Granted {
                    at_ms,
                    ttl_ms: *ttl_ms,
                    is_revoked: false,
                };
                self.granted.insert(*name, granted);
                None
            }
            Event::Revoked { name, .. } => {
                self.granted.get_mut(name)?.is_revoked = true;
                None
            }
            Event::ToldTimeToLive {
                lease,
                answer: Some(answer),
                ..
            } => self.object(*lease, *answer),
            Event::PassedOn {
                lease,
                answer: Some(answer @ (name, _, ttl_ms)),
                ..
            } => {
                let objection = self.object(*lease, *answer);
                objection.or_else(|| self.object_to_ttl(*name, *ttl_ms))
            }
            Event::PassedOn {
                node,
                lease,
                asked_ms,
                answer: None,
            } => {
                let name = self.living(*lease, *asked_ms)?;
                Some(format!(
                    "a client of node {node} is told that there is no {name:?}"
                ))
            }
            _ => None,
        }
    }

    fn look(&mut self, _: u64, glance: &Glance) -> Option<String> {
        let node = glance.node;
        glance
            .leases
            .iter()
            .find_map(|(name, left_ms, ttl_ms)| match (glance.primary, left_ms) {
                (None, Some(_)) => Some(format!("node {node} is no primary and ends {name:?}")),
                (Some(_), None) => Some(format!("the primary {node} does not know {name:?}")),
                (Some(_), Some(left_ms)) if *left_ms > self.longest_ms(*ttl_ms) => Some(format!(
                    "{name:?} has {left_ms} ms on node {node}, of {ttl_ms} ms"
                )),
                _ => None,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::{Seen, name, objects, parameters, primary, verdict};

    fn checker() -> HonestTtl {
        let mut parameters = parameters();
        parameters.extend_ms = 500;
        HonestTtl::new(&parameters)
    }

    fn lease(primary_epoch: Option<u64>, left_ms: Option<u64>) -> [(u64, Seen); 1] {
        let glance = Glance {
            primary: primary_epoch,
            leases: vec![(name(1, 1), left_ms, 2_000)],
            ..primary()
        };
        [(0, glance.into())]
    }

    #[test]
    fn objects_to_a_ttl_that_cannot_be() {
        assert!(verdict(checker(), lease(Some(1), Some(3_500))).is_none());
        assert!(verdict(checker(), lease(Some(1), Some(3_501))).is_some());
        assert!(verdict(checker(), lease(Some(1), None)).is_some());
        assert!(verdict(checker(), lease(None, Some(1))).is_some());
        assert!(verdict(checker(), lease(None, None)).is_none());
    }

    #[test]
    fn objects_to_an_answer_about_another_lease() {
        let told = |lease, left_ms| {
            let event = Event::ToldTimeToLive {
                node: 0,
                index: 1,
                lease,
                answer: Some((name(1, 1), left_ms, 2_000)),
            };
            [(0, event)]
        };
        assert!(!objects(checker(), &told(1, 2_500)));
        assert!(objects(checker(), &told(2, 2_500)));
        assert!(objects(checker(), &told(1, 9_999)));
    }

    fn granted() -> (u64, Event) {
        let (name, ttl_ms) = (name(1, 1), 2_000);
        (5, Event::Granted { name, ttl_ms })
    }

    fn passed_on(lease: i64, asked_ms: u64, answer: Option<(Name, u64, u64)>) -> (u64, Event) {
        let event = Event::PassedOn {
            node: 0,
            lease,
            asked_ms,
            answer,
        };
        (9, event)
    }

    #[test]
    fn objects_to_what_is_passed_on_of_another_lease() {
        let told = |lease, name, ttl_ms| passed_on(lease, 6, Some((name, 1_000, ttl_ms)));
        let good = told(1, name(1, 1), 2_000);
        assert!(!objects(checker(), &[granted(), good.clone()]));
        assert!(objects(checker(), &[good]), "it was never granted");
        for bad in [
            told(2, name(1, 1), 2_000),
            told(1, name(1, 2), 2_000),
            told(1, name(1, 1), 3_000),
        ] {
            assert!(objects(checker(), &[granted(), bad]));
        }
    }

    #[test]
    fn objects_to_a_lease_that_is_said_not_to_be_there() {
        let revoked = Event::Revoked {
            name: name(1, 1),
            by: None,
        };
        assert!(objects(checker(), &[granted(), passed_on(1, 6, None)]));
        assert!(!objects(checker(), &[granted(), passed_on(2, 6, None)]));
        // It was asked for before it was there.
        assert!(!objects(checker(), &[granted(), passed_on(1, 5, None)]));
        let history = [granted(), (7, revoked), passed_on(1, 6, None)];
        assert!(!objects(checker(), &history));
    }
}
