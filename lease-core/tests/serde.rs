//! What is public comes back from serde's formats, and what no lessor would have is refused.

use std::fmt::Debug;
use std::num::NonZeroU32;
use std::time::Duration;

use lease_core::{
    Answer, AttemptOutcome, BackendError, Checkpoint, CheckpointBatch, CheckpointFence, Command,
    Deleted, Epoch, ExpiredBatch, ExpiredLease, ExpiryFence, Grant, HostError, Incarnation, Lease,
    LeaseError, LeaseId, LeaseIdError, LeaseItem, LeaseRow, LessorConfig, LessorStats,
    ProposalOutcome, Renewal, RequestedTtl, Revocation, Revoked, RowFault, StrangeRow, Table,
    TicketOutcome, TimeToLive, Timestamp, Ttl, WriteBatch,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, from_value, json, to_value};
use serde_test::{Configure, Token, assert_tokens};

fn id(number: i64) -> LeaseId {
    LeaseId::new(number).expect("not zero")
}

fn ttl(secs: i64) -> Ttl {
    Ttl::new(secs).expect("in range")
}

/// It is written so, and read as what it was.
fn is<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T, expected: Value) {
    let written = to_value(&value).expect("every value can be written");
    assert_eq!(written, expected);
    assert_eq!(from_value::<T>(written).expect("it was written"), value);
    let text = serde_json::to_string(&value).expect("every value can be written");
    let read: T = serde_json::from_str(&text).expect("it was written");
    assert_eq!(read, value);
}

fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T) {
    let written = to_value(&value).expect("every value can be written");
    is(value, written);
}

/// What only a lessor makes, read.
fn read<T: DeserializeOwned>(value: Value) -> T {
    from_value(value).expect("it can be read")
}

fn refusal<T: DeserializeOwned + Debug>(value: Value) -> String {
    from_value::<T>(value).expect_err("refused").to_string()
}

#[test]
fn an_id_is_its_text_for_people_and_its_number_for_machines() {
    is(id(7), json!("0000000000000007"));
    is(id(-1), json!("ffffffffffffffff"));
    is(id(i64::MIN), json!("8000000000000000"));
    assert_tokens(&id(-7).compact(), &[Token::I64(-7)]);
    let zero = "lease id 0 stands for no lease";
    assert_eq!(refusal::<LeaseId>(json!("0")), zero);
    // Numbers are not taken: who has read one may have rounded it.
    assert!(refusal::<LeaseId>(json!(7)).contains("expected a string"));
    let compact = serde_test::assert_de_tokens_error::<serde_test::Compact<LeaseId>>;
    compact(&[Token::I64(0)], zero);
}

#[test]
fn an_incarnation_is_its_text_for_people_and_its_number_for_machines() {
    let supplied = Incarnation::supplied(1 << 60).expect("in range");
    is(supplied, json!("1152921504606846976"));
    let counted = Lease::new(id(1), ttl(1)).incarnation();
    is(counted, json!("0.0"));
    let last = Incarnation::from_wire(u64::MAX);
    is(last, json!("8388607.1099511627775"));
    assert_tokens(&last.compact(), &[Token::U64(u64::MAX)]);
    let bad = [
        "",
        ".",
        "1.",
        "+1",
        "-1",
        "1.2.3",
        "9223372036854775808",
        "8388608.1",
        "1.1099511627776",
    ];
    for text in bad {
        assert!(refusal::<Incarnation>(json!(text)).contains("expected an incarnation"));
    }
}

#[test]
fn times_are_numbers_in_range() {
    is(ttl(60), json!(60));
    is(RequestedTtl::from(-1), json!(-1));
    is(Epoch::new(3), json!(3));
    is(Epoch::MAX, json!(i64::MAX));
    is(
        Timestamp::from_millis(1_500),
        json!({"secs": 1, "nanos": 500_000_000}),
    );
    assert_eq!(refusal::<Ttl>(json!(0)), "too small lease TTL");
    assert_eq!(
        refusal::<Ttl>(json!(9_000_000_001_i64)),
        "too large lease TTL"
    );
}

#[test]
fn an_item_is_readable_and_any_bytes_come_back() {
    is(LeaseItem::from("services/web/1"), json!("services/web/1"));
    is(LeaseItem::from("café"), json!("café"));
    is(LeaseItem::from(&b"a\\\xff\0"[..]), json!("a\\\\\\xff\0"));
    assert!(refusal::<LeaseItem>(json!("a\\")).contains("expected text in which a backslash"));
    assert!(refusal::<LeaseItem>(json!([97])).contains("expected text in which a backslash"));
    let bytes = LeaseItem::from(&b"\xff"[..]).compact();
    assert_tokens(&bytes, &[Token::Bytes(b"\xff")]);
    let sequence = [Token::Seq { len: Some(1) }, Token::U8(255), Token::SeqEnd];
    serde_test::assert_de_tokens(&bytes, &sequence);
}

#[test]
fn a_lease_is_what_its_methods_tell() {
    let mut lease = Lease::new(id(7), ttl(60));
    let written = json!({
        "id": "0000000000000007",
        "ttl": 60,
        "incarnation": "0.0",
        "remaining": null,
        "checkpointed_remaining": null,
        "keys": [],
    });
    is(lease.clone(), written);
    lease.set_lease_item("b".into());
    lease.set_lease_item("a".into());
    comes_back(lease);
    let read: Lease = from_value(json!({
        "id": "7",
        "ttl": 60,
        "incarnation": "17",
        "remaining": {"secs": 20, "nanos": 500_000_000},
        "checkpointed_remaining": 30,
        "keys": ["b", "a", "b"],
    }))
    .expect("a lease");
    assert_eq!(read.remaining(), Some(Duration::from_millis(20_500)));
    assert_eq!(read.checkpointed_remaining(), Some(ttl(30)));
    assert_eq!(read.keys(), ["a".into(), "b".into()], "sorted, each once");
    comes_back(read);
    let longest: Lease = from_value(json!({
        "id": "7",
        "ttl": 60,
        "incarnation": "17",
        "remaining": {"secs": u64::MAX, "nanos": 0},
        "checkpointed_remaining": null,
        "keys": [],
    }))
    .expect("a lease");
    assert!(!longest.demoted(), "it is counted, however long it is");
}

#[test]
fn commands_come_back() {
    let fence = ExpiryFence {
        incarnation: Incarnation::from_wire(1 << 63),
        epoch: Epoch::new(3),
    };
    let grant = Grant {
        incarnation: Incarnation::supplied(17),
        ..Grant::new(id(7), ttl(60))
    };
    let expected = json!({"grant": {"id": "0000000000000007", "ttl": 60, "incarnation": "17"}});
    is(Command::Grant(grant), expected);
    let expired = Revocation {
        id: id(7),
        fence: Some(fence),
    };
    comes_back(Command::Revoke(vec![Revocation::by_user(id(-7)), expired]));
    let items = vec![LeaseItem::from("a"), LeaseItem::from(&b"\xff"[..])];
    comes_back(Command::Attach {
        id: id(7),
        items: items.clone(),
    });
    comes_back(Command::Detach { id: id(7), items });
    is(
        Command::BeginEpoch(Epoch::new(3)),
        json!({"begin_epoch": 3}),
    );
    let fenced = Checkpoint {
        fence: Some(CheckpointFence {
            incarnation: fence.incarnation,
            epoch: fence.epoch,
            generation: 2,
        }),
        ..Checkpoint::new(id(7), Some(ttl(20)))
    };
    let records = vec![fenced, Checkpoint::new(id(8), None)];
    comes_back(Command::Checkpoint(records.clone()));
    let batch = json!({"number": 1, "records": records});
    comes_back(read::<CheckpointBatch>(batch));
    comes_back(Renewal::Reset(fenced));
    is(Renewal::Renewed(ttl(60)), json!({"renewed": 60}));
    is(Renewal::Expiring, json!("expiring"));
    assert!(refusal::<Command>(json!({"begin_epoch": -3})).contains("invalid value"));
}

#[test]
fn batches_and_rows_come_back() {
    let lag = Duration::from_millis(20);
    let expired = json!({"id": id(7), "incarnation": "17", "attempt": 1, "lag": lag});
    assert_eq!(read::<ExpiredLease>(expired.clone()).lag, lag);
    let batch = json!({"number": 2, "epoch": 3, "leases": [expired]});
    comes_back(read::<ExpiredBatch>(batch));
    let row = LeaseRow {
        remaining: Some(ttl(40)),
        incarnation: Incarnation::supplied(17),
        ..LeaseRow::new(id(7), ttl(60))
    };
    comes_back(row);
    for fault in [RowFault::NoLease, RowFault::OtherId { id: 8 }] {
        comes_back(StrangeRow { key: 7, fault });
    }
    let mut writes = WriteBatch::default();
    writes.put_lease(row);
    writes.delete_lease(id(8));
    writes.put_epoch(Epoch::new(3));
    let table = Table::new("kv");
    writes.put(table.clone(), "a", *b"\xff");
    writes.delete(table.clone(), "b");
    writes.delete_range(table.clone(), "c", Some(b"d".to_vec()));
    writes.delete_range(table, "e", None);
    comes_back(writes);
    for name in ["", "lease"] {
        assert!(refusal::<Table>(json!(name)).contains("not the lessor's own"));
    }
}

#[test]
fn outcomes_are_words() {
    is(Revoked::Stale, json!("stale"));
    is(AttemptOutcome::Failed, json!("failed"));
    is(ProposalOutcome::Applied, json!("applied"));
    is(TicketOutcome::NotPrimary, json!("not_primary"));
    comes_back(Deleted {
        keys: 2,
        revision: 3,
    });
}

/// Settings are often written by hand.
#[test]
fn settings_may_be_left_out_and_unknown_ones_are_refused() {
    comes_back(LessorConfig::default());
    let read: LessorConfig = from_value(json!({
        "min_ttl": 5,
        "revoke_rate_per_sec": null,
        "checkpoint_interval": {"secs": 60, "nanos": 0},
        "max_expired_batch_size": 100,
        "hash_seed": 7,
    }))
    .expect("settings");
    let expected = LessorConfig {
        min_ttl: ttl(5),
        revoke_rate_per_sec: None,
        checkpoint_interval: Duration::from_mins(1),
        max_expired_batch_size: NonZeroU32::new(100).expect("not zero"),
        hash_seed: Some(7),
        ..LessorConfig::default()
    };
    assert_eq!(read, expected);
    let written = to_value(&read).expect("settings");
    assert_eq!(written.get("hash_seed"), None, "it is a secret");
    assert!(refusal::<LessorConfig>(json!({"min_tll": 5})).contains("unknown field"));
    let no_rate = json!({"max_expired_batch_size": 0});
    assert!(refusal::<LessorConfig>(no_rate).contains("nonzero"));
}

#[test]
fn counters_of_an_older_version_are_read() {
    comes_back(LessorStats::default());
    let stats: LessorStats = from_value(json!({"granted": 3})).expect("counters");
    assert_eq!((stats.granted, stats.revoked), (3, 0));
}

#[cfg(feature = "std")]
#[test]
fn what_a_handle_is_told_comes_back() {
    use lease_core::{Driver, Durability, ExpiryMode, Lookup, RevokeReason};

    is(Durability::EveryCommand, json!("every_command"));
    comes_back(Durability::ETCD);
    is(Driver::Manual, json!("manual"));
    is(ExpiryMode::AutoRevoke, json!("auto_revoke"));
    is(RevokeReason::Expired, json!("expired"));
    comes_back(Lookup::Whole(Lease::new(id(7), ttl(60))));
}

#[test]
fn what_is_left_of_a_lease_is_what_its_methods_tell() {
    let not_counted = Lease::new(id(7), ttl(60)).time_to_live();
    is(not_counted, json!({"ttl": 60, "remaining": null}));
    let left: TimeToLive = read(json!({"ttl": 60, "remaining": {"secs": 1, "nanos": 999}}));
    assert_eq!(
        left.remaining(),
        Some(Duration::from_secs(1)),
        "whole milliseconds"
    );
    comes_back(left);
}

#[test]
fn answers_come_back() {
    is(
        Answer::Granted(Err(LeaseError::LeaseExists)),
        json!({"granted": {"Err": "lease_exists"}}),
    );
    is(
        Answer::Revoked(vec![Ok(Revoked::Done), Err(LeaseError::LeaseNotFound)]),
        json!({"revoked": [{"Ok": "done"}, {"Err": "lease_not_found"}]}),
    );
    comes_back(Answer::Granted(Ok(Lease::new(id(1), ttl(1)).incarnation())));
    comes_back(Answer::Attached(Ok(())));
    comes_back(Answer::Detached(Err(LeaseError::TooManyItems)));
    comes_back(Answer::Checkpointed(vec![true, false]));
    comes_back(Answer::Epoch(Ok(Epoch::new(3))));
    assert!(refusal::<Answer>(json!({"granted": {"Err": "no_such_error"}})).contains("unknown"));
}

#[test]
fn an_error_comes_back_and_one_of_the_hosts_as_its_text() {
    is(LeaseError::NotPrimary, json!("not_primary"));
    let zero = LeaseError::InvalidLeaseId(LeaseIdError::Zero);
    is(zero, json!({"invalid_lease_id": "zero"}));
    let damaged = LeaseError::Backend(BackendError::Damaged("a row".to_owned()));
    is(damaged.clone(), json!({"backend": {"damaged": "a row"}}));

    let full = BackendError::Io(HostError::new(damaged));
    let error = LeaseError::Backend(full);
    let text = "lease backend failed: the store is damaged: a row";
    let written = json!({"backend": {"io": text}});
    assert_eq!(to_value(&error).expect("it is text"), written);
    let LeaseError::Backend(BackendError::Io(read)) = read(written) else {
        panic!("it is read as what it was");
    };
    assert_eq!(read.to_string(), text);
}

#[cfg(feature = "async")]
#[test]
fn events_come_back() {
    use lease_core::{LeaseEvent, Oversight, RevokeReason};

    is(
        LeaseEvent::Granted {
            id: id(7),
            ttl: ttl(60),
        },
        json!({"granted": {"id": "0000000000000007", "ttl": 60}}),
    );
    let items = || [LeaseItem::from("a"), LeaseItem::from("b")].into();
    is(
        LeaseEvent::Attached {
            id: id(7),
            items: items(),
        },
        json!({"attached": {"id": "0000000000000007", "items": ["a", "b"]}}),
    );
    for event in [
        LeaseEvent::Renewed {
            id: id(7),
            ttl: ttl(60),
        },
        LeaseEvent::Expired {
            id: id(7),
            incarnation: Lease::new(id(7), ttl(60)).incarnation(),
            attempt: 1,
            items: items(),
        },
        LeaseEvent::Revoked {
            id: id(-7),
            reason: RevokeReason::User,
            items: std::sync::Arc::default(),
        },
        LeaseEvent::Detached {
            id: id(7),
            items: items(),
        },
        LeaseEvent::Promoted(Epoch::new(3)),
        LeaseEvent::Demoted,
        LeaseEvent::Failed(LeaseError::Stopped),
        LeaseEvent::Overlooked(Oversight::NotTaken),
        LeaseEvent::Lagged(9),
    ] {
        comes_back(event);
    }
}

#[test]
fn why_no_lease_was_received_comes_back() {
    is(lease_core::RecvError::Timeout, json!("timeout"));
}
