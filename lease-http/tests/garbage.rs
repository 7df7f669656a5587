//! Bytes that nobody meant: whatever comes over a wire is read or refused, by both sides, and nothing
//! panics.

use lease_core::{Lease, LeaseError, LeaseId, LeaseItem, Renewal, Ttl};
use lease_http::messages::{
    Call, Keys, Kind, LEASE_BATCH_PREFIX, LEASE_INTERNAL_PREFIX, LEASE_PREFIX, Renew, RenewBatch,
    Reply, Request, TimeToLive,
};
use lease_http::{ClientError, messages};
use proptest::prelude::*;
use proptest::sample::{Index, select};

fn id(number: i64) -> LeaseId {
    LeaseId::new(number).expect("not zero")
}

fn paths() -> impl Strategy<Value = String> {
    let known = [LEASE_PREFIX, LEASE_INTERNAL_PREFIX, LEASE_BATCH_PREFIX];
    prop_oneof![
        8 => select(known.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => "/(%[0-9a-f]{0,2}|.){0,8}",
    ]
}

/// Bytes of any kind, and messages in which one byte is another one.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let damaged = (messages(), any::<Index>(), any::<u8>()).prop_map(|(mut bytes, at, byte)| {
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    });
    prop_oneof![prop::collection::vec(any::<u8>(), 0..64), damaged]
}

fn messages() -> impl Strategy<Value = Vec<u8>> {
    (any::<i64>(), any::<i64>(), 0..6_usize).prop_filter_map("id 0", |(a, b, which)| {
        let (a, b) = (LeaseId::new(a)?, LeaseId::new(b)?);
        let ttl = Ttl::MIN;
        let keys = Keys::List;
        Some(match which {
            0 => Renew(a).encode(),
            1 => TimeToLive { id: a, keys }.encode(),
            2 => RenewBatch(&[a, b]).encode(),
            3 => Reply::renewed(a, ttl).into_body(),
            4 => Reply::time_to_live(Some(&Lease::new(a, ttl)), keys).into_body(),
            _ => {
                let refused = Err(LeaseError::Stopped);
                Reply::batch(&[a, b], &[Ok(Renewal::Renewed(ttl)), refused]).into_body()
            }
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100_000))]

    #[test]
    fn a_request_is_read_or_refused(path in paths(), body in bodies()) {
        if let Err(reply) = Request::decode(&path, &body) {
            prop_assert_eq!(reply.status(), 400);
            prop_assert!(reply.body().ends_with(b"\n"));
        }
    }

    #[test]
    fn an_answer_is_read_or_refused(status in 100..600_u16, good: bool, body in bodies()) {
        let status = if good { 200 } else { status };
        let _ = Renew(id(7)).read(status, &body);
        let _ = TimeToLive { id: id(7), keys: Keys::List }.read(status, &body);
        let ids = [id(7), id(8)];
        if let Ok(answers) = RenewBatch(&ids).read(status, &body) {
            prop_assert_eq!(answers.len(), 2);
        }
    }
}

proptest! {
    #[test]
    fn any_call_comes_over_as_it_is(a: i64, b: i64, list: bool) {
        let (Some(a), Some(b)) = (LeaseId::new(a), LeaseId::new(b)) else {
            return Ok(());
        };
        let keys = if list { Keys::List } else { Keys::Omit };
        let renew = Request::decode(Renew::PATH, &Renew(a).encode());
        prop_assert_eq!(renew, Ok(Request::Renew(Some(a))));
        let times = TimeToLive { id: a, keys };
        let times = Request::decode(TimeToLive::PATH, &times.encode());
        prop_assert_eq!(times, Ok(Request::TimeToLive { id: Some(a), keys }));
        let ids = [a, b];
        let batch = Request::decode(RenewBatch::PATH, &RenewBatch(&ids).encode());
        prop_assert_eq!(batch, Ok(Request::RenewBatch(ids.to_vec())));
    }
}

fn read_batch(response: lease_pb::leasehttppb::RenewBatchResponse) -> Result<usize, ClientError> {
    use lease_pb::Message as _;

    let ids = [id(1), id(2)];
    let read = RenewBatch(&ids).read(200, &response.encode_to_vec());
    read.map(|answers| answers.len())
}

#[test]
fn a_batch_that_contradicts_itself_is_refused() {
    use lease_pb::leasehttppb::{Refusal, RenewBatchResponse};

    let good = RenewBatchResponse {
        ids: vec![1, 2],
        ttls: vec![60, 0],
        refusals: vec![Refusal {
            place: 1,
            reason: 1,
            text: String::new(),
        }],
    };
    assert_eq!(read_batch(good.clone()), Ok(2));
    let mismatch = Err(ClientError::IdMismatch(Kind::RenewBatch));
    for ids in [vec![], vec![1], vec![2, 1], vec![1, 3], vec![1, 2, 3]] {
        let other = RenewBatchResponse {
            ids,
            ..good.clone()
        };
        assert_eq!(read_batch(other), mismatch);
    }
    let contradiction = Err(ClientError::Contradiction);
    for ttls in [
        vec![60],
        vec![60, 0, 0],
        vec![60, 60],
        vec![0, 0],
        vec![-1, 0],
        vec![60, -1],
    ] {
        let other = RenewBatchResponse {
            ttls: ttls.clone(),
            ..good.clone()
        };
        assert_eq!(read_batch(other), contradiction, "{ttls:?}");
    }
    for ttls in [vec![], vec![60], vec![60, 60, 60]] {
        let other = RenewBatchResponse {
            ttls: ttls.clone(),
            refusals: vec![],
            ..good.clone()
        };
        assert_eq!(read_batch(other), contradiction, "{ttls:?}");
    }
    for places in [vec![], vec![0], vec![2], vec![u32::MAX], vec![1, 1]] {
        let refusal = |place: &u32| Refusal {
            place: *place,
            ..good.refusals[0].clone()
        };
        let refusals = places.iter().map(refusal).collect();
        let other = RenewBatchResponse {
            refusals,
            ..good.clone()
        };
        assert_eq!(read_batch(other), contradiction, "{places:?}");
    }
}

#[test]
fn a_member_without_batches_is_told_from_one_that_refuses() {
    let ids = [id(1)];
    let read = |status, body: &[u8]| RenewBatch(&ids).read(status, body);
    let unknown = Request::decode("/leases/batches", b"").expect_err("unknown");
    for (status, body) in [
        (404, &b"404 page not found\n"[..]),
        (405, b""),
        (unknown.status(), unknown.body()),
    ] {
        assert_eq!(read(status, body), Err(ClientError::NoBatches), "{status}");
    }
    assert_eq!(
        read(400, b"not a primary lessor\n"),
        Err(ClientError::Demoted)
    );
    assert_eq!(read(408, b""), Err(ClientError::NotCaughtUp));
}

#[test]
fn errors_tell_whether_another_member_is_worth_asking() {
    let read = |status, body: &[u8]| Renew(id(1)).read(status, body).expect_err("an error");
    for (error, asks_another) in [
        (read(404, b"lease not found\n"), false),
        (read(400, b"not a primary lessor\n"), true),
        (read(500, b"not a primary lessor"), true),
        (read(408, b""), true),
        (read(503, b"try later\n"), true),
        (read(200, b"x"), true),
        (ClientError::MustWait, false),
        (ClientError::NoBatches, false),
    ] {
        assert_eq!(error.asks_another(), asks_another, "{error}");
    }
    let long = vec![b'x'; 5_000];
    let ClientError::Refused { status: 503, text } = read(503, &long) else {
        panic!("another error");
    };
    assert_eq!(text.len(), 1_024);
}

#[test]
fn an_answer_above_the_limit_is_refused() {
    let body = vec![0; messages::MAX_RESPONSE_LEN + 1];
    for status in [200, 500] {
        let read = Renew(id(1)).read(status, &body);
        assert_eq!(read, Err(ClientError::TooLarge));
    }
    let text = "lease: response body exceeds 104857600 bytes limit";
    assert_eq!(ClientError::TooLarge.to_string(), text);
}

#[test]
fn items_are_any_bytes() {
    let items: Vec<LeaseItem> = vec!["".into(), (&b"\xff\x00"[..]).into(), "a".into()];
    let answer = lease_pb::etcdserverpb::LeaseTimeToLiveResponse {
        header: None,
        id: 7,
        ttl: 3,
        granted_ttl: 9,
        keys: items.iter().map(|item| item.as_bytes().to_vec()).collect(),
    };
    let answer = lease_pb::leasepb::LeaseInternalResponse {
        lease_time_to_live_response: Some(answer),
    };
    let call = TimeToLive {
        id: id(7),
        keys: Keys::List,
    };
    let read = call.read(200, &lease_pb::Message::encode_to_vec(&answer));
    assert_eq!(read.expect("an answer").keys, items);
}
