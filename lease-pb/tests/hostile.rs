//! Bytes that no encoder wrote: decoding them gives an error or a message, and never panics.

use lease_core::{Checkpoint, LeaseRow, Revocation};
use lease_pb::Message;
use lease_pb::etcdserverpb::*;
use lease_pb::leasehttppb::*;
use lease_pb::leasepb::*;
use proptest::prelude::*;

/// Decodes `bytes` as every message there is, and converts what has a conversion.
fn decode_as_everything(bytes: &[u8]) {
    if let Ok(lease) = Lease::decode(bytes) {
        let _ = LeaseRow::try_from(&lease);
    }
    if let Ok(record) = LeaseCheckpoint::decode(bytes) {
        let _ = Checkpoint::try_from(&record);
    }
    if let Ok(request) = LeaseRevokeRequest::decode(bytes) {
        let _ = Revocation::try_from(&request);
    }
    let _ = LeaseInternalRequest::decode(bytes);
    let _ = LeaseInternalResponse::decode(bytes);
    let _ = LeaseGrantRequest::decode(bytes);
    let _ = LeaseGrantResponse::decode(bytes);
    let _ = LeaseRevokeResponse::decode(bytes);
    let _ = LeaseCheckpointRequest::decode(bytes);
    let _ = LeaseCheckpointResponse::decode(bytes);
    let _ = LeaseKeepAliveRequest::decode(bytes);
    let _ = LeaseKeepAliveResponse::decode(bytes);
    let _ = LeaseTimeToLiveRequest::decode(bytes);
    let _ = LeaseTimeToLiveResponse::decode(bytes);
    let _ = LeaseLeasesRequest::decode(bytes);
    let _ = LeaseLeasesResponse::decode(bytes);
    let _ = RenewBatchRequest::decode(bytes);
    let _ = RenewBatchResponse::decode(bytes);
}

/// Checks every proper prefix of a message that this crate encoded: a cut between two fields leaves
/// the shorter message that these bytes are, a cut within a field is an error.
fn check_prefixes<M: Message + Default>(message: &M) {
    let bytes = message.encode_to_vec();
    for end in 0..bytes.len() {
        let prefix = &bytes[..end];
        if let Ok(shorter) = M::decode(prefix) {
            assert_eq!(shorter.encode_to_vec(), prefix);
        }
    }
}

prop_compose! {
    fn any_lease()(
        id: i64,
        ttl: i64,
        remaining_ttl: i64,
        incarnation: Option<u64>,
        checkpoint_generation: u32,
    ) -> Lease {
        Lease { id, ttl, remaining_ttl, incarnation, checkpoint_generation }
    }
}

prop_compose! {
    fn any_answer()(
        revision: i64,
        id: i64,
        ttl: i64,
        keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..4),
    ) -> LeaseInternalResponse {
        let header = Some(ResponseHeader { revision, ..ResponseHeader::default() });
        let answer = LeaseTimeToLiveResponse { header, id, ttl, granted_ttl: ttl, keys };
        LeaseInternalResponse { lease_time_to_live_response: Some(answer) }
    }
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        decode_as_everything(&bytes);
    }

    #[test]
    fn a_damaged_message_never_panics(
        answer in any_answer(),
        lease in any_lease(),
        place: prop::sample::Index,
        flipped in 1..=255_u8,
    ) {
        for mut bytes in [answer.encode_to_vec(), lease.encode_to_vec()] {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] ^= flipped;
            }
            decode_as_everything(&bytes);
        }
    }

    #[test]
    fn a_truncated_row_is_shorter_or_an_error(lease in any_lease()) {
        check_prefixes(&lease);
    }

    #[test]
    fn any_row_comes_back(lease in any_lease()) {
        prop_assert_eq!(Lease::decode(&lease.encode_to_vec()[..]), Ok(lease));
    }
}

#[test]
fn cuts_within_a_field_are_errors() {
    let bytes = [0x08, 0x80, 0x01, 0x10, 0x3c];
    for end in [1, 2, 4] {
        assert!(Lease::decode(&bytes[..end]).is_err(), "cut at {end}");
    }
    // A length beyond the end.
    assert!(LeaseInternalRequest::decode(&[0x0a, 0x7f, 0x08][..]).is_err());
    assert!(LeaseInternalRequest::decode(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f][..]).is_err());
}

#[test]
fn what_is_no_field_is_an_error() {
    for (why, bytes) in [
        ("field number zero", &[0x00, 0x00][..]),
        ("wire type six", &[0x0e]),
        ("a string where a number belongs", &[0x0a, 0x01, 0x61]),
        ("the end of a group that never began", &[0xa4, 0x1f]),
        ("a group without an end", &[0xa3, 0x1f, 0x08, 0x01]),
    ] {
        assert!(Lease::decode(bytes).is_err(), "{why}");
    }
    // A number has at most ten bytes.
    let endless = [[0x08].as_slice(), &[0xff; 11]].concat();
    assert!(Lease::decode(&endless[..]).is_err());
    let bad_text = [0x22, 0x02, 0xc3, 0x28];
    assert!(LeaseGrantResponse::decode(&bad_text[..]).is_err());
}

#[test]
fn groups_within_groups_are_refused_before_the_stack_ends() {
    let nested = [0xa3, 0x1f].repeat(100_000);
    assert!(Lease::decode(&nested[..]).is_err());
}
