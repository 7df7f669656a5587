use std::hash::BuildHasher;
use std::hint::black_box;
use std::sync::{Mutex, PoisonError};
use std::thread;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use lease_bench::shuffled_ids;
use lease_core::{Clock, LeaseId, SystemClock};

use crate::stopwatch::{Stopwatch, rotated};

/// The least that a renewal must do: read the time, take a lock, find the lease, read its TTL and
/// store its new deadline.
struct Floor {
    hasher: FixedState,
    clock: SystemClock,
    table: Mutex<HashTable<Entry>>,
}

struct Entry {
    id: LeaseId,
    ttl_ns: u64,
    deadline_ns: u64,
}

impl Floor {
    fn new(ids: &[LeaseId]) -> Self {
        let hasher = FixedState::default();
        let mut table = HashTable::new();
        for id in ids {
            let entry = Entry {
                id: *id,
                ttl_ns: 60_000_000_000,
                deadline_ns: 0,
            };
            table.insert_unique(hasher.hash_one(id.get()), entry, |entry| {
                hasher.hash_one(entry.id.get())
            });
        }
        Self {
            hasher,
            clock: SystemClock::default(),
            table: Mutex::new(table),
        }
    }

    fn renew(&self, id: LeaseId) {
        let now = self.clock.now().as_nanos();
        let hash = self.hasher.hash_one(id.get());
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = table.find_mut(hash, |entry| entry.id == id);
        let entry = entry.expect("every id is there");
        entry.deadline_ns = now + entry.ttl_ns;
    }
}

pub(crate) fn run(watch: &Stopwatch) {
    let ids = shuffled_ids(watch.n);
    let order = rotated(&ids, watch.n / 3);
    let floor = Floor::new(&ids);
    for _ in 0..watch.passes() {
        watch.time("floor_renew", watch.n, || {
            order.iter().for_each(|id| floor.renew(*id));
        });
    }
    for _ in 0..watch.passes() {
        watch.time("floor_renew_2", 2 * watch.n, || {
            thread::scope(|scope| {
                for turn in 0..2 {
                    let (floor, order) = (&floor, rotated(&order, turn * watch.n / 2));
                    scope.spawn(move || order.iter().for_each(|id| floor.renew(*id)));
                }
            });
        });
    }
    black_box(floor.table);
}
