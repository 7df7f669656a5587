use std::fmt;
use std::str::FromStr;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Action, Alone, End, Engine, Look, Parameters, Plan, Raft, Timed};

/// How much a drawn plan holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Three members, a short time, no faults of disks.
    Lite,
    /// Three to five members, a minute, and of each family of faults and operations either many or
    /// none.
    #[default]
    Swarm,
    /// Up to seven members, five minutes, a thousand operations.
    Heavy,
}

impl Profile {
    const NAMES: [(Self, &str); 3] = [
        (Self::Lite, "lite"),
        (Self::Swarm, "swarm"),
        (Self::Heavy, "heavy"),
    ];
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(profile, _)| profile == self);
        f.write_str(name.map_or("", |(_, name)| name))
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::NAMES.iter().find(|(_, name)| *name == text);
        named
            .map(|(profile, _)| *profile)
            .ok_or_else(|| format!("no profile {text}; there are lite, swarm and heavy"))
    }
}

/// Which worlds plans are drawn for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engines {
    /// Replicas over the hostile log.
    Log,
    /// Replicas on openraft.
    Raft,
    /// Lessors that stand alone.
    Alone,
    /// Some of each.
    #[default]
    Both,
}

impl Engines {
    const NAMES: [(Self, &str); 4] = [
        (Self::Log, "log"),
        (Self::Raft, "raft"),
        (Self::Alone, "alone"),
        (Self::Both, "both"),
    ];
}

impl fmt::Display for Engines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(engines, _)| engines == self);
        f.write_str(name.map_or("", |(_, name)| name))
    }
}

impl FromStr for Engines {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::NAMES.iter().find(|(_, name)| *name == text);
        named
            .map(|(engines, _)| *engines)
            .ok_or_else(|| format!("no engine {text}; there are log, raft, alone and both"))
    }
}

/// A family of actions that a plan has or has not.
type Family = fn(&mut ChaCha8Rng, &Parameters) -> Action;

/// The faults, and whether the lite profile has them.
const FAULTS: [(Family, bool); 18] = [
    (elect, true),
    (transfer, true),
    (crash, true),
    (power_cut, false),
    (stop, true),
    (pause, true),
    (cut, true),
    (cut_from_log, true),
    (cut_from_member, true),
    (isolate, true),
    (clog, true),
    (clock_back, true),
    (disk_error, false),
    (disk_full, false),
    (disk_slow, false),
    (snapshot, true),
    (suspend, true),
    (blackout, false),
];

pub(super) fn draw(seed: u64, profile: Profile, engines: Engines) -> Plan {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let rng = &mut rng;
    let mut parameters = draw_parameters(rng, profile);
    let mut actions = Vec::new();
    draw_faults(rng, &parameters, profile, &mut actions);
    draw_clients(rng, &parameters, profile, &mut actions);
    actions.sort_by_key(|timed| timed.at_ms);
    let noise = rng.random();
    parameters.hash_seed = rng.random();
    parameters.lost_checkpoints_per_mille = one_of(rng, &[0, 0, 500]);
    draw_extremes(rng, &mut parameters, &mut actions);
    let may_be_alone = rng.random_bool(0.15);
    if engines == Engines::Alone || may_be_alone && engines == Engines::Both {
        leave_alone(rng, &mut parameters, &mut actions);
    } else {
        replicate(rng, &mut parameters, &mut actions);
        if engines == Engines::Raft || engines == Engines::Both && rng.random_bool(0.2) {
            put_on_openraft(rng, &mut parameters, &mut actions);
        }
    }
    Plan {
        seed,
        noise,
        parameters,
        actions,
    }
}

/// What is rare, or takes years or a million leases elsewhere.
fn draw_extremes(rng: &mut ChaCha8Rng, parameters: &mut Parameters, actions: &mut [Timed]) {
    parameters.refused_per_mille = one_of(rng, &[0, 0, 30, 300]);
    parameters.clock_lag_ms = one_of(rng, &[0, 0, 4, 10]);
    let before_ms = rng.random_range(0..parameters.faulty_ms);
    let power_ms = one_of(rng, &[0, 0, 1 << 20, 1 << 30, 1 << 32]);
    parameters.clock_origin_ms = u64::saturating_sub(power_ms, before_ms);
    parameters.piece = one_of(rng, &[0, 1, 2, 5]);
    parameters.tags = one_of(rng, &[0, 1, 2]);
    parameters.meanwhile_per_mille = one_of(rng, &[0, 0, 100, 600]);
    let (has_far_ids, has_long_ttls) = (rng.random_bool(0.25), rng.random_bool(0.25));
    for timed in actions {
        if has_far_ids {
            timed.action = timed.action.with_far_id();
        }
        if has_long_ttls && rng.random_bool(0.1) {
            let ttl = one_of(
                rng,
                &[
                    1 << 31,
                    1 << 32,
                    MAX_TTL - 1,
                    MAX_TTL,
                    MAX_TTL + 1,
                    i64::MAX,
                ],
            );
            timed.action = timed.action.with_ttl(ttl);
        }
    }
}

/// Makes it the plan of a lessor that stands alone.
fn leave_alone(rng: &mut ChaCha8Rng, parameters: &mut Parameters, actions: &mut Vec<Timed>) {
    parameters.alone = Some(Alone {
        in_memory: rng.random_bool(0.3),
        max_leases: one_of(rng, &[0, 0, 3]),
        stores_checkpoints: rng.random_bool(0.5),
        replays_items: rng.random_bool(0.3),
        pushes_checkpoints: rng.random_bool(0.3),
        tells_items: rng.random_bool(0.6),
        // Drawn last, see below.
        delivers: false,
        promotes_after_ms: 0,
        strange_rows: false,
        keeps_rows: false,
        ids_of_member: false,
        max_writes: 0,
        max_items: 0,
        polls_checkpoints: false,
        loses_checkpoints: false,
    });
    (parameters.nodes, parameters.core) = (1, 1);
    parameters.drift_ppm.truncate(1);
    parameters.min_ttl.truncate(1);
    let is_its = |action: &Action| matches!(action.node(), None | Some(0)) && !action.is_of_link();
    actions.retain(|timed| is_its(&timed.action));
    if rng.random_bool(0.3) {
        for timed in &mut *actions {
            if let Action::Put {
                lease: Some(lease), ..
            } = timed.action
                && rng.random_bool(0.3)
            {
                let count = one_of(rng, &[1, 40, 300]);
                timed.action = Action::PutMany { lease, count };
            }
        }
    }
    if let Some(alone) = &mut parameters.alone {
        alone.delivers = rng.random_bool(0.4);
        alone.promotes_after_ms = one_of(rng, &[0, 0, 0, 3_000, 12_000]);
        alone.strange_rows = rng.random_bool(0.3);
        alone.keeps_rows = rng.random_bool(0.3);
        alone.ids_of_member = rng.random_bool(0.3);
        alone.max_writes = one_of(rng, &[0, 0, 1]);
        alone.max_items = one_of(rng, &[0, 0, 3, 100]);
        if alone.delivers && rng.random_bool(0.7) {
            for _ in 0..rng.random_range(1..4) {
                let at_ms = rng.random_range(0..parameters.faulty_ms);
                let (node, for_ms) = (0, span(rng));
                let action = Action::Linger { node, for_ms };
                actions.push(Timed { at_ms, action });
            }
            actions.sort_by_key(|timed| timed.at_ms);
        }
        alone.polls_checkpoints = !alone.pushes_checkpoints && rng.random_bool(0.6);
        alone.loses_checkpoints = rng.random_bool(0.5);
        if alone.polls_checkpoints && alone.loses_checkpoints {
            for _ in 0..rng.random_range(1..9) {
                let at_ms = rng.random_range(0..parameters.faulty_ms);
                let action = Action::Elect { node: 0 };
                actions.push(Timed { at_ms, action });
            }
            actions.sort_by_key(|timed| timed.at_ms);
        }
    }
}

/// Makes it the plan of replicas.
fn replicate(rng: &mut ChaCha8Rng, parameters: &mut Parameters, actions: &mut [Timed]) {
    parameters.remembered = one_of(rng, &[0, 0, 200]);
    parameters.dropped_per_mille = one_of(rng, &[0, 0, 50, 300]);
    let loses_disks = rng.random_bool(0.3);
    let many = one_of(rng, &[0.0, 0.3, 0.8]);
    for timed in actions {
        timed.action = match timed.action {
            Action::TimeToLive { lease } => Action::Look {
                lease,
                how: one_of(rng, &Look::ALL),
            },
            Action::Renew { lease } if rng.random_bool(many) => Action::RenewMany {
                lease,
                count: rng.random_range(1..5),
            },
            Action::Grant { ttl, .. } if ttl <= parameters.longest_ttl && rng.random_bool(0.2) => {
                Action::GrantNew { ttl }
            }
            Action::Crash { node, for_ms } if loses_disks && rng.random_bool(0.3) => {
                Action::LoseDisk { node, for_ms }
            }
            action => action,
        };
    }
}

/// Makes it a plan of openraft.
fn put_on_openraft(rng: &mut ChaCha8Rng, parameters: &mut Parameters, actions: &mut [Timed]) {
    parameters.engine = Engine::Raft;
    // Who decides may change, so that all have to be whole in the end.
    parameters.core = parameters.nodes;
    parameters.raft = Raft {
        voters: rng.random_range(2..=parameters.nodes),
        snapshot_after: one_of(rng, &[10, 40, 200]),
        keep_entries: one_of(rng, &[0, 5, 40]),
        chunk_bytes: one_of(rng, &[200, 1_000, 1 << 20]),
        uneven_ms: one_of(rng, &[0, 0, 100, 800]),
    };
    let changes = one_of(rng, &[0.0, 0.3, 1.0]);
    let loses_disks = rng.random_bool(0.3);
    for timed in actions {
        timed.action = match timed.action {
            // Seldom are all members settled, without which none is given up.
            Action::Stop { node, for_ms } | Action::PowerCut { node, for_ms, .. }
                if loses_disks && rng.random_bool(0.5) =>
            {
                Action::LoseDisk { node, for_ms }
            }
            Action::Snapshot { node } | Action::Elect { node } if rng.random_bool(changes) => {
                match rng.random_range(0..3) {
                    0 => Action::Learn { node },
                    1 => Action::Admit { node },
                    _ => Action::Remove { node },
                }
            }
            action => action,
        };
    }
}

/// The longest TTL that there is, in seconds.
const MAX_TTL: i64 = 9_000_000_000;

fn one_of<T: Copy>(rng: &mut impl Rng, choices: &[T]) -> T {
    choices[rng.random_range(0..choices.len())]
}

fn draw_parameters(rng: &mut impl Rng, profile: Profile) -> Parameters {
    let nodes = match profile {
        Profile::Lite => 3,
        Profile::Swarm => rng.random_range(3..=5),
        Profile::Heavy => rng.random_range(3..=7),
    };
    let fastest = rng.random_range(0..5);
    let drift = one_of(rng, &[0, 0, 200, 20_000]);
    let has_own_minimum = rng.random_bool(0.3);
    Parameters {
        nodes,
        core: rng.random_range(nodes / 2 + 1..=nodes),
        faulty_ms: match profile {
            Profile::Lite => 20_000,
            Profile::Swarm => 45_000,
            Profile::Heavy => 270_000,
        },
        longest_ttl: one_of(rng, &[2, 5, 12, 20]),
        latency_ms: (fastest, fastest + one_of(rng, &[1, 10, 60])),
        apply_lag_ms: one_of(rng, &[0, 20, 300, 2_000]),
        lost_per_mille: one_of(rng, &[0, 0, 10, 100]),
        repeated_per_mille: one_of(rng, &[0, 0, 20, 200]),
        duplicated_per_mille: one_of(rng, &[0, 20, 200]),
        promotion_lag_ms: one_of(rng, &[0, 0, 50, 3_000]),
        extend_ms: one_of(rng, &[0, 500, 2_000]),
        drift_ppm: (0..nodes)
            .map(|_| rng.random_range(-drift..=drift))
            .collect(),
        min_ttl: (0..nodes)
            .map(|_| {
                if has_own_minimum {
                    rng.random_range(1..4)
                } else {
                    1
                }
            })
            .collect(),
        checkpoint_interval_ms: one_of(rng, &[1_000, 2_000, 5_000, 300_000]),
        revoke_rate_per_sec: one_of(rng, &[0, 1, 3, 1_000]),
        retry_interval_ms: one_of(rng, &[500, 3_000]),
        expired_batch: one_of(rng, &[1, 3, 500]),
        expired_capacity: one_of(rng, &[1, 16]),
        durable: rng.random_bool(0.3),
        commit_interval_ms: one_of(rng, &[100, 500, 2_000]),
        // Drawn last, see `draw`.
        hash_seed: 0,
        lost_checkpoints_per_mille: 0,
        refused_per_mille: 0,
        clock_lag_ms: 0,
        clock_origin_ms: 0,
        piece: 0,
        tags: 0,
        meanwhile_per_mille: 0,
        engine: Engine::Log,
        raft: Raft::default(),
        remembered: 0,
        dropped_per_mille: 0,
        alone: None,
    }
}

/// Swarm testing: each family of faults is in the plan or not, so that some plans are full of what
/// others lack.
fn draw_faults(
    rng: &mut ChaCha8Rng,
    parameters: &Parameters,
    profile: Profile,
    actions: &mut Vec<Timed>,
) {
    let mut families: Vec<Family> = Vec::new();
    let likely = one_of(rng, &[0.15, 0.5]);
    for (family, in_lite) in FAULTS {
        if rng.random_bool(likely) && (in_lite || profile != Profile::Lite) {
            families.push(family);
        }
    }
    if families.is_empty() {
        return;
    }
    let pause = one_of(rng, &[1_500, 4_000, 15_000]);
    let mut at_ms = rng.random_range(200..pause);
    while at_ms < parameters.faulty_ms {
        let family = families[rng.random_range(0..families.len())];
        let action = family(rng, parameters);
        actions.push(Timed { at_ms, action });
        at_ms += rng.random_range(50..pause);
    }
}

fn node(rng: &mut ChaCha8Rng, parameters: &Parameters) -> usize {
    rng.random_range(0..parameters.nodes)
}

fn span(rng: &mut ChaCha8Rng) -> u64 {
    let longest = one_of(rng, &[500, 4_000, 12_000]);
    rng.random_range(50..longest)
}

fn elect(rng: &mut ChaCha8Rng, parameters: &Parameters) -> Action {
    let node = node(rng, parameters);
    Action::Elect { node }
}

fn transfer(rng: &mut ChaCha8Rng, parameters: &Parameters) -> Action {
    let node = node(rng, parameters);
    Action::Transfer { node }
}

fn crash(rng: &mut ChaCha8Rng, parameters: &Parameters) -> Action {
    let (node, for_ms) = (node(rng, parameters), span(rng));
    Action::Crash { node, for_ms }
}

fn power_cut(rng: &mut ChaCha8Rng, parameters: &Parameters) -> Action {
    Action::PowerCut {
        node: node(rng, parameters),
        after_operations: rng.random_range(0..40),
        for_ms: span(rng),
    }
}

fn stop(rng: &mut ChaCha8Rng, parameters: &Parameters) -> Action {
    let (node, for_ms) = (node(rng, parameters), span(rng));
    Action::Stop { node, for_ms }
}

fn pause(rng: &mut ChaCha8Rng, parameters: &Parameters) -> Action {
    let (node, for_ms) = (node(rng, parameters), span(rng));
    Action::Pause { node, for_ms }
}

fn cut(rng: &mut ChaCha8Rng, parameters: &Parameters) -> Action {
    let node = End::Node(node(rng, parameters));
    let other = one_of(rng, &[End::Log, End::Clients]);
    let (from, to) = one_of(rng, &[(node, other), (other, node)]);
    let for_ms = span(rng);
    Action::Cut { from, to, for_ms }
}

/// What makes a leader that its clients still reach and the log does not.
fn cut_from_log(rng: &mut ChaCha8Rng, parameters: &Parameters) -> Action {
    let to = End::Node(node(rng, parameters));
    let (from, for_ms) = (End::Log, 2 * span(rng));
    Action::Cut { from, to, for_ms }
}

/// What makes a member that is asked by another one, and whose answer does not come.
fn cut_from_member(rng: &mut ChaCha8Rng, parameters: &Parameters) -> Action {
    let from = node(rng, parameters);
    let steps = rng.random_range(1..parameters.nodes);
    let to = End::Node((from + steps) % parameters.nodes);
    let (from, for_ms) = (End::Node(from), span(rng));
    Action::Cut { from, to, for_ms }
}

fn isolate(rng: &mut ChaCha8Rng, parameters: &Parameters) -> Action {
    let (node, for_ms) = (node(rng, parameters), span(rng));
    Action::Isolate { node, for_ms }
}

fn clog(rng: &mut ChaCha8Rng, parameters: &Parameters) -> Action {
    let (node, for_ms) = (node(rng, parameters), span(rng));
    Action::Clog { node, for_ms }
}

fn clock_back(rng: &mut ChaCha8Rng, parameters: &Parameters) -> Action {
    Action::ClockBack {
        node: node(rng, parameters),
        by_ms: rng.random_range(1..3_000),
    }
}

fn disk_error(rng: &mut ChaCha8Rng, parameters: &Parameters) -> Action {
    Action::DiskError {
        node: node(rng, parameters),
        after_operations: rng.random_range(1..40),
        times: one_of(rng, &[1, 1, 2, 3]),
    }
}

fn disk_full(rng: &mut ChaCha8Rng, parameters: &Parameters) -> Action {
    let (node, for_ms) = (node(rng, parameters), span(rng));
    Action::DiskFull { node, for_ms }
}

fn disk_slow(rng: &mut ChaCha8Rng, parameters: &Parameters) -> Action {
    Action::DiskSlow {
        node: node(rng, parameters),
        by_ms: rng.random_range(1..200),
        for_ms: span(rng),
    }
}

fn snapshot(rng: &mut ChaCha8Rng, parameters: &Parameters) -> Action {
    let node = node(rng, parameters);
    Action::Snapshot { node }
}

fn suspend(rng: &mut ChaCha8Rng, parameters: &Parameters) -> Action {
    let (node, for_ms) = (node(rng, parameters), span(rng));
    Action::Suspend { node, for_ms }
}

fn blackout(rng: &mut ChaCha8Rng, _: &Parameters) -> Action {
    let for_ms = span(rng).min(4_000);
    Action::Blackout { for_ms }
}

fn draw_clients(
    rng: &mut ChaCha8Rng,
    parameters: &Parameters,
    profile: Profile,
    actions: &mut Vec<Timed>,
) {
    let leases: Vec<i64> = (0..rng.random_range(1..12))
        .map(|n| if n % 3 == 0 { -n - 1 } else { n + 1 })
        .collect();
    let operations = match profile {
        Profile::Lite => rng.random_range(10..60),
        Profile::Swarm => rng.random_range(20..150),
        Profile::Heavy => rng.random_range(200..1_000),
    };
    // The weights of: grant, hold, renew, revoke, attach, detach, time to live.
    let mut weights: [u32; 7] = std::array::from_fn(|_| one_of(rng, &[0, 1, 4]));
    if weights[0] + weights[1] == 0 {
        weights[1] = 1;
    }
    for _ in 0..operations {
        let at_ms = rng.random_range(0..parameters.faulty_ms);
        let lease = leases[rng.random_range(0..leases.len())];
        let key = rng.random_range(0..6);
        let ttl = rng.random_range(1..=parameters.longest_ttl);
        let action = match weighted(rng, &weights) {
            0 => Action::Grant { lease, ttl },
            1 => Action::Hold {
                lease,
                ttl,
                every_ms: rng.random_range(100..3_000),
                times: rng.random_range(1..15),
            },
            2 => Action::Renew { lease },
            3 => Action::Revoke { lease },
            4 => Action::Put {
                key,
                lease: Some(lease),
            },
            5 => Action::Put { key, lease: None },
            _ => Action::TimeToLive { lease },
        };
        actions.push(Timed { at_ms, action });
    }
}

fn weighted(rng: &mut impl Rng, weights: &[u32]) -> usize {
    let mut left = rng.random_range(0..weights.iter().sum());
    for (which, weight) in weights.iter().enumerate() {
        if left < *weight {
            return which;
        }
        left -= weight;
    }
    unreachable!("the weights have been summed up")
}
