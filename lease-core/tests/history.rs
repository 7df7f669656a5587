//! The failures of etcd's and Xline's lease code, each as a test of the state machine that would
//! have caught it. The numbers are those of docs/etcd-parity.md; `#n` is an issue of etcd.

#[path = "support/by_hand.rs"]
mod by_hand;

use std::num::NonZeroU32;
use std::time::Duration;

use lease_core::{
    AttemptOutcome, Checkpoint, Command, Epoch, ExpiredBatch, ExpiryFence, Grant, Incarnation,
    LeaseError, LeaseRow, LessorConfig, LessorCore, Promotion, ProposalOutcome, Renewal,
    Revocation, Revoked, TicketOutcome, Timestamp, WriteBatch,
};

use by_hand::{
    at, attach, checkpoint, detach, expired, grant, id, ids, primary, promote, revoke, ttl,
};

/// #12528, #15247: a stalled primary's expiries commit after another has taken over and renewed.
#[test]
fn f01_a_stale_primary_expires_nothing() {
    let mut old = primary(LessorConfig::default());
    let mut new = LessorCore::new(LessorConfig::default());
    for member in [&mut old, &mut new] {
        let grant = Grant {
            incarnation: Incarnation::supplied(7),
            ..Grant::new(id(1), ttl(10))
        };
        member.execute(
            Timestamp::ZERO,
            &Command::Grant(grant),
            &mut WriteBatch::default(),
        );
    }
    let stale = expired(&mut old, at(10));
    assert_eq!(ids(&stale), [1]);

    promote(&mut new, at(9), 2);
    assert_eq!(new.renew(at(9), id(1)), Ok(Renewal::Renewed(ttl(10))));
    old.execute(
        at(11),
        &Command::BeginEpoch(Epoch::new(2)),
        &mut WriteBatch::default(),
    );
    for member in [&mut old, &mut new] {
        for revocation in stale[0].revocations() {
            assert_eq!(revoke(member, &revocation), Ok(Revoked::Stale));
        }
        assert_eq!(member.len(), 1);
    }
}

/// A promote that is decided before a demote and runs after it leaves a primary for ever.
#[test]
fn f02_a_late_promote_changes_nothing() {
    let mut lessor = LessorCore::new(LessorConfig::default());
    lessor.demote(Epoch::new(3));
    for epoch in [1, 3] {
        let late = lessor.promote(at(1), Epoch::new(epoch), Duration::ZERO);
        assert!(matches!(late, Promotion::Ignored));
    }
    assert!(!lessor.is_primary());
    promote(&mut lessor, at(1), 5);
    assert!(matches!(lessor.demote(Epoch::new(4)), Promotion::Ignored));
    assert!(lessor.is_primary());
    assert_eq!(lessor.next_epoch(), Epoch::new(6));
    lessor.demote(Epoch::new(8));
    assert_eq!(lessor.next_epoch(), Epoch::new(9), "8 is used up");

    let mut rows = WriteBatch::default();
    for epoch in [1, 4, 5] {
        lessor.execute(
            Timestamp::ZERO,
            &Command::BeginEpoch(Epoch::new(epoch)),
            &mut rows,
        );
        assert!(rows.is_empty(), "the epoch of the log is 5 already");
    }
    lessor.execute(
        Timestamp::ZERO,
        &Command::BeginEpoch(Epoch::new(6)),
        &mut rows,
    );
    assert_eq!(rows.epoch(), Some(Epoch::new(6)));
}

/// A late duplicate of a revoke or checkpoint hits the lease that has the id by now.
#[test]
fn f03_a_reused_id_is_another_lease() {
    let mut lessor = primary(LessorConfig::default());
    grant(&mut lessor, at(0), 1, 1000);
    lessor.handle_timeout(at(900));
    let checkpoints = lessor.poll_checkpoints(at(900)).expect("due");
    let batches = expired(&mut lessor, at(1000));
    let revocation = batches[0].revocations().next().expect("one");
    assert_eq!(revoke(&mut lessor, &revocation), Ok(Revoked::Done));

    grant(&mut lessor, at(1001), 1, 1000);
    assert_eq!(revoke(&mut lessor, &revocation), Ok(Revoked::Stale));
    assert!(!checkpoint(&mut lessor, &checkpoints.records[0]));
    let lease = lessor.lookup(at(1001), id(1)).expect("alive");
    assert_eq!(lease.checkpointed_remaining(), None);
}

/// #20590, #21389: a renewal is acknowledged for a lease whose revoke is on its way.
#[test]
fn f04_a_lease_that_was_delivered_is_not_renewed() {
    let mut lessor = primary(LessorConfig::default());
    grant(&mut lessor, at(0), 1, 10);
    let late = lessor.renew(at(10), id(1));
    assert_eq!(late, Ok(Renewal::Expiring), "its time is up already");
    let batches = expired(&mut lessor, at(10));
    assert_eq!(lessor.renew(at(10), id(1)), Ok(Renewal::Expiring));
    let revocation = batches[0].revocations().next().expect("one");
    assert_eq!(revoke(&mut lessor, &revocation), Ok(Revoked::Done));
    assert_eq!(lessor.renew(at(10), id(1)), Err(LeaseError::LeaseNotFound));
}

/// A renewal that had to wait does not look whether it is still on the primary.
#[test]
fn f05_a_renewal_that_goes_on_asks_again_who_is_primary() {
    let mut lessor = primary(LessorConfig::default());
    grant(&mut lessor, at(0), 1, 1000);
    checkpoint(&mut lessor, &Checkpoint::new(id(1), Some(ttl(5))));
    assert!(matches!(lessor.renew(at(1), id(1)), Ok(Renewal::Reset(_))));
    lessor.demote(Epoch::new(1));
    checkpoint(&mut lessor, &Checkpoint::new(id(1), None));
    assert_eq!(lessor.renew(at(1), id(1)), Err(LeaseError::NotPrimary));
}

/// A checkpoint computed before a renewal, applied after it, shortens the lease at a failover.
#[test]
fn f06_a_renewal_outlives_every_checkpoint_that_was_computed_before() {
    let mut lessor = primary(LessorConfig::default());
    grant(&mut lessor, at(0), 1, 301);
    lessor.handle_timeout(at(300));
    let late = lessor.poll_checkpoints(at(300)).expect("due").records[0];
    assert_eq!(late.remaining, Some(ttl(1)));

    // The proposal is under way: the renewal is not acknowledged before it is voided.
    let Ok(Renewal::Reset(reset)) = lessor.renew(at(300), id(1)) else {
        panic!("renewed although a checkpoint is on its way");
    };
    assert!(checkpoint(&mut lessor, &reset));
    assert_eq!(lessor.renew(at(300), id(1)), Ok(Renewal::Renewed(ttl(301))));
    assert!(
        !checkpoint(&mut lessor, &late),
        "it comes too late to mean anything"
    );

    promote(&mut lessor, at(300), 2);
    assert!(expired(&mut lessor, at(600)).is_empty());
    assert_eq!(ids(&expired(&mut lessor, at(601))), [1]);
}

/// With an unkeyed schedule, a lease of 3,600 s renewed each minute causes 47,000 records a day.
#[test]
fn f07_renewals_do_not_multiply_checkpoints() {
    let mut lessor = primary(LessorConfig::default());
    grant(&mut lessor, at(0), 1, 3600);
    for minute in 1..=24 * 60 {
        let now = at(minute * 60);
        assert!(expired(&mut lessor, now).is_empty());
        assert_eq!(lessor.poll_checkpoints(now), None, "it is always fresh");
        assert_eq!(lessor.renew(now, id(1)), Ok(Renewal::Renewed(ttl(3600))));
        lessor.check_invariants();
    }
    assert_eq!(lessor.stats().checkpoints_proposed, 0);
}

/// A lease of 900 s renewed every 300 s is never checkpointed again after one skipped record, nor
/// one whose proposal failed once.
#[test]
fn f08_a_checkpoint_that_was_skipped_or_failed_comes_again() {
    let mut lessor = primary(LessorConfig::default());
    grant(&mut lessor, at(0), 1, 900);
    lessor.handle_timeout(at(0));
    assert_eq!(lessor.next_checkpoint(), Some(at(300)));
    assert_eq!(lessor.next_wakeup(), Some(at(300)), "before the expiry");
    for renewal in 1..=3 {
        lessor.handle_timeout(at(renewal * 300));
        assert_eq!(
            lessor.renew(at(renewal * 300), id(1)),
            Ok(Renewal::Renewed(ttl(900)))
        );
        assert_eq!(lessor.poll_checkpoints(at(renewal * 300)), None);
    }
    let first = lessor
        .poll_checkpoints(at(1200))
        .expect("renewed 300 s ago");
    assert_eq!(first.records[0].remaining, Some(ttl(600)));
    lessor.handle_checkpoints(at(1201), &first, ProposalOutcome::Failed);
    assert_eq!(lessor.poll_checkpoints(at(1350)), None);
    let second = lessor
        .poll_checkpoints(at(1351))
        .expect("half an interval later");
    assert_eq!(second.records[0].remaining, Some(ttl(449)));
}

/// #9935, #10693: an expired lease whose revoke fails is dropped; and retries pile up.
#[test]
fn f09_an_expired_lease_is_delivered_until_it_is_revoked_and_never_twice_at_once() {
    let mut lessor = primary(LessorConfig::default());
    grant(&mut lessor, at(0), 1, 10);
    let first = expired(&mut lessor, at(10));
    assert_eq!(ids(&first), [1]);
    for untaken in [13, 16, 100] {
        assert!(
            expired(&mut lessor, at(untaken)).is_empty(),
            "it still waits for the host"
        );
    }
    lessor.handle_taken(at(102), &first[0]);
    for taken in [103_000, 104_999] {
        let now = Timestamp::from_millis(taken);
        assert!(expired(&mut lessor, now).is_empty(), "the host is at it");
    }
    let second = expired(&mut lessor, at(105));
    assert_eq!(second[0].leases[0].attempt, 1);

    // An attempt that is known to have failed is followed by the next in a quarter of the time.
    let revocation = second[0].revocations().next().expect("one");
    let fence = revocation.fence.expect("it is an expiry");
    lessor.handle_attempt(at(106), id(1), fence, AttemptOutcome::Unknown);
    let of_another = ExpiryFence {
        incarnation: Incarnation::from_wire(77),
        ..fence
    };
    lessor.handle_attempt(at(106), id(1), of_another, AttemptOutcome::Failed);
    assert!(expired(&mut lessor, at(107)).is_empty());
    // What is reported while the attempt still waits for the host is about one before it.
    lessor.handle_attempt(at(107), id(1), fence, AttemptOutcome::Failed);
    lessor.handle_taken(at(107), &second[0]);
    assert!(expired(&mut lessor, at(109)).is_empty());
    lessor.handle_attempt(at(109), id(1), fence, AttemptOutcome::Failed);
    assert!(expired(&mut lessor, Timestamp::from_millis(109_749)).is_empty());
    let third = expired(&mut lessor, Timestamp::from_millis(109_750));
    assert_eq!(third[0].leases[0].attempt, 2);

    // A report that comes late does not put the next attempt off.
    lessor.handle_taken(at(110), &third[0]);
    lessor.handle_attempt(
        Timestamp::from_millis(112_900),
        id(1),
        fence,
        AttemptOutcome::Failed,
    );
    assert!(expired(&mut lessor, Timestamp::from_millis(112_999)).is_empty());
    assert_eq!(expired(&mut lessor, at(113))[0].leases[0].attempt, 3);
}

/// The lessor asks to be woken for the next attempt at what the host has taken, and for nothing that
/// it has not.
#[test]
fn what_is_delivered_is_tried_again_when_the_host_has_had_its_time() {
    let mut lessor = primary(LessorConfig::default());
    let wakeup = |lessor: &LessorCore| {
        let wakeup = lessor.next_wakeup();
        wakeup.map(|wakeup| wakeup.as_nanos() / 1_000_000)
    };
    grant(&mut lessor, at(0), 1, 10);
    let first = expired(&mut lessor, at(10));
    assert_eq!(wakeup(&lessor), None, "the host has not taken it");
    grant(&mut lessor, Timestamp::from_millis(10_200), 2, 1);
    assert!(expired(&mut lessor, Timestamp::from_millis(10_375)).is_empty());
    lessor.handle_taken(Timestamp::from_millis(10_750), &first[0]);
    assert_eq!(wakeup(&lessor), Some(11_200), "the other lease");
    let second = expired(&mut lessor, Timestamp::from_millis(11_200));
    assert_eq!(wakeup(&lessor), Some(13_750));
    lessor.handle_taken(Timestamp::from_millis(11_575), &second[0]);
    lessor.handle_taken(Timestamp::from_millis(12_000), &first[0]);
    assert_eq!(wakeup(&lessor), Some(13_750), "taken once");
    for revocation in first
        .iter()
        .chain(&second)
        .flat_map(ExpiredBatch::revocations)
    {
        let revoked = revoke(&mut lessor, &revocation);
        assert_eq!(revoked, Ok(Revoked::Done));
    }
    assert_eq!(lessor.next_wakeup(), None);

    // Revoked by somebody else before the host has taken anything.
    grant(&mut lessor, at(12), 3, 1);
    assert_eq!(ids(&expired(&mut lessor, at(13))), [3]);
    let by_user = Revocation::by_user(id(3));
    let revoked = revoke(&mut lessor, &by_user);
    assert_eq!(revoked, Ok(Revoked::Done));
    assert_eq!(lessor.next_wakeup(), None);
}

/// A revoke that fails after the lease's time was up leaves it unexpired for a while.
#[test]
fn a_lease_whose_revoke_fails_expires_as_if_nothing_had_been() {
    for (decided, is_delivered) in [(5, false), (10, true)] {
        let mut lessor = primary(LessorConfig::default());
        grant(&mut lessor, at(0), 1, 10);
        let delivered = ids(&expired(&mut lessor, at(decided)));
        assert_eq!(delivered.is_empty(), !is_delivered);
        let revoke = Command::from(Revocation::by_user(id(1)));
        let decision = lessor.decide(revoke.clone(), &mut WriteBatch::default());
        let decision = decision.expect("nothing stands in the way");
        // What is not written has not happened.
        let renewal = lessor.renew(at(decided), id(1));
        assert_eq!(renewal == Ok(Renewal::Expiring), is_delivered);
        let waiting = lessor.wait_for(id(1)).expect("there");
        assert_eq!(lessor.abandon(decision), revoke);
        assert_eq!(lessor.poll_ticket(), None, "nothing has become of it");
        lessor.cancel_ticket(waiting);
        lessor.check_invariants();
        let again = ids(&expired(&mut lessor, at(15)));
        assert_eq!(again.is_empty(), is_delivered, "once at a time");
    }
}

/// A renewal of an expired lease waits without end, or past a demotion.
#[test]
fn f10_every_wait_ends() {
    let mut lessor = primary(LessorConfig::default());
    grant(&mut lessor, at(0), 1, 10);
    expired(&mut lessor, at(10));
    let [first, second, third] = [(); 3].map(|()| lessor.wait_for(id(1)).expect("it is there"));
    lessor.cancel_ticket(second);
    assert!(!lessor.has_ticket_outcomes());
    lessor.demote(Epoch::new(1));
    assert!(lessor.has_ticket_outcomes());
    let outcomes: Vec<_> = std::iter::from_fn(|| lessor.poll_ticket()).collect();
    assert_eq!(
        outcomes
            .iter()
            .map(|(ticket, _)| *ticket)
            .collect::<Vec<_>>(),
        [first, third]
    );
    assert_eq!(lessor.stats().waiting, 0);

    assert_eq!(lessor.wait_for(id(1)), None, "nobody will know here");
    promote(&mut lessor, at(10), 2);
    let late = lessor.wait_for(id(1)).expect("it is there");
    lessor.release_waiters();
    let outcome = TicketOutcome::NotPrimary;
    assert_eq!(lessor.poll_ticket(), Some((late, outcome)));
    assert!(!lessor.has_ticket_outcomes());
}

/// #9496, #9699: promoting millions of leases takes longer than an election.
#[test]
fn f12_a_promotion_is_built_in_slices_and_serves_at_once() {
    let mut lessor = LessorCore::new(LessorConfig::default());
    for number in 1..=100_000 {
        grant(&mut lessor, at(0), number, 10);
    }
    promote(&mut lessor, at(0), 1);
    assert_eq!(
        lessor.stats().expiry_entries,
        0,
        "nothing was done for any lease yet"
    );
    assert_eq!(
        lessor.renew(at(5), id(99_999)),
        Ok(Renewal::Renewed(ttl(10)))
    );
    assert_eq!(lessor.stats().renewed, 1);
    let mut slices = 0;
    while lessor.next_wakeup().is_some_and(|next| next <= at(5)) {
        let before = lessor.stats().expiry_entries;
        lessor.handle_timeout(at(5));
        assert!(lessor.stats().expiry_entries - before <= 4096);
        slices += 1;
        assert!(slices < 1_000, "the scheduling ends");
    }
    assert!(slices > 20);
    lessor.check_invariants();
    assert_eq!(lessor.stats().expiry_entries, 100_000);
    lessor.demote(Epoch::new(1));
    assert_eq!(lessor.stats().expiry_entries, 0);
}

/// #8096, #8097, and the spreading that gives 1,500 a second at a limit of 1,000.
#[test]
fn f13_a_pile_up_after_a_promotion_is_spread_exactly() {
    let config = LessorConfig {
        max_expired_batch_size: NonZeroU32::MAX,
        ..LessorConfig::default()
    };
    let mut lessor = LessorCore::new(config);
    let ttls = [
        (10, 1..=10_000),
        (15, 10_001..=10_001),
        (19, 10_002..=13_001),
    ];
    for (secs, numbers) in ttls {
        for number in numbers {
            grant(&mut lessor, at(0), number, secs);
        }
    }
    promote(&mut lessor, at(0), 1);
    let mut due = Vec::new();
    let mut now = at(0);
    while due.len() < 13_001 {
        for batch in expired(&mut lessor, now) {
            for lease in &batch.leases {
                let own = if lease.id.get() <= 10_000 { 10 } else { 15 };
                assert!(now >= at(own), "{} before its own expiry", lease.id);
                due.push(now);
            }
            for revocation in batch.revocations() {
                assert_eq!(revoke(&mut lessor, &revocation), Ok(Revoked::Done));
            }
        }
        if due.len() < 13_001 {
            let next = lessor.next_wakeup().expect("more is due");
            assert!(next > now, "all that is due was delivered");
            now = next;
        }
    }
    for window in due.windows(1001) {
        let span = window[1000].saturating_duration_since(window[0]);
        assert!(
            span >= Duration::from_secs(1),
            "1,001 leases within {span:?}"
        );
    }
    assert_eq!(due.last(), Some(&at(23)), "no slower than the rate either");
}

/// #12535, #13676: negative ids are lost at recovery. #9374: TTLs overflow.
#[test]
fn f16_any_id_and_any_ttl_survive_recovery_and_the_end_of_time() {
    let mut lessor = LessorCore::new(LessorConfig::default());
    for number in [i64::MIN, -1, 1, i64::MAX] {
        grant(&mut lessor, Timestamp::MAX, number, 9_000_000_000);
    }
    let mut recovery = lessor.begin_recovery();
    let rows = lessor.rows();
    assert_eq!(rows.len(), 4);
    for row in &rows {
        recovery.insert(row).expect("each once");
    }
    assert_eq!(recovery.insert(&rows[0]), Err(LeaseError::LeaseExists));
    lessor.finish_recovery(recovery, Epoch::ZERO);
    assert_eq!(lessor.rows(), rows);
    promote(&mut lessor, Timestamp::MAX, 1);
    assert!(expired(&mut lessor, Timestamp::MAX).is_empty());
    assert!(matches!(
        lessor.renew(Timestamp::MAX, id(-1)),
        Ok(Renewal::Renewed(_))
    ));
    lessor.check_invariants();
}

/// Attach does not detach from the lease that had the item: revoking that one deletes it.
#[test]
fn f17_a_moved_item_belongs_to_one_lease() {
    let mut lessor = LessorCore::new(LessorConfig::default());
    grant(&mut lessor, at(0), 1, 10);
    grant(&mut lessor, at(0), 2, 10);
    attach(&mut lessor, 1, &["key"]).expect("there");
    attach(&mut lessor, 2, &["key"]).expect("there");
    detach(&mut lessor, 1, &["key"]).expect("there");
    assert_eq!(lessor.items(id(1)), []);
    assert_eq!(lessor.items(id(2)), ["key".into()]);
    assert_eq!([1, 2].map(|n| lessor.has_items(id(n))), [false, true]);
    assert_eq!(
        revoke(&mut lessor, &Revocation::by_user(id(1))),
        Ok(Revoked::Done)
    );
    assert_eq!(lessor.get_lease(b"key"), Some(id(2)));
    lessor.check_invariants();
}

/// Recovering a primary keeps its old queues and waiters.
#[test]
fn f18_recovery_starts_from_nothing() {
    let mut lessor = primary(LessorConfig::default());
    grant(&mut lessor, at(0), 1, 10);
    expired(&mut lessor, at(10));
    lessor.wait_for(id(1)).expect("there");
    let mut recovery = lessor.begin_recovery();
    recovery
        .insert(&LeaseRow::new(id(2), ttl(5)))
        .expect("once");
    lessor.finish_recovery(recovery, Epoch::new(9));
    assert!(lessor.poll_ticket().is_some(), "the waiter was answered");
    assert!(!lessor.is_primary());
    assert_eq!(lessor.next_wakeup(), None);
    assert_eq!(lessor.len(), 1);
    assert!(matches!(
        lessor.promote(at(11), Epoch::new(8), Duration::ZERO),
        Promotion::Ignored
    ));
    lessor.check_invariants();
}

/// A minimum TTL that is applied by each member from its own configuration makes them diverge.
#[test]
fn f19_members_with_different_minimums_hold_the_same_leases() {
    let small = LessorConfig::default();
    let large = LessorConfig {
        min_ttl: ttl(60),
        ..LessorConfig::default()
    };
    assert_eq!(large.admit_ttl(-5), Ok(ttl(60)));
    let command = Command::Grant(Grant::new(id(1), small.admit_ttl(5).expect("in range")));
    let rows = [small, large].map(|config| {
        let mut member = LessorCore::new(config);
        let mut rows = WriteBatch::default();
        member.execute(at(0), &command, &mut rows);
        let mut recovery = member.begin_recovery();
        recovery.insert(&member.rows()[0]).expect("once");
        member.finish_recovery(recovery, Epoch::ZERO);
        (rows, member.rows())
    });
    assert_eq!(rows[0], rows[1]);
}

/// #11495: a lease that is gone keeps its entries until they are due.
#[test]
fn f20_churn_leaves_nothing_behind() {
    let mut lessor = primary(LessorConfig::default());
    for number in 1..=20_000 {
        let now = Timestamp::from_millis(number as u64);
        grant(&mut lessor, now, number, 3600);
        attach(&mut lessor, number, &["key"]).expect("there");
        assert_eq!(
            revoke(&mut lessor, &Revocation::by_user(id(number))),
            Ok(Revoked::Done)
        );
    }
    lessor.handle_timeout(at(20));
    let stats = lessor.stats();
    assert_eq!((stats.leases, stats.items, stats.expiry_entries), (0, 0, 0));
    assert_eq!(lessor.next_wakeup(), None);
}

/// #6700, #12291: a clock that jumps; a deadline that overflows.
#[test]
fn f21_time_goes_neither_back_nor_round() {
    let mut lessor = primary(LessorConfig::default());
    grant(&mut lessor, at(100), 1, 10);
    assert!(expired(&mut lessor, at(1)).is_empty());
    let lease = lessor.lookup(at(1), id(1)).expect("there");
    assert_eq!(
        lease.remaining(),
        Some(Duration::from_secs(10)),
        "time stood still"
    );
    assert!(lessor.stats().clock_regressions > 0);
    grant(&mut lessor, Timestamp::MAX, 2, 9_000_000_000);
    assert_eq!(ids(&expired(&mut lessor, Timestamp::MAX)), [1]);
}

/// gardener/etcd-backup-restore#1045: leases expire while their keys are still being restored.
#[test]
fn f23_nothing_expires_before_the_host_is_ready() {
    let mut lessor = LessorCore::new(LessorConfig::default());
    grant(&mut lessor, at(0), 1, 1);
    assert_eq!(
        lessor.next_wakeup(),
        None,
        "a member that is no primary has no time"
    );
    assert!(!lessor.is_expiry_suspended());
    lessor.suspend_expiry();
    assert!(lessor.is_expiry_suspended());
    promote(&mut lessor, at(0), 1);
    assert!(expired(&mut lessor, at(1000)).is_empty());
    assert_eq!(lessor.next_expiry(), None);
    assert_eq!(lessor.renew(at(1000), id(1)), Ok(Renewal::Renewed(ttl(1))));
    lessor.resume_expiry();
    assert_eq!(ids(&expired(&mut lessor, at(1001))), [1]);
}

/// Xline: the row of a lease without keys outlives it, and the remaining TTL does not outlive a
/// restart.
#[test]
fn f24_rows_tell_the_truth() {
    let mut lessor = primary(LessorConfig::default());
    let mut rows = WriteBatch::default();
    for number in [1, 2] {
        grant(&mut lessor, at(0), number, 1000);
    }
    let revoke = Revocation::by_user(id(1)).into();
    let checkpoint = Checkpoint::new(id(2), Some(ttl(400))).into();
    for command in [revoke, checkpoint] {
        lessor.execute(at(1), &command, &mut rows);
    }
    let writes: Vec<_> = rows.leases().iter().map(|write| write.id()).collect();
    assert_eq!(writes, [id(1), id(2)]);

    let mut restarted = LessorCore::new(LessorConfig::default());
    let mut recovery = restarted.begin_recovery();
    recovery.insert(&lessor.rows()[0]).expect("once");
    restarted.finish_recovery(recovery, Epoch::ZERO);
    promote(&mut restarted, at(0), 1);
    assert!(expired(&mut restarted, at(399)).is_empty());
    assert_eq!(ids(&expired(&mut restarted, at(400))), [2]);
}
