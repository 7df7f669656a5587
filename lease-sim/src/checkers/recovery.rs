use super::Checker;
use super::settled::Settled;
use crate::event::{Event, Glance};
use crate::plan::{Engine, Parameters};

/// INV-9 of a replicated lessor: when all is whole again, a leader begins its epoch soon after it was
/// elected, and is the primary as soon as it has applied that, or with openraft there is a primary soon; and then
/// each call is done or refused in its time (INV-27: a renewal after two resets at most). Whatever the members
/// have lost before, be it power all at once.
#[derive(Debug)]
pub struct Recovery {
    /// How long openraft may take to elect somebody; the hostile log says itself when it does.
    election_ms: Option<u64>,
    core: usize,
    begin_ms: u64,
    call_ms: u64,
    settled: Settled,
    stage: Stage,
    /// Since when there is no primary.
    headless_ms: Option<u64>,
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

/// For an election or two, and for messages that were lost and have to be given up.
const ELECTION_MS: u64 = 8_000;

impl Recovery {
    /// A checker that knows how long an entry takes.
    #[must_use]
    pub fn new(parameters: &Parameters) -> Self {
        let entry_ms = parameters.healed_entry_ms();
        Self {
            election_ms: (parameters.engine == Engine::Raft).then_some(ELECTION_MS),
            core: parameters.core,
            begin_ms: 2 * parameters.latency_ms.1 + parameters.promotion_lag_ms + SLACK_MS,
            // A renewal may need two resets and a confirmation, each asked for by another member.
            call_ms: 4 * entry_ms + 6 * parameters.latency_ms.1 + 500,
            settled: Settled::default(),
            stage: Stage::Done,
            headless_ms: None,
        }
    }

    /// Notes whether there is a primary; who has one gets another one soon.
    fn note_head(&mut self, at_ms: u64) {
        self.headless_ms = match self.settled.primary() {
            None if self.settled.is_healed() => self.headless_ms.or(Some(at_ms)),
            _ => None,
        };
    }

    fn late(&self, at_ms: u64) -> Option<String> {
        if let Some(election_ms) = self.election_ms {
            // Who has begun an epoch may have been replaced before it has applied that.
            let since_ms = self.headless_ms?;
            let is_late = since_ms + election_ms < at_ms;
            return is_late.then(|| {
                format!("there has been no primary since {since_ms} ms, and is none at {at_ms} ms")
            });
        }
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
        self.settled.hear(at_ms, event);
        self.note_head(at_ms);
        match (event, self.stage) {
            (Event::Elected { epoch: 0, .. }, _) if self.settled.is_healed() => {
                self.stage = Stage::Elected(at_ms);
            }
            (Event::Elected { node, epoch }, _) if self.settled.is_healed() => {
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
    fn openraft_elects_somebody_in_time() {
        let late = |events: &[(u64, Event)], looked_ms| {
            let mut parameters = parameters();
            parameters.engine = Engine::Raft;
            let seen = events.iter().cloned();
            let seen = seen.map(|(at_ms, event)| (at_ms, Seen::from(event)));
            let looked = [(looked_ms, Seen::from(primary()))];
            verdict(Recovery::new(&parameters), seen.chain(looked)).is_some()
        };
        let before = [(0, BEGUN), (1, PROMOTED), (2, Event::Healed)];
        assert!(!late(&before, 90_000), "there is one");
        assert!(!late(&before[..1], 90_000), "there are faults");
        let demoted = (10, Event::Demoted { node: 0 });
        let lost = [before.to_vec(), vec![demoted]].concat();
        assert!(!late(&lost, 8_000));
        assert!(late(&lost, 9_000));
        let again = [lost, vec![(20, BEGUN), (30, PROMOTED)]].concat();
        assert!(!late(&again, 90_000));
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
