//! Heap, notifier and wheel against a sorted set, operation by operation.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use lease_queue::{
    Entry, ExpiryQueue, LeaseExpiredNotifier, LeaseQueue, LeaseWithTime, Timestamp, TimingWheel,
};
use proptest::{
    prelude::*,
    test_runner::{FileFailurePersistence, TestRunner},
};

#[derive(Clone, Debug)]
enum Op {
    Register(u16, When),
    RegisterMany {
        first: u16,
        count: u16,
        when: When,
        step_nanos: u64,
    },
    Cancel(u16),
    CancelEarliest,
    Pop,
    PopDue(When),
    DrainDue(When),
    Clear,
}

/// A time, partly relative to the latest `now`, so that edges are hit often.
#[derive(Clone, Copy, Debug)]
enum When {
    At(u64),
    Later(u64),
    Earlier(u64),
}

impl When {
    fn resolve(self, now: u64) -> u64 {
        match self {
            Self::At(nanos) => nanos,
            Self::Later(nanos) => now.saturating_add(nanos),
            Self::Earlier(nanos) => now.saturating_sub(nanos),
        }
    }
}

fn nanos() -> impl Strategy<Value = u64> {
    let edge = (0..64_u32, 0..5_u64)
        .prop_map(|(bit, offset)| (1_u64 << bit).saturating_add(offset).saturating_sub(2));
    prop_oneof![
        2 => 0..4_u64,
        4 => 0..(1_u64 << 32),
        4 => edge,
        1 => (0..3_u64).prop_map(|offset| u64::MAX - offset),
        1 => any::<u64>(),
    ]
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        1 => nanos().prop_map(When::At),
        3 => nanos().prop_map(When::Later),
        1 => nanos().prop_map(When::Earlier),
    ]
}

fn now() -> impl Strategy<Value = When> {
    prop_oneof![
        6 => (0..(1_u64 << 31)).prop_map(When::Later),
        1 => (0..(1_u64 << 42)).prop_map(When::Later),
        1 => when(),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let key = || 0..400_u16;
    let many = (
        key(),
        0..150_u16,
        when(),
        prop_oneof![Just(0), 0..(1_u64 << 22)],
    );
    prop_oneof![
        8 => (key(), when()).prop_map(|(key, when)| Op::Register(key, when)),
        2 => many.prop_map(|(first, count, when, step_nanos)| {
            Op::RegisterMany { first, count, when, step_nanos }
        }),
        3 => key().prop_map(Op::Cancel),
        2 => Just(Op::CancelEarliest),
        4 => Just(Op::Pop),
        4 => now().prop_map(Op::PopDue),
        2 => now().prop_map(Op::DrainDue),
        1 => prop_oneof![19 => Just(Op::Pop), 1 => Just(Op::Clear)],
    ]
}

/// The queues side by side; each call is made on all of them and the answers are compared.
#[derive(Default)]
struct World {
    model: BTreeSet<LeaseWithTime<u16>>,
    times: BTreeMap<u16, Timestamp>,
    heap: LeaseQueue<u16>,
    entries: BTreeMap<u16, Entry>,
    stale: Vec<Entry>,
    notifier: LeaseExpiredNotifier<u16>,
    wheel: TimingWheel<u16>,
    now: u64,
}

impl World {
    fn register(&mut self, key: u16, time: Timestamp) {
        let before = self.times.insert(key, time);
        if let Some(time) = before {
            self.model.remove(&LeaseWithTime { key, time });
        }
        self.model.insert(LeaseWithTime { key, time });
        assert_eq!(self.register_in_heap(key, time), before);
        assert_eq!(self.notifier.register_or_update(key, time), before);
        assert_eq!(self.wheel.register_or_update(key, time), before);
    }

    fn register_in_heap(&mut self, key: u16, time: Timestamp) -> Option<Timestamp> {
        if let Some(&entry) = self.entries.get(&key) {
            return self.heap.update(entry, time);
        }
        let entry = self.heap.push(LeaseWithTime { key, time });
        self.entries.insert(key, entry);
        None
    }

    fn cancel(&mut self, key: u16) {
        let time = self.forget(key);
        let entry = self.entries.remove(&key);
        let removed = entry.and_then(|entry| self.heap.remove(entry));
        self.stale.extend(entry);
        assert_eq!(removed.map(|lease| lease.time), time);
        assert_eq!(self.notifier.cancel(&key), time);
        assert_eq!(self.wheel.cancel(&key), time);
    }

    fn pop(&mut self) {
        let expected = self.model.first().copied();
        assert_eq!(self.heap.pop(), expected);
        assert_eq!(self.notifier.unregister(), expected);
        assert_eq!(self.wheel.unregister(), expected);
        self.forget_popped(expected);
    }

    fn pop_due(&mut self, now: Timestamp) -> bool {
        let earliest = self.model.first().copied();
        let expected = earliest.filter(|lease| lease.time <= now);
        assert_eq!(self.notifier.pop_due(now), expected);
        assert_eq!(self.wheel.pop_due(now), expected);
        if expected.is_some() {
            assert_eq!(self.heap.pop(), expected);
        }
        self.forget_popped(expected);
        expected.is_some()
    }

    fn clear(&mut self) {
        self.model.clear();
        self.times.clear();
        self.stale
            .extend(core::mem::take(&mut self.entries).into_values());
        self.heap.clear();
        self.notifier.clear();
        self.wheel.clear();
    }

    fn forget(&mut self, key: u16) -> Option<Timestamp> {
        let time = self.times.remove(&key)?;
        self.model.remove(&LeaseWithTime { key, time });
        Some(time)
    }

    fn forget_popped(&mut self, popped: Option<LeaseWithTime<u16>>) {
        if let Some(LeaseWithTime { key, .. }) = popped {
            self.forget(key);
            self.stale.extend(self.entries.remove(&key));
        }
    }

    fn check(&mut self, asked: u16, peeks: bool) {
        let time = self.times.get(&asked).copied();
        assert_eq!(self.notifier.time_of(&asked), time);
        assert_eq!(self.wheel.time_of(&asked), time);
        let len = self.model.len();
        let lens = [self.heap.len(), self.notifier.len(), self.wheel.len()];
        assert_eq!(lens, [len; 3]);
        let heap_is_empty = self.heap.is_empty();
        let empty = [
            heap_is_empty,
            self.notifier.is_empty(),
            self.wheel.is_empty(),
        ];
        assert_eq!(empty, [len == 0; 3]);
        for &entry in self.stale.iter().rev().take(20) {
            assert_eq!(self.heap.get(entry), None, "{entry:?} is stale");
        }
        // A peek opens slots of the wheel, so it must not always be there to do so.
        if peeks {
            let earliest = self.model.first().copied();
            assert_eq!(self.heap.peek(), earliest);
            assert_eq!(self.notifier.peek(), earliest);
            assert_eq!(self.wheel.peek(), earliest);
        }
        self.notifier.check_invariants();
        self.wheel.check_invariants();
        self.heap.check_invariants();
    }

    fn resolve(&self, when: When) -> Timestamp {
        Timestamp::from_nanos(when.resolve(self.now))
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Register(key, when) => self.register(key, self.resolve(when)),
            Op::RegisterMany {
                first,
                count,
                when,
                step_nanos,
            } => {
                let start = self.resolve(when).as_nanos();
                for i in 0..count {
                    let nanos = start.saturating_add(u64::from(i).saturating_mul(step_nanos));
                    self.register(first + i, Timestamp::from_nanos(nanos));
                }
            }
            Op::Cancel(key) => self.cancel(key),
            Op::CancelEarliest => {
                if let Some(lease) = self.model.first().copied() {
                    self.cancel(lease.key);
                }
            }
            Op::Pop => self.pop(),
            Op::PopDue(when) => {
                self.now = when.resolve(self.now);
                self.pop_due(Timestamp::from_nanos(self.now));
            }
            Op::DrainDue(when) => {
                self.now = when.resolve(self.now);
                while self.pop_due(Timestamp::from_nanos(self.now)) {}
            }
            Op::Clear => self.clear(),
        }
    }
}

#[test]
fn all_queues_answer_as_a_sorted_set() {
    let script = prop::collection::vec((op(), 0..550_u16, any::<bool>()), 1..120);
    let (deepest, longest) = (Cell::new(0), Cell::new(0));
    let config = ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("seeds"))),
        source_file: Some(file!()),
        ..ProptestConfig::default()
    };
    let result = TestRunner::new(config).run(&script, |script| {
        let mut world = World::default();
        for (op, asked, peeks) in &script {
            world.apply(op);
            world.check(*asked, *peeks);
            longest.set(longest.get().max(world.model.len()));
        }
        deepest.set(deepest.get().max(world.stale.len()));
        while !world.model.is_empty() {
            world.pop();
        }
        world.check(0, true);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    assert!(longest.get() > 200, "slots of several chunks were seen");
    assert!(deepest.get() > 100, "many handles went stale");
}
