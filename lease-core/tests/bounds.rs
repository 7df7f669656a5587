//! What the state machine does with bad input, and how much it does at once.

#[path = "support/by_hand.rs"]
mod by_hand;

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use lease_core::{
    Answer, Checkpoint, Command, Epoch, Grant, Incarnation, LeaseError, LeaseId, LeaseIdError,
    LessorConfig, LessorCore, Renewal, Revocation, Revoked, Timestamp, Ttl, WriteBatch,
};

use by_hand::{
    at, attach, checkpoint, detach, execute, expired, grant, id, primary, revoke, try_grant, ttl,
};

/// Bad input is answered, not paniced over.
#[test]
fn bad_input_gets_a_clear_error() {
    let mut lessor = primary(LessorConfig {
        max_leases: Some(1),
        max_items_per_lease: Some(1),
        ..LessorConfig::default()
    });
    assert_eq!(LeaseId::try_from(0), Err(LeaseIdError::Zero));
    assert_eq!(
        lessor.config().admit_ttl(9_000_000_001),
        Err(LeaseError::LeaseTtlTooLarge)
    );
    assert_eq!(lessor.config().admit_ttl(i64::MIN), Ok(Ttl::MIN));
    let counted = Grant {
        incarnation: Some(Incarnation::from_wire(u64::MAX)),
        ..Grant::new(id(1), Ttl::MIN)
    };
    assert_eq!(
        try_grant(&mut lessor, at(0), counted),
        Err(LeaseError::IncarnationOutOfRange)
    );
    grant(&mut lessor, at(0), 1, 10);
    let again = Grant::new(id(1), Ttl::MIN);
    assert_eq!(
        try_grant(&mut lessor, at(0), again),
        Err(LeaseError::LeaseExists)
    );
    let more = Grant::new(id(2), Ttl::MIN);
    assert_eq!(
        try_grant(&mut lessor, at(0), more),
        Err(LeaseError::TooManyLeases)
    );
    assert_eq!(attach(&mut lessor, 1, &[]), Ok(()));
    assert_eq!(attach(&mut lessor, 1, &["", ""]), Ok(()));
    assert_eq!(
        attach(&mut lessor, 1, &["x"]),
        Err(LeaseError::TooManyItems)
    );
    assert_eq!(lessor.get_lease(b"x"), None, "all or nothing");
    for number in [7, -7] {
        let unknown = id(number);
        let not_found = Err(LeaseError::LeaseNotFound);
        assert_eq!(attach(&mut lessor, number, &["a"]), not_found);
        assert_eq!(detach(&mut lessor, number, &["a"]), not_found);
        assert_eq!(
            revoke(&mut lessor, &Revocation::by_user(unknown)).map(drop),
            not_found
        );
        assert_eq!(lessor.renew(at(0), unknown).map(drop), not_found);
        assert_eq!(lessor.lookup(at(0), unknown), None);
        assert!(!checkpoint(&mut lessor, &Checkpoint::new(unknown, None)));
        assert_eq!(lessor.wait_for(unknown), None);
    }
}

/// The order of a listing by pages depends on nothing but the ids.
#[test]
fn pages_cover_all_leases_once() {
    let mut lessor = LessorCore::new(LessorConfig::default());
    for number in 1..=1000 {
        grant(&mut lessor, at(0), number, 10);
    }
    let mut seen = BTreeSet::new();
    let mut after = None;
    loop {
        let page = lessor.page(at(0), after, 64);
        let Some(last) = page.last() else { break };
        after = Some(last.id());
        for lease in &page {
            assert!(seen.insert(lease.id()), "{} twice", lease.id());
        }
    }
    assert_eq!(seen.len(), 1000);
    assert!(lessor.page(at(0), None, 0).is_empty());
}

/// A host that holds a lock around a call must not hold it for all leases.
#[test]
fn one_call_does_a_bounded_amount_of_work() {
    let mut lessor = primary(LessorConfig::default());
    lessor.handle_timeout(at(0));
    let all = 1..=20_000;
    for number in all.clone() {
        grant(&mut lessor, at(0), number, 900);
    }
    for number in all {
        let renewed = lessor.renew(at(299), id(number));
        assert_eq!(renewed, Ok(Renewal::Renewed(ttl(900))));
    }
    // Every entry is out of date, and there is nothing to deliver.
    let mut calls = 0;
    while lessor.next_checkpoint().is_some_and(|next| next <= at(300)) {
        assert_eq!(lessor.poll_checkpoints(at(300)), None);
        calls += 1;
    }
    assert!((5..100).contains(&calls), "{calls} calls");
    let mut calls = 0;
    while lessor.next_expiry().is_some_and(|next| next <= at(900)) {
        assert_eq!(lessor.poll_expired(at(900)), None);
        calls += 1;
    }
    assert!((5..100).contains(&calls), "{calls} calls");
    lessor.check_invariants();
}

/// A leader that checkpoints all leases at once floods its log.
#[test]
fn checkpoints_keep_to_their_rate_and_size() {
    let mut lessor = primary(LessorConfig {
        checkpoint_rate_per_sec: NonZeroU32::new(5),
        max_checkpoint_batch_size: NonZeroU32::new(3).expect("not zero"),
        ..LessorConfig::default()
    });
    for number in 1..=12 {
        grant(&mut lessor, at(0), number, 1000);
    }
    lessor.handle_timeout(at(0));
    let mut sizes = Vec::new();
    for second in 300..303 {
        for _ in 0..10 {
            let batch = lessor.poll_checkpoints(at(second));
            sizes.extend(batch.map(|batch| (second, batch.records.len())));
        }
    }
    assert_eq!(sizes, [(300, 3), (300, 2), (301, 3), (301, 2), (302, 2)]);
    lessor.check_invariants();
}

/// A host may report what became of a decision after a recovery has made it void.
#[test]
fn a_void_decision_changes_nothing() {
    let mut lessor = primary(LessorConfig::default());
    assert!(lessor.is_empty());
    grant(&mut lessor, at(0), 1, 10);
    let decide = |lessor: &mut LessorCore, command: Command| {
        let decided = lessor.decide(command, &mut WriteBatch::default());
        decided.expect("nothing stands in the way")
    };
    let revoke_1 = decide(&mut lessor, Revocation::by_user(id(1)).into());
    let grant_2 = decide(&mut lessor, Grant::new(id(2), ttl(10)).into());
    let mut recovery = lessor.begin_recovery();
    recovery.insert(&lessor.rows()[0]).expect("once");
    lessor.finish_recovery(recovery, Epoch::new(1));
    // Decided against the new state: the same lease is free to be revoked again.
    let again = decide(&mut lessor, Revocation::by_user(id(1)).into());
    lessor.apply(at(1), revoke_1);
    assert_eq!(lessor.len(), 1);
    let command = lessor.abandon(grant_2);
    let busy = lessor.decide(
        Revocation::by_user(id(1)).into(),
        &mut WriteBatch::default(),
    );
    assert!(busy.is_err(), "what is void gives no claim back");
    lessor.apply(at(1), again);
    assert_eq!((lessor.len(), lessor.stats().granted), (0, 1));
    assert_eq!(command, Grant::new(id(2), ttl(10)).into());
    lessor.check_invariants();
}

/// What would be refused only because of a grant that may fail waits for that.
#[test]
fn a_limit_counts_what_is_there_and_waits_for_what_may_be() {
    let mut lessor = primary(LessorConfig {
        max_leases: Some(2),
        ..LessorConfig::default()
    });
    grant(&mut lessor, at(0), 1, 10);
    let rows = &mut WriteBatch::default();
    let second = lessor.decide(Grant::new(id(2), ttl(10)).into(), rows);
    let second = second.expect("nothing stands in the way");
    assert!(
        lessor
            .decide(Grant::new(id(3), ttl(10)).into(), rows)
            .is_err()
    );
    let _ = lessor.abandon(second);
    grant(&mut lessor, at(0), 3, 10);
    let refused = execute(&mut lessor, at(0), Grant::new(id(2), ttl(10)));
    assert_eq!(refused, Answer::Granted(Err(LeaseError::TooManyLeases)));
}

/// Tokens grow though the decisions that counted them come to nothing.
#[test]
fn a_number_that_is_counted_is_given_once() {
    let mut lessor = primary(LessorConfig::default());
    let rows = &mut WriteBatch::default();
    let mut decide = |lessor: &mut LessorCore, number| {
        let decided = lessor.decide(Grant::new(id(number), ttl(10)).into(), rows);
        decided.expect("nothing stands in the way")
    };
    let [first, second] = [1, 2].map(|number| decide(&mut lessor, number));
    let _ = lessor.abandon(first);
    let third = decide(&mut lessor, 3);
    let granted = [second, third].map(|one| lessor.apply(at(0), one));
    let later = grant(&mut lessor, at(0), 4, 10);
    let tokens = granted.map(|answer| match answer {
        Answer::Granted(Ok(incarnation)) => incarnation,
        other => panic!("{other:?}"),
    });
    assert!(tokens[0] < tokens[1] && tokens[1] < later, "{tokens:?}");
}

#[test]
fn an_epoch_that_leaves_no_room_is_refused() {
    let mut lessor = primary(LessorConfig::default());
    let last = execute(&mut lessor, at(0), Command::BeginEpoch(Epoch::MAX));
    assert_eq!(last, Answer::Epoch(Ok(Epoch::MAX)));
    let beyond = Command::BeginEpoch(lessor.next_epoch());
    let refused = execute(&mut lessor, at(0), beyond);
    assert_eq!(refused, Answer::Epoch(Err(LeaseError::EpochOutOfRange)));
    assert_eq!(lessor.epoch(), Epoch::MAX);
}

/// Checkpoints are whole seconds: with a short interval most of them would repeat the last one.
#[test]
fn a_checkpoint_that_says_nothing_new_is_not_proposed() {
    let mut lessor = primary(LessorConfig {
        checkpoint_interval: Duration::from_millis(20),
        ..LessorConfig::default()
    });
    grant(&mut lessor, at(0), 1, 30);
    lessor.handle_timeout(at(0));
    for ms in (20..1_000).step_by(20) {
        let now = Timestamp::from_millis(ms);
        assert_eq!(lessor.poll_checkpoints(now), None, "30 s, as granted");
    }
    let batch = lessor.poll_checkpoints(at(1)).expect("due");
    assert_eq!(batch.records[0].remaining, Some(ttl(29)));
    grant(&mut lessor, at(1), 2, 9);
    assert_eq!(
        lessor
            .poll_checkpoints(at(10))
            .map(|batch| batch.records.len()),
        Some(1),
        "the other one is at its end"
    );

    let mut lessor = primary(LessorConfig::default());
    lessor.handle_timeout(at(0));
    grant(&mut lessor, at(0), 1, 300);
    assert_eq!(lessor.next_checkpoint(), None, "it ends when one is due");
    grant(&mut lessor, at(0), 2, 301);
    assert_eq!(lessor.next_checkpoint(), Some(at(300)));
}

#[test]
fn the_counters_count_what_has_happened() {
    let mut lessor = primary(LessorConfig {
        revoke_rate_per_sec: NonZeroU32::new(1),
        ..LessorConfig::default()
    });
    for (number, secs) in [(1, 10), (2, 10), (3, 1000), (4, 1000)] {
        grant(&mut lessor, at(0), number, secs);
    }
    attach(&mut lessor, 3, &["a"]).expect("there");
    for number in [3, 4] {
        assert!(lessor.renew(at(1), id(number)).is_ok());
    }
    let mut revocations = Vec::new();
    for (second, backlog) in [(10, 1), (11, 0)] {
        for batch in expired(&mut lessor, at(second)) {
            revocations.extend(batch.revocations());
        }
        assert_eq!(lessor.stats().backlog, backlog);
    }
    assert_eq!(lessor.stats().expiring, 2);
    for revocation in &revocations {
        assert_eq!(revoke(&mut lessor, revocation), Ok(Revoked::Done));
    }
    let proposed = lessor.poll_checkpoints(at(301)).expect("due").records;
    assert_eq!(lessor.stats().open_checkpoints, 2);
    for record in &proposed {
        assert!(checkpoint(&mut lessor, record));
    }
    for number in [1, 2] {
        assert!(!checkpoint(&mut lessor, &Checkpoint::new(id(number), None)));
        grant(&mut lessor, at(302), number, 10);
    }
    for revocation in &revocations {
        assert_eq!(revoke(&mut lessor, revocation), Ok(Revoked::Stale));
    }
    lessor.wait_for(id(3)).expect("there");
    lessor.handle_timeout(at(1));
    lessor.handle_timeout(at(2));

    let stats = lessor.stats();
    assert_eq!((stats.granted, stats.revoked, stats.renewed), (6, 2, 2));
    assert_eq!((stats.expired, stats.throttled), (2, 1));
    assert_eq!((stats.stale_revokes, stats.stale_checkpoints), (2, 2));
    assert_eq!(stats.checkpoints_proposed, 2);
    assert_eq!(stats.checkpoints_applied, 2);
    assert_eq!(stats.clock_regressions, 2);
    assert_eq!((stats.leases, stats.items, stats.waiting), (4, 1, 1));
    assert_eq!((stats.expiring, stats.expiry_entries), (0, 4));
    assert_eq!((lessor.len(), lessor.is_empty()), (4, false));
}

/// A lease with more items than are freed in one go is gone at once, and its items with it.
#[test]
fn a_lease_with_many_items_goes_as_a_whole() {
    for items in [1_000, 1_024, 1_025, 5_000, 50_000] {
        let mut lessor = primary(LessorConfig::default());
        grant(&mut lessor, at(0), 1, 10);
        grant(&mut lessor, at(0), 2, 10);
        let names: Vec<_> = (0..items).map(|n: u32| n.to_string()).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        attach(&mut lessor, 1, &names).expect("there");
        attach(&mut lessor, 2, &["other"]).expect("there");
        assert_eq!(lessor.items(id(1)).len(), items as usize);
        let revoked = revoke(&mut lessor, &Revocation::by_user(id(1)));
        assert_eq!(revoked, Ok(Revoked::Done));
        assert_eq!((lessor.len(), lessor.stats().items), (1, 1));
        assert_eq!(lessor.get_lease(b"7"), None);
        lessor.check_invariants();
        attach(&mut lessor, 2, &["7"]).expect("there");
        assert_eq!(lessor.get_lease(b"7"), Some(id(2)));
    }
}

/// With a thousand batches of a million leases each a spot has no more bits.
#[test]
fn leases_are_delivered_again_also_if_no_batch_more_can_be_told_apart() {
    let config = LessorConfig {
        max_expired_batch_size: NonZeroU32::MAX,
        revoke_rate_per_sec: None,
        ..LessorConfig::default()
    };
    let mut lessor = primary(config);
    for number in 1..=1_100 {
        let granted_at = Timestamp::from_millis(number);
        grant(&mut lessor, granted_at, number as i64, 10);
    }
    let mut batches = 0;
    let mut drive = |lessor: &mut LessorCore, now| {
        lessor.handle_timeout(now);
        let mut leases = 0;
        while let Some(batch) = lessor.poll_expired(now) {
            lessor.handle_taken(now, &batch);
            leases += batch.leases.len();
            batches += 1;
        }
        lessor.check_invariants();
        // Nobody is told of a time that has passed and finds nothing to do.
        assert!(lessor.next_wakeup().is_none_or(|next| next > now));
        leases
    };
    for number in 1..=1_100 {
        let due = Timestamp::from_millis(10_000 + number);
        assert!(drive(&mut lessor, due) <= 1);
    }
    let first = lessor.stats().expired;
    assert_eq!(first, 1_024, "one batch each");
    let mut all = 0;
    for secs in 12..20 {
        all += drive(&mut lessor, at(secs));
    }
    assert!(all >= 2 * 1_100, "{all} of 1,100, each at least twice");
}
