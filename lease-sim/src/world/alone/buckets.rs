use std::collections::BTreeMap;

use lease_core::{Timestamp, probe};
use lease_queue::{BucketWheel, Entry, LeaseQueue, LeaseWithTime, Position};

use super::Host;
use super::drawn::Drawn;

/// A wheel and a heap of many keys that no lessor uses, with a time of their own.
pub(super) struct Buckets {
    wheel: BucketWheel<u64>,
    heap: LeaseQueue<u64>,
    held: BTreeMap<u64, Held>,
    /// Places in the heap that were emptied.
    spent: Vec<Entry>,
    now: u64,
    next_key: u64,
    drawn: Drawn,
}

/// When a key is due, and where it is.
#[derive(Clone, Copy, Debug)]
struct Held {
    tick: u64,
    position: Position,
    entry: Entry,
}

/// How often it is looked at, how much happens each time, and how often it is emptied at once.
const LOOKED_AT_EVERY: u64 = 16;
const CHANGES: usize = 150;
const EMPTIED_EVERY: u64 = 12;

impl Host {
    pub(super) fn look_at_buckets(&mut self) {
        if !self.steps.is_multiple_of(LOOKED_AT_EVERY) {
            return;
        }
        if let Some(wrong) = self.beside.buckets.go() {
            self.object(wrong);
        }
    }
}

impl Buckets {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            wheel: BucketWheel::default(),
            heap: LeaseQueue::default(),
            held: BTreeMap::new(),
            spent: Vec::new(),
            now: 0,
            next_key: 0,
            drawn: Drawn(seed),
        }
    }

    /// Keys come and go, and time goes on. Returns what was wrong.
    fn go(&mut self) -> Option<String> {
        let grows = 1 + self.drawn.below(4);
        for _ in 0..CHANGES {
            let wrong = match self.drawn.below(5) < grows {
                true => {
                    self.insert();
                    None
                }
                false => self.remove(),
            };
            if wrong.is_some() {
                return wrong;
            }
        }
        self.now += self.drawn.below(1_500);
        let wrong = self.pop().or_else(|| self.wrong_rest());
        if wrong.is_none() && self.drawn.below(EMPTIED_EVERY) == 0 {
            self.empty();
            return self.wrong_rest();
        }
        wrong
    }

    fn insert(&mut self) {
        // As soon as can be, in the next slots, and far away.
        let far = [4, 3_000, 5_000_000, 1 << 45][self.drawn.below(4) as usize];
        let tick = self.now + 1 + self.drawn.below(far);
        let key = self.next_key;
        self.next_key += 1;
        let held = Held {
            tick,
            position: self.wheel.insert(key, tick),
            entry: self.heap.push(in_heap(key, tick)),
        };
        self.held.insert(key, held);
    }

    fn remove(&mut self) -> Option<String> {
        let from = self.drawn.below(self.next_key.max(1));
        let (key, held) = self
            .held
            .range(from..)
            .next()
            .map(|(key, held)| (*key, *held))?;
        self.held.remove(&key);
        let position = held.position;
        let removed = self.wheel.remove(position);
        let is_it = removed.is_some_and(|removed| removed.key == key);
        let moved = removed.and_then(|removed| removed.moved);
        let moved = moved.filter(|_| !probe::is_planted("alone-moved-keys-not-told"));
        if let Some(moved) = moved.and_then(|moved| self.held.get_mut(&moved)) {
            moved.position = position;
        }
        let from_heap = self.heap.remove(held.entry);
        self.spent.push(held.entry);
        let is_it = is_it && from_heap == Some(in_heap(key, held.tick));
        (!is_it)
            .then(|| format!("of key {key} of {held:?} {removed:?} and {from_heap:?} was removed"))
    }

    /// What is due comes out, and what shares a slot with it is put in again.
    fn pop(&mut self) -> Option<String> {
        let mut keys = Vec::new();
        loop {
            keys.clear();
            let slot = if self.drawn.below(2) == 0 {
                let popped = self.wheel.pop(self.now);
                keys.extend(popped.map(|popped| popped.key));
                popped.map(|popped| popped.slot)
            } else {
                self.wheel.pop_chunk(self.now, &mut keys)
            };
            let slot = slot?;
            for key in &keys {
                let held = self.held.get(key).copied();
                let is_its = held.is_some_and(|held| match slot.is_exact() {
                    true => held.tick == slot.tick,
                    false => slot.tick <= held.tick,
                });
                let Some(held) = held.filter(|_| is_its && slot.tick <= self.now) else {
                    return Some(format!(
                        "at {} key {key} of {held:?} is in {slot:?}",
                        self.now
                    ));
                };
                if slot.is_exact() {
                    self.held.remove(key);
                    let first = self.heap.pop().map(|first| first.time);
                    if first != Some(Timestamp::from_nanos(held.tick)) {
                        return Some(format!("the heap has {first:?}, and not {held:?}"));
                    }
                } else {
                    let position = self.wheel.insert(*key, held.tick);
                    self.held.insert(*key, Held { position, ..held });
                }
            }
        }
    }

    fn wrong_rest(&self) -> Option<String> {
        self.wheel.check_invariants();
        self.heap.check_invariants();
        let first = self.held.values().map(|held| held.tick).min();
        let next = self.wheel.next_tick();
        let is_in_time = next.is_some() == first.is_some() && next <= first;
        let is_due = [first, next].iter().flatten().any(|tick| *tick <= self.now);
        let lost = self.held.iter().find(|(key, held)| {
            let in_wheel = self.wheel.key_at(held.position) == Some(**key);
            !in_wheel || self.heap.get(held.entry) != Some(in_heap(**key, held.tick))
        });
        let mut spent = self.spent.iter();
        let is_found = spent.any(|spent| self.heap.get(*spent).is_some());
        let is_right = is_in_time
            && !is_due
            && !is_found
            && lost.is_none()
            && (self.wheel.len(), self.wheel.is_empty()) == (self.held.len(), first.is_none())
            && self.wheel.elapsed() == self.now
            && self.heap.len() == self.held.len();
        (!is_right).then(|| {
            format!(
                "at {} a wheel of {} keys has {}, the first at {next:?} of {first:?}; lost: {lost:?}",
                self.now,
                self.held.len(),
                self.wheel.len()
            )
        })
    }

    /// All is dropped, at once or page by page.
    fn empty(&mut self) {
        probe::mark("alone: a wheel of many keys is emptied");
        self.spent.clear();
        self.spent.extend(self.held.values().map(|held| held.entry));
        self.held.clear();
        self.heap.clear();
        if self.drawn.below(2) == 0 {
            return self.wheel.clear();
        }
        let next = BucketWheel::starting_at(self.now);
        let mut retired = std::mem::replace(&mut self.wheel, next).retire();
        while !retired.release_some(1) {}
    }
}

fn in_heap(key: u64, tick: u64) -> LeaseWithTime<u64> {
    let time = Timestamp::from_nanos(tick);
    LeaseWithTime { key, time }
}
