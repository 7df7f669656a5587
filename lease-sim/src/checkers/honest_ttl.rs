use std::collections::BTreeMap;

use super::Checker;
use crate::event::{Event, Glance, Name};
use crate::plan::Parameters;

/// INV-17: a primary knows of each lease how much remains, no more than it can be; any other member knows
/// that it does not know. What clients are told, by whatever member, is no more than it can be, of the TTL that
/// was granted.
#[derive(Debug)]
pub struct HonestTtl {
    extend_ms: u64,
    granted_ms: BTreeMap<Name, u64>,
}

/// Rounding, and the error of the clocks over the extension.
const SLACK_MS: u64 = 1_000;

impl HonestTtl {
    /// A checker that knows what may lengthen a lease.
    #[must_use]
    pub fn new(parameters: &Parameters) -> Self {
        Self {
            extend_ms: parameters.extend_ms,
            granted_ms: BTreeMap::new(),
        }
    }

    const fn longest_ms(&self, ttl_ms: u64) -> u64 {
        ttl_ms + self.extend_ms + SLACK_MS
    }
}

impl Checker for HonestTtl {
    fn name(&self) -> &'static str {
        "INV-17 honest TTL"
    }

    fn hear(&mut self, _: u64, event: &Event) -> Option<String> {
        match event {
            Event::Granted { name, ttl_ms } => {
                self.granted_ms.insert(*name, *ttl_ms);
                None
            }
            Event::ToldTimeToLive {
                name,
                left_ms,
                ttl_ms,
            } => {
                let is_right = self.granted_ms.get(name) == Some(ttl_ms)
                    && *left_ms <= self.longest_ms(*ttl_ms);
                (!is_right)
                    .then(|| format!("a client is told that {name:?} has {left_ms} of {ttl_ms} ms"))
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
    fn objects_to_what_a_client_cannot_be_told() {
        let told = |incarnation, left_ms, ttl_ms| {
            let granted = Event::Granted {
                name: name(1, 1),
                ttl_ms: 2_000,
            };
            let told = Event::ToldTimeToLive {
                name: name(1, incarnation),
                left_ms,
                ttl_ms,
            };
            objects(checker(), &[(5, granted), (9, told)])
        };
        assert!(!told(1, 3_500, 2_000));
        assert!(told(1, 3_501, 2_000));
        assert!(told(1, 1_000, 3_000), "it was granted another one");
        assert!(told(2, 1_000, 2_000), "it was never granted");
    }
}
