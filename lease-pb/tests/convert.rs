//! Conversions between messages and core types: what is in range comes back, the rest is refused.

use lease_core::{
    Checkpoint, CheckpointFence, Epoch, ExpiryFence, Incarnation, LeaseError, LeaseId, LeaseRow,
    MAX_LEASE_TTL, Revocation, Ttl,
};
use lease_pb::etcdserverpb::{LeaseCheckpoint, LeaseRevokeRequest};
use lease_pb::leasepb::Lease;
use lease_pb::{ConvertError, Message};
use proptest::prelude::*;

fn id(number: i64) -> LeaseId {
    LeaseId::new(number).expect("not zero")
}

fn ttl(secs: i64) -> Ttl {
    Ttl::new(secs).expect("in range")
}

fn lease(id: i64, ttl: i64, remaining_ttl: i64) -> Lease {
    Lease {
        id,
        ttl,
        remaining_ttl,
        ..Lease::default()
    }
}

fn out_of_range(secs: i64) -> ConvertError {
    let source = if secs < 1 {
        LeaseError::LeaseTtlTooSmall
    } else {
        LeaseError::LeaseTtlTooLarge
    };
    ConvertError::TtlOutOfRange { secs, source }
}

#[test]
fn rows_out_of_range_are_refused() {
    let remaining = |secs| ConvertError::RemainingTtlOutOfRange { secs };
    let cases = [
        (lease(0, 60, 0), ConvertError::IdZero),
        (lease(7, 0, 0), out_of_range(0)),
        (lease(7, -1, 0), out_of_range(-1)),
        (lease(7, i64::MIN, 0), out_of_range(i64::MIN)),
        (
            lease(7, MAX_LEASE_TTL + 1, 0),
            out_of_range(MAX_LEASE_TTL + 1),
        ),
        (lease(7, i64::MAX, 0), out_of_range(i64::MAX)),
        (lease(7, 60, 61), remaining(61)),
        (lease(7, 60, -1), remaining(-1)),
        (lease(7, 60, i64::MAX), remaining(i64::MAX)),
    ];
    for (lease, error) in cases {
        assert_eq!(LeaseRow::try_from(&lease), Err(error), "{lease:?}");
    }
}

#[test]
fn rows_at_the_limits_are_fine() {
    for (lease, remaining) in [
        (lease(i64::MIN, 1, 0), None),
        (lease(i64::MAX, MAX_LEASE_TTL, 1), Some(ttl(1))),
        (lease(-1, MAX_LEASE_TTL, MAX_LEASE_TTL), Some(Ttl::MAX)),
    ] {
        let row = LeaseRow::try_from(&lease).expect("in range");
        assert_eq!(row.remaining, remaining);
        assert_eq!(row.incarnation, None);
    }
}

#[test]
fn a_row_holds_an_incarnation_only_if_a_host_supplied_it() {
    let number = Incarnation::MAX_SUPPLIED + 1;
    let counted = Lease {
        incarnation: Some(number),
        ..lease(7, 60, 0)
    };
    assert_eq!(
        LeaseRow::try_from(&counted),
        Err(ConvertError::IncarnationOutOfRange { number })
    );
    let row = LeaseRow {
        incarnation: Some(Incarnation::from_wire(number)),
        ..LeaseRow::new(id(7), ttl(60))
    };
    assert_eq!(Lease::from(&row), lease(7, 60, 0));
}

#[test]
fn checkpoints_out_of_range_are_refused() {
    let record = |id, remaining_ttl| LeaseCheckpoint {
        id,
        remaining_ttl,
        ..LeaseCheckpoint::default()
    };
    assert_eq!(
        Checkpoint::try_from(&record(0, 1)),
        Err(ConvertError::IdZero)
    );
    for secs in [-1, i64::MIN, MAX_LEASE_TTL + 1, i64::MAX] {
        assert_eq!(
            Checkpoint::try_from(&record(7, secs)),
            Err(ConvertError::RemainingTtlOutOfRange { secs })
        );
    }
    assert_eq!(
        Checkpoint::try_from(&record(7, 0)),
        Ok(Checkpoint::new(id(7), None))
    );
}

#[test]
fn a_fence_is_whole_or_absent() {
    for present in 0..8_u32 {
        let has = |bit: u32| present & bit != 0;
        let record = LeaseCheckpoint {
            id: 7,
            remaining_ttl: 0,
            incarnation: has(1).then_some(0),
            epoch: has(2).then_some(0),
            generation: has(4).then_some(0),
        };
        match Checkpoint::try_from(&record) {
            Ok(checkpoint) => assert_eq!(checkpoint.fence.is_some(), present == 7),
            Err(error) => assert_eq!(error, ConvertError::FenceIncomplete),
        }
        assert_eq!(
            Checkpoint::try_from(&record).is_ok(),
            [0, 7].contains(&present)
        );
    }
    for (incarnation, epoch) in [(Some(0), None), (None, Some(0))] {
        let request = LeaseRevokeRequest {
            id: 7,
            incarnation,
            epoch,
        };
        assert_eq!(
            Revocation::try_from(&request),
            Err(ConvertError::FenceIncomplete)
        );
    }
}

#[test]
fn a_revoke_of_a_user_has_no_fence() {
    let revocation = Revocation::by_user(id(-7));
    let request = LeaseRevokeRequest::from(&revocation);
    assert_eq!((request.incarnation, request.epoch), (None, None));
    assert_eq!(Revocation::try_from(&request), Ok(revocation));
    let nobody = LeaseRevokeRequest::default();
    assert_eq!(Revocation::try_from(&nobody), Err(ConvertError::IdZero));
}

#[test]
fn errors_say_what_is_wrong() {
    use std::error::Error;

    let error = LeaseRow::try_from(&lease(7, -5, 0)).expect_err("too small");
    assert_eq!(error.to_string(), "a TTL of -5 s is out of range");
    let source = error.source().expect("lease-core's error");
    assert_eq!(source.to_string(), "too small lease TTL");
}

prop_compose! {
    fn any_row()(
        number in any::<i64>().prop_filter("not zero", |number| *number != 0),
        (secs, left) in (1..=MAX_LEASE_TTL).prop_flat_map(|secs| (Just(secs), 0..=secs)),
        incarnation in prop::option::of(0..=Incarnation::MAX_SUPPLIED),
        checkpoint_generation: u32,
    ) -> LeaseRow {
        LeaseRow {
            id: id(number),
            ttl: ttl(secs),
            remaining: Ttl::new(left).ok(),
            incarnation: incarnation.and_then(Incarnation::supplied),
            checkpoint_generation,
        }
    }
}

proptest! {
    #[test]
    fn every_row_comes_back_from_its_bytes(row in any_row()) {
        let bytes = Lease::from(&row).encode_to_vec();
        let lease = Lease::decode(&bytes[..]).expect("whole");
        prop_assert_eq!(LeaseRow::try_from(&lease), Ok(row));
    }

    #[test]
    fn every_fence_comes_back(
        row in any_row(),
        incarnation: u64,
        epoch: u64,
        generation: u32,
    ) {
        let incarnation = Incarnation::from_wire(incarnation);
        let epoch = Epoch::new(epoch);
        let checkpoint = Checkpoint {
            id: row.id,
            remaining: row.remaining,
            fence: Some(CheckpointFence { incarnation, epoch, generation }),
        };
        let record = LeaseCheckpoint::from(&checkpoint);
        prop_assert_eq!(Checkpoint::try_from(&record), Ok(checkpoint));

        let revocation = Revocation {
            id: row.id,
            fence: Some(ExpiryFence { incarnation, epoch }),
        };
        let request = LeaseRevokeRequest::from(&revocation);
        prop_assert_eq!(Revocation::try_from(&request), Ok(revocation));
    }

    #[test]
    fn what_is_accepted_is_written_back_alike(
        id: i64,
        ttl in prop_oneof![any::<i64>(), 0..200_i64],
        remaining_ttl in prop_oneof![any::<i64>(), 0..200_i64],
        incarnation: Option<u64>,
        checkpoint_generation: u32,
    ) {
        let lease = Lease { id, ttl, remaining_ttl, incarnation, checkpoint_generation };
        if let Ok(row) = LeaseRow::try_from(&lease) {
            prop_assert_eq!(Lease::from(&row), lease);
        }
    }
}
