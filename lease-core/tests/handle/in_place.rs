//! A recovery that replaces the store: it does so while nobody can come between, or nothing is changed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::Duration;

use lease_core::{
    Backend, BackendError, BackendLessor, Epoch, HostError, LeaseError, LeaseRow, Lessor, Table,
    Ttl, WriteBatch,
};

use crate::gates::{EVERY, Gated, ends, gate, shared, told};
use crate::support::TestBackend;
use crate::{BATCHED, bench, id, is_backend};

/// A store whose rows cannot be read any more when it is told so.
struct Blind {
    inner: Arc<TestBackend>,
    is_blind: AtomicBool,
}

impl Backend for Blind {
    fn commit(&self, batch: &WriteBatch) -> Result<(), BackendError> {
        self.inner.commit(batch)
    }

    fn load(&self, visit: &mut dyn FnMut(LeaseRow)) -> Result<Epoch, BackendError> {
        match self.is_blind.load(Ordering::Relaxed) {
            true => Err(BackendError::Damaged("on purpose".to_owned())),
            false => self.inner.load(visit),
        }
    }

    fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        self.inner.get(table, key)
    }

    fn scan(&self, table: &Table, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), BackendError> {
        self.inner.scan(table, visit)
    }
}

fn row(number: i64) -> LeaseRow {
    LeaseRow::new(id(number), Ttl::new(60).expect("in range"))
}

/// Another state: one lease, of a later epoch.
fn replace(backend: &TestBackend) {
    let mut store = backend.store();
    store.rows = std::iter::once((id(2), row(2))).collect();
    store.epoch = Epoch::new(9);
}

#[test]
fn a_store_is_replaced_or_nothing_is_changed() {
    let bench = bench(|builder| builder.durability(BATCHED));
    let lessor = &bench.lessor;
    lessor.grant(id(1), 60).expect("free");

    bench.backend.store().fail_after = Some(0);
    let never = || unreachable!("what is pending is not written");
    assert!(is_backend(lessor.recover_in_place(never)));
    let fails = || Err(BackendError::Io(HostError::new("no space left")));
    assert!(is_backend(lessor.recover_in_place(fails)));
    assert_eq!(lessor.rows(), [row(1)]);
    assert_eq!(lessor.rows(), bench.backend.rows(), "it was written first");

    let replaces = || {
        let inside = [
            lessor.grant(id(3), 60).map(drop),
            lessor.attach(id(1), &["a".into()]),
            lessor.write(WriteBatch::default()),
            lessor.recover_in_place(|| Ok(())),
        ];
        assert_eq!(inside, [const { Err(LeaseError::Reentrant) }; 4]);
        assert!(lessor.lookup(id(1)).is_some(), "the old state is shown");
        replace(&bench.backend);
        Ok(())
    };
    lessor.recover_in_place(replaces).expect("it works");
    assert_eq!(lessor.rows(), [row(2)]);
    assert_eq!(lessor.epoch(), Epoch::new(9));
    assert_eq!(lessor.renew(id(2)), Err(LeaseError::NotPrimary));
    lessor.grant(id(3), 60).expect("free");
    lessor.flush().expect("works");
    assert_eq!(lessor.rows(), bench.backend.rows());
}

#[test]
fn what_cannot_be_read_after_it_was_replaced_is_left_alone() {
    for durability in [EVERY, BATCHED] {
        for panics in [false, true] {
            let inner = Arc::new(TestBackend::default());
            let backend = Arc::new(Blind {
                inner: Arc::clone(&inner),
                is_blind: AtomicBool::new(false),
            });
            let lessor = shared(backend.clone(), durability, |builder| builder);
            lessor.promote(Duration::ZERO).expect("it is stored");
            lessor.grant(id(1), 60).expect("free");
            let mut others = None;
            let recovered = lessor.recover_in_place(|| {
                replace(&inner);
                backend.is_blind.store(true, Ordering::Relaxed);
                // They wait until the recovery is over.
                let other = Arc::clone(&lessor);
                others = Some(ends(move || {
                    let granted = other.grant(id(3), 60).map(drop);
                    (granted, other.promote(Duration::ZERO).map(drop))
                }));
                thread::sleep(Duration::from_millis(20));
                assert!(!panics, "on purpose");
                Ok(())
            });
            assert!(is_backend(recovered));
            let others = told(&others.expect("they have begun"));
            assert_eq!(others, (Err(LeaseError::Stopped), Err(LeaseError::Stopped)));
            drop(lessor);
            assert_eq!(inner.rows(), [row(2)]);
            assert_eq!(inner.store().epoch, Epoch::new(9));
        }
    }
}

#[test]
fn a_store_is_not_replaced_after_a_stop_that_has_given_up() {
    let inner = Arc::new(TestBackend::default());
    let (in_commit, keeper) = gate();
    let backend = Gated {
        inner: Arc::clone(&inner),
        commit: Some(in_commit),
        load: None,
    };
    let lessor = shared(Arc::new(backend), BATCHED, |builder| {
        builder.stop_timeout(Duration::from_millis(50))
    });
    lessor.grant(id(1), 60).expect("free");
    let recovered = {
        let (lessor, inner) = (Arc::clone(&lessor), Arc::clone(&inner));
        ends(move || {
            lessor.recover_in_place(|| {
                replace(&inner);
                Ok(())
            })
        })
    };
    keeper.wait();
    lessor.stop();
    // The store is somebody else's.
    keeper.open();
    assert_eq!(told(&recovered), Err(LeaseError::Stopped));
    assert_eq!(inner.rows(), [row(1)]);
}

/// Calls a lessor when it is dropped.
struct Calls(Arc<OnceLock<Weak<BackendLessor>>>);

impl Drop for Calls {
    fn drop(&mut self) {
        let lessor = self.0.get().and_then(Weak::upgrade);
        let revoked = lessor.map(|lessor| lessor.revoke(id(1)));
        assert_eq!(revoked, Some(Ok(())));
    }
}

#[test]
fn what_is_not_called_is_dropped_when_commands_go_on() {
    let inner = Arc::new(TestBackend::default());
    let lessor = shared(inner.clone(), BATCHED, |builder| builder);
    lessor.grant(id(1), 60).expect("free");
    let known = Arc::new(OnceLock::new());
    known.set(Arc::downgrade(&lessor)).expect("once");
    inner.store().fail_after = Some(0);
    let recovered = {
        let (lessor, calls) = (Arc::clone(&lessor), Calls(known));
        ends(move || {
            lessor.recover_in_place(move || {
                let _calls = &calls;
                Ok(())
            })
        })
    };
    assert!(is_backend(told(&recovered)));
    assert_eq!(lessor.rows(), []);
}

/// A store that cannot be read, and calls a lessor when it is dropped.
struct Unreadable(#[allow(dead_code, reason = "it is dropped")] Calls);

impl Backend for Unreadable {
    fn commit(&self, _: &WriteBatch) -> Result<(), BackendError> {
        Ok(())
    }

    fn load(&self, _: &mut dyn FnMut(LeaseRow)) -> Result<Epoch, BackendError> {
        Err(BackendError::Damaged("on purpose".to_owned()))
    }

    fn get(&self, _: &Table, _: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        Ok(None)
    }

    fn scan(&self, _: &Table, _: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), BackendError> {
        Ok(())
    }
}

#[test]
fn a_store_that_cannot_be_read_is_dropped_without_the_lock() {
    let lessor = shared(Arc::new(TestBackend::default()), EVERY, |builder| builder);
    lessor.grant(id(1), 60).expect("free");
    let known = Arc::new(OnceLock::new());
    known.set(Arc::downgrade(&lessor)).expect("once");
    let recovered = {
        let (lessor, backend) = (Arc::clone(&lessor), Unreadable(Calls(known)));
        ends(move || lessor.recover(Arc::new(backend), None))
    };
    assert!(is_backend(told(&recovered)));
    assert_eq!(lessor.rows(), []);
}
