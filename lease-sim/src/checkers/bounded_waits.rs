use std::collections::BTreeMap;

use super::Checker;
use crate::event::{Event, Glance};

/// INV-5: every wait ends by its deadline, and none survives the end of the promotion.
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
    use crate::checkers::testing::{primary, verdict};

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
