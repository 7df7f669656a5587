use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Checkpoints, Command, Settings, Trace, rows};

/// The trace of a seed.
pub(crate) fn generate(seed: u64) -> Trace {
    let mut draw = Draw::new(seed);
    let settings = draw.settings();
    let len = draw.rng.random_range(20..120);
    let mut commands = draw.opening();
    commands.extend((0..len).map(|_| draw.command()));
    commands.extend([
        Command::List,
        Command::Kept,
        Command::Rows,
        Command::Counters,
    ]);
    Trace { settings, commands }
}

/// What a trace is drawn with. Each trace has a taste of its own, so that some do much of what
/// others never do.
struct Draw {
    rng: ChaCha8Rng,
    ids: Vec<i64>,
    keys: Vec<Vec<u8>>,
    persist: bool,
    has_sub_millis: bool,
    has_zero_interval: bool,
    is_host_odd: bool,
    is_crowd: bool,
}

/// How often a command comes, and how it is drawn.
type Kind = (u32, fn(&mut Draw) -> Command);

const IDS: [i64; 9] = [
    1,
    2,
    3,
    7,
    -1,
    i64::MIN,
    i64::MAX,
    0x694d_5765_fc71_500b,
    -4_096,
];

const KEYS: [&[u8]; 7] = [
    b"",
    b"a",
    b"b",
    b"services/web/1",
    &[0],
    &[0, 255, 254],
    &[0x80],
];

impl Draw {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut ids = IDS.to_vec();
        ids.shuffle(&mut rng);
        ids.truncate(rng.random_range(2..=IDS.len()));
        let mut keys = KEYS.map(<[u8]>::to_vec).to_vec();
        keys.shuffle(&mut rng);
        keys.truncate(rng.random_range(2..=KEYS.len()));
        Self {
            ids,
            keys,
            persist: rng.random_bool(0.7),
            has_sub_millis: rng.random_bool(0.3),
            has_zero_interval: rng.random_bool(0.05),
            is_host_odd: rng.random_bool(0.3),
            is_crowd: rng.random_bool(0.01),
            rng,
        }
    }

    fn settings(&mut self) -> Settings {
        let zero = self.has_zero_interval;
        let zero_checkpoint = zero && self.rng.random();
        Settings {
            min_ttl: self.min_ttl(),
            checkpoint_interval_ms: if zero_checkpoint {
                0
            } else if self.is_crowd {
                // So many at once would meet the rate of checkpoints.
                10_000_000
            } else {
                self.pick(&[1_000, 1_500, 2_000, 5_000, 20_000, 300_000])
            },
            retry_interval_ms: if zero && !zero_checkpoint {
                0
            } else {
                self.pick(&[1_000, 1_001, 3_000, 3_000])
            },
            persist: self.persist,
            checkpoints: self.pick(&[
                Checkpoints::None,
                Checkpoints::Direct,
                Checkpoints::Direct,
                Checkpoints::Deferred,
                Checkpoints::Deferred,
            ]),
            has_deleter: self.rng.random_bool(0.85),
            clock_lag_ms: self.pick(&[0, 0, 0, 2, 17]),
            max_leases: self.rng.random_bool(0.05).then_some(3),
            max_items: self.rng.random_bool(0.05).then_some(2),
        }
    }

    /// Most traces begin as a primary with a few leases.
    fn opening(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        if self.rng.random_bool(0.8) {
            commands.push(self.promote());
        }
        if self.is_crowd {
            let count = self.rng.random_range(900..1_300);
            let ttl = self.pick(&[3_000, 9_000]);
            commands.push(Command::Many {
                id: 10_000,
                count,
                ttl,
            });
        }
        for _ in 0..self.rng.random_range(1..6) {
            commands.push(self.grant());
        }
        commands
    }

    fn command(&mut self) -> Command {
        let odd = if self.is_host_odd { 3 } else { 0 };
        let kinds: [Kind; 30] = [
            (14, Self::grant),
            (4, |draw| Command::Revoke { id: draw.id() }),
            (18, |draw| Command::Renew { id: draw.id() }),
            (8, |draw| Command::Attach {
                id: draw.id(),
                keys: draw.some_keys(),
            }),
            (4, |draw| Command::Detach {
                id: draw.id(),
                keys: draw.some_keys(),
            }),
            (4, |draw| Command::GetLease { key: draw.key() }),
            (8, |draw| Command::Lookup { id: draw.id() }),
            (4, |_| Command::List),
            (1, |draw| Command::Keep { id: draw.id() }),
            (1, |_| Command::Kept),
            (4, Self::checkpoint),
            (5, |draw| Command::Apply {
                number: draw.number(),
            }),
            (2, |draw| Command::Drop {
                number: draw.number(),
            }),
            (odd, |draw| Command::Fails(draw.rng.random())),
            (4, Self::promote),
            (1, |_| Command::PromoteLate),
            (2, |_| Command::Demote),
            (1, |_| Command::DemoteLate),
            (26, Self::advance),
            (odd, |draw| Command::Hold(draw.rng.random())),
            (odd, |_| Command::Take),
            (8, |draw| Command::RevokeTaken {
                number: draw.number(),
            }),
            (2, |draw| Command::FailTaken {
                number: draw.number(),
            }),
            (2, Self::restart),
            (1, Self::crash),
            (1, |draw| Command::Recover {
                has_deleter: draw.rng.random(),
            }),
            (1, |draw| {
                if draw.rng.random_bool(0.2) {
                    Command::Stop
                } else {
                    Command::List
                }
            }),
            (2, |_| Command::Rows),
            (1, |draw| Command::Load {
                rows: rows::draw(&mut draw.rng, &draw.ids),
            }),
            (1, |_| Command::Counters),
        ];
        let sum = kinds.iter().map(|(weight, _)| weight).sum();
        let mut left = self.rng.random_range(0..sum);
        for (weight, make) in kinds {
            if left < weight {
                return make(self);
            }
            left -= weight;
        }
        unreachable!("the weights have this sum")
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        *from
            .choose(&mut self.rng)
            .expect("there is something to choose")
    }

    fn number(&mut self) -> usize {
        self.rng.random_range(0..6)
    }

    fn id(&mut self) -> i64 {
        if self.rng.random_bool(0.02) {
            return 0;
        }
        *self.ids.choose(&mut self.rng).expect("there are ids")
    }

    fn key(&mut self) -> Vec<u8> {
        self.keys
            .choose(&mut self.rng)
            .expect("there are keys")
            .clone()
    }

    fn some_keys(&mut self) -> Vec<Vec<u8>> {
        let count = self.rng.random_range(0..4);
        (0..count).map(|_| self.key()).collect()
    }

    fn grant(&mut self) -> Command {
        let ttl = match self.rng.random_range(0..20) {
            0 => self.pick(&[0, -1, i64::MIN]),
            1 => self.pick(&[9_000_000_000, 9_000_000_001, i64::MAX]),
            2..5 => self.pick(&[300, 301, 900, 3_600]),
            5..12 => self.rng.random_range(1..8),
            _ => self.rng.random_range(1..40),
        };
        Command::Grant { id: self.id(), ttl }
    }

    fn min_ttl(&mut self) -> i64 {
        self.pick(&[1, 1, 1, 2, 5, 10, 0, -3])
    }

    fn checkpoint(&mut self) -> Command {
        let secs = match self.rng.random_range(0..8) {
            0 => 0,
            1 => self.pick(&[-1, i64::MIN, i64::MAX, 9_000_000_001]),
            2 => self.pick(&[9_000_000_000, 1_000]),
            _ => self.rng.random_range(1..12),
        };
        Command::Checkpoint {
            id: self.id(),
            secs,
        }
    }

    fn promote(&mut self) -> Command {
        let extend_ms = match self.rng.random_range(0..12) {
            0..6 => 0,
            6 => self.pick(&[9_000_000_000_000, 9_223_372_036_000]),
            7 => 1,
            _ => self.rng.random_range(0..12_000),
        };
        Command::Promote { extend_ms }
    }

    fn advance(&mut self) -> Command {
        let millis = match self.rng.random_range(0..16) {
            _ if self.has_zero_interval => self.rng.random_range(0..300),
            0..2 => self.rng.random_range(0..3),
            2..6 => self.rng.random_range(1..800),
            6..12 => self.rng.random_range(1..6) * 1_000,
            12..15 => self.rng.random_range(1_000..20_000),
            _ if self.is_crowd => 1_000,
            _ => self.rng.random_range(20_000..400_000),
        };
        let micros = if self.has_sub_millis {
            self.rng.random_range(0..1_000)
        } else {
            0
        };
        Command::Advance {
            micros: millis * 1_000 + micros,
        }
    }

    fn restart(&mut self) -> Command {
        self.change_persist();
        Command::Restart {
            min_ttl: self.min_ttl(),
            persist: self.persist,
        }
    }

    fn crash(&mut self) -> Command {
        self.change_persist();
        Command::Crash {
            min_ttl: self.min_ttl(),
            persist: self.persist,
        }
    }

    fn change_persist(&mut self) {
        self.persist ^= self.rng.random_bool(0.1);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_is_a_trace_and_every_command_comes() {
        assert_eq!(generate(7), generate(7));
        let traces: Vec<_> = (1..=300).map(generate).collect();
        let commands = traces.iter().flat_map(|trace| &trace.commands);
        let names = commands.map(|command| {
            let line = command.to_string();
            line.split(' ').next().map(str::to_owned)
        });
        let names: BTreeSet<_> = names.flatten().collect();
        assert_eq!(names.len(), 31, "{names:?}");
    }
}
