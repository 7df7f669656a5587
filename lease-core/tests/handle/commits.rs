//! Commands and their commits: what fails has had no effect, what succeeds is on disk.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::Duration;

use lease_core::{
    Answer, Backend, BackendLessor, Checkpoint, Clock, Command, Driver, Durability, Epoch, Grant,
    Incarnation, LeaseError, Lessor, ManualClock, Revocation, Table, TableDeleter, Timestamp, Ttl,
    WriteBatch,
};

use crate::support::TestBackend;
use crate::{BATCHED, Bench, bench, id, is_backend, items};

#[test]
fn a_command_whose_commit_fails_has_had_no_effect_and_the_next_one_works() {
    let Bench {
        lessor, backend, ..
    } = &bench(|builder| builder);
    let fail = || backend.store().fail_after = Some(0);
    lessor.grant(id(1), 1000).expect("free");
    lessor.attach(id(1), &items(&["a"])).expect("there");

    fail();
    assert!(is_backend(lessor.grant(id(2), 10)));
    assert_eq!(lessor.lookup(id(2)), None);
    fail();
    assert!(is_backend(lessor.revoke(id(1))));
    assert_eq!(lessor.get_lease(b"a"), Some(id(1)));
    assert_eq!(lessor.renew(id(1)).map(Ttl::as_secs), Ok(1000));
    fail();
    assert!(is_backend(lessor.checkpoint(id(1), 5)));
    let lease = lessor.lookup(id(1)).expect("there");
    assert_eq!(lease.checkpointed_remaining(), None);
    fail();
    assert!(is_backend(lessor.revoke_many(&[id(1), id(7)])));
    assert_eq!(lessor.rows(), backend.rows());

    lessor.grant(id(2), 10).expect("free again");
    lessor.checkpoint(id(1), 5).expect("works again");
    assert_eq!(lessor.rows(), backend.rows());
    lessor.revoke(id(1)).expect("there");
    assert_eq!(lessor.rows(), backend.rows());
    lessor.check_invariants();
}

#[test]
fn the_error_names_its_cause() {
    let bench = bench(|builder| builder);
    bench.backend.store().fail_after = Some(0);
    let error = bench.lessor.grant(id(1), 1).expect_err("the commit fails");
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    assert_eq!(
        text, "lease backend failed: input or output failed: no space left",
        "each cause once"
    );
}

#[test]
fn every_nth_commit_may_fail() {
    for nth in 0..10 {
        let bench = bench(|builder| builder);
        bench.backend.store().fail_after = Some(nth);
        for number in 1..=4 {
            let _ = bench.lessor.grant(id(number), 400);
            bench.assert_memory_is_disk();
            let _ = bench.lessor.checkpoint(id(number), 7);
            bench.assert_memory_is_disk();
            if number % 2 == 0 {
                let _ = bench.lessor.revoke(id(number - 1));
            }
            bench.assert_memory_is_disk();
        }
        assert_eq!(bench.backend.store().fail_after, None, "it did fail");
    }
}

#[test]
fn a_backend_that_panics_is_an_error() {
    let bench = bench(|builder| builder);
    {
        let mut store = bench.backend.store();
        store.fail_after = Some(0);
        store.panics = true;
    }
    assert!(is_backend(bench.lessor.grant(id(1), 1)));
    bench.lessor.grant(id(1), 1).expect("the next one works");
    bench.assert_memory_is_disk();
}

#[test]
fn batched_writes_wait_and_are_never_dropped() {
    let bench = bench(|builder| builder.durability(BATCHED));
    bench.lessor.tick();
    bench.lessor.flush().expect("the epoch");
    bench.lessor.grant(id(1), 60).expect("free");
    assert!(bench.backend.rows().is_empty());
    assert_eq!(
        bench.lessor.next_wakeup(),
        Some(Timestamp::from_millis(100))
    );
    bench.backend.store().fail_after = Some(0);
    bench.advance(1);
    assert!(bench.backend.rows().is_empty(), "the commit failed");
    assert!(bench.lessor.lookup(id(1)).is_some());
    bench.advance(1);
    bench.assert_memory_is_disk();
}

#[test]
fn a_full_journal_commits_itself_or_refuses() {
    let bench = bench(|builder| builder.durability(BATCHED));
    for number in 1..=200 {
        bench.lessor.grant(id(number), 60).expect("free");
    }
    assert!(bench.backend.rows().len() > 60, "memory stays bounded");
    let mut refused = 0;
    for number in 201..=400 {
        bench.backend.store().fail_after = Some(0);
        match bench.lessor.grant(id(number), 60) {
            Ok(_) => {}
            Err(LeaseError::Backend(_)) => {
                refused += 1;
                assert_eq!(bench.lessor.lookup(id(number)), None);
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 50);
    bench.backend.store().fail_after = None;
    bench.lessor.flush().expect("works again");
    bench.assert_memory_is_disk();
}

/// #6093, #6558: keys and lease in different transactions, in an order that differs by member.
#[test]
fn f15_keys_and_row_go_together_in_sorted_order() {
    let table = Table::new("kv");
    let bench =
        bench(|builder| builder.range_deleter(Arc::new(TableDeleter::new(Table::new("kv")))));
    let mut keys = WriteBatch::default();
    for key in ["b", "c", "a"] {
        keys.put(table.clone(), key, "value");
    }
    let grant = Command::Grant(Grant::new(id(1), Ttl::MIN));
    bench.lessor.apply(&grant, keys).expect("committed");
    bench
        .lessor
        .attach(id(1), &items(&["b", "c", "a"]))
        .expect("there");
    assert_eq!(bench.backend.get(&table, b"a"), Ok(Some(b"value".to_vec())));

    bench.backend.store().fail_after = Some(0);
    assert!(is_backend(bench.lessor.revoke(id(1))));
    assert_eq!(bench.backend.store().host.len(), 3);
    bench.lessor.revoke(id(1)).expect("there");
    assert!(bench.backend.store().host.is_empty());
    let store = bench.backend.store();
    let last = store.commits.last().expect("there were some");
    assert_eq!(last.leases().len(), 1);
    let deleted: Vec<_> = last
        .host()
        .iter()
        .map(|write| format!("{write:?}"))
        .collect();
    assert!(deleted.is_sorted(), "{deleted:?}");
}

/// #12105: revokes at a fixed rate, one log entry each.
#[test]
fn f14_many_revokes_are_one_transaction() {
    let bench = bench(|builder| builder);
    let ids: Vec<_> = (1..=1000).map(id).collect();
    for id in &ids {
        bench.lessor.grant(*id, 60).expect("free");
    }
    let before = bench.backend.store().commits.len();
    let answers = bench.lessor.revoke_many(&ids).expect("committed");
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(bench.backend.store().commits.len(), before + 1);
    let again = bench
        .lessor
        .revoke_many(&ids[..2])
        .expect("nothing to commit");
    assert_eq!(again, vec![Err(LeaseError::LeaseNotFound); 2]);
}

/// A crash between the records of a command and the applied index makes members diverge.
#[test]
fn f25_a_command_and_the_applied_index_are_one_transaction() {
    let bench = bench(|builder| builder);
    let index = |n: u64| {
        let mut host = WriteBatch::default();
        host.put(Table::new("meta"), "applied", n.to_be_bytes());
        host
    };
    let grant = Command::Grant(Grant {
        incarnation: Incarnation::supplied(1),
        ..Grant::new(id(1), Ttl::MAX)
    });
    let applied = |n: u64| Ok(Some(n.to_be_bytes().to_vec()));
    let meta = Table::new("meta");
    bench.backend.store().fail_after = Some(0);
    assert!(is_backend(bench.lessor.apply(&grant, index(1))));
    assert_eq!(bench.backend.get(&meta, b"applied"), Ok(None));

    let answer = bench.lessor.apply(&grant, index(1));
    assert_eq!(
        answer,
        Ok(Answer::Granted(
            Ok(Incarnation::supplied(1).expect("small"))
        ))
    );
    let answer = bench.lessor.apply(&grant, index(2));
    assert_eq!(answer, Ok(Answer::Granted(Err(LeaseError::LeaseExists))));
    assert_eq!(
        bench.backend.get(&meta, b"applied"),
        applied(2),
        "a refusal is applied too"
    );
    let revoke = Command::Revoke(vec![Revocation::by_user(id(9))]);
    let answer = bench.lessor.apply(&revoke, index(3));
    assert_eq!(
        answer,
        Ok(Answer::Revoked(vec![Err(LeaseError::LeaseNotFound)]))
    );
    let checkpoints = Command::Checkpoint(vec![Checkpoint::new(id(9), None)]);
    let answer = bench.lessor.apply(&checkpoints, index(4));
    assert_eq!(answer, Ok(Answer::Checkpointed(vec![false])));
    let answer = bench
        .lessor
        .apply(&Command::BeginEpoch(Epoch::new(50)), index(5));
    assert_eq!(answer, Ok(Answer::Epoch(Ok(Epoch::new(50)))));
    assert_eq!(bench.backend.get(&meta, b"applied"), applied(5));
    assert_eq!(bench.backend.store().epoch, Epoch::new(50));
}

#[test]
fn concurrent_commands_keep_memory_and_disk_equal() {
    let bench = bench(|builder| builder);
    thread::scope(|scope| {
        for thread in 0..4_i64 {
            let lessor = &bench.lessor;
            scope.spawn(move || {
                for round in 0..300_i64 {
                    let number = 1 + (round * 7 + thread * 3) % 20;
                    match round % 4 {
                        0 | 1 => drop(lessor.grant(id(number), 1000)),
                        2 => drop(lessor.checkpoint(id(number), 1 + round)),
                        _ => drop(lessor.revoke(id(number))),
                    }
                    let _ = lessor.try_renew(id(number));
                }
            });
        }
    });
    bench.assert_memory_is_disk();
    let commits = bench.backend.store().commits.len();
    assert!(commits > 0);
}

/// A clock is the host's code too, and is read in the middle of a command.
#[test]
fn a_checkpoint_does_not_bring_the_row_of_a_revoked_lease_back() {
    #[derive(Default)]
    struct Meddler(OnceLock<Weak<BackendLessor>>, AtomicBool);
    impl Clock for Meddler {
        fn now(&self) -> Timestamp {
            if self.1.swap(false, Ordering::Relaxed)
                && let Some(lessor) = self.0.get().and_then(Weak::upgrade)
            {
                lessor.revoke(id(1)).expect("there");
            }
            Timestamp::ZERO
        }
    }
    for durability in [Durability::EveryCommand, BATCHED] {
        let (clock, backend) = (Arc::new(Meddler::default()), TestBackend::default());
        let backend = Arc::new(backend);
        let lessor = BackendLessor::builder(backend.clone())
            .clock(clock.clone())
            .driver(Driver::Manual)
            .durability(durability)
            .build()
            .map(Arc::new)
            .expect("empty");
        clock.0.set(Arc::downgrade(&lessor)).expect("once");
        lessor.grant(id(1), 1000).expect("free");
        clock.1.store(true, Ordering::Relaxed);
        lessor.checkpoint(id(1), 5).expect("gone is no error");
        assert!(!clock.1.load(Ordering::Relaxed), "it was revoked meanwhile");
        lessor.flush().expect("works");
        assert_eq!(lessor.rows(), []);
        assert_eq!(backend.rows(), []);
    }
}

#[test]
fn the_stored_epoch_never_falls() {
    let bench = bench(|builder| builder);
    thread::scope(|scope| {
        for parity in 0..2 {
            let lessor = &bench.lessor;
            scope.spawn(move || {
                for round in 1..=1000 {
                    let epoch = Epoch::new(2 * round + parity);
                    let answer = lessor.apply(&Command::BeginEpoch(epoch), WriteBatch::default());
                    assert!(matches!(answer, Ok(Answer::Epoch(Ok(now))) if now >= epoch));
                }
            });
        }
    });
    let store = bench.backend.store();
    let epochs = store.commits.iter().filter_map(WriteBatch::epoch);
    assert!(epochs.is_sorted(), "a restart would go back");
    assert_eq!(store.epoch, Epoch::new(2001));
}

#[test]
fn recovery_switches_the_backend_or_changes_nothing() {
    let bench = bench(|builder| builder.durability(BATCHED));
    bench.lessor.grant(id(1), 60).expect("free");
    let other = Arc::new(TestBackend::default());
    bench.backend.store().fail_after = Some(0);
    assert!(is_backend(bench.lessor.recover(other.clone(), None)));
    assert!(bench.lessor.lookup(id(1)).is_some());
    bench
        .lessor
        .recover(other.clone(), None)
        .expect("both work");
    assert_eq!(
        bench.backend.rows().len(),
        1,
        "what was pending went to the old one"
    );
    assert_eq!(bench.lessor.leases(), []);
    assert_eq!(bench.lessor.renew(id(1)), Err(LeaseError::NotPrimary));
    bench.lessor.grant(id(2), 60).expect("free");
    bench.lessor.flush().expect("works");
    assert_eq!(other.rows().len(), 1);
}

#[test]
fn a_lessor_that_is_stopped_far_behind_writes_no_more() {
    let max_writes = NonZeroUsize::MIN;
    let bench = bench(|builder| {
        let interval = Duration::from_secs(3600);
        let durability = Durability::Batched {
            interval,
            max_writes,
        };
        builder.driver(Driver::Manual).durability(durability)
    });
    let lessor = &bench.lessor;
    bench.backend.store().is_full = true;
    let mut grants = (1..).map(|number| lessor.grant(id(number), 60));
    assert!(is_backend(grants.find_map(Result::err).map_or(Ok(()), Err)));
    assert!(!lessor.leases().is_empty());
    lessor.stop();

    // Somebody else may have it by now.
    bench.backend.store().is_full = false;
    let answers = [
        lessor.grant(id(1), 60).map(drop),
        lessor.checkpoint(id(1), 5),
        lessor.attach(id(1), &items(&["a"])),
        lessor.write(WriteBatch::default()),
    ];
    assert_eq!(answers, [const { Err(LeaseError::Stopped) }; 4]);
    assert_eq!(bench.backend.rows(), []);
}

#[test]
fn checkpoint_refuses_what_no_lease_can_have() {
    let bench = bench(|builder| builder);
    bench.lessor.grant(id(1), 60).expect("free");
    for wrong in [-1, i64::MIN, 9_000_000_001] {
        assert_eq!(
            bench.lessor.checkpoint(id(1), wrong),
            Err(LeaseError::RemainingTtlOutOfRange)
        );
    }
    bench
        .lessor
        .checkpoint(id(1), 61)
        .expect("it is brought down to the TTL");
    let lease = bench.lessor.lookup(id(1)).expect("there");
    assert_eq!(lease.checkpointed_remaining().map(Ttl::as_secs), Some(60));
    bench
        .lessor
        .checkpoint(id(9), 1)
        .expect("an unknown lease is ignored");
}

/// An epoch that was not stored may come again after a crash, and its fencing tokens with it.
#[test]
fn a_promotion_whose_epoch_is_not_stored_is_an_error_and_gives_no_token() {
    for durability in [Durability::EveryCommand, BATCHED] {
        let bench = bench(|builder| builder.durability(durability));
        let epoch = bench.lessor.primary_epoch();
        let first = bench.lessor.grant(id(1), 10).expect("free");
        bench.lessor.flush().expect("works");
        bench.backend.store().fail_after = Some(0);
        assert!(is_backend(bench.lessor.promote(Duration::ZERO)));
        assert_eq!(bench.lessor.primary_epoch(), epoch, "as it was");

        let open = || {
            BackendLessor::builder(bench.backend.clone())
                .clock(Arc::new(ManualClock::default()))
                .driver(Driver::Manual)
                .durability(durability)
                .build()
                .expect("readable")
        };
        let second = open();
        bench.backend.store().fail_after = Some(0);
        assert!(is_backend(second.promote(Duration::ZERO)));
        assert_eq!(second.primary_epoch(), None);
        let none = second.grant(id(2), 10).expect("free").fencing_token();
        assert_eq!(none, None, "it could come twice");
        second.promote(Duration::ZERO).expect("works again");
        let next = second.grant(id(3), 10).expect("free").fencing_token();
        assert!(next > first.fencing_token());
        // The next one finds at least the epoch of the last token, whatever was flushed.
        std::mem::forget(second);
        let third = open();
        third.promote(Duration::ZERO).expect("works");
        let last = third.grant(id(4), 10).expect("free").fencing_token();
        assert!(last > next, "{last:?} after {next:?}");
    }
}

/// Counted from the time that the last command had brought, the next try was due at once, again and
/// again.
#[test]
fn a_batch_that_failed_is_tried_again_after_the_interval() {
    let Bench {
        lessor,
        backend,
        clock,
    } = bench(|builder| builder.durability(BATCHED));
    lessor.tick();
    lessor.grant(id(1), 60).expect("free");
    backend.store().fail_after = Some(0);
    clock.advance(Duration::from_secs(5));
    lessor.flush().expect_err("the store fails");
    let due = lessor.next_wakeup().expect("something is pending");
    assert!(due > Timestamp::from_secs(5), "{due:?}");
}

/// The store and the observer were asked without a pause for as long as the store failed.
#[test]
fn nor_is_it_at_once_if_there_is_no_interval() {
    let durability = Durability::Batched {
        interval: Duration::ZERO,
        max_writes: NonZeroUsize::new(8).expect("not zero"),
    };
    let bench = bench(|builder| builder.durability(durability));
    bench.lessor.grant(id(1), 60).expect("free");
    bench.backend.store().fail_after = Some(0);
    let due = bench.lessor.tick().expect("something is pending");
    assert!(due > Timestamp::ZERO && due < Timestamp::from_secs(1));
    bench.advance(1);
    bench.assert_memory_is_disk();
}
