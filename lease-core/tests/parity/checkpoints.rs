//! Checkpoints of what remains, and the host's checkpointer.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lease_core::{
    Answer, BackendLessor, Checkpoint, Command, Driver, Lessor, LessorConfig, LessorEvent,
    Observer, Ttl, WriteBatch,
};

use crate::{Bench, id, member, primary};

#[test]
fn a_checkpoint_is_stored_and_the_running_time_goes_on() {
    let bench = primary(|builder| builder);
    bench.grant(1, 1000);
    bench.at_secs(10);
    bench.lessor.checkpoint(id(1), 7).expect("in range");
    assert_eq!(bench.checkpointed_secs(1), Some(7));
    assert_eq!(bench.backend.rows()[0].remaining.map(Ttl::get), Some(7));
    assert_eq!(bench.remaining_secs(1), 990);
    bench.lessor.checkpoint(id(1), 0).expect("the whole TTL");
    assert_eq!(bench.checkpointed_secs(1), None);
    assert_eq!(bench.remaining_secs(1), 990);
    bench.assert_memory_is_disk();
}

/// etcd's `CheckpointPersist: false`, before 3.6.
#[test]
fn checkpoints_can_be_kept_out_of_the_backend() {
    let config = LessorConfig {
        checkpoint_persist: false,
        ..LessorConfig::default()
    };
    let bench = member(|builder| builder.config(config));
    bench.grant(1, 1000);
    bench.lessor.checkpoint(id(1), 7).expect("in range");
    assert_eq!(bench.checkpointed_secs(1), Some(7));
    assert_eq!(bench.backend.rows()[0].remaining, None);
    bench
        .lessor
        .promote(Duration::ZERO)
        .expect("the epoch is stored");
    assert_eq!(bench.remaining_secs(1), 7);
}

/// etcd's `TestLessorCheckpointPersistenceAfterRestart`.
#[test]
fn a_restart_has_what_remained_if_that_was_stored() {
    for (checkpoint_persist, remaining) in [(true, Some(5)), (false, None)] {
        let config = LessorConfig {
            checkpoint_persist,
            ..LessorConfig::default()
        };
        let bench = member(|builder| builder.config(config.clone()));
        bench.grant(2, 10);
        bench.lessor.checkpoint(id(2), 5).expect("in range");
        assert_eq!(bench.checkpointed_secs(2), Some(5));
        bench.lessor.stop();
        let restarted = BackendLessor::builder(bench.backend.clone())
            .config(config)
            .clock(bench.clock.clone())
            .driver(Driver::Manual)
            .build()
            .expect("readable");
        let lease = restarted.lookup(id(2)).expect("recovered");
        assert_eq!(lease.checkpointed_remaining().map(Ttl::as_secs), remaining);
        restarted
            .promote(Duration::ZERO)
            .expect("the epoch is stored");
        let lease = restarted.lookup(id(2)).expect("there");
        let left = Duration::from_secs(remaining.unwrap_or(10));
        assert_eq!(lease.remaining(), Some(left));
    }
}

#[test]
fn an_unknown_lease_has_no_checkpoint() {
    let bench = primary(|builder| builder);
    let commits = bench.backend.store().commits.len();
    bench.lessor.checkpoint(id(9), 7).expect("ignored");
    assert_eq!(bench.lessor.lookup(id(9)), None);
    assert_eq!(bench.backend.store().commits.len(), commits);
}

/// A checkpointer that keeps what it was asked for, and applies it if it is told to.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Vec<Checkpoint>>>>);

impl Log {
    fn take(&self) -> Vec<Vec<Checkpoint>> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }

    fn attach(&self, bench: &Arc<Bench>) {
        let (log, host) = (self.clone(), Arc::downgrade(bench));
        let apply = move |records: &[Checkpoint], _: Duration| {
            log.0.lock().expect("no panic").push(records.to_vec());
            let host = host.upgrade().ok_or("gone")?;
            let command = Command::Checkpoint(records.to_vec());
            host.lessor.apply(&command, WriteBatch::default())?;
            Ok(())
        };
        bench.lessor.set_checkpointer(Arc::new(apply));
    }
}

#[test]
fn long_leases_are_checkpointed_each_interval_with_the_seconds_rounded_up() {
    let (log, bench) = (Log::default(), Arc::new(primary(|builder| builder)));
    log.attach(&bench);
    bench.at(lease_core::Timestamp::from_millis(1));
    bench.grant(1, 1000);
    bench.grant(2, 300);
    bench.at_secs(300);
    assert!(log.take().is_empty(), "an interval has not passed");
    bench.at(lease_core::Timestamp::from_millis(300_501));
    let batches = log.take();
    assert_eq!(batches.len(), 1);
    let records = &batches[0];
    assert_eq!(records.len(), 1, "the short lease has none");
    assert_eq!(
        (records[0].id, records[0].remaining.map(Ttl::get)),
        (id(1), Some(700))
    );
    assert_eq!(bench.checkpointed_secs(1), Some(700));
    bench.at_secs(601);
    let again = log.take();
    assert_eq!(again[0][0].remaining.map(Ttl::get), Some(400));
}

/// etcd skips a lease whose remaining TTL is not below its TTL, for ever; here it comes again.
#[test]
fn a_lease_with_nothing_to_say_is_skipped_until_it_has() {
    let (log, bench) = (Log::default(), Arc::new(member(|builder| builder)));
    log.attach(&bench);
    bench.grant(1, 1000);
    bench
        .lessor
        .promote(Duration::from_secs(600))
        .expect("the epoch is stored");
    bench.at_secs(300);
    assert!(log.take().is_empty(), "more remains than was granted");
    bench.at_secs(600);
    assert!(log.take().is_empty());
    bench.at_secs(900);
    assert_eq!(log.take()[0][0].remaining.map(Ttl::get), Some(700));
}

#[test]
fn due_checkpoints_come_in_batches_of_at_most_1000_and_1000_a_second() {
    let (log, bench) = (Log::default(), Arc::new(primary(|builder| builder)));
    log.attach(&bench);
    for number in 1..=2500 {
        bench.grant(number, 1000);
    }
    let mut sizes = Vec::new();
    for secs in 300..=303 {
        bench.at_secs(secs);
        sizes.push(log.take().iter().map(Vec::len).collect::<Vec<_>>());
    }
    assert_eq!(sizes, [vec![1000], vec![1000], vec![500], vec![]]);
}

/// A proposal whose outcome is unknown may still be applied: the lease is not renewed before it is
/// taken back, and it is proposed again an interval later.
#[test]
fn a_checkpointer_that_fails_or_panics_is_asked_again() {
    #[derive(Default)]
    struct Failures(Mutex<Vec<String>>);
    impl Observer for Failures {
        fn observe(&self, event: &LessorEvent<'_>) {
            if let LessorEvent::Failed(error) = event {
                let mut texts = self.0.lock().expect("no panic");
                texts.push(error.to_string());
            }
        }
    }
    let failures = Arc::new(Failures::default());
    let bench = Arc::new(primary(|builder| builder.observer(failures.clone())));
    bench.grant(1, 2000);
    bench
        .lessor
        .set_checkpointer(Arc::new(|_: &[Checkpoint], _: Duration| {
            Err("no leader".into())
        }));
    bench.at_secs(300);
    bench
        .lessor
        .set_checkpointer(Arc::new(|_: &[Checkpoint], _: Duration| panic!("no log")));
    bench.at_secs(600);
    let texts = failures.0.lock().expect("no panic").clone();
    assert_eq!(texts, ["checkpointer failed", "checkpointer failed"]);
    let log = Log::default();
    log.attach(&bench);
    bench.at_secs(900);
    assert_eq!(log.take()[0][0].remaining.map(Ttl::get), Some(1100));
    assert_eq!(bench.checkpointed_secs(1), Some(1100));
}

/// A log entry may name a lease more than once: each record sees what the one before it did.
#[test]
fn two_checkpoints_of_one_lease_in_one_command_apply_in_order() {
    let bench = primary(|builder| builder);
    bench.grant(1, 1000);
    let secs = |secs| Checkpoint::new(id(1), Some(Ttl::new(secs).expect("in range")));
    let records = vec![secs(7), Checkpoint::new(id(1), None), secs(5)];
    let answer = bench
        .lessor
        .apply(&Command::Checkpoint(records), WriteBatch::default());
    assert_eq!(answer, Ok(Answer::Checkpointed(vec![true; 3])));
    assert_eq!(bench.checkpointed_secs(1), Some(5));
    bench.assert_memory_is_disk();
}

#[test]
fn rates_and_batch_sizes_are_settings() {
    let config = LessorConfig {
        checkpoint_interval: Duration::from_secs(10),
        checkpoint_rate_per_sec: None,
        max_checkpoint_batch_size: NonZeroU32::new(2).expect("not zero"),
        ..LessorConfig::default()
    };
    let bench = Arc::new(primary(|builder| builder.config(config)));
    let log = Log::default();
    log.attach(&bench);
    for number in 1..=5 {
        bench.grant(number, 60);
    }
    bench.at_secs(10);
    let sizes: Vec<_> = log.take().iter().map(Vec::len).collect();
    assert_eq!(sizes, [2, 2, 1]);
}
