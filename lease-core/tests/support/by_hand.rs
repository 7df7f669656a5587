//! The state machine driven by hand.
#![allow(
    dead_code,
    reason = "not every test that drives the machine needs all of it"
)]

use std::time::Duration;

use lease_core::{
    Answer, Checkpoint, Command, Epoch, ExpiredBatch, Grant, Incarnation, LeaseError, LeaseId,
    LeaseItem, LessorConfig, LessorCore, Promotion, Revocation, Revoked, Timestamp, Ttl,
    WriteBatch,
};

pub(crate) fn id(number: i64) -> LeaseId {
    LeaseId::new(number).expect("not zero")
}

pub(crate) fn ttl(secs: i64) -> Ttl {
    Ttl::new(secs).expect("in range")
}

pub(crate) fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

pub(crate) fn grant(
    lessor: &mut LessorCore,
    now: Timestamp,
    number: i64,
    secs: i64,
) -> Incarnation {
    let grant = Grant::new(id(number), ttl(secs));
    try_grant(lessor, now, grant).expect("the id is free")
}

pub(crate) fn try_grant(
    lessor: &mut LessorCore,
    now: Timestamp,
    grant: Grant,
) -> Result<Incarnation, LeaseError> {
    match execute(lessor, now, grant) {
        Answer::Granted(granted) => granted,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn primary(config: LessorConfig) -> LessorCore {
    let mut lessor = LessorCore::new(config);
    promote(&mut lessor, Timestamp::ZERO, 1);
    lessor
}

pub(crate) fn promote(lessor: &mut LessorCore, now: Timestamp, epoch: u64) {
    execute(lessor, now, Command::BeginEpoch(Epoch::new(epoch)));
    let promotion = lessor.promote(now, Epoch::new(epoch), Duration::ZERO);
    assert!(matches!(promotion, Promotion::Changed(_)));
}

/// Everything that is due at `now`.
pub(crate) fn expired(lessor: &mut LessorCore, now: Timestamp) -> Vec<ExpiredBatch> {
    let mut batches = Vec::new();
    for _ in 0..10_000 {
        lessor.handle_timeout(now);
        batches.extend(lessor.poll_expired(now));
        if lessor.next_expiry().is_none_or(|next| next > now) {
            return batches;
        }
    }
    panic!("something is due for ever");
}

pub(crate) fn ids(batches: &[ExpiredBatch]) -> Vec<i64> {
    let leases = batches.iter().flat_map(|batch| &batch.leases);
    leases.map(|lease| lease.id.get()).collect()
}

pub(crate) fn revoke(
    lessor: &mut LessorCore,
    revocation: &Revocation,
) -> Result<Revoked, LeaseError> {
    match execute(lessor, lessor.now(), *revocation) {
        Answer::Revoked(answers) => answers.into_iter().next().expect("one of one"),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn checkpoint(lessor: &mut LessorCore, checkpoint: &Checkpoint) -> bool {
    match execute(lessor, lessor.now(), *checkpoint) {
        Answer::Checkpointed(meant) => meant[0],
        other => panic!("{other:?}"),
    }
}

pub(crate) fn attach(
    lessor: &mut LessorCore,
    number: i64,
    items: &[&str],
) -> Result<(), LeaseError> {
    let (id, items) = (id(number), lease_items(items));
    match execute(lessor, lessor.now(), Command::Attach { id, items }) {
        Answer::Attached(attached) => attached,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn detach(
    lessor: &mut LessorCore,
    number: i64,
    items: &[&str],
) -> Result<(), LeaseError> {
    let (id, items) = (id(number), lease_items(items));
    match execute(lessor, lessor.now(), Command::Detach { id, items }) {
        Answer::Detached(detached) => detached,
        other => panic!("{other:?}"),
    }
}

fn lease_items(items: &[&str]) -> Vec<LeaseItem> {
    items.iter().map(|item| LeaseItem::from(*item)).collect()
}

pub(crate) fn execute(
    lessor: &mut LessorCore,
    now: Timestamp,
    command: impl Into<Command>,
) -> Answer {
    lessor.execute(now, &command.into(), &mut WriteBatch::default())
}
