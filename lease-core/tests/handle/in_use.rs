//! An expired lease that is in use all the time, beside a range deleter that always has something to do.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lease_core::{
    Backend, BackendError, BoxError, Driver, Epoch, ExpiryMode, LeaseRow, Lessor, ManualClock,
    RangeDeleter, Table, TableDeleter, TxnDelete, WriteBatch,
};

use crate::aside::grant_with_item;
use crate::gates::{EVERY, kv, shared};
use crate::support::TestBackend;
use crate::{id, items};

/// A store that takes its time over each commit, and a range deleter that takes more over each lease.
struct TakesTime(TestBackend, TableDeleter);

impl Backend for TakesTime {
    fn commit(&self, batch: &WriteBatch) -> Result<(), BackendError> {
        thread::sleep(Duration::from_millis(1));
        self.0.commit(batch)
    }

    fn load(&self, visit: &mut dyn FnMut(LeaseRow)) -> Result<Epoch, BackendError> {
        self.0.load(visit)
    }

    fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        self.0.get(table, key)
    }

    fn scan(&self, table: &Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), BackendError> {
        self.0.scan(table, visit)
    }
}

impl RangeDeleter for TakesTime {
    fn begin<'t>(&'t self, batch: &'t mut WriteBatch) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
        thread::sleep(Duration::from_millis(5));
        self.1.begin(batch)
    }
}

/// The thread of the range deleter was away at each turn of such a lease, until it had nothing else to do.
#[test]
fn a_lease_in_use_is_deleted_though_there_are_always_others() {
    let clock = Arc::new(ManualClock::default());
    let takes_time = Arc::new(TakesTime(TestBackend::default(), TableDeleter::new(kv())));
    let lessor = shared(takes_time.clone(), EVERY, |builder| {
        let builder = builder.driver(Driver::Threads).clock(clock.clone());
        let builder = builder.expiry(ExpiryMode::AutoRevoke);
        builder.range_deleter(takes_time.clone())
    });
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    // Each expires a little later than the one before, and the deleter is never idle.
    let a_little = Duration::from_millis(1);
    for number in 1..=400 {
        grant_with_item(&lessor, number);
        clock.advance(a_little);
    }
    let attach = |item: &'static str| {
        let lessor = Arc::clone(&lessor);
        let attach = move || {
            let mut writes = WriteBatch::default();
            writes.put(kv(), item, "value");
            lessor.attach_with(id(1), &items(&[item]), writes)
        };
        thread::spawn(move || while attach().is_ok() {})
    };
    let users: Vec<_> = ["a", "b", "c"].map(attach).into();
    clock.advance(Duration::from_millis(600));
    while !users.iter().all(thread::JoinHandle::is_finished) {
        clock.advance(a_little);
        thread::sleep(Duration::from_millis(3));
    }
    let left = lessor.stats().leases;
    assert!(left > 200, "it went with the last ones: {left} are left");
    lessor.stop();
}
