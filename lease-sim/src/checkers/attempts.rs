use std::collections::BTreeMap;

use super::Checker;
use crate::event::{Event, Name};
use crate::plan::Parameters;

/// INV-9: attempts to revoke an expired lease follow each other one by one. The next one comes when
/// the retry interval has passed since the host took the last one, or a quarter of it since the host
/// knew that it had failed; not before.
#[derive(Debug)]
pub struct Attempts {
    retry_ms: u64,
    failed_retry_ms: u64,
    last: BTreeMap<(Name, u64), Last>,
}

/// The last attempt at a lease in an epoch.
#[derive(Clone, Copy, Debug)]
struct Last {
    attempt: u32,
    taken_ms: u64,
    // The last failure that the host has reported, and which attempt was the last then.
    failed: Option<(u64, u32)>,
}

/// The rounding of two times, each of another clock.
const ROUNDING_MS: u64 = 2;

impl Attempts {
    /// A checker that knows the retry interval, up to the error of the clocks.
    #[must_use]
    pub fn new(parameters: &Parameters) -> Self {
        let at_least = |span_ms| {
            let error_ms = parameters.clock_error_ms(span_ms) + ROUNDING_MS;
            span_ms.saturating_sub(error_ms)
        };
        Self {
            retry_ms: at_least(parameters.retry_interval_ms),
            failed_retry_ms: at_least(parameters.retry_interval_ms / 4),
            last: BTreeMap::new(),
        }
    }

    fn is_early(&self, at_ms: u64, last: Last) -> bool {
        let is_after_failure = last.failed.is_some_and(|(failed_ms, attempt)| {
            // The attempt behind the failed one may have been on its way to the host then.
            attempt + 1 >= last.attempt && at_ms >= failed_ms + self.failed_retry_ms
        });
        at_ms < last.taken_ms + self.retry_ms && !is_after_failure
    }
}

impl Checker for Attempts {
    fn name(&self) -> &'static str {
        "INV-9 attempts one by one"
    }

    fn hear(&mut self, at_ms: u64, event: &Event) -> Option<String> {
        match event {
            Event::Delivered {
                epoch,
                name,
                attempt,
                ..
            } => {
                let last = self.last.get(&(*name, *epoch)).copied();
                let now = Last {
                    attempt: *attempt,
                    taken_ms: at_ms,
                    failed: last.and_then(|last| last.failed),
                };
                self.last.insert((*name, *epoch), now);
                let expected = last.map_or(0, |last| last.attempt + 1);
                if *attempt != expected {
                    return Some(format!(
                        "{name:?} was delivered for attempt {attempt} in epoch {epoch} in the \
                         place of {expected}"
                    ));
                }
                let last = last.filter(|last| self.is_early(at_ms, *last))?;
                let taken_ms = last.taken_ms;
                Some(format!(
                    "{name:?} was delivered again although its batch was taken at {taken_ms} ms"
                ))
            }
            Event::AttemptFailed { epoch, name, .. } => {
                if let Some(last) = self.last.get_mut(&(*name, *epoch)) {
                    last.failed = Some((at_ms, last.attempt));
                }
                None
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::{name, objects, parameters};

    fn checker() -> Attempts {
        let mut parameters = parameters();
        parameters.retry_interval_ms = 2_000;
        Attempts::new(&parameters)
    }

    fn delivered(at_ms: u64, attempt: u32) -> (u64, Event) {
        let event = Event::Delivered {
            node: 0,
            epoch: 1,
            name: name(1, 1),
            attempt,
        };
        (at_ms, event)
    }

    fn failed(at_ms: u64) -> (u64, Event) {
        let event = Event::AttemptFailed {
            node: 0,
            epoch: 1,
            name: name(1, 1),
        };
        (at_ms, event)
    }

    #[test]
    fn objects_to_an_attempt_before_its_time() {
        assert!(objects(checker(), &[delivered(0, 0), delivered(1_997, 1)]));
        assert!(!objects(checker(), &[delivered(0, 0), delivered(1_998, 1)]));
    }

    #[test]
    fn a_failure_brings_the_next_attempt_forward() {
        let next = |at_ms| [delivered(0, 0), failed(100), delivered(at_ms, 1)];
        assert!(objects(checker(), &next(597)));
        assert!(!objects(checker(), &next(598)));
        let mut late = next(598).to_vec();
        late.extend([delivered(600, 2)]);
        assert!(!objects(checker(), &late), "it may have been on its way");
        late.extend([delivered(602, 3)]);
        assert!(objects(checker(), &late), "only one was");
    }

    #[test]
    fn objects_to_an_attempt_that_is_left_out_or_comes_twice() {
        assert!(objects(checker(), &[delivered(0, 1)]));
        assert!(objects(checker(), &[delivered(0, 0), delivered(9_000, 0)]));
        assert!(objects(checker(), &[delivered(0, 0), delivered(9_000, 2)]));
    }
}
