//! Bad requests, and callers and hosts that misbehave: each gets an answer or none, nothing panics, and
//! nothing is left behind.

mod support;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use lease_core::{LeaseError, LeaseItem, Lessor};
use lease_http::messages::{Call, Keys, MAX_BATCH, Renew, RenewBatch, TimeToLive};
use lease_http::{ClientError, LEASE_BATCH_PREFIX, LEASE_INTERNAL_PREFIX, LEASE_PREFIX, Timeouts};
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tower_service::Service;

use support::wire::Wire;
use support::{Member, at_once, id, never};

const TASKS_OF_A_TEST: usize = 0;

/// How many tasks there are beside the test's own.
fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// A renewal of lease 1 with a field that is skipped, as long as wanted.
fn padded(length: usize) -> Vec<u8> {
    let mut body = vec![0x08, 1, 0x12];
    let rest = length - body.len() - 3;
    body.extend([rest as u8 & 0x7f | 0x80, (rest >> 7) as u8 & 0x7f | 0x80]);
    body.push((rest >> 14) as u8);
    body.resize(length, 0);
    body
}

#[tokio::test(start_paused = true)]
async fn bodies_are_taken_up_to_the_limit() {
    let member = Member::primary().grant(1, 10);
    let mut wire = Wire::open(member.handler(at_once()));
    let empty = wire.post(LEASE_PREFIX, b"").await;
    assert_eq!((empty.status, empty.text()), (404, "lease not found\n"));
    let full = wire.post(LEASE_PREFIX, &padded(65_536)).await;
    assert_eq!(full.status, 200);
    wire.close().await;

    for path in [
        LEASE_PREFIX,
        LEASE_INTERNAL_PREFIX,
        LEASE_BATCH_PREFIX,
        "/x",
    ] {
        let mut wire = Wire::open(member.handler(at_once()));
        let above = wire.post(path, &padded(65_537)).await;
        assert_eq!(above.status, 413, "{path}");
        assert_eq!(above.text(), "request body too large\n");
        wire.close().await;
    }
    assert_eq!(tasks(), TASKS_OF_A_TEST);
}

/// What says that it is too large is read for a moment all the same, so that its sender reads the answer;
/// not if the sender waits for the answer, and not if it is much too large.
#[tokio::test(start_paused = true)]
async fn a_body_that_says_it_is_too_large_is_waited_for_briefly() {
    let member = Member::primary().grant(1, 10);
    for (headers, wait) in [
        ("Content-Length: 65537\r\n", 1),
        ("Content-Length: 65537\r\nExpect: 100-continue\r\n", 0),
        ("Content-Length: 1048577\r\n", 0),
    ] {
        let mut wire = Wire::open(member.handler(at_once()));
        let start = Instant::now();
        let head = format!("POST /leases HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        wire.send_raw(head.as_bytes()).await;
        let answer = wire.answer("POST").await;
        assert_eq!(answer.status, 413, "{headers}");
        let waited = start.elapsed();
        let wait = Duration::from_secs(wait);
        assert!(
            waited.abs_diff(wait) <= Duration::from_millis(1),
            "{headers}"
        );
        wire.close().await;
        assert_eq!(tasks(), TASKS_OF_A_TEST);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_without_an_end_is_refused_at_the_limit() {
    let member = Member::primary().grant(1, 10);
    let mut wire = Wire::open(member.handler(at_once()));
    let head = "POST /leases HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    wire.send_raw(head.as_bytes()).await;
    for _ in 0..17 {
        wire.send_raw(b"1000\r\n").await;
        wire.send_raw(&[0; 0x1000]).await;
        wire.send_raw(b"\r\n").await;
    }
    let answer = wire.answer("POST").await;
    assert_eq!(answer.status, 413);
    wire.close().await;
    assert_eq!(tasks(), TASKS_OF_A_TEST);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let member = Member::primary().grant(1, 10);
    let mut wire = Wire::open(member.handler(at_once()));
    let start = Instant::now();
    let head = "POST /leases HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n\x08";
    wire.send_raw(head.as_bytes()).await;
    let answer = wire.answer("POST").await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.text(), "error reading body\n");
    let waited = start.elapsed();
    assert!(waited.abs_diff(Timeouts::default().body) <= Duration::from_millis(1));
    wire.close().await;
    assert_eq!(tasks(), TASKS_OF_A_TEST);
}

/// A body that breaks, and one that never says how long it is, as a host's own layers may make them.
struct Broken;

impl Body for Broken {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready(Some(Err("it broke")))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_is_an_error() {
    let mut service = Member::primary().handler(at_once());
    let request = http::Request::post(LEASE_PREFIX).body(Broken);
    let response = service.call(request.expect("a request")).await;
    let response = response.expect("it never fails");
    assert_eq!(response.status(), 400);
}

#[tokio::test(start_paused = true)]
async fn unknown_methods_and_paths_are_told() {
    let member = Member::primary().grant(1, 10);
    for (method, path, status) in [
        ("GET", LEASE_PREFIX, 405),
        ("BREW", LEASE_PREFIX, 405),
        ("post", LEASE_PREFIX, 405),
        ("OPTIONS", "*", 405),
        ("POST", "/", 400),
        ("POST", "/leases/batch/", 400),
        ("POST", "/LEASES", 400),
        ("POST", "//leases", 400),
        ("POST", "/leases/../leases", 400),
        ("POST", "/%6ceases?x", 200),
        ("POST", "http://elsewhere/leases", 200),
    ] {
        let mut wire = Wire::open(member.handler(at_once()));
        wire.send(method, path, "", &[8, 1]).await;
        let answer = wire.answer(method).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        wire.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_hangs_up_leaves_nothing_behind() {
    let member = Member::primary().with_expired(1, 0).grant(2, 10);
    for (waits, number, waiting) in [(at_once(), 1, 1), (never(), 2, 0)] {
        let mut wire = Wire::open(member.handler(waits));
        wire.send("POST", LEASE_PREFIX, "", &[8, number]).await;
        sleep(Duration::from_millis(500)).await;
        assert_eq!(member.lessor.stats().waiting, waiting);
        assert_eq!(tasks(), TASKS_OF_A_TEST + 1);
        wire.close().await;
        assert_eq!(member.lessor.stats().waiting, 0);
        assert_eq!(tasks(), TASKS_OF_A_TEST);
    }
    assert_eq!(Arc::strong_count(&member.lessor), 1);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_ends_by_its_deadline() {
    let member = Member::primary().with_expired(1, 0);
    let timeouts = Timeouts {
        lease: Duration::from_millis(700),
        ..Timeouts::default()
    };
    let mut wire = Wire::open(member.handler(at_once()).timeouts(timeouts));
    let start = Instant::now();
    let answer = wire.post(LEASE_PREFIX, &Renew(id(1)).encode()).await;
    let took = start.elapsed();
    assert!(took.abs_diff(timeouts.lease) <= Duration::from_millis(1));
    assert_eq!(answer.status, 400);
    let text = format!("{}\n", LeaseError::DeadlineExceeded);
    assert_eq!(answer.text(), text);
    assert_eq!(member.lessor.stats().waiting, 0);
    wire.close().await;
    assert_eq!(tasks(), TASKS_OF_A_TEST);
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_for_no_lease() {
    let member = Member::primary().with_expired(1, 0).grant(2, 60);
    let mut wire = Wire::open(member.handler(at_once()));
    let ids = [id(1), id(2), id(3)];
    let call = RenewBatch(&ids);
    let start = Instant::now();
    let answer = wire.post(LEASE_BATCH_PREFIX, &call.encode()).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    let read = call.read(answer.status, &answer.body).expect("an answer");
    assert_eq!(read[0], Err(ClientError::MustWait));
    assert_eq!(read[1].as_ref().map(|ttl| ttl.as_secs()), Ok(60));
    assert_eq!(read[2], Err(ClientError::NotFound));

    let most: Vec<_> = (1..=MAX_BATCH as i64).map(id).collect();
    let call = RenewBatch(&most);
    let answer = wire.post(LEASE_BATCH_PREFIX, &call.encode()).await;
    let read = call.read(answer.status, &answer.body).expect("an answer");
    assert_eq!(read.len(), MAX_BATCH);
    let zero = wire
        .post(LEASE_BATCH_PREFIX, &[0x0a, 8, 0, 0, 0, 0, 0, 0, 0, 0])
        .await;
    assert_eq!(zero.status, 400);
    wire.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_lessor_that_was_stopped_renews_nothing_and_nobody_waits() {
    let member = Member::primary().with_expired(1, 0).grant(2, 60);
    let mut waiting = Wire::open(member.handler(at_once()));
    waiting.send("POST", LEASE_PREFIX, "", &[8, 1]).await;
    sleep(Duration::from_millis(10)).await;
    member.lessor.stop();
    let ended = waiting.answer("POST").await;
    assert_eq!(
        (ended.status, ended.text()),
        (400, "not a primary lessor\n")
    );

    let renewed = waiting.post(LEASE_PREFIX, &[8, 2]).await;
    assert_eq!((renewed.status, renewed.text()), (400, "lessor stopped\n"));
    let ids = [id(2)];
    let call = RenewBatch(&ids);
    let batch = waiting.post(LEASE_BATCH_PREFIX, &call.encode()).await;
    let text = "lessor stopped".to_owned();
    let refused = Err(ClientError::Refused { status: 200, text });
    assert_eq!(call.read(batch.status, &batch.body), Ok(vec![refused]));
    // Reads go on, as the lessor's own do.
    let times = waiting.post(LEASE_INTERNAL_PREFIX, &[0x0a, 2, 8, 2]).await;
    assert_eq!(times.status, 200);
    waiting.close().await;
    assert_eq!(tasks(), TASKS_OF_A_TEST);
}

#[tokio::test(start_paused = true)]
async fn what_the_host_fails_with_is_answered() {
    let member = Member::primary().grant(1, 10);
    let refuses = || Box::pin(async { Err(LeaseError::NotPrimary) }) as support::Applied;
    let mut wire = Wire::open(member.handler(Box::new(refuses)));
    for (path, body, status) in [
        (LEASE_PREFIX, &[8, 1][..], 400),
        (LEASE_INTERNAL_PREFIX, &[0x0a, 2, 8, 1], 500),
        (LEASE_BATCH_PREFIX, &[], 400),
    ] {
        let answer = wire.post(path, body).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.text(), "not a primary lessor\n", "{path}");
    }
    wire.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_panics_is_an_error_of_one_request() {
    let member = Member::primary().grant(1, 10);
    let panics = Arc::new(AtomicBool::new(true));
    let host = Arc::clone(&panics);
    let waits = move || {
        let in_call = host.load(Ordering::Relaxed);
        assert!(!in_call, "the host panics in the call");
        let host = Arc::clone(&host);
        let in_poll = async move {
            let in_poll = host.swap(true, Ordering::Relaxed);
            assert!(in_poll, "the host panics in its future");
            Ok(())
        };
        Box::pin(in_poll) as support::Applied
    };
    let mut wire = Wire::open(member.handler(Box::new(waits)));
    for panicking in [true, false] {
        panics.store(panicking, Ordering::Relaxed);
        let answer = wire.post(LEASE_PREFIX, &[8, 1]).await;
        assert_eq!(
            (answer.status, answer.text()),
            (500, "the host has panicked\n")
        );
    }
    wire.close().await;
    let mut wire = Wire::open(member.handler(at_once()));
    assert_eq!(wire.post(LEASE_PREFIX, &[8, 1]).await.status, 200);
    wire.close().await;
}

#[tokio::test]
async fn the_items_of_a_large_lease_are_copied_elsewhere() {
    let member = Member::primary().grant(1, 10);
    let items: Vec<_> = (0..3_000_u32)
        .map(|n| LeaseItem::from(&n.to_be_bytes()[..]))
        .collect();
    member.lessor.attach(id(1), &items).expect("there");
    let mut wire = Wire::open(member.handler(at_once()));
    for (keys, count) in [(Keys::Omit, 0), (Keys::List, 3_000)] {
        let call = TimeToLive { id: id(1), keys };
        let answer = wire.post(LEASE_INTERNAL_PREFIX, &call.encode()).await;
        let times = call.read(answer.status, &answer.body).expect("there");
        assert_eq!(times.keys.len(), count);
        assert!(times.keys.is_sorted());
    }
    wire.close().await;
    assert_eq!(tasks(), TASKS_OF_A_TEST);
}

/// Each would be a thread that copies, and the items once more.
#[test]
fn a_large_lease_that_many_ask_for_takes_a_few_threads() {
    let threads = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&threads);
    let runtime = Builder::new_current_thread()
        .enable_all()
        .on_thread_start(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        })
        .build();
    runtime.expect("a runtime").block_on(async {
        let member = Member::primary().grant(1, 10);
        let items: Vec<_> = (0..30_000_u32)
            .map(|n| LeaseItem::from(&n.to_be_bytes()[..]))
            .collect();
        member.lessor.attach(id(1), &items).expect("there");
        let handler = member.handler(at_once());
        let call = TimeToLive {
            id: id(1),
            keys: Keys::List,
        };
        let mut asks = JoinSet::new();
        for number in 0..60 {
            let (mut handler, body) = (handler.clone(), Full::<Bytes>::from(call.encode()));
            let request = http::Request::post(LEASE_INTERNAL_PREFIX).body(body);
            let answer = handler.call(request.expect("a request"));
            // Those who go away do not copy more.
            let patience = Duration::from_millis(if number % 3 == 0 { 1 } else { 60_000 });
            asks.spawn(async move { timeout(patience, answer).await });
        }
        while let Some(asked) = asks.join_next().await {
            if let Ok(answer) = asked.expect("no panic") {
                assert_eq!(answer.expect("it never fails").status(), 200);
            }
        }
    });
    let threads = threads.load(Ordering::Relaxed);
    // One that has just ended may not be idle yet when the next copy begins.
    assert!((1..20).contains(&threads), "{threads}");
}
