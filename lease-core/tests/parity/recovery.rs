//! Recovering from a backend, and stopping.

use std::sync::Arc;
use std::time::Duration;

use lease_core::testing::FakeTxnDelete;
use lease_core::{
    Backend, BackendError, BackendLessor, CheckpointMode, Driver, Durability, Epoch, HostError,
    LeaseError, LeaseRow, Lessor, LessorConfig, Table, Ttl, WriteBatch,
};

use crate::support::TestBackend;
use crate::{id, items, member, primary};

fn ttl(secs: i64) -> Ttl {
    Ttl::new(secs).expect("in range")
}

fn stored(rows: &[LeaseRow]) -> Arc<TestBackend> {
    let backend = TestBackend::default();
    let mut batch = WriteBatch::default();
    rows.iter().for_each(|row| batch.put_lease(*row));
    backend.commit(&batch).expect("it works");
    Arc::new(backend)
}

#[test]
fn every_row_is_read_and_nothing_counts_before_a_promotion() {
    let rows = [
        LeaseRow::new(id(i64::MIN), Ttl::MAX),
        LeaseRow {
            remaining: Some(ttl(5)),
            ..LeaseRow::new(id(-3), ttl(60))
        },
        LeaseRow::new(id(4), ttl(60)),
    ];
    let lessor = BackendLessor::builder(stored(&rows))
        .driver(Driver::Manual)
        .build()
        .expect("readable");
    assert_eq!(lessor.rows(), rows);
    assert!(lessor.leases().iter().all(|lease| lease.demoted()));
    let lease = lessor.lookup(id(-3)).expect("recovered");
    assert_eq!(lease.checkpointed_remaining(), Some(ttl(5)));
    assert_eq!(lessor.next_wakeup(), None);
}

#[test]
fn items_are_not_stored() {
    let bench = primary(|builder| builder);
    bench.grant(1, 60);
    bench.lessor.attach(id(1), &items(&["a"])).expect("there");
    bench
        .lessor
        .recover(bench.backend.clone(), None)
        .expect("readable");
    let lease = bench.lessor.lookup(id(1)).expect("recovered");
    assert_eq!(lease.keys(), []);
    assert_eq!(bench.lessor.get_lease(b"a"), None);
    assert_eq!(bench.lessor.primary_epoch(), None);
    bench.lessor.attach(id(1), &items(&["a"])).expect("again");
}

/// etcd raises stored TTLs to the member's minimum; members would differ.
#[test]
fn a_stored_ttl_below_the_minimum_stays() {
    let config = LessorConfig {
        min_ttl: ttl(60),
        ..LessorConfig::default()
    };
    let rows = [LeaseRow::new(id(1), ttl(5))];
    let bench = member(|builder| builder.config(config));
    bench.lessor.recover(stored(&rows), None).expect("readable");
    assert_eq!(bench.lessor.rows(), rows);
}

#[test]
fn a_recovery_takes_a_range_deleter_or_keeps_the_one_there_was() {
    let (first, second) = (FakeTxnDelete::default(), FakeTxnDelete::default());
    let bench = member(|builder| builder.range_deleter(Arc::new(first.clone())));
    let revoke = || {
        bench.grant(1, 60);
        bench.lessor.attach(id(1), &items(&["a"])).expect("there");
        bench.lessor.revoke(id(1)).expect("there");
    };
    bench.lessor.recover(stored(&[]), None).expect("readable");
    revoke();
    assert_eq!((first.deleted().len(), second.deleted().len()), (1, 0));
    let deleter = Arc::new(second.clone());
    bench
        .lessor
        .recover(stored(&[]), Some(deleter))
        .expect("readable");
    revoke();
    assert_eq!((first.deleted().len(), second.deleted().len()), (1, 1));
}

/// A store that cannot be read.
enum Unreadable {
    Fails,
    Panics,
    HasARowTwice,
}

impl Backend for Unreadable {
    fn commit(&self, _: &WriteBatch) -> Result<(), BackendError> {
        panic!("nothing is written to a backend that was not recovered from")
    }

    fn load(&self, visit: &mut dyn FnMut(LeaseRow)) -> Result<Epoch, BackendError> {
        let row = LeaseRow::new(id(8), Ttl::MIN);
        visit(row);
        match self {
            Self::Fails => Err(BackendError::Io(HostError::new("unplugged"))),
            Self::Panics => panic!("this backend panics"),
            Self::HasARowTwice => {
                visit(row);
                Ok(Epoch::new(99))
            }
        }
    }

    fn get(&self, _: &Table, _: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        Ok(None)
    }

    fn scan(&self, _: &Table, _: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), BackendError> {
        Ok(())
    }
}

#[test]
fn a_backend_that_cannot_be_read_changes_nothing() {
    let bench = primary(|builder| builder);
    bench.grant(1, 60);
    for backend in [
        Unreadable::Fails,
        Unreadable::Panics,
        Unreadable::HasARowTwice,
    ] {
        let failed = bench.lessor.recover(Arc::new(backend), None);
        assert!(matches!(failed, Err(LeaseError::Backend(_))), "{failed:?}");
        assert_eq!(bench.lessor.lookup(id(8)), None);
        assert_eq!(bench.lessor.renew(id(1)), Ok(ttl(60)));
    }
    bench
        .lessor
        .checkpoint(id(1), 5)
        .expect("the old backend works");
    bench.assert_memory_is_disk();
    let refused = BackendLessor::builder(Arc::new(Unreadable::Fails)).build();
    assert!(matches!(refused, Err(LeaseError::Backend(_))));
}

#[test]
fn after_a_stop_nothing_is_changed_and_everything_can_be_read() {
    let bench = primary(|builder| builder);
    bench.grant(1, 60);
    bench.lessor.stop();
    bench.lessor.stop();
    let stopped = LeaseError::Stopped;
    assert_eq!(bench.lessor.grant(id(2), 1), Err(stopped.clone()));
    assert_eq!(bench.lessor.detach(id(1), &[]), Err(stopped.clone()));
    assert_eq!(bench.lessor.try_renew(id(1)), Err(stopped.clone()));
    assert_eq!(bench.lessor.renew_many(&[id(1)]), [Err(stopped.clone())]);
    assert_eq!(bench.lessor.revoke_many(&[id(1)]), Err(stopped.clone()));
    let recovered = bench.lessor.recover(stored(&[]), None);
    assert_eq!(recovered, Err(stopped.clone()));
    assert_eq!(bench.lessor.write(WriteBatch::default()), Err(stopped));
    bench.at_secs(1000);
    assert!(bench.expired().is_empty());
    assert!(bench.lessor.lookup(id(1)).is_some());
    assert_eq!(bench.lessor.leases().len(), 1);
    let promoted = bench.lessor.promote(Duration::ZERO);
    assert_eq!(promoted, Err(LeaseError::Stopped));
    assert!(!bench.lessor.promote_to(Epoch::new(50), Duration::ZERO));
    assert_eq!(bench.lessor.next_wakeup(), None, "nothing is due any more");
    assert_eq!(bench.lessor.tick(), None);
    bench.assert_memory_is_disk();
}

/// A host that sleeps until there is something to do does not spin over a lessor that was stopped.
#[test]
fn a_stopped_lessor_has_nothing_to_do() {
    for mode in [CheckpointMode::Local, CheckpointMode::Polled] {
        for durability in [Durability::EveryCommand, Durability::ETCD] {
            let bench = primary(|builder| builder.checkpoints(mode.clone()).durability(durability));
            bench.grant(1, 1000);
            bench.lessor.stop();
            assert_eq!(
                bench.lessor.promote(Duration::ZERO),
                Err(LeaseError::Stopped)
            );
            bench.at_secs(900);
            assert_eq!(bench.lessor.next_checkpoint(), None);
            assert_eq!(bench.lessor.poll_checkpoints(), None);
            assert_eq!(bench.lessor.next_wakeup(), None);
        }
    }
}
