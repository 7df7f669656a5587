//! Renewing. What waits for the end of a lease is in tests/handle/expiry.rs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lease_core::{Checkpoint, LeaseError, Lessor, Renewal, Ttl};

use crate::{id, member, primary};

#[test]
fn only_the_primary_renews() {
    let bench = member(|builder| builder);
    bench.grant(1, 60);
    assert_eq!(bench.lessor.renew(id(1)), Err(LeaseError::NotPrimary));
    assert_eq!(bench.lessor.renew(id(9)), Err(LeaseError::NotPrimary));
    bench
        .lessor
        .promote(Duration::ZERO)
        .expect("the epoch is stored");
    assert_eq!(bench.lessor.renew(id(9)), Err(LeaseError::LeaseNotFound));
    assert_eq!(bench.lessor.renew(id(1)).map(Ttl::get), Ok(60));
    bench.lessor.demote();
    assert_eq!(bench.lessor.renew(id(1)), Err(LeaseError::NotPrimary));
}

#[test]
fn a_renewal_answers_the_granted_ttl_and_counts_from_now() {
    let bench = primary(|builder| builder);
    bench.grant(1, 60);
    bench.at_secs(59);
    assert_eq!(bench.lessor.renew(id(1)).map(Ttl::get), Ok(60));
    assert_eq!(bench.remaining_secs(1), 60);
    bench.at_secs(118);
    assert!(bench.expired().is_empty());
    bench.at_secs(119);
    assert_eq!(bench.expired().len(), 1);
}

/// The extension of a promotion is not taken away by a renewal; etcd's renewal shortens it.
#[test]
fn a_renewal_never_shortens() {
    let bench = member(|builder| builder);
    bench.grant(1, 10);
    bench
        .lessor
        .promote(Duration::from_secs(100))
        .expect("the epoch is stored");
    bench.lessor.renew(id(1)).expect("there");
    assert_eq!(bench.remaining_secs(1), 110);
}

#[test]
fn a_checkpoint_is_taken_back_through_the_checkpointer_before_the_renewal() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let bench = Arc::new(primary(|builder| builder));
    bench.grant(1, 60);
    bench.lessor.checkpoint(id(1), 5).expect("in range");
    let (log, applied) = (Arc::clone(&asked), Arc::downgrade(&bench));
    bench
        .lessor
        .set_checkpointer(Arc::new(move |records: &[Checkpoint], _: Duration| {
            log.lock().expect("no panic").extend_from_slice(records);
            let host = applied.upgrade().ok_or("gone")?;
            Ok(host.lessor.checkpoint(records[0].id, 0)?)
        }));
    assert_eq!(bench.lessor.renew(id(1)).map(Ttl::get), Ok(60));
    let records = asked.lock().expect("no panic").clone();
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].id, records[0].remaining), (id(1), None));
    assert_eq!(bench.checkpointed_secs(1), None);

    bench.lessor.renew(id(1)).expect("nothing to take back");
    assert_eq!(asked.lock().expect("no panic").len(), 1);
}

#[test]
fn an_expired_lease_is_not_renewed() {
    let bench = primary(|builder| builder);
    bench.grant(1, 10);
    bench.at_secs(10);
    assert_eq!(bench.lessor.try_renew(id(1)), Ok(Renewal::Expiring));
    let now = bench.lessor.renew_timeout(id(1), Duration::ZERO);
    assert_eq!(now, Err(LeaseError::DeadlineExceeded));
    bench.lessor.revoke(id(1)).expect("there");
    assert_eq!(bench.lessor.renew(id(1)), Err(LeaseError::LeaseNotFound));
}
