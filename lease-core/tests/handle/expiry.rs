//! Leases whose time is up, and those who wait for them.

use std::num::NonZeroU32;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use lease_core::{
    BackendLessor, BoxError, CheckpointMode, Driver, ExpiryMode, LeaseError, Lessor, LessorConfig,
    ManualClock, RangeDeleter, Renewal, Revoked, Table, TableDeleter, Ttl, TxnDelete, WriteBatch,
};

use crate::{Bench, bench, id, items};

/// A full channel delays a batch, and nothing is lost or delivered twice meanwhile.
#[test]
fn f09_a_full_channel_loses_nothing() {
    let config = LessorConfig {
        max_expired_batch_size: NonZeroU32::MIN,
        ..LessorConfig::default()
    };
    let bench = bench(|builder| builder.expired_capacity(2).config(config));
    for number in 1..=10 {
        bench.lessor.grant(id(number), number).expect("free");
    }
    let expired = bench.lessor.expired_leases();
    bench.advance(100);
    bench.advance(100);
    assert_eq!(bench.lessor.next_wakeup(), None, "it waits for room");
    let mut seen = Vec::new();
    while seen.len() < 10 {
        let batch = expired.try_recv().expect("there is always a next one");
        seen.extend(
            batch
                .leases
                .iter()
                .map(|lease| (lease.id.get(), lease.attempt)),
        );
        let answers = bench.lessor.revoke_expired(&batch);
        assert_eq!(answers, Ok(vec![Ok(Revoked::Done)]));
        bench.lessor.tick();
    }
    assert_eq!(seen, (1..=10).map(|number| (number, 0)).collect::<Vec<_>>());
    assert!(expired.try_recv().is_err());
    assert_eq!(bench.lessor.leases(), []);
}

#[test]
fn what_the_host_took_and_did_not_revoke_comes_again() {
    let bench = bench(|builder| builder);
    bench.lessor.grant(id(1), 10).expect("free");
    let expired = bench.lessor.expired_leases();
    bench.advance(10);
    bench.advance(100);
    let first = expired.try_recv().expect("due");
    assert!(expired.try_recv().is_err(), "one attempt at a time");
    bench.advance(2);
    assert!(expired.try_recv().is_err());
    bench.advance(1);
    let second = expired
        .try_recv()
        .expect("three seconds after it was taken");
    assert_eq!(second.leases[0].attempt, first.leases[0].attempt + 1);
    assert_eq!(
        bench.lessor.revoke_expired(&first),
        Ok(vec![Ok(Revoked::Done)])
    );
    let late = bench.lessor.revoke_expired(&second);
    assert_eq!(late, Ok(vec![Err(LeaseError::LeaseNotFound)]));
}

/// How late a lease is delivered counts from its own expiry, whatever made it late.
#[test]
fn a_lease_that_the_revoke_rate_puts_off_is_backlog_and_late() {
    let config = LessorConfig {
        revoke_rate_per_sec: Some(NonZeroU32::MIN),
        ..LessorConfig::default()
    };
    let bench = bench(|builder| builder.config(config));
    for number in 1..=4 {
        bench.lessor.grant(id(number), 10).expect("free");
    }
    bench.advance(10);
    assert_eq!(bench.lessor.stats().backlog, 3);
    bench.lessor.renew(id(2)).expect("it is throttled");
    bench.lessor.revoke(id(3)).expect("there");
    assert_eq!(bench.lessor.stats().backlog, 1);
    bench.advance(5);
    let batches = bench.lessor.expired_leases();
    let lags: Vec<_> = batches
        .try_iter()
        .flat_map(|batch| batch.leases)
        .map(|lease| (lease.id.get(), lease.lag.as_secs()))
        .collect();
    assert_eq!(lags, [(1, 0), (4, 5)]);
    assert_eq!(bench.lessor.stats().backlog, 0);
}

/// Leases that are renewed or revoked while they are throttled take no permit from those behind them.
#[test]
fn a_permit_that_nobody_needs_any_more_is_not_waited_for() {
    let config = LessorConfig {
        revoke_rate_per_sec: Some(NonZeroU32::MIN),
        ..LessorConfig::default()
    };
    let bench = bench(|builder| builder.config(config));
    for number in 1..=20 {
        bench.lessor.grant(id(number), 10).expect("free");
    }
    bench.lessor.grant(id(99), 11).expect("free");
    bench.advance(10);
    for number in 2..=20 {
        if number % 2 == 0 {
            bench.lessor.renew(id(number)).expect("it is throttled");
        } else {
            bench.lessor.revoke(id(number)).expect("there");
        }
    }
    bench.advance(1);
    let batches = bench.lessor.expired_leases();
    let leases = batches.try_iter().flat_map(|batch| batch.leases);
    let leases: Vec<_> = leases.map(|lease| (lease.id.get(), lease.lag)).collect();
    assert_eq!(leases, [(1, Duration::ZERO), (99, Duration::ZERO)]);
}

#[test]
fn auto_revoke_survives_failures() {
    let bench = bench(|builder| builder.expiry(ExpiryMode::AutoRevoke));
    bench.lessor.grant(id(1), 10).expect("free");
    bench.backend.store().fail_after = Some(0);
    bench.advance(10);
    assert!(bench.lessor.lookup(id(1)).is_some(), "the commit failed");
    assert_eq!(bench.lessor.try_renew(id(1)), Ok(Renewal::Expiring));
    bench.advance(1);
    assert_eq!(bench.lessor.lookup(id(1)), None);
    bench.assert_memory_is_disk();
}

/// With the shortest intervals, and a store that fails, a tick did not end.
#[test]
fn what_has_failed_is_not_tried_again_in_the_same_call() {
    let config = LessorConfig {
        expired_lease_retry_interval: Duration::ZERO,
        revoke_rate_per_sec: None,
        checkpoint_interval: Duration::ZERO,
        checkpoint_rate_per_sec: None,
        ..LessorConfig::default()
    };
    let revokes = bench(|builder| {
        let builder = builder.checkpoints(CheckpointMode::Polled);
        builder
            .config(config.clone())
            .expiry(ExpiryMode::AutoRevoke)
    });
    revokes.lessor.grant(id(1), 10).expect("free");
    revokes.backend.store().fail_after = Some(0);
    revokes.advance(10);
    assert!(revokes.lessor.lookup(id(1)).is_some(), "the commit failed");
    revokes.advance(1);
    assert_eq!(revokes.lessor.lookup(id(1)), None);

    let checkpoints = bench(|builder| builder.config(config));
    checkpoints.lessor.grant(id(1), 100).expect("free");
    checkpoints.backend.store().fail_after = Some(0);
    checkpoints.advance(10);
    assert_eq!(checkpoints.lessor.stats().checkpoints_proposed, 1);
    checkpoints.advance(1);
    assert_eq!(checkpoints.lessor.stats().checkpoints_applied, 1);
}

/// Checkpoints of a lessor without a host's log survive a restart.
#[test]
fn f24_a_restart_continues_with_what_remained() {
    let bench = bench(|builder| builder);
    bench.lessor.grant(id(1), 1000).expect("free");
    bench.advance(300);
    bench.advance(300);
    let lease = bench.lessor.lookup(id(1)).expect("there");
    assert_eq!(lease.checkpointed_remaining().map(Ttl::as_secs), Some(400));
    let restarted = BackendLessor::builder(bench.backend.clone())
        .clock(Arc::new(ManualClock::default()))
        .driver(Driver::Manual)
        .build()
        .expect("readable");
    assert!(restarted.lookup(id(1)).expect("recovered").demoted());
    restarted
        .promote(Duration::from_secs(1))
        .expect("the epoch is stored");
    let lease = restarted.lookup(id(1)).expect("recovered");
    assert_eq!(lease.remaining(), Some(Duration::from_secs(401)));
    assert!(restarted.primary_epoch() > bench.lessor.primary_epoch());
    assert_eq!(restarted.renew(id(1)).map(Ttl::as_secs), Ok(1000));
    let before = bench.lessor.grant(id(2), 1).expect("free").fencing_token();
    let after = restarted.grant(id(2), 1).expect("free").fencing_token();
    assert!(
        before.is_some() && after > before,
        "it grows across a restart"
    );
    let recovered = restarted.lookup(id(1)).expect("recovered");
    assert_eq!(recovered.fencing_token(), None, "it is not stored");
}

#[test]
fn f10_a_blocking_renewal_ends_by_its_deadline_or_with_the_lease() {
    let bench = bench(|builder| builder);
    for number in 1..=4 {
        bench.lessor.grant(id(number), 10).expect("free");
    }
    bench.advance(10);
    let timeout = Duration::from_millis(10);
    let late = bench.lessor.renew_timeout(id(1), timeout);
    assert_eq!(late, Err(LeaseError::DeadlineExceeded));
    assert_eq!(bench.lessor.stats().waiting, 0);

    let answer_after = |number: i64, end: &dyn Fn()| {
        thread::scope(|scope| {
            let renewal = scope.spawn(|| bench.lessor.renew(id(number)));
            while bench.lessor.stats().waiting == 0 {
                thread::yield_now();
            }
            end();
            renewal.join().expect("no panic")
        })
    };
    let revoked = answer_after(2, &|| bench.lessor.revoke(id(2)).expect("there"));
    assert_eq!(revoked, Err(LeaseError::LeaseNotFound));
    let demoted = answer_after(3, &|| bench.lessor.demote());
    assert_eq!(demoted, Err(LeaseError::NotPrimary));
    bench
        .lessor
        .promote(Duration::ZERO)
        .expect("the epoch is stored");
    bench.advance(10);
    let stopped = answer_after(4, &|| bench.lessor.stop());
    assert_eq!(stopped, Err(LeaseError::NotPrimary));
}

#[test]
fn renew_many_answers_for_each() {
    let bench = bench(|builder| builder);
    let ids: Vec<_> = (1..=600).map(id).collect();
    for id in &ids[1..] {
        bench.lessor.grant(*id, 60).expect("free");
    }
    let answers = bench.lessor.renew_many(&ids);
    assert_eq!(answers.len(), 600);
    assert_eq!(answers[0], Err(LeaseError::LeaseNotFound));
    assert!(
        answers[1..]
            .iter()
            .all(|one| matches!(one, Ok(Renewal::Renewed(_))))
    );
}

/// The driver waited behind a revoke that waited for another one, whose range deleter hung, and no
/// other lease expired meanwhile.
#[test]
fn an_expiry_waits_for_nobody_who_waits() {
    struct Hangs(Mutex<Option<Receiver<()>>>, Sender<()>, TableDeleter);
    impl RangeDeleter for Hangs {
        fn begin<'t>(
            &'t self,
            batch: &'t mut WriteBatch,
        ) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
            let hangs = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(may_go) = hangs {
                self.1.send(())?;
                may_go.recv()?;
            }
            self.2.begin(batch)
        }
    }
    let Bench { lessor, clock, .. } = bench(|builder| builder.expiry(ExpiryMode::AutoRevoke));
    let (go, may_go) = channel();
    let (enter, entered) = channel();
    let deleter = TableDeleter::new(Table::new("kv"));
    let hangs = Hangs(Mutex::new(Some(may_go)), enter, deleter);
    lessor.set_range_deleter(Arc::new(hangs));
    for (number, ttl) in [(1, 10), (2, 1000), (3, 20)] {
        lessor.grant(id(number), ttl).expect("free");
    }
    lessor.attach(id(2), &items(&["b"])).expect("there");
    lessor.tick();
    thread::scope(|scope| {
        let first = scope.spawn(|| lessor.revoke(id(2)));
        entered.recv().expect("it hangs in the deleter");
        let second = scope.spawn(|| lessor.revoke_many(&[id(1), id(2)]));
        while lessor.stats().waiting == 0 {
            thread::yield_now();
        }
        clock.advance(Duration::from_secs(20));
        lessor.tick();
        assert!(lessor.lookup(id(1)).is_some(), "another revoke has it");
        assert!(lessor.lookup(id(3)).is_none(), "it has expired");
        go.send(()).expect("the deleter waits");
        first.join().expect("no panic").expect("there");
        let second = second.join().expect("no panic").expect("it works");
        assert_eq!(second, [Ok(()), Err(LeaseError::LeaseNotFound)]);
    });
}
