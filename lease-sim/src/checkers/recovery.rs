use super::Checker;
use super::settled::Settled;
use crate::event::{Event, Glance};
use crate::plan::{Engine, Parameters};

/// INV-9 of a replicated lessor: when all is whole again, a leader begins its epoch soon after it was
/// elected, and is the primary as soon as it has applied that; and then each call is done or refused in its
/// time (INV-27: a renewal after two resets at most). Whatever the members have lost before, be it power all at
/// once.
#[derive(Debug)]
pub struct Recovery {
    is_replicated: bool,
    core: usize,
    begin_ms: u64,
    call_ms: u64,
    is_healed: bool,
    settled: Settled,
    stage: Stage,
}

/// How far a leader has come.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Nothing is awaited.
    Done,
    /// It has been elected, at this time.
    Elected(u64),
    /// Its epoch is in the log.
    Begun { node: usize, epoch: u64 },
    /// It has applied that, at this time.
    Applied { node: usize, epoch: u64, at_ms: u64 },
}

/// What a member may take to get to its messages, beyond a proposal whose outcome it does not learn.
const SLACK_MS: u64 = 3_500;

/// What a member may take from an entry that it has applied to what follows from it.
const PROMOTION_MS: u64 = 200;

impl Recovery {
    /// A checker that knows how long an entry takes.
    #[must_use]
    pub fn new(parameters: &Parameters) -> Self {
        let entry_ms = parameters.healed_entry_ms();
        Self {
            is_replicated: parameters.engine == Engine::Log,
            core: parameters.core,
            begin_ms: 2 * parameters.latency_ms.1 + parameters.promotion_lag_ms + SLACK_MS,
            // A renewal may need two resets and a confirmation, each asked for by another member.
            call_ms: 4 * entry_ms + 6 * parameters.latency_ms.1 + 500,
            is_healed: false,
            settled: Settled::default(),
            stage: Stage::Done,
        }
    }

    fn late(&self, at_ms: u64) -> Option<String> {
        match self.stage {
            Stage::Elected(elected_ms) if elected_ms + self.begin_ms < at_ms => Some(format!(
                "a leader was elected at {elected_ms} ms and has begun no epoch by {at_ms} ms"
            )),
            Stage::Applied {
                node,
                epoch,
                at_ms: applied_ms,
            } if applied_ms + PROMOTION_MS < at_ms => Some(format!(
                "node {node} has applied at {applied_ms} ms that it begins epoch {epoch}, and is no \
                 primary by {at_ms} ms"
            )),
            _ => None,
        }
    }
}

impl Checker for Recovery {
    fn name(&self) -> &'static str {
        "INV-9 recovery in time"
    }

    fn hear(&mut self, at_ms: u64, event: &Event) -> Option<String> {
        if !self.is_replicated {
            return None;
        }
        self.settled.hear(at_ms, event);
        match (event, self.stage) {
            (Event::Healed, _) => self.is_healed = true,
            (Event::Elected { epoch: 0, .. }, _) if self.is_healed => {
                self.stage = Stage::Elected(at_ms);
            }
            (Event::Elected { node, epoch }, _) if self.is_healed => {
                let (node, epoch) = (*node, *epoch);
                self.stage = Stage::Begun { node, epoch };
            }
            (
                Event::Applied {
                    node: by, index, ..
                },
                Stage::Begun { node, epoch },
            ) if (*by, *index) == (node, epoch) => {
                self.stage = Stage::Applied { node, epoch, at_ms };
            }
            (
                Event::Promoted { epoch: begun, .. },
                Stage::Begun { epoch, .. } | Stage::Applied { epoch, .. },
            ) if *begun == epoch => {
                self.stage = Stage::Done;
            }
            // It begins anew, or somebody else does.
            (Event::Ended { .. } | Event::Recovered { .. }, _) => self.stage = Stage::Done,
            (
                Event::CallFailed {
                    node,
                    asked_ms,
                    timeout_ms,
                },
                _,
            ) => {
                let since_ms = self.settled.primary()?.since_ms + self.begin_ms;
                let is_owed =
                    since_ms <= *asked_ms && *timeout_ms >= self.call_ms && *node < self.core;
                return is_owed.then(|| {
                    format!(
                        "a call at node {node} at {asked_ms} ms came to nothing in {timeout_ms} ms, \
                         and there was a primary"
                    )
                });
            }
            _ => {}
        }
        None
    }

    fn look(&mut self, at_ms: u64, _: &Glance) -> Option<String> {
        self.late(at_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Seen, parameters, primary, verdict};
    use super::*;

    fn checker() -> Recovery {
        let mut parameters = parameters();
        parameters.engine = Engine::Log;
        parameters.latency_ms = (0, 1);
        (parameters.apply_lag_ms, parameters.promotion_lag_ms) = (0, 0);
        Recovery::new(&parameters)
    }

    fn applied(index: u64) -> Event {
        let (node, digest) = (0, 0);
        Event::Applied {
            node,
            index,
            digest,
        }
    }

    const ELECTED: Event = Event::Elected { node: 0, epoch: 0 };
    const BEGUN: Event = Event::Elected { node: 0, epoch: 7 };
    const PROMOTED: Event = Event::Promoted { node: 0, epoch: 7 };

    fn history(events: &[(u64, Event)], looked_ms: u64) -> Option<String> {
        let seen = events.iter().cloned();
        let seen = seen.map(|(at_ms, event)| (at_ms, Seen::from(event)));
        verdict(checker(), seen.chain([(looked_ms, Seen::from(primary()))]))
    }

    #[test]
    fn a_leader_begins_and_is_promoted_in_time() {
        let healed = (0, Event::Healed);
        let elected = [healed.clone(), (1, ELECTED)];
        assert_eq!(history(&elected, 3_000), None);
        assert!(history(&elected, 4_000).is_some());
        let applied = [healed.clone(), (1, ELECTED), (2, BEGUN), (3, applied(7))];
        assert_eq!(history(&applied, 100), None);
        assert!(history(&applied, 300).is_some());
        let promoted = [healed, (2, BEGUN), (3, PROMOTED)];
        assert_eq!(history(&promoted, 10_000), None);
        assert_eq!(history(&[(1, ELECTED)], 10_000), None, "there are faults");
    }

    #[test]
    fn calls_are_answered_when_there_is_a_primary() {
        let fails = |asked_ms, timeout_ms| {
            let failed = Event::CallFailed {
                node: 0,
                asked_ms,
                timeout_ms,
            };
            let healed = (0, Event::Healed);
            let history = [healed, (2, BEGUN), (3, PROMOTED), (20_000, failed)];
            super::super::testing::objects(checker(), &history)
        };
        assert!(fails(10_000, 3_000));
        assert!(!fails(100, 3_000), "it has just become the primary");
        assert!(!fails(10_000, 100), "it has no time");
    }
}
