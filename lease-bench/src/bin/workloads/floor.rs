use std::hash::BuildHasher;
use std::hint::black_box;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use lease_bench::{key, shuffled_ids};
use lease_core::{Backend, Clock, LeaseId, LeaseRow, SystemClock};

use crate::stopwatch::{Stopwatch, rotated};

/// The least that the operations must do: two hash tables under a lock, which know nothing of roles,
/// queues, rows or lists of items.
#[derive(Default)]
struct Floor {
    hasher: FixedState,
    clock: SystemClock,
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    leases: HashTable<Entry>,
    keys: HashTable<Key>,
}

#[derive(Clone, Copy)]
struct Entry {
    id: LeaseId,
    ttl_ns: u64,
    deadline_ns: u64,
}

#[derive(Clone, Copy)]
struct Key {
    bytes: [u8; 32],
    lease: LeaseId,
}

impl Floor {
    fn grant(&self, id: LeaseId) {
        let ttl_ns = 60_000_000_000;
        let entry = Entry {
            id,
            ttl_ns,
            deadline_ns: self.clock.now().as_nanos() + ttl_ns,
        };
        let hash = self.hash(id);
        let rehash = |entry: &Entry| self.hash(entry.id);
        self.lock().leases.insert_unique(hash, entry, rehash);
    }

    /// Reads the time, finds the lease, reads its TTL and stores its new deadline.
    fn renew(&self, id: LeaseId) {
        let now = self.clock.now().as_nanos();
        let hash = self.hash(id);
        let mut tables = self.lock();
        let entry = tables.leases.find_mut(hash, |entry| entry.id == id);
        let entry = entry.expect("every id is there");
        entry.deadline_ns = now + entry.ttl_ns;
    }

    fn lookup(&self, id: LeaseId) -> Option<Entry> {
        let hash = self.hash(id);
        let tables = self.lock();
        tables.leases.find(hash, |entry| entry.id == id).copied()
    }

    fn attach(&self, lease: LeaseId, bytes: [u8; 32]) {
        let (of_lease, of_key) = (self.hash(lease), self.hasher.hash_one(bytes));
        let mut tables = self.lock();
        let entry = tables.leases.find(of_lease, |entry| entry.id == lease);
        assert!(entry.is_some(), "every id is there");
        let key = Key { bytes, lease };
        let rehash = |key: &Key| self.hasher.hash_one(key.bytes);
        tables.keys.insert_unique(of_key, key, rehash);
    }

    fn get_lease(&self, bytes: [u8; 32]) -> Option<LeaseId> {
        let hash = self.hasher.hash_one(bytes);
        let tables = self.lock();
        let key = tables.keys.find(hash, |key| key.bytes == bytes);
        key.map(|key| key.lease)
    }

    fn detach(&self, bytes: [u8; 32]) {
        let hash = self.hasher.hash_one(bytes);
        let mut tables = self.lock();
        let key = tables.keys.find_entry(hash, |key| key.bytes == bytes);
        key.ok().expect("it is attached").remove();
    }

    fn revoke(&self, id: LeaseId, bytes: [u8; 32]) {
        let (of_lease, of_key) = (self.hash(id), self.hasher.hash_one(bytes));
        let mut tables = self.lock();
        let entry = tables.leases.find_entry(of_lease, |entry| entry.id == id);
        entry.ok().expect("every id is there").remove();
        let key = tables.keys.find_entry(of_key, |key| key.bytes == bytes);
        key.ok().expect("it is attached").remove();
    }

    fn list(&self) -> Vec<Entry> {
        let mut entries: Vec<_> = self.lock().leases.iter().copied().collect();
        entries.sort_unstable_by_key(|entry| (entry.deadline_ns, entry.id));
        entries
    }

    /// Looks at every lease in the order of the deadlines, as one who knows all of them beforehand.
    fn expire_all(&self) -> u64 {
        let mut order: Vec<_> = (self.lock().leases.iter())
            .map(|entry| (entry.deadline_ns, entry.id))
            .collect();
        order.sort_unstable();
        let found = order.iter().filter_map(|(_, id)| self.lookup(*id));
        found.map(|entry| entry.deadline_ns).max().unwrap_or(0)
    }

    fn hash(&self, id: LeaseId) -> u64 {
        self.hasher.hash_one(id.get())
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The floors beside the operations, in the same orders.
pub(crate) fn run(watch: &Stopwatch) {
    let n = watch.n;
    let ids = shuffled_ids(n);
    let order = rotated(&ids, n / 3);
    let floor = Floor::default();
    watch.time("floor_grant", n, || {
        ids.iter().for_each(|id| floor.grant(*id));
    });
    for _ in 0..watch.passes() {
        watch.time("floor_renew", n, || {
            order.iter().for_each(|id| floor.renew(*id));
        });
    }
    for _ in 0..watch.passes() {
        watch.time("floor_renew_2", 2 * n, || {
            thread::scope(|scope| {
                for turn in 0..2 {
                    let (floor, order) = (&floor, rotated(&order, turn * n / 2));
                    scope.spawn(move || order.iter().for_each(|id| floor.renew(*id)));
                }
            });
        });
    }
    for _ in 0..watch.passes() {
        watch.time("floor_lookup", n, || {
            for id in &order {
                black_box(floor.lookup(*id)).expect("it was granted");
            }
        });
    }
    for _ in 0..3 {
        drop(watch.time("floor_list", n, || floor.list()));
    }
    watch.time("floor_expire_all", n, || black_box(floor.expire_all()));
    keys(watch, &floor, &ids);
}

fn keys(watch: &Stopwatch, floor: &Floor, ids: &[LeaseId]) {
    let n = watch.n;
    let bytes = |id: &LeaseId| -> [u8; 32] {
        let key = key(*id);
        key.as_bytes().try_into().expect("a key has 32 bytes")
    };
    let keys: Vec<_> = ids.iter().map(|id| (*id, bytes(id))).collect();
    watch.time("floor_attach", n, || {
        keys.iter().for_each(|(id, key)| floor.attach(*id, *key));
    });
    let order = rotated(&keys, n / 3);
    for _ in 0..watch.passes() {
        watch.time("floor_get_lease", n, || {
            for (_, key) in &order {
                black_box(floor.get_lease(*key)).expect("it is attached");
            }
        });
    }
    let tenth = n / 10;
    watch.time("floor_detach", tenth, || {
        keys[..tenth].iter().for_each(|(_, key)| floor.detach(*key));
    });
    watch.time("floor_revoke", tenth, || {
        let last = &keys[n - tenth..];
        last.iter().for_each(|(id, key)| floor.revoke(*id, *key));
    });
}

/// Reads all rows and puts what they say into a table.
pub(crate) fn recover(
    watch: &Stopwatch,
    backend: &dyn Backend,
    leases: usize,
) -> anyhow::Result<()> {
    let floor = Floor::default();
    watch.time("floor_recover", leases, || {
        backend.load(&mut |row: LeaseRow| floor.grant(row.id))
    })?;
    assert_eq!(floor.lock().leases.len(), leases);
    Ok(())
}
