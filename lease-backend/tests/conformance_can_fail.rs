//! The suite notices each kind of mistake: a backend with one mistake fails the property that is
//! about it, and by name.
#![cfg(feature = "testing")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lease_backend::MemoryBackend;
use lease_backend::conformance;
use lease_core::{
    Backend, BackendError, Epoch, HostError, HostWrite, LeaseRow, LeaseWrite, Table, Ttl,
    WriteBatch,
};

/// One thing that a backend gets wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mistake {
    InventsARow,
    IgnoresReplaces,
    OrdersByUnsignedBytes,
    CutsTtlsTo32Bits,
    DropsRemaining,
    DropsIncarnation,
    TakesNoIncarnationForZero,
    DropsGeneration,
    RefusesBlindDeletes,
    DropsTheEpoch,
    ForgetsTheEpochWithTheNextBatch,
    ReadsAbsentAsEmpty,
    IgnoresHostDeletes,
    DropsEmptyValues,
    ScansBackwards,
    IncludesTheEndOfARange,
    StopsRangesAtNothing,
    MixesTables,
    RefusesBlindHostDeletes,
    RefusesEmptyBatches,
    FirstLeaseWriteWins,
    SortsHostWrites,
    SkipsTheEpochOfAFullBatch,
    LosesTheTailOfALargeBatch,
    LeavesHalfOfARefusedBatch,
    ForgetsLeasesAtRestart,
    ForgetsDeletesAtRestart,
    ForgetsHostRowsAtRestart,
    ShowsHalfABatch,
}

use Mistake::*;

/// Each mistake and the property that must notice it.
const CASES: &[(Mistake, &str)] = &[
    (InventsARow, "an empty store loads nothing"),
    (IgnoresReplaces, "lease rows are put, replaced"),
    (
        OrdersByUnsignedBytes,
        "load delivers by ascending signed id",
    ),
    (CutsTtlsTo32Bits, "TTLs survive"),
    (DropsRemaining, "remaining TTL, incarnation and generation"),
    (
        DropsIncarnation,
        "remaining TTL, incarnation and generation",
    ),
    (
        TakesNoIncarnationForZero,
        "remaining TTL, incarnation and generation",
    ),
    (DropsGeneration, "remaining TTL, incarnation and generation"),
    (
        RefusesBlindDeletes,
        "deleting a lease row that is not there",
    ),
    (DropsTheEpoch, "the epoch is stored"),
    (ForgetsTheEpochWithTheNextBatch, "the epoch is stored"),
    (ReadsAbsentAsEmpty, "a table or row that is not there"),
    (IgnoresHostDeletes, "host rows are put, replaced"),
    (DropsEmptyValues, "keys and values are any bytes"),
    (ScansBackwards, "scan delivers by ascending"),
    (IncludesTheEndOfARange, "delete_range removes"),
    (StopsRangesAtNothing, "delete_range removes"),
    (MixesTables, "tables are apart"),
    (
        RefusesBlindHostDeletes,
        "deleting host rows that are not there",
    ),
    (RefusesEmptyBatches, "an empty batch"),
    (FirstLeaseWriteWins, "the last write of a lease row"),
    (
        SortsHostWrites,
        "host writes of a batch apply in their order",
    ),
    (SkipsTheEpochOfAFullBatch, "a batch that touches everything"),
    (LosesTheTailOfALargeBatch, "a batch of 10,000"),
    (
        LeavesHalfOfARefusedBatch,
        "a batch that is refused leaves nothing",
    ),
    (ForgetsLeasesAtRestart, "a reopened store has every"),
    (ForgetsHostRowsAtRestart, "a reopened store has every"),
    (ForgetsDeletesAtRestart, "what was deleted stays deleted"),
    (
        ForgetsLeasesAtRestart,
        "a store that is opened again after each batch",
    ),
    (
        ShowsHalfABatch,
        "a reader beside commits sees whole batches",
    ),
    (SortsHostWrites, "a random history"),
];

#[test]
fn every_mistake_is_noticed_by_the_property_about_it() {
    for (mistake, name) in CASES {
        let property = conformance::properties()
            .find(|property| property.name().starts_with(name))
            .unwrap_or_else(|| panic!("no property is called {name}"));
        let store = Store::new(*mistake);
        let store = move || store.open();
        let panicked = catch_unwind(AssertUnwindSafe(|| property.check(&store)));
        let panic = panicked.expect_err(&format!("{mistake:?} was not noticed"));
        // A panic of a reader thread comes out of the scope without its message.
        if *mistake != ShowsHalfABatch {
            let text = panic.downcast_ref::<String>().expect("a panic has a text");
            assert!(
                text.starts_with(name),
                "{mistake:?} gave the message {text}"
            );
        }
    }
}

#[test]
fn every_property_has_a_mistake() {
    for property in conformance::properties() {
        let is_covered = |(_, name): &(Mistake, &str)| property.name().starts_with(name);
        assert!(CASES.iter().any(is_covered), "{}", property.name());
    }
}

#[test]
fn a_backend_without_a_mistake_passes_through_the_same_wrapper() {
    conformance::check(|| {
        let store = MemoryBackend::new();
        move || Broken {
            inner: store.clone(),
            mistake: None,
            loads: AtomicU64::new(0),
        }
    });
}

struct Store {
    mistake: Mistake,
    inner: MemoryBackend,
    opened: AtomicBool,
}

impl Store {
    fn new(mistake: Mistake) -> Self {
        Self {
            mistake,
            inner: MemoryBackend::new(),
            opened: AtomicBool::new(false),
        }
    }

    fn open(&self) -> Broken {
        if self.opened.swap(true, Ordering::Relaxed) {
            self.forget();
        }
        Broken {
            inner: self.inner.clone(),
            mistake: Some(self.mistake),
            loads: AtomicU64::new(0),
        }
    }

    fn forget(&self) {
        let mut batch = WriteBatch::default();
        match self.mistake {
            ForgetsLeasesAtRestart => {
                let mut forget = |row: LeaseRow| batch.delete_lease(row.id);
                self.inner.load(&mut forget).expect("memory works");
            }
            ForgetsHostRowsAtRestart => batch.delete_range(Table::new("keys"), "", None),
            ForgetsDeletesAtRestart => {
                let mut is_empty = true;
                let mut visit = |_| is_empty = false;
                self.inner.load(&mut visit).expect("memory works");
                if is_empty {
                    let id = 1.try_into().expect("not zero");
                    batch.put_lease(LeaseRow::new(id, Ttl::MIN));
                }
            }
            _ => {}
        }
        self.inner.commit(&batch).expect("memory works");
    }
}

struct Broken {
    inner: MemoryBackend,
    mistake: Option<Mistake>,
    /// How often it was read, to show half a batch until a reader has met it.
    loads: AtomicU64,
}

impl Broken {
    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    fn has_lease(&self, write: &LeaseWrite) -> bool {
        let mut found = false;
        let mut visit = |row: LeaseRow| found |= row.id == write.id();
        self.inner.load(&mut visit).expect("memory works");
        found
    }

    fn refuses(&self, batch: &WriteBatch) -> bool {
        let is_blind =
            |write: &LeaseWrite| matches!(write, LeaseWrite::Delete(_)) && !self.has_lease(write);
        let is_blind_host = |write: &HostWrite| {
            let HostWrite::Delete { table, key } = write else {
                return false;
            };
            self.inner.get(table, key) == Ok(None)
        };
        self.makes(RefusesEmptyBatches) && batch.is_empty()
            || self.makes(RefusesBlindDeletes) && batch.leases().iter().any(is_blind)
            || self.makes(RefusesBlindHostDeletes) && batch.host().iter().any(is_blind_host)
    }

    fn wait_for_a_load(&self) {
        let before = self.loads.load(Ordering::Relaxed);
        for _ in 0..5_000 {
            // The first load may have begun before the half was there.
            if self.loads.load(Ordering::Relaxed) > before + 1 {
                return;
            }
            std::thread::yield_now();
        }
    }

    /// The batch as the mistake makes it.
    fn distort(&self, batch: &WriteBatch) -> WriteBatch {
        let mut out = WriteBatch::default();
        self.distort_leases(batch.leases(), &mut out);
        let mut host = batch.host().to_vec();
        if self.makes(SortsHostWrites) {
            host.sort_by_key(|write| matches!(write, HostWrite::DeleteRange { .. }));
        }
        for write in host {
            self.distort_host(write, &mut out);
        }
        let is_full = !batch.leases().is_empty() && !batch.host().is_empty();
        match batch.epoch() {
            Some(_) if self.makes(DropsTheEpoch) => {}
            Some(_) if self.makes(SkipsTheEpochOfAFullBatch) && is_full => {}
            Some(epoch) => out.put_epoch(epoch),
            None if self.makes(ForgetsTheEpochWithTheNextBatch) => out.put_epoch(Epoch::ZERO),
            None => {}
        }
        out
    }

    fn distort_leases(&self, writes: &[LeaseWrite], out: &mut WriteBatch) {
        let mut seen = std::collections::BTreeSet::new();
        let limit = match self.makes(LosesTheTailOfALargeBatch) {
            true => 4_096,
            false => usize::MAX,
        };
        for write in writes.iter().take(limit) {
            if self.makes(FirstLeaseWriteWins) && !seen.insert(write.id()) {
                continue;
            }
            match write {
                LeaseWrite::Put(_) if self.makes(IgnoresReplaces) && self.has_lease(write) => {}
                LeaseWrite::Put(row) => out.put_lease(self.distort_row(*row)),
                LeaseWrite::Delete(id) => out.delete_lease(*id),
            }
        }
    }

    fn distort_row(&self, mut row: LeaseRow) -> LeaseRow {
        match self.mistake {
            Some(CutsTtlsTo32Bits) => {
                let secs = row.ttl.get() & i64::from(u32::MAX);
                row.ttl = Ttl::new(secs.max(1)).expect("it was cut");
            }
            Some(DropsRemaining) => row.remaining = None,
            Some(DropsIncarnation) => row.incarnation = None,
            Some(TakesNoIncarnationForZero) => {
                row.incarnation = row.incarnation.filter(|incarnation| incarnation.get() != 0);
            }
            Some(DropsGeneration) => row.checkpoint_generation = 0,
            _ => {}
        }
        row
    }

    fn distort_host(&self, write: HostWrite, out: &mut WriteBatch) {
        let renamed = |table: Table| match self.makes(MixesTables) {
            true => Table::new("keys"),
            false => table,
        };
        match write {
            HostWrite::Put { value, .. } if value.is_empty() && self.makes(DropsEmptyValues) => {}
            HostWrite::Put { table, key, value } => out.put(renamed(table), key, value),
            HostWrite::Delete { .. } if self.makes(IgnoresHostDeletes) => {}
            HostWrite::Delete { table, key } => out.delete(renamed(table), key),
            HostWrite::DeleteRange { table, start, end } => {
                let end = match end {
                    Some(end) if self.makes(IncludesTheEndOfARange) => {
                        Some([end, vec![0]].concat())
                    }
                    None if self.makes(StopsRangesAtNothing) => Some(start.clone()),
                    end => end,
                };
                out.delete_range(renamed(table), start, end);
            }
        }
    }
}

impl Backend for Broken {
    fn commit(&self, batch: &WriteBatch) -> Result<(), BackendError> {
        if self.refuses(batch) {
            return Err(error());
        }
        let batch = self.distort(batch);
        let is_refused = |write: &HostWrite| matches!(write, HostWrite::Put { key, .. } if key.len() > usize::from(u16::MAX));
        if self.makes(LeavesHalfOfARefusedBatch) && batch.host().iter().any(is_refused) {
            let mut half = WriteBatch::default();
            self.distort_leases(batch.leases(), &mut half);
            self.inner.commit(&half)?;
            return Err(error());
        }
        if self.makes(ShowsHalfABatch) && batch.leases().len() > 1 {
            let mut first = WriteBatch::default();
            self.distort_leases(&batch.leases()[..1], &mut first);
            self.inner.commit(&first)?;
            self.wait_for_a_load();
        }
        self.inner.commit(&batch)
    }

    fn load(&self, visit: &mut dyn FnMut(LeaseRow)) -> Result<Epoch, BackendError> {
        if self.makes(InventsARow) {
            visit(LeaseRow::new(1.try_into().expect("not zero"), Ttl::MIN));
        }
        self.loads.fetch_add(1, Ordering::Relaxed);
        let mut rows = Vec::new();
        let epoch = self.inner.load(&mut |row| rows.push(row))?;
        if self.makes(OrdersByUnsignedBytes) {
            rows.sort_by_key(|row| row.id.get() as u64);
        }
        rows.into_iter().for_each(visit);
        Ok(epoch)
    }

    fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        let value = self.inner.get(table, key)?;
        Ok(match value {
            None if self.makes(ReadsAbsentAsEmpty) => Some(Vec::new()),
            value => value,
        })
    }

    fn scan(&self, table: &Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), BackendError> {
        let mut rows = Vec::new();
        self.inner.scan(table, &mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
        })?;
        if self.makes(ScansBackwards) {
            rows.reverse();
        }
        rows.iter().for_each(|(key, value)| visit(key, value));
        Ok(())
    }
}

fn error() -> BackendError {
    BackendError::Io(HostError::new("a mistake"))
}
