//! A host with a log of its own: it asks, proposes and reports.

use std::time::Duration;

use lease_core::{
    Answer, AttemptOutcome, Backend, CheckpointMode, Command, Epoch, LeaseError, LeaseId, Lessor,
    LessorConfig, ProposalOutcome, Renewal, Table, Timestamp, Ttl, WriteBatch,
};

use crate::{BATCHED, bench, id, items};

#[test]
fn a_host_that_polls_checkpoints_reports_what_became_of_them() {
    let bench = &bench(|builder| builder.checkpoints(CheckpointMode::Polled));
    bench.lessor.grant(id(1), 1000).expect("free");
    assert_eq!(bench.lessor.poll_checkpoints(), None);
    bench.advance(300);
    assert_eq!(bench.backend.rows()[0].remaining, None, "it was not asked");
    let lost = bench.lessor.poll_checkpoints().expect("due");
    assert_eq!(bench.lessor.stats().open_checkpoints, 1);
    assert!(matches!(
        bench.lessor.try_renew(id(1)),
        Ok(Renewal::Reset(_))
    ));
    bench
        .lessor
        .handle_checkpoints(&lost, ProposalOutcome::Failed);
    assert_eq!(bench.lessor.stats().open_checkpoints, 0);
    let again = Timestamp::from_secs(450);
    assert_eq!(bench.lessor.next_checkpoint(), Some(again));

    bench.advance(150);
    let batch = bench.lessor.poll_checkpoints().expect("due again");
    let command = Command::Checkpoint(batch.records.clone());
    let answer = bench.lessor.apply(&command, WriteBatch::default());
    assert_eq!(answer, Ok(Answer::Checkpointed(vec![true])));
    bench
        .lessor
        .handle_checkpoints(&batch, ProposalOutcome::Applied);
    assert_eq!(bench.lessor.stats().open_checkpoints, 0);
    let left = bench.backend.rows()[0].remaining;
    assert_eq!(left.map(Ttl::as_secs), Some(550));
    let nobody = bench.lessor.renew(id(1));
    assert!(matches!(nobody, Err(LeaseError::Checkpointer(_))));
}

#[test]
fn an_attempt_that_failed_is_followed_sooner() {
    let bench = bench(|builder| builder);
    let expired = bench.lessor.expired_leases();
    bench.lessor.grant(id(1), 10).expect("free");
    bench.advance(10);
    let batch = expired.try_recv().expect("due");
    bench.advance(0);
    let revocation = batch.revocations().next().expect("one");
    let fence = revocation.fence.expect("it is an expiry");
    bench
        .lessor
        .handle_attempt(id(1), fence, AttemptOutcome::Failed);
    bench.clock.advance(Duration::from_millis(750));
    bench.advance(0);
    let next = expired
        .try_recv()
        .expect("a quarter of three seconds later");
    assert_eq!(next.leases[0].attempt, 1);
}

#[test]
fn what_an_old_term_decided_changes_nothing() {
    let bench = bench(|builder| builder);
    let lessor = &bench.lessor;
    assert!(!lessor.promote_to(Epoch::new(5), Duration::ZERO), "early");
    let begin = Command::BeginEpoch(Epoch::new(5));
    let begun = lessor.apply(&begin, WriteBatch::default());
    assert_eq!(begun, Ok(Answer::Epoch(Ok(Epoch::new(5)))));
    assert!(lessor.promote_to(Epoch::new(5), Duration::ZERO));
    assert!(!lessor.promote_to(Epoch::new(4), Duration::ZERO));
    assert!(!lessor.demote_from(Epoch::new(4)));
    assert_eq!(lessor.primary_epoch(), Some(Epoch::new(5)));
    let lease = lessor.grant(id(1), 10).expect("free");
    assert_eq!(lease.remaining(), Some(Duration::from_secs(10)));
    assert!(lessor.demote_from(Epoch::new(5)));
    assert_eq!(lessor.primary_epoch(), None);
    assert!(lessor.grant(id(2), 10).expect("free").demoted());
    assert!(!lessor.demote_from(Epoch::new(6)), "it was none");
    assert_eq!(lessor.next_wakeup(), None);
}

#[test]
fn nothing_expires_while_the_host_restores() {
    let bench = bench(|builder| builder.suspend_expiry());
    let expired = bench.lessor.expired_leases();
    bench.lessor.grant(id(1), 10).expect("free");
    bench.advance(10);
    assert!(expired.try_recv().is_err());
    bench.lessor.resume_expiry();
    bench.lessor.suspend_expiry();
    bench.advance(1);
    assert!(expired.try_recv().is_err());
    bench.lessor.resume_expiry();
    bench.advance(0);
    assert!(expired.try_recv().is_ok());
}

#[test]
fn what_the_host_writes_is_committed_by_itself() {
    let table = Table::new("kv");
    let put = |value: &str| {
        let mut batch = WriteBatch::default();
        batch.put(table.clone(), "a", value);
        batch
    };
    let stored = |value: &str| Ok(Some(value.as_bytes().to_vec()));
    let every = bench(|builder| builder);
    every.lessor.write(put("1")).expect("it works");
    assert_eq!(every.backend.get(&table, b"a"), stored("1"));
    every.lessor.stop();
    assert_eq!(every.lessor.write(put("2")), Err(LeaseError::Stopped));
    assert_eq!(every.backend.get(&table, b"a"), stored("1"));

    let batched = bench(|builder| builder.durability(BATCHED));
    batched.lessor.tick();
    batched.lessor.flush().expect("the epoch of the promotion");
    batched.lessor.write(put("1")).expect("it waits");
    assert_eq!(batched.backend.get(&table, b"a"), Ok(None));
    let due = Timestamp::from_millis(100);
    assert_eq!(batched.lessor.next_wakeup(), Some(due));
    batched.advance(1);
    assert_eq!(batched.backend.get(&table, b"a"), stored("1"));
    batched.lessor.write(put("2")).expect("it waits");
    batched.lessor.stop();
    assert_eq!(batched.backend.get(&table, b"a"), stored("2"));
}

#[test]
fn questions_are_answered_by_the_handle_as_by_the_machine() {
    let config = LessorConfig {
        min_ttl: Ttl::new(5).expect("in range"),
        ..LessorConfig::default()
    };
    let bench = bench(|builder| builder.config(config));
    let lessor = &bench.lessor;
    assert_eq!(lessor.admit_ttl(1).map(Ttl::as_secs), Ok(5));
    assert_eq!(lessor.leases(), []);
    for (number, secs) in [(1, 30), (2, 1), (3, 20)] {
        lessor.grant(id(number), secs).expect("free");
    }
    lessor.attach(id(1), &items(&["a", "b"])).expect("there");
    lessor.detach(id(1), &items(&["a"])).expect("there");
    assert_eq!(lessor.get_lease(b"a"), None);
    let ids = |leases: &[lease_core::Lease]| -> Vec<LeaseId> {
        leases.iter().map(lease_core::Lease::id).collect()
    };
    let leases = lessor.leases();
    assert_eq!(ids(&leases), [id(2), id(3), id(1)], "as they expire");
    assert_eq!(leases[0].ttl().as_secs(), 5);
    assert_eq!(leases[2].keys(), items(&["b"]));
    let first = lessor.page(None, 2);
    let last = lessor.page(Some(first[1].id()), 2);
    let mut paged = ids(&[first, last].concat());
    paged.sort_unstable();
    assert_eq!(paged, [id(1), id(2), id(3)]);
}
