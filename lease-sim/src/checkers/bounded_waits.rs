use std::collections::BTreeMap;

use super::Checker;
use crate::event::{Event, Glance, Told};

/// INV-5: every call ends by its deadline, and no wait for a lease survives the end of the promotion. What
/// whoever waits is told is so, and he is told as soon as it is.
#[derive(Debug, Default)]
pub struct BoundedWaits {
    until_ms: BTreeMap<(usize, u64), u64>,
}

/// A member gets to its waits this much later than their time.
const SLACK_MS: u64 = 250;

impl Checker for BoundedWaits {
    fn name(&self) -> &'static str {
        "INV-5 bounded waits"
    }

    fn hear(&mut self, _: u64, event: &Event) -> Option<String> {
        match event {
            Event::WaitBegan {
                node,
                wait,
                until_ms,
            } => drop(self.until_ms.insert((*node, *wait), *until_ms)),
            Event::WaitEnded { node, wait } => drop(self.until_ms.remove(&(*node, *wait))),
            Event::Ended { node, .. } => self.until_ms.retain(|(of, _), _| of != node),
            Event::WaitTold {
                node,
                name,
                told,
                is_there,
                is_primary,
            } => {
                let is_so = match told {
                    Told::Nothing => *is_there && *is_primary,
                    Told::Gone => !is_there,
                    Told::NotPrimary => !is_primary,
                };
                let state = match (is_there, is_primary) {
                    (true, true) => "it is there, and nothing has changed",
                    (true, false) => "the member is no primary any more, or has stopped",
                    (false, _) => "it is gone",
                };
                return (!is_so).then(|| {
                    format!("who waits for {name:?} on node {node} is told {told:?}: {state}")
                });
            }
            _ => {}
        }
        None
    }

    fn look(&mut self, at_ms: u64, glance: &Glance) -> Option<String> {
        let node = glance.node;
        let mut waits = self.until_ms.range((node, 0)..=(node, u64::MAX));
        if glance.primary.is_none() && glance.waiting > 0 {
            let waiting = glance.waiting;
            return Some(format!("node {node} is no primary and {waiting} wait"));
        }
        let late = waits.find(|(_, until_ms)| **until_ms + SLACK_MS < at_ms);
        late.map(|((_, wait), until_ms)| {
            format!("wait {wait} at node {node} was to end at {until_ms} ms")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::{name, primary, verdict};

    fn began() -> Event {
        Event::WaitBegan {
            node: 0,
            wait: 1,
            until_ms: 100,
        }
    }

    #[test]
    fn objects_to_a_wait_past_its_deadline() {
        let ended = Event::WaitEnded { node: 0, wait: 1 };
        let checker = BoundedWaits::default;
        let late = [(0, began().into()), (900, primary().into())];
        assert!(verdict(checker(), late).is_some());
        let in_time = [
            (0, began().into()),
            (90, ended.into()),
            (900, primary().into()),
        ];
        assert!(verdict(checker(), in_time).is_none());
    }

    #[test]
    fn objects_to_an_answer_that_is_wrong_or_missing() {
        let objects = |told, is_there, is_primary| {
            let event = Event::WaitTold {
                node: 0,
                name: name(1, 1),
                told,
                is_there,
                is_primary,
            };
            verdict(BoundedWaits::default(), [(0, event.into())]).is_some()
        };
        assert!(!objects(Told::Gone, false, true));
        assert!(!objects(Told::Gone, false, false));
        assert!(objects(Told::Gone, true, true));
        assert!(!objects(Told::NotPrimary, true, false));
        assert!(objects(Told::NotPrimary, true, true));
        assert!(!objects(Told::Nothing, true, true));
        assert!(objects(Told::Nothing, true, false));
        assert!(objects(Told::Nothing, false, true));
    }

    #[test]
    fn objects_to_a_wait_without_a_primary() {
        let waiting = |primary_epoch| Glance {
            primary: primary_epoch,
            waiting: 1,
            ..primary()
        };
        let checker = BoundedWaits::default;
        assert!(verdict(checker(), [(0, waiting(None).into())]).is_some());
        assert!(verdict(checker(), [(0, waiting(Some(1)).into())]).is_none());
    }
}
