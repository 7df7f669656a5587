//! The host's code that the lessor calls: it may fail, panic and call back.

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::Duration;

use lease_core::testing::FakeTxnDelete;
use lease_core::{
    Backend, BackendLessor, BoxError, Checkpoint, Command, Deleted, Durability, Epoch, Grant,
    ItemMode, Lease, LeaseError, LeaseRow, Lessor, LessorEvent, Observer, RangeDeleter, Renewal,
    Table, Ttl, TxnDelete, WriteBatch,
};

use crate::support::TestBackend;
use crate::{bench, id, items};

#[test]
fn a_range_deleter_that_fails_or_panics_leaves_the_lease() {
    struct Panics;
    impl RangeDeleter for Panics {
        fn begin<'t>(&'t self, _: &'t mut WriteBatch) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
            panic!("this range deleter panics")
        }
    }
    let bench = bench(|builder| builder);
    bench.lessor.grant(id(1), 60).expect("free");
    bench.lessor.attach(id(1), &items(&["a"])).expect("there");
    let deleters: [Arc<dyn RangeDeleter>; 2] =
        [Arc::new(FakeTxnDelete::failing()), Arc::new(Panics)];
    for deleter in deleters {
        bench.lessor.set_range_deleter(deleter);
        let error = bench.lessor.revoke(id(1)).expect_err("the deleter fails");
        assert!(matches!(error, LeaseError::RangeDeleter(_)), "{error}");
        let cause = error.source().expect("the deleter's").to_string();
        assert!(
            cause == "the range deleter panicked: this range deleter panics"
                || !cause.contains("panic"),
            "{cause}"
        );
        assert_eq!(bench.lessor.renew(id(1)).map(Ttl::as_secs), Ok(60));
        bench.assert_memory_is_disk();
    }
    let works = FakeTxnDelete::default();
    bench.lessor.set_range_deleter(Arc::new(works.clone()));
    bench.lessor.revoke(id(1)).expect("the lease is as it was");
    assert_eq!(works.deleted(), [b"a".to_vec()]);
}

/// #10492, #14080: a lock of the lessor's and one of the host's taken in two orders.
#[test]
fn f11_the_host_may_call_back() {
    struct CallsBack(OnceLock<Weak<BackendLessor>>, AtomicUsize);
    impl CallsBack {
        fn call(&self) {
            if let Some(lessor) = self.0.get().and_then(Weak::upgrade) {
                lessor.leases();
                lessor.get_lease(b"a");
                let _ = lessor.attach(id(2), &items(&["moved"]));
                self.1.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    impl Observer for CallsBack {
        fn observe(&self, event: &LessorEvent<'_>) {
            if let LessorEvent::Revoked { .. } = event {
                self.call();
            }
        }
    }
    impl RangeDeleter for CallsBack {
        fn begin<'t>(
            &'t self,
            batch: &'t mut WriteBatch,
        ) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
            self.call();
            let _ = batch;
            Err("enough".into())
        }
    }
    let host = Arc::new(CallsBack(OnceLock::new(), AtomicUsize::new(0)));
    let lessor = BackendLessor::builder(Arc::new(TestBackend::default()))
        .observer(host.clone())
        .range_deleter(host.clone())
        .build()
        .map(Arc::new)
        .expect("empty");
    host.0.set(Arc::downgrade(&lessor)).expect("once");
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    for number in 1..=3 {
        lessor.grant(id(number), 60).expect("free");
    }
    lessor.attach(id(1), &items(&["a"])).expect("there");
    lessor.revoke(id(1)).expect_err("the deleter fails");
    lessor.revoke(id(3)).expect("it has no items");
    assert_eq!(host.1.load(Ordering::Relaxed), 2);
    let checkpointer = {
        let lessor = Arc::downgrade(&lessor);
        move |records: &[Checkpoint], _| {
            let lessor = lessor.upgrade().ok_or("gone")?;
            lessor.apply(
                &Command::Checkpoint(records.to_vec()),
                WriteBatch::default(),
            )?;
            Ok(())
        }
    };
    lessor.set_checkpointer(Arc::new(checkpointer));
    lessor.checkpoint(id(2), 5).expect("there");
    assert_eq!(lessor.renew(id(2)).map(Ttl::as_secs), Ok(60));
    let lease = lessor.lookup(id(2)).expect("there");
    assert_eq!(
        lease.checkpointed_remaining(),
        None,
        "the renewal has reset it"
    );
}

/// When the reset fails and the failure is swallowed, the renewed lease is short after a failover.
#[test]
fn f06_a_renewal_whose_reset_fails_is_not_acknowledged() {
    let bench = bench(|builder| builder);
    bench.lessor.grant(id(1), 60).expect("free");
    bench.lessor.checkpoint(id(1), 5).expect("there");
    let fails = |_: &[Checkpoint], _: Duration| -> Result<(), BoxError> { Err("no leader".into()) };
    bench.lessor.set_checkpointer(Arc::new(fails));
    let error = bench.lessor.renew(id(1)).expect_err("not reset");
    assert!(matches!(error, LeaseError::Checkpointer(_)), "{error}");
    assert!(matches!(
        bench.lessor.try_renew(id(1)),
        Ok(Renewal::Reset(_))
    ));
    let panics = |_: &[Checkpoint], _: Duration| -> Result<(), BoxError> { panic!("no log") };
    bench.lessor.set_checkpointer(Arc::new(panics));
    let error = bench.lessor.renew(id(1)).expect_err("not reset");
    assert!(matches!(error, LeaseError::Checkpointer(_)), "{error}");
    // One that answers well without having applied anything must not make the caller spin.
    bench
        .lessor
        .set_checkpointer(Arc::new(|_: &[Checkpoint], _: Duration| Ok(())));
    let clock = bench.clock.clone();
    let idle = thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..50 {
                thread::sleep(Duration::from_millis(1));
                clock.advance(Duration::from_millis(1));
            }
        });
        bench.lessor.renew_timeout(id(1), Duration::from_millis(20))
    });
    assert_eq!(idle, Err(LeaseError::DeadlineExceeded));
}

#[test]
fn observers_that_panic_are_ignored() {
    struct Panics;
    impl Observer for Panics {
        fn observe(&self, _: &LessorEvent<'_>) {
            panic!("this observer panics")
        }
    }
    let bench = bench(|builder| builder.observer(Arc::new(Panics)));
    bench.lessor.grant(id(1), 60).expect("free");
    bench.lessor.renew(id(1)).expect("there");
    bench.assert_memory_is_disk();
}

/// The rows of leases, the epoch and the stored items are the lessor's: with a row of its own making a host
/// would have on disk what no memory has.
#[test]
fn the_host_writes_no_rows_of_the_lessors() {
    struct Writes(fn(&mut WriteBatch));
    impl RangeDeleter for Writes {
        fn begin<'t>(
            &'t self,
            batch: &'t mut WriteBatch,
        ) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
            (self.0)(batch);
            Ok(Box::new(Nothing))
        }
    }
    struct Nothing;
    impl TxnDelete for Nothing {
        fn delete_range(&mut self, _: &[u8], _: Option<&[u8]>) -> Result<Deleted, BoxError> {
            Ok(Deleted::default())
        }
        fn end(self: Box<Self>) -> Result<(), BoxError> {
            Ok(())
        }
    }
    let reserved: [fn(&mut WriteBatch); 4] = [
        |batch| batch.put_lease(LeaseRow::new(id(9), Ttl::MIN)),
        |batch| batch.delete_lease(id(1)),
        |batch| batch.put_epoch(Epoch::new(99)),
        |batch| batch.put(Table::new("lease_items"), "a", 1_i64.to_be_bytes()),
    ];
    for durability in [Durability::EveryCommand, Durability::ETCD] {
        let bench = bench(|builder| builder.items(ItemMode::Stored).durability(durability));
        let lessor = &bench.lessor;
        lessor.grant(id(1), 60).expect("free");
        lessor.attach(id(1), &items(&["a"])).expect("there");
        for write in reserved {
            let batch = || {
                let mut batch = WriteBatch::default();
                batch.put(Table::new("kv"), "a", "b");
                write(&mut batch);
                batch
            };
            let (b, no) = (&items(&["b"]), LeaseError::ReservedRows);
            assert_eq!(lessor.grant_with(id(2), 60, batch()), Err(no.clone()));
            assert_eq!(lessor.revoke_with(id(1), batch()), Err(no.clone()));
            assert_eq!(lessor.attach_with(id(1), b, batch()), Err(no.clone()));
            assert_eq!(lessor.detach_with(id(1), b, batch()), Err(no.clone()));
            assert_eq!(lessor.write(batch()), Err(no.clone()));
            let grant = Command::Grant(Grant::new(id(2), Ttl::MIN));
            assert_eq!(lessor.apply(&grant, batch()), Err(no.clone()));
            lessor.set_range_deleter(Arc::new(Writes(write)));
            let error = lessor.revoke(id(1)).expect_err("it is not for the deleter");
            let cause = error.source().map(ToString::to_string);
            assert_eq!(cause, Some(no.to_string()));
        }
        lessor.flush().expect("it works");
        assert!(lessor.leases().iter().map(Lease::id).eq([id(1)]));
        assert_eq!(lessor.get_lease(b"a"), Some(id(1)));
        bench.assert_memory_is_disk();
        let row = bench.backend.get(&Table::new("kv"), b"a");
        assert_eq!(row, Ok(None), "nothing of a refused batch is written");
    }
    // Who stores no items has no such table.
    let bench = bench(|builder| builder);
    let mut batch = WriteBatch::default();
    batch.put(Table::new("lease_items"), "a", "mine");
    bench.lessor.write(batch).expect("it is the host's");
}
