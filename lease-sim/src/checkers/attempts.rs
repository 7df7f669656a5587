use std::collections::BTreeMap;

use super::Checker;
use crate::event::{Event, Name, OwnTime};
use crate::plan::Parameters;

/// INV-9: attempts to revoke an expired lease follow each other one by one. The next one comes when
/// the retry interval has passed since the host took the last one, or a quarter of it since the host
/// knew that it had failed; not a millisecond before, by the primary's own clock. What is delivered is proposed,
/// if there is room for it.
#[derive(Debug)]
pub struct Attempts {
    retry_ms: u64,
    failed_retry_ms: u64,
    has_room: bool,
    last: BTreeMap<(Name, u64), Last>,
    // What each member took for the time when it last did something.
    read: BTreeMap<usize, OwnTime>,
}

/// The last attempt at a lease in an epoch.
#[derive(Clone, Copy, Debug)]
struct Last {
    attempt: u32,
    // How many proposals there have been.
    proposed: u32,
    // How often it was delivered since something came of that.
    in_vain: u32,
    taken: OwnTime,
    // The first failure that the host has reported since an attempt, and which one. It may be that of
    // an earlier one, which the lessor cannot tell.
    failed: Option<(OwnTime, u32)>,
}

/// As many batches are never under way at a time.
const ROOM: usize = 16;

/// How often a lease may be delivered and nothing come of it: the member may not know yet that it leads no more.
const IN_VAIN: u32 = 3;

impl Attempts {
    /// A checker that knows the retry interval.
    #[must_use]
    pub fn new(parameters: &Parameters) -> Self {
        Self {
            retry_ms: parameters.retry_interval_ms,
            failed_retry_ms: parameters.retry_interval_ms / 4,
            has_room: parameters.expired_capacity >= ROOM,
            last: BTreeMap::new(),
            read: BTreeMap::new(),
        }
    }

    fn is_early(&self, now: OwnTime, last: Last) -> bool {
        let is_after_failure = last.failed.is_some_and(|(failed, attempt)| {
            // The attempt behind the failed one may have been on its way to the host then.
            attempt + 1 >= last.attempt && now.to_ms >= failed.from_ms + self.failed_retry_ms
        });
        now.to_ms < last.taken.from_ms + self.retry_ms && !is_after_failure
    }
}

impl Checker for Attempts {
    fn name(&self) -> &'static str {
        "INV-9 attempts one by one"
    }

    fn hear(&mut self, _: u64, event: &Event) -> Option<String> {
        match event {
            Event::Read { node, clock, .. } => drop(self.read.insert(*node, *clock)),
            Event::Delivered {
                node,
                epoch,
                name,
                attempt,
            } => {
                let now = self.read.get(node).copied().unwrap_or_default();
                let last = self.last.get(&(*name, *epoch)).copied();
                let next = Last {
                    attempt: *attempt,
                    proposed: last.map_or(0, |last| last.proposed),
                    in_vain: last.map_or(0, |last| last.in_vain) + 1,
                    taken: now,
                    failed: last.and_then(|last| last.failed),
                };
                self.last.insert((*name, *epoch), next);
                let expected = last.map_or(0, |last| last.attempt + 1);
                if *attempt != expected {
                    return Some(format!(
                        "{name:?} was delivered for attempt {attempt} in epoch {epoch} in the \
                         place of {expected}"
                    ));
                }
                if next.in_vain > IN_VAIN && self.has_room {
                    return Some(format!(
                        "{name:?} was delivered {} times in epoch {epoch}, and not once proposed",
                        next.in_vain
                    ));
                }
                let last = last.filter(|last| self.is_early(now, *last))?;
                return Some(format!(
                    "{name:?} was delivered again at {} ms of its primary's clock although its \
                     batch was taken at {} ms",
                    now.to_ms, last.taken.from_ms
                ));
            }
            Event::ExpiryProposed { epoch, name, .. } => {
                let last = self.last.get_mut(&(*name, *epoch))?;
                (last.proposed, last.in_vain) = (last.proposed + 1, 0);
                return (last.proposed > last.attempt + 1).then(|| {
                    format!(
                        "epoch {epoch} has delivered {name:?} {} times, and it was proposed {} times \
                         to revoke it",
                        last.attempt + 1,
                        last.proposed
                    )
                });
            }
            Event::AttemptFailed { node, epoch, name } => {
                let now = self.read.get(node).copied().unwrap_or_default();
                if let Some(last) = self.last.get_mut(&(*name, *epoch)) {
                    last.in_vain = 0;
                    let is_of_earlier = |(_, attempt): &(OwnTime, u32)| *attempt < last.attempt;
                    if last.failed.as_ref().is_none_or(is_of_earlier) {
                        last.failed = Some((now, last.attempt));
                    }
                }
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::{self, name, parameters};

    fn checker() -> Attempts {
        let mut parameters = parameters();
        (parameters.retry_interval_ms, parameters.expired_capacity) = (2_000, ROOM);
        Attempts::new(&parameters)
    }

    fn at(at_ms: u64, event: Event) -> [Event; 2] {
        let clock = OwnTime {
            from_ms: at_ms,
            to_ms: at_ms,
        };
        [testing::read(clock), event]
    }

    fn delivered(at_ms: u64, attempt: u32) -> [Event; 2] {
        let event = Event::Delivered {
            node: 0,
            epoch: 1,
            name: name(1, 1),
            attempt,
        };
        at(at_ms, event)
    }

    fn failed(at_ms: u64) -> [Event; 2] {
        let event = Event::AttemptFailed {
            node: 0,
            epoch: 1,
            name: name(1, 1),
        };
        at(at_ms, event)
    }

    fn objects(checker: Attempts, history: &[[Event; 2]]) -> bool {
        let events = history.iter().flatten().cloned();
        let history: Vec<_> = events.map(|event| (0, event)).collect();
        testing::objects(checker, &history)
    }

    #[test]
    fn objects_to_an_attempt_before_its_time() {
        assert!(objects(checker(), &[delivered(0, 0), delivered(1_999, 1)]));
        assert!(!objects(checker(), &[delivered(0, 0), delivered(2_000, 1)]));
    }

    #[test]
    fn a_failure_brings_the_next_attempt_forward() {
        let next = |at_ms| [delivered(0, 0), failed(100), delivered(at_ms, 1)];
        assert!(objects(checker(), &next(599)));
        assert!(!objects(checker(), &next(600)));
        let mut late = next(600).to_vec();
        late.extend([delivered(601, 2)]);
        assert!(!objects(checker(), &late), "it may have been on its way");
        late.extend([delivered(602, 3)]);
        assert!(objects(checker(), &late), "only one was");
    }

    #[test]
    fn the_first_report_after_an_attempt_counts() {
        let next = |at_ms| {
            let reports = [failed(100), failed(300)];
            [
                delivered(0, 0),
                reports[0].clone(),
                reports[1].clone(),
                delivered(at_ms, 1),
            ]
        };
        assert!(objects(checker(), &next(599)));
        assert!(!objects(checker(), &next(600)));
    }

    #[test]
    fn objects_to_what_is_delivered_again_and_again_and_never_proposed() {
        let mut history: Vec<_> = (0..3).map(|n| delivered(u64::from(n) * 2_000, n)).collect();
        assert!(!objects(checker(), &history));
        let mut proposed = history.clone();
        history.push(delivered(6_000, 3));
        assert!(objects(checker(), &history));
        let event = Event::ExpiryProposed {
            node: 0,
            epoch: 1,
            name: name(1, 1),
        };
        proposed.extend([at(5_000, event), delivered(6_000, 3)]);
        assert!(!objects(checker(), &proposed));
    }

    #[test]
    fn objects_to_an_attempt_that_is_left_out_or_comes_twice() {
        assert!(objects(checker(), &[delivered(0, 1)]));
        assert!(objects(checker(), &[delivered(0, 0), delivered(9_000, 0)]));
        assert!(objects(checker(), &[delivered(0, 0), delivered(9_000, 2)]));
    }
}
