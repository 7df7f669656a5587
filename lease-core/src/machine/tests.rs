//! The checks are the judges of the model and of the simulation: each must be able to fail.

use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::String;

use lease_queue::Position;

use super::*;
use crate::table::Remainder;
use crate::table::record::{Marks, Phase, Place, Record};
use crate::{Grant, LeaseId, WriteBatch};

fn id(number: i64) -> LeaseId {
    LeaseId::new(number).expect("not zero")
}

/// A primary with the leases 1 (of 10 s) and 2 (of 1,000 s, with a checkpoint and the item "a").
fn lessor() -> LessorCore {
    let mut lessor = LessorCore::new(LessorConfig::default());
    let rows = &mut WriteBatch::default();
    lessor.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO);
    lessor.handle_timeout(Timestamp::ZERO);
    for (number, secs) in [(1, 10), (2, 1_000)] {
        let grant = Grant::new(id(number), Ttl::new(secs).expect("in range"));
        lessor
            .grant(Timestamp::ZERO, &grant, rows)
            .expect("the id is free");
    }
    lessor.attach(id(2), &["a".into()]).expect("there");
    let checkpoint = crate::Checkpoint::new(id(2), Some(Ttl::MIN));
    lessor.execute(Timestamp::ZERO, &checkpoint.into(), rows);
    lessor
}

fn complaint(corrupt: impl FnOnce(&mut LessorCore)) -> String {
    let mut lessor = lessor();
    lessor.check_invariants();
    corrupt(&mut lessor);
    let panic = catch_unwind(AssertUnwindSafe(|| lessor.check_invariants()))
        .expect_err("the check must see it");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast::<&str>().expect("a text")).into(),
    }
}

/// Expects that `check_invariants` complains in these words about what `corrupt` does.
macro_rules! assert_seen {
    ($words:literal, $corrupt:expr) => {
        let complaint = complaint($corrupt);
        assert!(complaint.contains($words), "{complaint}");
    };
}

fn primary(lessor: &mut LessorCore) -> &mut Primary {
    lessor.primary.as_mut().expect("it is promoted")
}

fn record(lessor: &mut LessorCore, number: i64) -> &mut Record {
    let record = lessor.table.records.get_mut(id(number));
    record.expect("it is there")
}

#[test]
fn the_check_sees_a_queue_that_does_not_fit_the_leases() {
    assert_seen!("no entry is dead", |lessor| {
        let _ = primary(lessor).expiries.insert(id(9), 5);
    });
    assert_seen!("has an entry", |lessor| {
        record(lessor, 1).set_place(Place::Queued(Position::NONE));
    });
    assert_seen!("was forgotten by the promotion", |lessor| {
        record(lessor, 1).set_marks(Marks::renewable(Tag::default()));
    });
}

fn deliver(lessor: &mut LessorCore, number: i64) {
    let record = lessor.table.records.get_mut(id(number));
    let attempts = &mut lessor.primary.as_mut().expect("it is promoted").attempts;
    attempts.deliver(record.expect("it is there"), 0);
    attempts.seal();
}

#[test]
fn the_check_sees_attempts_that_do_not_fit_the_leases() {
    assert_seen!("is expiring, or active", |lessor| {
        record(lessor, 1).set_phase(Phase::Expiring);
    });
    assert_seen!("is expiring in its batch", |lessor| {
        deliver(lessor, 1);
        record(lessor, 1).set_phase(Phase::Active);
    });
    assert_seen!("is not over", |lessor| {
        deliver(lessor, 1);
        primary(lessor).attempts.take_through(0, 0);
        assert!(primary(lessor).attempts.pop().is_some());
    });
    assert_seen!("is in its batch", |lessor| {
        deliver(lessor, 1);
        let place = record(lessor, 1).place();
        record(lessor, 2).set_place(place);
        record(lessor, 2).set_phase(Phase::Expiring);
    });
    assert_seen!("no attempt outlives its lease", |lessor| {
        deliver(lessor, 1);
        lessor.table.remove(id(1));
    });
}

#[test]
fn the_check_sees_checkpoints_that_do_not_fit_the_leases() {
    assert_seen!("has None", |lessor| {
        assert!(
            primary(lessor)
                .checkpoints
                .pop_due(Now::at(Timestamp::MAX))
                .is_some()
        );
    });
    assert_seen!("has Some", |lessor| {
        primary(lessor).checkpoints.schedule_at(id(1), 5);
    });
    assert_seen!("no checkpoint entry is dead", |lessor| {
        primary(lessor).checkpoints.schedule_at(id(9), 5);
    });
    assert_seen!("has an open checkpoint", |lessor| {
        primary(lessor).checkpoints.open(id(1));
    });
    assert_seen!("no open checkpoint outlives its lease", |lessor| {
        primary(lessor).checkpoints.open(id(9));
    });
}

#[test]
fn the_check_sees_a_table_whose_parts_do_not_fit() {
    assert_seen!("a remainder belongs to a lease", |lessor| {
        let remainder = Remainder {
            remaining: None,
            generation: 1,
        };
        lessor.table.remainders.set(id(9), remainder);
    });
    assert_seen!("more remains than the TTL", |lessor| {
        let remainder = Remainder {
            remaining: Some(Ttl::MAX),
            generation: 0,
        };
        lessor.table.remainders.set(id(1), remainder);
    });
    assert_seen!("which is gone", |lessor| {
        lessor.table.attachments.attach(id(9), &"b".into());
    });
}
