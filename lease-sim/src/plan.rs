use std::time::Duration;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Everything that a run does, drawn from its seed: parameters, and actions at their times.
///
/// A plan is data: it can be written down, cut down and run again.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The seed that it was drawn from.
    pub seed: u64,
    /// What holds for the whole run.
    pub parameters: Parameters,
    /// What happens, by time.
    pub actions: Vec<Timed>,
}

/// What holds for a whole run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Parameters {
    /// How many members.
    pub nodes: usize,
    /// How long the part with faults takes.
    pub faulty_ms: u64,
    /// The shortest and longest delay of a message.
    pub latency_ms: (u64, u64),
    /// How far a member applies behind the log at most.
    pub apply_lag_ms: u64,
    /// How many in a thousand proposals are lost.
    pub lost_per_mille: u32,
    /// How many in a thousand proposals come into the log a second time, later.
    pub duplicated_per_mille: u32,
    /// How much a promotion adds to each lease.
    pub extend_ms: u64,
    /// The lessors' checkpoint interval.
    pub checkpoint_interval_ms: u64,
    /// The lessors' revoke rate; zero is without a limit.
    pub revoke_rate_per_sec: u32,
    /// Whether every command is durable, or writes are batched and a crash loses the last of them.
    pub durable: bool,
}

/// An action and its time.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Timed {
    /// Virtual milliseconds from the start.
    pub at_ms: u64,
    /// What happens.
    pub action: Action,
}

/// What a plan can do.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Action {
    /// A member becomes the leader of a new term.
    Elect {
        /// Which.
        node: usize,
    },
    /// A member loses power.
    Crash {
        /// Which.
        node: usize,
    },
    /// A member starts again from its disk.
    Restart {
        /// Which.
        node: usize,
    },
    /// A member hears nothing and nobody hears it.
    Isolate {
        /// Which.
        node: usize,
    },
    /// A member hears and is heard again.
    Rejoin {
        /// Which.
        node: usize,
    },
    /// A client asks for a lease.
    Grant {
        /// The id.
        lease: i64,
        /// Seconds.
        ttl: i64,
    },
    /// A client keeps a lease alive.
    KeepAlive {
        /// The id.
        lease: i64,
        /// The time between two renewals.
        every_ms: u64,
        /// How many renewals.
        times: u32,
    },
    /// A client revokes a lease.
    Revoke {
        /// The id.
        lease: i64,
    },
    /// A client puts a key, with a lease or without.
    Put {
        /// The key.
        key: u8,
        /// The lease that it is attached to.
        lease: Option<i64>,
    },
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let parameters = Parameters::draw(&mut rng);
        let mut actions = Vec::new();
        draw_faults(&mut rng, &parameters, &mut actions);
        draw_clients(&mut rng, &parameters, &mut actions);
        actions.sort_by_key(|timed| timed.at_ms);
        Self {
            seed,
            parameters,
            actions,
        }
    }
}

impl Parameters {
    fn draw(rng: &mut impl Rng) -> Self {
        let fastest = rng.random_range(0..5);
        Self {
            nodes: rng.random_range(3..=5),
            faulty_ms: 45_000,
            latency_ms: (fastest, fastest + rng.random_range(1..60)),
            apply_lag_ms: [0, 20, 300, 2_000][rng.random_range(0..4)],
            lost_per_mille: [0, 20, 200][rng.random_range(0..3)],
            duplicated_per_mille: [0, 20, 200][rng.random_range(0..3)],
            extend_ms: [0, 500, 2_000][rng.random_range(0..3)],
            checkpoint_interval_ms: [2_000, 5_000, 300_000][rng.random_range(0..3)],
            revoke_rate_per_sec: [0, 2, 1_000][rng.random_range(0..3)],
            durable: rng.random_bool(0.5),
        }
    }

    /// As a [`Duration`].
    #[must_use]
    pub const fn checkpoint_interval(&self) -> Duration {
        Duration::from_millis(self.checkpoint_interval_ms)
    }

    /// As a [`Duration`].
    #[must_use]
    pub const fn extend(&self) -> Duration {
        Duration::from_millis(self.extend_ms)
    }
}

/// Elections, crashes and isolations; everything is whole again at the end.
fn draw_faults(rng: &mut impl Rng, parameters: &Parameters, actions: &mut Vec<Timed>) {
    let mut add = |at_ms, action| actions.push(Timed { at_ms, action });
    let nodes = parameters.nodes;
    add(0, Action::Elect { node: 0 });
    let pause = [2_000, 6_000, 20_000][rng.random_range(0..3)];
    let mut at_ms = rng.random_range(200..pause);
    while at_ms < parameters.faulty_ms {
        let node = rng.random_range(0..nodes);
        let until_ms = (at_ms + rng.random_range(50..8_000)).min(parameters.faulty_ms);
        match rng.random_range(0..4) {
            0 => {
                add(at_ms, Action::Crash { node });
                add(until_ms, Action::Restart { node });
            }
            1 => {
                add(at_ms, Action::Isolate { node });
                add(until_ms, Action::Rejoin { node });
            }
            _ => add(at_ms, Action::Elect { node }),
        }
        at_ms += rng.random_range(200..pause);
    }
    for node in 0..nodes {
        add(parameters.faulty_ms, Action::Restart { node });
        add(parameters.faulty_ms, Action::Rejoin { node });
    }
    let node = rng.random_range(0..nodes);
    add(parameters.faulty_ms + 100, Action::Elect { node });
}

fn draw_clients(rng: &mut impl Rng, parameters: &Parameters, actions: &mut Vec<Timed>) {
    let leases: Vec<i64> = (0..rng.random_range(1..12))
        .map(|n| if n % 3 == 0 { -n - 1 } else { n + 1 })
        .collect();
    let operations = rng.random_range(20..150);
    let longest = [3, 8, 20][rng.random_range(0..3)];
    for _ in 0..operations {
        let at_ms = rng.random_range(0..parameters.faulty_ms);
        let lease = leases[rng.random_range(0..leases.len())];
        let key = rng.random_range(0..6);
        let action = match rng.random_range(0..10) {
            0..3 => Action::Grant {
                lease,
                ttl: rng.random_range(1..=longest),
            },
            3..7 => Action::KeepAlive {
                lease,
                every_ms: rng.random_range(200..3_000),
                times: rng.random_range(1..12),
            },
            7 => Action::Revoke { lease },
            8 => Action::Put { key, lease: None },
            _ => Action::Put {
                key,
                lease: Some(lease),
            },
        };
        actions.push(Timed { at_ms, action });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_data() {
        let plan = Plan::draw(7);
        let text = serde_json::to_string(&plan).expect("plain data");
        assert_eq!(serde_json::from_str::<Plan>(&text).expect("the same"), plan);
        assert_eq!(Plan::draw(7), plan);
        assert_ne!(Plan::draw(8).actions, plan.actions);
    }

    #[test]
    fn everything_is_whole_at_the_end() {
        for seed in 0..100 {
            let plan = Plan::draw(seed);
            let end = plan.parameters.faulty_ms;
            let after: Vec<_> = plan
                .actions
                .iter()
                .filter(|timed| timed.at_ms >= end)
                .map(|timed| &timed.action)
                .collect();
            for node in 0..plan.parameters.nodes {
                assert!(after.contains(&&Action::Restart { node }), "seed {seed}");
                assert!(after.contains(&&Action::Rejoin { node }), "seed {seed}");
            }
            let heals = |action: &&Action| {
                let (restart, rejoin) = (Action::Restart { node: 0 }, Action::Rejoin { node: 0 });
                let elect = Action::Elect { node: 0 };
                [restart, rejoin, elect]
                    .iter()
                    .any(|one| std::mem::discriminant(one) == std::mem::discriminant(*action))
            };
            assert!(after.iter().all(heals), "seed {seed}: {after:?}");
            assert!(plan.actions.is_sorted_by_key(|timed| timed.at_ms));
        }
    }
}
