//! The bytes of messages, held against those that etcd 3.6.10 itself wrote for the same values; those
//! of this project's own messages, so that they stay what they are.

use std::fmt::Debug;

use lease_pb::Message;
use lease_pb::etcdserverpb::*;
use lease_pb::leasehttppb::*;
use lease_pb::leasepb::*;

/// Encodes `message` and expects `hex`; decodes `hex` and expects `message`.
#[track_caller]
fn check<M: Message + Default + PartialEq + Debug>(message: M, hex: &str) {
    assert_eq!(to_hex(&message.encode_to_vec()), hex, "encoded");
    assert_eq!(M::decode(&from_hex(hex)[..]), Ok(message), "decoded");
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    assert_eq!(digits.len(), hex.len(), "only digits");
    digits
        .chunks(2)
        .map(|pair| (pair[0] * 16 + pair[1]) as u8)
        .collect()
}

fn row(id: i64, ttl: i64, remaining_ttl: i64) -> Lease {
    Lease {
        id,
        ttl,
        remaining_ttl,
        ..Lease::default()
    }
}

fn header() -> Option<ResponseHeader> {
    Some(ResponseHeader {
        cluster_id: 14_841_639_068_965_178_418,
        member_id: 10_276_657_743_932_975_437,
        revision: 42,
        raft_term: 3,
    })
}

const HEADER: &str = "0a1a08b298eaf1948386fccd0110cdd2918bd2b881cf8e01182a2003";

fn with_header(rest: &str) -> String {
    format!("{HEADER}{rest}")
}

#[test]
fn rows_of_etcd() {
    check(row(1, 60, 0), "0801103c");
    check(row(-1, 5, 0), "08ffffffffffffffffff011005");
    check(row(i64::MIN, 1, 0), "08808080808080808080011001");
    check(
        row(i64::MAX, 9_000_000_000, 0),
        "08ffffffffffffffff7f1080b4c4c321",
    );
    check(
        row(0x694d_5765_fc71_500b, 3600, 1800),
        "088ba0c5e3dfecd5a66910901c18880e",
    );
    check(
        row(7, 9_000_000_000, 8_999_999_999),
        "08071080b4c4c32118ffb3c4c321",
    );
}

#[test]
fn members_questions() {
    check(
        LeaseInternalRequest {
            lease_time_to_live_request: Some(LeaseTimeToLiveRequest { id: 7, keys: true }),
        },
        "0a0408071001",
    );
    check(
        LeaseInternalResponse {
            lease_time_to_live_response: Some(LeaseTimeToLiveResponse {
                header: header(),
                id: 7,
                ttl: 59,
                granted_ttl: 60,
                keys: vec![b"a".to_vec()],
            }),
        },
        &format!("0a25{HEADER}1007183b203c2a0161"),
    );
    check(LeaseInternalRequest::default(), "");
}

#[test]
fn grants_and_revokes() {
    check(LeaseGrantRequest { ttl: 60, id: 7 }, "083c1007");
    check(
        LeaseGrantResponse {
            header: header(),
            id: 7,
            ttl: 60,
            error: "no".to_owned(),
        },
        &with_header("1007183c22026e6f"),
    );
    check(
        LeaseRevokeRequest {
            id: 7,
            ..LeaseRevokeRequest::default()
        },
        "0807",
    );
    let header = Some(ResponseHeader::default());
    check(LeaseRevokeResponse { header }, "0a00");
}

#[test]
fn checkpoints() {
    let record = |id, remaining_ttl| LeaseCheckpoint {
        id,
        remaining_ttl,
        ..LeaseCheckpoint::default()
    };
    check(
        LeaseCheckpointRequest {
            checkpoints: vec![record(7, 30), record(-2, 0)],
        },
        "0a040807101e0a0b08feffffffffffffffff01",
    );
    check(LeaseCheckpointResponse { header: None }, "");
}

#[test]
fn renewals_and_listings() {
    check(LeaseKeepAliveRequest { id: 7 }, "0807");
    check(
        LeaseKeepAliveResponse {
            header: header(),
            id: 7,
            ttl: 60,
        },
        &with_header("1007183c"),
    );
    check(LeaseTimeToLiveRequest { id: 7, keys: true }, "08071001");
    let answer = LeaseTimeToLiveResponse {
        header: header(),
        id: 7,
        ..LeaseTimeToLiveResponse::default()
    };
    check(
        LeaseTimeToLiveResponse {
            ttl: -1,
            ..answer.clone()
        },
        &with_header("100718ffffffffffffffffff01"),
    );
    check(
        LeaseTimeToLiveResponse {
            ttl: 59,
            granted_ttl: 60,
            keys: vec![b"a".to_vec(), Vec::new(), vec![0xff, 0]],
            ..answer
        },
        &with_header("1007183b203c2a01612a002a02ff00"),
    );
    check(LeaseLeasesRequest {}, "");
    check(
        LeaseLeasesResponse {
            header: header(),
            leases: vec![LeaseStatus { id: 7 }, LeaseStatus { id: -7 }],
        },
        &with_header("12020807120b08f9ffffffffffffffff01"),
    );
}

// Etcd 3.6.10 decodes these bytes without an error, to the same lease, revoke and checkpoint.
#[test]
fn own_fields_come_behind_etcds() {
    check(
        Lease {
            incarnation: Some(7),
            checkpoint_generation: 3,
            ..row(1, 60, 0)
        },
        "0801103cc83e07d03e03",
    );
    check(
        LeaseRevokeRequest {
            id: 7,
            incarnation: Some(42),
            epoch: Some(3),
        },
        "0807c83e2ad03e03",
    );
    check(
        LeaseCheckpoint {
            id: 7,
            remaining_ttl: 30,
            incarnation: Some(42),
            epoch: Some(3),
            generation: Some(0),
        },
        "0807101ec83e2ad03e03d83e00",
    );
}

#[test]
fn zero_is_written_where_absence_means_something_else() {
    check(
        Lease {
            incarnation: Some(0),
            ..row(1, 60, 0)
        },
        "0801103cc83e00",
    );
    check(
        LeaseRevokeRequest {
            id: 7,
            incarnation: Some(0),
            epoch: Some(0),
        },
        "0807c83e00d03e00",
    );
}

#[test]
fn unknown_fields_are_skipped() {
    // In turn: a varint, eight bytes, a length and its bytes, four bytes, a group.
    let unknown = [
        "a01f05",
        "a11f0102030405060708",
        "a21f03616263",
        "a51f01020304",
        "a31f0801a41f",
    ];
    for unknown in unknown {
        for hex in [
            format!("0801103c{unknown}"),
            format!("{unknown}0801103c"),
            format!("0801{unknown}103c"),
        ] {
            let lease = Lease::decode(&from_hex(&hex)[..]);
            assert_eq!(lease, Ok(row(1, 60, 0)), "{hex}");
        }
    }
}

#[test]
fn the_last_of_a_repeated_field_counts() {
    let lease = Lease::decode(&from_hex("08011005103c")[..]);
    assert_eq!(lease, Ok(row(1, 60, 0)));
}

#[test]
fn renewals_in_batches() {
    check(
        RenewBatchRequest { ids: vec![1, -1] },
        "0a100100000000000000ffffffffffffffff",
    );
    check(
        RenewBatchResponse {
            ids: vec![1, 2],
            ttls: vec![60, 0],
            refusals: vec![Refusal {
                place: 1,
                reason: RefusalReason::NotFound.into(),
                text: "x".to_owned(),
            }],
        },
        "0a100100000000000000020000000000000012023c001a07080110011a0178",
    );
}
