use std::collections::BTreeSet;

use lease_backend::RedbBackend;
use lease_core::{
    Backend, BackendError, LeaseError, LeaseItem, LeaseRow, Lessor, RowFault, StrangeRow, Table,
    Ttl, WriteBatch, probe,
};
use lease_pb::leasepb;
use prost::Message;
use redb::{Builder, TableDefinition};

use super::clients::id_of;
use super::watch::Notice;
use super::{Held, Host};

/// The rows that no lessor has written.
#[derive(Debug, Default)]
pub(super) struct Strange {
    // Those that the next start must tell of: what is skipped stays, and what is mended is new.
    must: Vec<StrangeRow>,
    // Those that it may tell of, unless the lessor has written the row again.
    may: Vec<StrangeRow>,
    // The leases that the next start makes of them, with their TTL and what remains.
    fresh: Vec<(i64, i64, i64)>,
    // All such leases.
    leases: BTreeSet<i64>,
}

/// A row as another program may have left it, and what becomes of it.
struct Oddity {
    key: i64,
    value: Vec<u8>,
    faults: Vec<RowFault>,
    // The TTL and what remains, in seconds, if it is a lease all the same.
    lease: Option<(i64, i64)>,
}

/// The first id of such a lease, which no client asks for.
const FIRST: i64 = 1 << 50;

/// Where leases are in a store of redb's.
const LEASES: TableDefinition<'static, [u8; 8], &'static [u8]> = TableDefinition::new("lease");

/// Where the lessor stores items.
pub(super) fn stored_items() -> Table {
    Table::new("lease_items")
}

const LONGEST: i64 = lease_core::MAX_LEASE_TTL;

impl Strange {
    /// Whether a row of this lease was found that no lessor has written.
    pub(super) fn has(&self, lease: i64) -> bool {
        self.leases.contains(&lease)
    }
}

fn row([id, ttl, remaining_ttl]: [i64; 3]) -> Vec<u8> {
    let lease = leasepb::Lease {
        id,
        ttl,
        remaining_ttl,
        ..leasepb::Lease::default()
    };
    lease.encode_to_vec()
}

/// How many kinds there are.
const KINDS: u64 = 7;

/// One of each kind.
fn oddity(kind: u64, key: i64) -> Oddity {
    let (numbers, faults, lease) = match kind {
        0 => (
            [key + 1, 5, 0],
            vec![RowFault::OtherId { id: key + 1 }],
            None,
        ),
        1 => (
            [key, 5, -3],
            vec![RowFault::RemainingNegative { secs: -3 }],
            Some((5, 5)),
        ),
        2 => (
            [key, 0, 0],
            vec![RowFault::TtlTooShort { secs: 0 }],
            Some((1, 1)),
        ),
        3 => (
            [key, i64::MAX, 0],
            vec![RowFault::TtlTooLong { secs: i64::MAX }],
            Some((LONGEST, LONGEST)),
        ),
        4 => {
            let too_long = RowFault::RemainingTooLong {
                secs: 9,
                ttl_secs: 1,
            };
            let short = RowFault::TtlTooShort { secs: -5 };
            ([key, -5, 9], vec![short, too_long], Some((1, 1)))
        }
        5 => {
            let too_long = RowFault::RemainingTooLong {
                secs: 9,
                ttl_secs: 4,
            };
            ([key, 4, 9], vec![too_long], Some((4, 4)))
        }
        _ => ([1, 5, 0], vec![RowFault::NoLease], None),
    };
    let key = if kind == KINDS - 1 { 0 } else { key };
    Oddity {
        key,
        value: row(numbers),
        faults,
        lease,
    }
}

impl Host {
    /// Before a start another program writes into the store, and leaves rows that no lessor would.
    pub(super) fn spoil_store(&mut self) {
        if !self.alone.strange_rows {
            return;
        }
        let first = FIRST + 2 * KINDS.cast_signed() * self.steps.cast_signed();
        self.damage_store(first);
        self.damage_items(first);
        for kind in 0..KINDS {
            let key = first + 2 * kind.cast_signed();
            if !self.held.contains_key(&key) {
                self.spoil(kind, key);
            }
        }
    }

    fn spoil(&mut self, kind: u64, key: i64) {
        probe::mark("alone: a store has a row that no lessor has written");
        let odd = oddity(kind, key);
        if self.alone.in_memory {
            self.spoil_memory(&odd);
        } else {
            self.write_raw(odd.key, Some(&odd.value));
        }
        let row = |fault: &RowFault| StrangeRow {
            key: odd.key,
            fault: *fault,
        };
        if !self.alone.in_memory && !self.strange.must.iter().any(|row| row.key == odd.key) {
            self.strange.must.extend(odd.faults.iter().map(row));
        }
        if let Some((ttl, left)) = odd.lease {
            self.hold_strange(odd.key, ttl, left);
        }
    }

    /// The lease of such a row.
    fn hold_strange(&mut self, key: i64, ttl: i64, left: i64) {
        self.grants += 1;
        let held = Held {
            grant: self.grants,
            ttl_ms: ttl.unsigned_abs() * 1000,
            until: self.until(left.unsigned_abs() * 1000),
            since_ms: self.own_ms(),
            items: BTreeSet::new(),
        };
        self.held.insert(key, held);
        self.strange.fresh.push((key, ttl, left));
        self.strange.leases.insert(key);
    }

    /// The backend in memory mends what it is given, and says so; what it was not given as a dump the lessor
    /// mends.
    fn spoil_memory(&mut self, odd: &Oddity) {
        let told = self.memory.put_dump([(odd.key.to_be_bytes(), &odd.value)]);
        let must = odd.faults.iter().map(|fault| StrangeRow {
            key: odd.key,
            fault: *fault,
        });
        let must: Vec<_> = must.collect();
        if told.as_ref() != Ok(&must) {
            self.object(format!("of a dump is told {told:?}, and not {must:?}"));
        }
        let key = odd.key.wrapping_add(1);
        if !self.steps.is_multiple_of(2) || self.held.contains_key(&key) {
            return;
        }
        let secs = |secs| Ttl::new(secs).expect("in range");
        let mut writes = WriteBatch::default();
        writes.put_lease(LeaseRow {
            remaining: Some(secs(8)),
            ..LeaseRow::new(id_of(key), secs(3))
        });
        self.commit_before_start(&writes);
        let fault = RowFault::RemainingTooLong {
            secs: 8,
            ttl_secs: 3,
        };
        self.strange.must.push(StrangeRow { key, fault });
        self.hold_strange(key, 3, 3);
    }

    /// A row that does not decode keeps a lessor from starting, and nothing is lost by that.
    fn damage_store(&mut self, key: i64) {
        probe::mark("alone: a store is damaged");
        if self.alone.in_memory {
            let before = self.memory.dump();
            let good = row([key, 5, 0]);
            let rows = [(key.to_be_bytes(), good), (key.to_be_bytes(), vec![0xff])];
            let put = self.memory.put_dump(rows);
            let is_told = matches!(put, Err(BackendError::Damaged(_)));
            if !is_told || self.memory.dump() != before {
                self.object(format!("a damaged dump was put in: {put:?}"));
            }
            return;
        }
        self.write_raw(key, Some(&[0xff]));
        let started = self.start().map(drop);
        if !matches!(started, Err(LeaseError::Backend(BackendError::Damaged(_)))) {
            self.object(format!("a damaged store was opened: {started:?}"));
        }
        drop(self.watch.take(&[]));
        self.write_raw(key, None);
    }

    /// Stored items of no lease keep a lessor from starting that cannot make out whose they are, or does not
    /// store items. Those of a lease that is not there are nobody's.
    fn damage_items(&mut self, key: i64) {
        probe::mark("alone: the stored items are damaged");
        let item = LeaseItem::from("of nobody");
        let is_of_none = !self.alone.replays_items && self.steps.is_multiple_of(2);
        let lease = if is_of_none {
            &key.to_be_bytes()[..]
        } else {
            &[0; 8]
        };
        let mut writes = WriteBatch::default();
        writes.put(stored_items(), item.as_bytes(), lease);
        if !probe::is_planted("alone-damage-not-seen") {
            self.commit_before_start(&writes);
        }
        let started = self.start();
        let is_right = match &started {
            Ok((_, lessor)) => is_of_none && lessor.get_lease(item.as_bytes()).is_none(),
            Err(LeaseError::Backend(BackendError::Foreign(_))) => self.alone.replays_items,
            Err(LeaseError::Backend(BackendError::Damaged(_))) => {
                !self.alone.replays_items && !is_of_none
            }
            Err(_) => false,
        };
        if !is_right {
            let started = started.as_ref().map(|_| ());
            self.object(format!("with an item of {lease:?} a start is {started:?}"));
        }
        drop(started);
        drop(self.watch.take(&[]));
        let mut writes = WriteBatch::default();
        writes.delete(stored_items(), item.as_bytes());
        self.commit_before_start(&writes);
    }

    /// Another program that uses the same backend writes.
    fn commit_before_start(&mut self, writes: &WriteBatch) {
        let written = if self.alone.in_memory {
            self.memory.commit(writes)
        } else {
            RedbBackend::create_with_storage(self.disk.clone())
                .and_then(|backend| backend.commit(writes))
        };
        if let Err(error) = written {
            self.object(format!("a sound store is not written: {error}"));
        }
    }

    /// Writes a row of a lease as another program does.
    fn write_raw(&mut self, key: i64, value: Option<&[u8]>) {
        let write = || -> Result<(), redb::Error> {
            let database = Builder::new().create_with_backend(self.disk.clone())?;
            let transaction = database.begin_write()?;
            {
                let mut leases = transaction.open_table(LEASES)?;
                match value {
                    Some(value) => drop(leases.insert(key.to_be_bytes(), value)?),
                    None => drop(leases.remove(key.to_be_bytes())?),
                }
            }
            Ok(transaction.commit()?)
        };
        if let Err(error) = write() {
            self.object(format!("a sound disk is not written by others: {error}"));
        }
    }

    /// What a start has found is told, each once, and counted.
    pub(super) fn look_at_strange(&mut self) {
        let mut told = Vec::new();
        for notice in self.watch.take_notices() {
            if let Notice::Strange(row) = notice {
                told.push(row);
            }
        }
        let Strange { must, may, .. } = &self.strange;
        let is_known = |row: &StrangeRow| must.contains(row) || may.contains(row);
        let is_once = |row: &StrangeRow| told.iter().filter(|other| *other == row).count() == 1;
        let is_right = must.iter().all(|row| told.contains(row))
            && told.iter().all(|row| is_known(row) && is_once(row));
        let skipped = told.iter().filter(|row| row.fault.is_skipped()).count() as u64;
        let mended = told.len() as u64 - skipped;
        let stats = self.lessor.stats();
        if !is_right || (stats.rows_skipped, stats.rows_mended) != (skipped, mended) {
            let text = format!(
                "of {:?} is told {told:?}, and counted {stats:?}",
                self.strange
            );
            self.object(text);
        }
        if !told.is_empty() {
            probe::mark("alone: a strange row is told");
        }
        let rows = self.lessor.rows();
        for (key, ttl, left) in std::mem::take(&mut self.strange.fresh) {
            let found = rows.iter().find(|row| row.id.get() == key);
            let found = found.map(|row| (row.ttl.get(), row.remaining.unwrap_or(row.ttl).get()));
            if found != Some((ttl, left)) {
                self.object(format!(
                    "of lease {key} is made {found:?}, and not {ttl} s, {left} s"
                ));
            }
        }
        let (must, mended) = std::mem::take(&mut self.strange.must)
            .into_iter()
            .partition(|row| row.fault.is_skipped());
        self.strange.must = must;
        self.strange.may.extend::<Vec<_>>(mended);
    }

    /// The backend in memory has what is held, and nothing else.
    pub(super) fn look_at_memory(&mut self) {
        let first = self.held.keys().next().map(|lease| id_of(*lease));
        if let Some(id) = first.filter(|_| probe::is_planted("alone-memory-loses-a-row")) {
            let mut writes = WriteBatch::default();
            writes.delete_lease(id);
            self.commit_before_start(&writes);
        }
        let dump = self.memory.dump();
        let other = lease_backend::MemoryBackend::new();
        let told = other.put_dump(dump.clone());
        // What the lessor has to mend is mended on the way.
        let is_plain = self.strange.may.is_empty();
        if is_plain && (other.dump() != dump || told != Ok(Vec::new())) {
            self.object("a dump that is put in is another one");
        }
        let mut held: Vec<_> = self.held.iter().collect();
        held.sort_by_key(|(lease, _)| lease.to_be_bytes());
        let is_row_of = |value: &[u8], lease: i64, held: &Held| {
            let found = leasepb::Lease::decode(value);
            found.is_ok_and(|it| it.id == lease && it.ttl.unsigned_abs() * 1000 == held.ttl_ms)
        };
        let mut both = dump.iter().zip(&held);
        let is_same = both.all(|((key, value), (lease, held))| {
            *key == lease.to_be_bytes() && is_row_of(value, **lease, held)
        });
        let count = self.memory.lease_count();
        if count != held.len() || dump.len() != count || !is_same {
            let text = format!("memory has {count} leases: {dump:x?} of {held:?}");
            self.object(text);
        }
        probe::mark("alone: memory is dumped");
    }
}
