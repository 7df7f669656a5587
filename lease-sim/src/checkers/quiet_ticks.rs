use std::collections::BTreeMap;

use super::Checker;
use crate::event::{Event, Glance};

/// INV-29: a lessor wants to be driven when something is due, and not otherwise: in a second in which
/// little changes it is driven a bounded number of times.
#[derive(Debug, Default)]
pub struct QuietTicks {
    // Each member as it was when the second began that is counted.
    since: BTreeMap<usize, Count>,
}

/// What a member had counted at a time.
#[derive(Clone, Copy, Debug)]
struct Count {
    at_ms: u64,
    ticks: u64,
    changes: u64,
}

const SECOND_MS: u64 = 1_000;

/// How often a lessor may be driven in a second in which nothing changes: for commits, permits of the
/// rate, and entries that it puts back.
const IDLE: u64 = 24;

/// How often it may be driven for each letter that is read and each lease that is taken.
const PER_CHANGE: u64 = 3;

/// How often it may be driven for each lease that is there: to expire it, to put it back, to checkpoint
/// it.
const PER_LEASE: u64 = 3;

impl Checker for QuietTicks {
    fn name(&self) -> &'static str {
        "INV-29 quiet ticks"
    }

    fn hear(&mut self, _: u64, event: &Event) -> Option<String> {
        if let Event::Recovered { node, .. } | Event::Ended { node, .. } = event {
            self.since.remove(node);
        }
        None
    }

    fn look(&mut self, at_ms: u64, glance: &Glance) -> Option<String> {
        let node = glance.node;
        let now = Count {
            at_ms,
            ticks: glance.ticks,
            changes: glance.changes,
        };
        let since = *self.since.entry(node).or_insert(now);
        let ticks = now.ticks.saturating_sub(since.ticks);
        let changes = now.changes.saturating_sub(since.changes);
        let seconds = 1 + (at_ms - since.at_ms) / SECOND_MS;
        let each_second = IDLE + PER_LEASE * glance.leases.len() as u64;
        if at_ms >= since.at_ms + SECOND_MS {
            self.since.insert(node, now);
        }
        (ticks > seconds * each_second + PER_CHANGE * changes).then(|| {
            let from_ms = since.at_ms;
            format!(
                "node {node} was driven {ticks} times between {from_ms} and {at_ms} ms, for {changes} \
                 changes"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::{Seen, primary, verdict};

    fn look(at_ms: u64, ticks: u64, changes: u64) -> (u64, Seen) {
        let glance = Glance {
            ticks,
            changes,
            ..primary()
        };
        (at_ms, glance.into())
    }

    fn objects(history: &[(u64, Seen)]) -> bool {
        verdict(QuietTicks::default(), history.iter().cloned()).is_some()
    }

    #[test]
    fn objects_to_many_ticks_for_nothing() {
        assert!(!objects(&[look(0, 0, 0), look(999, IDLE, 0)]));
        assert!(objects(&[look(0, 0, 0), look(999, IDLE + 1, 0)]));
        assert!(!objects(&[look(0, 0, 0), look(999, IDLE + 3, 1)]));
        assert!(!objects(&[look(0, 0, 0), look(1_000, 2 * IDLE, 0)]));
    }

    #[test]
    fn each_second_counts_anew() {
        let history = [look(0, 0, 0), look(1_500, IDLE, 0)];
        assert!(!objects(&history));
        let mut more = history.to_vec();
        more.push(look(1_600, 2 * IDLE + 1, 0));
        assert!(objects(&more));
    }
}
