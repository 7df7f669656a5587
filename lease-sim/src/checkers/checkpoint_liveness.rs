use std::collections::BTreeMap;

use super::Checker;
use super::settled::Settled;
use crate::event::{Event, Glance, Name};
use crate::plan::{Engine, Parameters};

/// INV-28: if nothing disturbs the primary, a lease that is longer than the checkpoint interval and
/// was not renewed for two of them has a checkpoint that was applied; one that got lost keeps no later
/// one away.
#[derive(Debug)]
pub struct CheckpointLiveness {
    interval_ms: u64,
    bound_ms: u64,
    extend_ms: u64,
    settled: Settled,
    // When a lease was last renewed or checkpointed, or its checkpoint was lost.
    quiet_since_ms: BTreeMap<Name, u64>,
}

/// What a member may take to get to its messages.
const SLACK_MS: u64 = 100;

impl CheckpointLiveness {
    /// A checker that knows the checkpoint interval, and how long an entry takes.
    #[must_use]
    pub fn new(parameters: &Parameters) -> Self {
        let span_ms = 2 * parameters.checkpoint_interval_ms;
        let error_ms = parameters.clock_error_ms(span_ms);
        // A leader on openraft that hands over is told late that it leads no more, and until then is refused.
        let told_ms = match parameters.engine {
            Engine::Raft => parameters.promotion_lag_ms,
            Engine::Log => 0,
        };
        Self {
            interval_ms: parameters.checkpoint_interval_ms,
            bound_ms: span_ms + error_ms + parameters.healed_entry_ms() + told_ms + SLACK_MS,
            extend_ms: parameters.extend_ms + parameters.clock_error_ms(parameters.extend_ms),
            settled: Settled::default(),
            quiet_since_ms: BTreeMap::new(),
        }
    }
}

impl Checker for CheckpointLiveness {
    fn name(&self) -> &'static str {
        "INV-28 checkpoint liveness"
    }

    fn hear(&mut self, at_ms: u64, event: &Event) -> Option<String> {
        self.settled.hear(at_ms, event);
        match event {
            Event::Granted { name, .. }
            | Event::Renewed { name, .. }
            | Event::Checkpointed { name, .. }
            | Event::CheckpointLost { name } => {
                self.quiet_since_ms.insert(*name, at_ms);
            }
            _ => {}
        }
        None
    }

    fn look(&mut self, at_ms: u64, glance: &Glance) -> Option<String> {
        let primary = self.settled.is(glance.node)?;
        let counted_from_ms = primary.since_ms + self.extend_ms;
        let quiet = |(name, left_ms, ttl_ms): &(Name, Option<u64>, u64)| {
            let is_long = *ttl_ms > self.interval_ms && *left_ms > Some(0);
            let quiet_since_ms = self.quiet_since_ms.get(name).copied().unwrap_or(0);
            let since_ms = quiet_since_ms.max(counted_from_ms);
            (is_long && since_ms + self.bound_ms < at_ms).then_some((*name, since_ms))
        };
        let (name, since_ms) = glance.leases.iter().find_map(quiet)?;
        let node = glance.node;
        Some(format!(
            "node {node} has had no checkpoint of {name:?} applied since {since_ms} ms"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::testing::{Seen, name, parameters, primary, verdict};

    fn checker() -> CheckpointLiveness {
        let mut parameters = parameters();
        (parameters.latency_ms, parameters.apply_lag_ms) = ((0, 10), 300);
        (parameters.checkpoint_interval_ms, parameters.extend_ms) = (1_000, 500);
        CheckpointLiveness::new(&parameters)
    }

    const BOUND_MS: u64 = 2_000 + 320 + SLACK_MS;

    fn settled() -> Vec<(u64, Seen)> {
        let elected = Event::Elected { node: 0, epoch: 1 };
        let promoted = Event::Promoted { node: 0, epoch: 1 };
        let events = [Event::Healed, elected, promoted];
        events.map(|event| (0, event.into())).to_vec()
    }

    fn with(left_ms: u64, ttl_ms: u64) -> Seen {
        let leases = vec![(name(1, 1), Some(left_ms), ttl_ms)];
        Glance {
            leases,
            ..primary()
        }
        .into()
    }

    fn objects(events: &[(u64, Event)], look: (u64, Seen)) -> bool {
        let events = events.iter().cloned();
        let events = events.map(|(at_ms, event)| (at_ms, event.into()));
        verdict(checker(), settled().into_iter().chain(events).chain([look])).is_some()
    }

    #[test]
    fn objects_to_a_quiet_lease_without_a_checkpoint() {
        let look = |at_ms| (at_ms, with(9_000, 20_000));
        assert!(!objects(&[], look(500 + BOUND_MS)));
        assert!(objects(&[], look(501 + BOUND_MS)));
        let at_ms = 501 + BOUND_MS;
        assert!(!objects(&[], (at_ms, with(0, 20_000))), "it is over");
        assert!(!objects(&[], (at_ms, with(1, 1_000))), "it is short");
        assert!(
            verdict(checker(), [look(at_ms)]).is_none(),
            "nothing is settled"
        );
    }

    #[test]
    fn what_was_renewed_checkpointed_or_lost_is_owed_another_one() {
        let name = name(1, 1);
        let renewed = Event::Renewed {
            node: 0,
            epoch: 1,
            name,
        };
        let checkpointed = Event::Checkpointed {
            name,
            epoch: 1,
            remaining_ms: Some(5_000),
            proposed_ms: 900,
        };
        for event in [renewed, checkpointed, Event::CheckpointLost { name }] {
            let look = |at_ms| (at_ms, with(9_000, 20_000));
            assert!(!objects(&[(1_000, event.clone())], look(1_000 + BOUND_MS)));
            assert!(objects(&[(1_000, event)], look(1_001 + BOUND_MS)));
        }
    }
}
