//! A bucket wheel under an owner that moves times later without telling it, step by step.

use std::{cell::RefCell, collections::BTreeMap};

use lease_queue::{BucketWheel, Position};
use proptest::{
    prelude::*,
    test_runner::{FileFailurePersistence, TestRunner},
};

#[derive(Clone, Debug)]
enum Op {
    Grant {
        count: u16,
        after: i128,
        spread: u64,
    },
    Renew {
        nth: usize,
        later: u64,
    },
    MoveEarlier {
        nth: usize,
        earlier: u64,
    },
    Revoke {
        nth: usize,
    },
    Pop {
        later: u64,
        steps: u16,
    },
    PopChunks {
        later: u64,
        steps: u16,
    },
    Retire,
}

fn ticks() -> impl Strategy<Value = u64> {
    let edge = (0..64_u32, 0..5_u64)
        .prop_map(|(bit, offset)| (1_u64 << bit).saturating_add(offset).saturating_sub(2));
    prop_oneof![4 => 0..8_u64, 6 => 0..70_000_u64, 3 => edge, 1 => any::<u64>()]
}

fn op() -> impl Strategy<Value = Op> {
    let nth = || any::<prop::sample::Index>().prop_map(|index| index.index(1 << 20));
    let after = prop_oneof![
        8 => ticks().prop_map(i128::from),
        1 => ticks().prop_map(|ticks| -i128::from(ticks)),
    ];
    let later = || prop_oneof![8 => 0..600_u64, 2 => 0..70_000_u64, 1 => ticks()];
    let spread = prop_oneof![Just(0), 0..4_u64, 0..1_000_u64];
    let steps = || prop_oneof![2 => 0..8_u16, 1 => Just(u16::MAX)];
    prop_oneof![
        60 => (0..170_u16, after, spread)
            .prop_map(|(count, after, spread)| Op::Grant { count, after, spread }),
        80 => (nth(), later()).prop_map(|(nth, later)| Op::Renew { nth, later }),
        20 => (nth(), ticks()).prop_map(|(nth, earlier)| Op::MoveEarlier { nth, earlier }),
        80 => nth().prop_map(|nth| Op::Revoke { nth }),
        60 => (later(), steps()).prop_map(|(later, steps)| Op::Pop { later, steps }),
        60 => (later(), steps()).prop_map(|(later, steps)| Op::PopChunks { later, steps }),
        1 => Just(Op::Retire),
    ]
}

struct Record {
    /// The true tick; never before the wheel's `elapsed` of the moment it was set.
    tick: u64,
    position: Position,
}

/// What was seen at least once, so that a pass means something.
#[derive(Debug, Default)]
struct Seen {
    cascades: u32,
    deep_cascades: u32,
    lazy_moves: u32,
    filled_gaps: u32,
    clamped: u32,
    full_chunks: u32,
    stops: u32,
    due: u32,
}

struct Owner<'a> {
    wheel: BucketWheel<u32>,
    records: BTreeMap<u32, Record>,
    next_key: u32,
    now: u64,
    last_due: u64,
    seen: &'a mut Seen,
}

impl Owner<'_> {
    fn grant(&mut self, tick: u64) {
        let key = self.next_key;
        self.next_key += 1;
        let position = self.wheel.insert(key, tick);
        self.seen.clamped += u32::from(tick < self.wheel.elapsed());
        let tick = tick.max(self.wheel.elapsed());
        self.records.insert(key, Record { tick, position });
    }

    fn unlink(&mut self, key: u32) -> Record {
        let record = self.records.remove(&key).expect("the key was picked");
        let removed = self.wheel.remove(record.position).expect("it is queued");
        assert_eq!(removed.key, key);
        if let Some(moved) = removed.moved {
            let moved = self.records.get_mut(&moved).expect("it is queued");
            moved.position = record.position;
            self.seen.filled_gaps += 1;
        }
        record
    }

    fn pick(&self, nth: usize) -> Option<u32> {
        let nth = nth.checked_rem(self.records.len())?;
        self.records.keys().nth(nth).copied()
    }

    fn settle(&mut self, key: u32, level: u8, tick: u64) {
        let record = self.records.get_mut(&key).expect("a popped key is live");
        if level == 0 && record.tick <= tick {
            assert_eq!(record.tick, tick, "a key is due at its own tick");
            self.records.remove(&key);
            self.check_due(tick);
            return;
        }
        assert!(record.tick >= tick, "a slot starts before its keys");
        self.seen.lazy_moves += u32::from(level == 0);
        self.seen.cascades += u32::from(level > 0);
        self.seen.deep_cascades += u32::from(level > 2);
        record.position = self.wheel.insert(key, record.tick);
    }

    fn check_due(&mut self, tick: u64) {
        assert!(self.last_due <= tick && tick <= self.now, "ticks in order");
        self.last_due = tick;
        self.seen.due += 1;
        let earlier = self.records.values().find(|record| record.tick < tick);
        assert!(earlier.is_none(), "nothing earlier was left behind");
    }

    fn pop(&mut self, steps: u16) {
        for _ in 0..steps {
            let has_begun = self.wheel.next_tick().is_some_and(|tick| tick <= self.now);
            let popped = self.wheel.pop(self.now);
            assert_eq!(popped.is_some(), has_begun, "next_tick is honest");
            let Some(popped) = popped else {
                return self.check_none_due();
            };
            self.settle(popped.key, popped.slot.level, popped.slot.tick);
        }
        self.seen.stops += 1;
    }

    fn pop_chunks(&mut self, steps: u16) {
        let mut keys = Vec::new();
        for _ in 0..steps {
            let Some(slot) = self.wheel.pop_chunk(self.now, &mut keys) else {
                return self.check_none_due();
            };
            assert!((1..=63).contains(&keys.len()));
            self.seen.full_chunks += u32::from(keys.len() == 63);
            // The keys of an exact slot have left together: look for earlier ones afterwards.
            for key in keys.drain(..) {
                self.settle(key, slot.level, slot.tick);
            }
        }
        self.seen.stops += 1;
    }

    fn check_none_due(&self) {
        let due = self.records.values().find(|record| record.tick <= self.now);
        assert!(due.is_none(), "nothing due was left");
    }

    fn check(&self) {
        self.wheel.check_invariants();
        assert_eq!(self.wheel.len(), self.records.len());
        for (&key, record) in &self.records {
            assert_eq!(self.wheel.key_at(record.position), Some(key));
        }
        let earliest = self.records.values().map(|record| record.tick).min();
        assert!(self.wheel.next_tick() <= earliest, "a lower bound");
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Grant {
                count,
                after,
                spread,
            } => {
                let start = (i128::from(self.now) + after).clamp(0, u64::MAX.into()) as u64;
                for i in 0..u64::from(count) {
                    self.grant(start.saturating_add(i * 7 % (spread + 1)));
                }
            }
            Op::Renew { nth, later } => {
                if let Some(key) = self.pick(nth) {
                    let record = self.records.get_mut(&key).expect("it was picked");
                    record.tick = record.tick.saturating_add(later);
                }
            }
            Op::MoveEarlier { nth, earlier } => {
                if let Some(key) = self.pick(nth) {
                    let tick = self.unlink(key).tick.saturating_sub(earlier);
                    let position = self.wheel.insert(key, tick);
                    let tick = tick.max(self.wheel.elapsed());
                    self.records.insert(key, Record { tick, position });
                }
            }
            Op::Revoke { nth } => {
                if let Some(key) = self.pick(nth) {
                    let position = self.unlink(key).position;
                    assert_ne!(self.wheel.key_at(position), Some(key));
                }
            }
            Op::Pop { later, steps } => {
                self.now = self.now.saturating_add(later);
                self.pop(steps);
            }
            Op::PopChunks { later, steps } => {
                self.now = self.now.saturating_add(later);
                self.pop_chunks(steps);
            }
            Op::Retire => {
                let mut retired = core::mem::take(&mut self.wheel).retire();
                while !retired.release_some(1) {}
                self.records.clear();
                self.last_due = 0;
            }
        }
    }
}

#[test]
fn a_lazy_owner_gets_each_key_once_in_order() {
    let script = prop::collection::vec(op(), 1..80);
    let seen = RefCell::new(Seen::default());
    let config = ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("seeds"))),
        source_file: Some(file!()),
        ..ProptestConfig::default()
    };
    let result = TestRunner::new(config).run(&script, |script| {
        let mut owner = Owner {
            wheel: BucketWheel::new(),
            records: BTreeMap::new(),
            next_key: 0,
            now: 0,
            last_due: 0,
            seen: &mut seen.borrow_mut(),
        };
        for op in &script {
            owner.apply(op);
            owner.check();
        }
        owner.now = u64::MAX;
        owner.pop(u16::MAX);
        owner.pop_chunks(u16::MAX);
        assert!(owner.records.is_empty(), "every key came out");
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let seen = seen.into_inner();
    let least = [
        seen.cascades,
        seen.deep_cascades,
        seen.lazy_moves,
        seen.filled_gaps,
        seen.clamped,
        seen.full_chunks,
        seen.stops,
        seen.due,
    ];
    assert!(least.iter().all(|&count| count > 20), "{seen:?}");
}
