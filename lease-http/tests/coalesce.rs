//! Renewals that are gathered, over a network without sockets and in virtual time.

mod support;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use lease_core::{HostError, LeaseError, Lessor, Renewal, Ttl};
use lease_http::messages::{MAX_BATCH, Reply, Request};
use lease_http::{
    ClientError, Coalescer, CoalescerOptions, LEASE_BATCH_PREFIX, LEASE_PREFIX, Response, Transport,
};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{JoinHandle, JoinSet, yield_now};
use tokio::time::{Instant, advance, sleep, timeout};

use support::{Member, id};

/// How the network treats batches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Batches {
    Known,
    Unknown,
    Lost,
    Panic,
}

/// Carries requests to a member, as a member of a cluster that is simulated would.
#[derive(Clone)]
struct Net {
    member: Arc<Member>,
    batches: Arc<Mutex<Batches>>,
    // How many leases were in each batch.
    sent: Arc<Mutex<Vec<usize>>>,
    alone: Arc<AtomicUsize>,
    delay_ms: Arc<AtomicU64>,
    alone_ms: Arc<AtomicU64>,
}

impl Net {
    fn new(member: Member) -> Self {
        Self {
            member: Arc::new(member),
            batches: Arc::new(Mutex::new(Batches::Known)),
            sent: Arc::default(),
            alone: Arc::default(),
            delay_ms: Arc::default(),
            alone_ms: Arc::default(),
        }
    }

    fn set(&self, batches: Batches) {
        *self.batches.lock().expect("no panic") = batches;
    }

    /// The sizes of the batches since it was asked last.
    fn sent(&self) -> Vec<usize> {
        std::mem::take(&mut *self.sent.lock().expect("no panic"))
    }

    fn alone(&self) -> usize {
        self.alone.swap(0, Ordering::Relaxed)
    }

    /// Has a batch of one lease under way for a time.
    async fn keep_busy(&self, renewals: &Coalescer<Self>, millis: u64) -> JoinHandle<()> {
        self.delay_ms.store(millis, Ordering::Relaxed);
        let renewals = renewals.clone();
        let busy = tokio::spawn(async move { drop(renewals.renew(id(1)).await) });
        while self.sent.lock().expect("no panic").is_empty() {
            yield_now().await;
        }
        busy
    }

    async fn batch(&self, ids: &[lease_core::LeaseId]) -> Result<Reply, ClientError> {
        self.sent.lock().expect("no panic").push(ids.len());
        sleep(Duration::from_millis(self.delay_ms.load(Ordering::Relaxed))).await;
        let batches = *self.batches.lock().expect("no panic");
        match batches {
            Batches::Known => Ok(Reply::batch(ids, &self.member.lessor.renew_many(ids))),
            Batches::Unknown => Ok(Request::decode("/x", b"").expect_err("no such path")),
            Batches::Lost => Err(ClientError::Unreachable(HostError::new("lost"))),
            Batches::Panic => panic!("the network panics"),
        }
    }
}

impl Transport for Net {
    async fn post(&self, url: &str, body: Vec<u8>) -> Result<Response, ClientError> {
        let path = url.strip_prefix("http://member").expect("the member's");
        let reply = match Request::decode(path, &body).expect("well made") {
            Request::RenewBatch(ids) => {
                assert_eq!(path, LEASE_BATCH_PREFIX);
                self.batch(&ids).await?
            }
            Request::Renew(Some(id)) => {
                assert_eq!(path, LEASE_PREFIX);
                self.alone.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(self.alone_ms.load(Ordering::Relaxed))).await;
                let renewed = self.member.lessor.renew_async(id).await;
                Reply::renewed(id, renewed.expect("there"))
            }
            other => panic!("nobody asked {other:?}"),
        };
        let (status, body) = (reply.status(), reply.into_body());
        Ok(Response { status, body })
    }
}

/// Leases from 1 on, each with its number of seconds and ten more.
fn granted(leases: i64) -> Net {
    let member = Member::primary();
    Net::new((1..=leases).fold(member, |member, number| member.grant(number, number + 10)))
}

fn coalescer(net: &Net, max_leases: usize) -> Coalescer<Net> {
    let options = CoalescerOptions {
        max_leases,
        ..CoalescerOptions::default()
    };
    Coalescer::new(net.clone(), "http://member", options)
}

/// Renews leases from callers that know nothing of each other.
async fn renew_all(renewals: &Coalescer<Net>, leases: i64) -> Vec<Result<Ttl, ClientError>> {
    let mut callers = JoinSet::new();
    for number in 1..=leases {
        let renewals = renewals.clone();
        callers.spawn(async move { (number, renewals.renew(id(number)).await) });
    }
    let mut answers = callers.join_all().await;
    answers.sort_by_key(|answer| answer.0);
    answers.into_iter().map(|answer| answer.1).collect()
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// Waits until all tasks have ended, at most a second.
async fn nothing_is_left() {
    nothing_is_left_but(0).await;
}

/// Waits until all tasks but so many have ended, at most a second.
async fn nothing_is_left_but(count: usize) {
    let ends = async {
        while tasks() > count {
            sleep(Duration::from_millis(1)).await;
        }
    };
    let ended = timeout(Duration::from_secs(1), ends).await;
    ended.expect("no task is left behind");
}

fn check(answers: &[Result<Ttl, ClientError>]) {
    for (number, answer) in (1..).zip(answers) {
        let ttl = answer.as_ref().map(|ttl| ttl.get());
        assert_eq!(ttl, Ok(number + 10));
    }
}

#[tokio::test(start_paused = true)]
async fn callers_that_come_together_share_a_request() {
    let net = granted(100);
    let renewals = coalescer(&net, 1_000);
    let start = Instant::now();
    check(&renew_all(&renewals, 100).await);
    assert_eq!(net.sent(), [100]);
    assert_eq!(start.elapsed(), Duration::ZERO, "nothing is under way");
    check(&renew_all(&renewals, 3).await);
    assert_eq!(net.sent(), [3]);
    assert_eq!(net.alone(), 0);
    nothing_is_left().await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_goes_out_when_it_is_full() {
    let net = granted(25);
    let renewals = coalescer(&net, 10);
    let start = Instant::now();
    check(&renew_all(&renewals, 20).await);
    assert_eq!(net.sent(), [10, 10]);
    assert_eq!(
        start.elapsed(),
        Duration::ZERO,
        "nobody waits for the set time"
    );
    check(&renew_all(&renewals, 25).await);
    assert_eq!(net.sent(), [10, 10, 5]);
    nothing_is_left().await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_its_whole_time_also_behind_one_that_was_full() {
    let net = granted(5);
    let renewals = coalescer(&net, 2);
    let busy = net.keep_busy(&renewals, 500).await;
    let full = renew_all(&renewals, 2);
    let next = async {
        sleep(Duration::from_millis(1)).await;
        let start = Instant::now();
        let answer = renewals.renew(id(1)).await;
        assert_eq!(start.elapsed(), Duration::from_millis(502));
        answer
    };
    let (full, next) = tokio::join!(full, next);
    check(&full);
    check(&[next]);
    busy.await.expect("no panic");
    assert_eq!(net.sent(), [1, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn the_next_batch_goes_out_when_the_last_one_is_answered() {
    let net = granted(5);
    let options = CoalescerOptions {
        max_wait: Duration::from_secs(1),
        ..CoalescerOptions::default()
    };
    let renewals = Coalescer::new(net.clone(), "http://member", options);
    let start = Instant::now();
    let busy = net.keep_busy(&renewals, 100).await;
    check(&renew_all(&renewals, 5).await);
    assert_eq!(start.elapsed(), Duration::from_millis(200));
    busy.await.expect("no panic");
    assert_eq!(net.sent(), [1, 5]);
    nothing_is_left_but(1).await;
    sleep(Duration::from_secs(1)).await;
    nothing_is_left().await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_as_large_as_it_may_be() {
    for (max_leases, first) in [(0, 1), (usize::MAX, MAX_BATCH)] {
        let net = granted(MAX_BATCH as i64 + 1);
        let renewals = coalescer(&net, max_leases);
        check(&renew_all(&renewals, MAX_BATCH as i64 + 1).await);
        assert_eq!(net.sent()[0], first);
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_time_of_zero_takes_those_who_are_there() {
    let net = granted(50);
    let options = CoalescerOptions {
        max_wait: Duration::ZERO,
        ..CoalescerOptions::default()
    };
    let renewals = Coalescer::new(net.clone(), "http://member", options);
    let start = Instant::now();
    check(&renew_all(&renewals, 50).await);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(net.sent().iter().sum::<usize>(), 50);
    nothing_is_left().await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_a_request_is_under_way_waits_for_the_next_alone() {
    let net = granted(3);
    net.delay_ms.store(500, Ordering::Relaxed);
    let renewals = coalescer(&net, 1_000);
    let late = async {
        sleep(Duration::from_millis(100)).await;
        let start = Instant::now();
        let answer = renewals.renew(id(2)).await;
        assert_eq!(start.elapsed(), Duration::from_millis(502));
        answer
    };
    let (first, second) = tokio::join!(renewals.renew(id(1)), late);
    check(&[first, second]);
    assert_eq!(net.sent(), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_for_who_has_given_up() {
    let net = granted(3);
    let renewals = coalescer(&net, 1_000);
    let busy = net.keep_busy(&renewals, 50).await;
    let impatient = Duration::from_millis(1);
    let gave_up = timeout(impatient, renewals.renew(id(1))).await;
    gave_up.expect_err("too early");
    sleep(Duration::from_millis(5)).await;
    assert_eq!(net.sent(), [1], "nobody waits");
    let gives_up = timeout(impatient, renewals.renew(id(1)));
    let (gave_up, stays) = tokio::join!(gives_up, renewals.renew(id(2)));
    gave_up.expect_err("too early");
    assert_eq!(stays.map(|ttl| ttl.get()), Ok(12));
    assert_eq!(net.sent(), [1]);
    busy.await.expect("no panic");
    nothing_is_left().await;
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_has_to_wait_keeps_nobody() {
    let member = Member::primary().with_expired(1, 0).grant(2, 12);
    assert_eq!(member.lessor.try_renew(id(1)), Ok(Renewal::Expiring));
    let net = Net::new(member);
    let renewals = coalescer(&net, 1_000);
    let waits = timeout(Duration::from_secs(1), renewals.renew(id(1)));
    let others = async {
        let start = Instant::now();
        let ttl = renewals.renew(id(2)).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        ttl
    };
    let (waits, other) = tokio::join!(waits, others);
    waits.expect_err("its lease is not revoked");
    assert_eq!(other.map(|ttl| ttl.get()), Ok(12));
    assert_eq!((net.sent(), net.alone()), (vec![2], 1));
    assert_eq!(net.member.lessor.stats().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_knows_no_batches_is_asked_one_by_one() {
    let net = granted(10);
    net.set(Batches::Unknown);
    let renewals = coalescer(&net, 1_000);
    check(&renew_all(&renewals, 10).await);
    assert_eq!((net.sent(), net.alone()), (vec![10], 10));
    net.set(Batches::Known);
    advance(Duration::from_secs(59)).await;
    check(&renew_all(&renewals, 10).await);
    assert_eq!((net.sent(), net.alone()), (vec![], 10), "not tried again");
    advance(Duration::from_secs(1)).await;
    check(&renew_all(&renewals, 10).await);
    assert_eq!((net.sent(), net.alone()), (vec![10], 0), "it was upgraded");
}

#[tokio::test(start_paused = true)]
async fn who_waits_behind_a_batch_that_is_not_known_asks_alone_at_once() {
    let net = granted(5);
    net.set(Batches::Unknown);
    let options = CoalescerOptions {
        max_wait: Duration::from_secs(1),
        ..CoalescerOptions::default()
    };
    let renewals = Coalescer::new(net.clone(), "http://member", options);
    let busy = net.keep_busy(&renewals, 50).await;
    check(&renew_all(&renewals, 5).await);
    busy.await.expect("no panic");
    assert_eq!((net.sent(), net.alone()), (vec![1], 6));
}

#[tokio::test(start_paused = true)]
async fn each_caller_hears_of_a_failure() {
    let net = granted(3);
    let renewals = coalescer(&net, 1_000);
    net.set(Batches::Lost);
    for answer in renew_all(&renewals, 3).await {
        assert!(
            matches!(answer, Err(ClientError::Unreachable(_))),
            "{answer:?}"
        );
    }
    net.set(Batches::Panic);
    for answer in renew_all(&renewals, 3).await {
        assert!(
            matches!(answer, Err(ClientError::Unreachable(_))),
            "{answer:?}"
        );
    }
    net.set(Batches::Known);
    check(&renew_all(&renewals, 3).await);
    net.member.lessor.demote();
    let demoted = vec![Err(ClientError::Demoted); 3];
    assert_eq!(renew_all(&renewals, 3).await, demoted);
    let gone = net.member.lessor.renew(id(1));
    assert_eq!(gone, Err(LeaseError::NotPrimary));
    nothing_is_left().await;
}

#[tokio::test(start_paused = true)]
async fn a_coalescer_that_is_dropped_leaves_nothing_behind() {
    let net = granted(3);
    net.delay_ms.store(300, Ordering::Relaxed);
    let renewals = coalescer(&net, 2);
    let abandoned = renewals.clone();
    let caller = tokio::spawn(async move { abandoned.renew(id(1)).await });
    yield_now().await;
    caller.abort();
    drop(renewals);
    nothing_is_left().await;
    assert_eq!(Arc::strong_count(&net.member), 1);
}

const LONG: Duration = Duration::from_secs(9);

/// Polls it once, and leaves it.
fn poll_once<F: Future>(future: F) {
    let waker = Waker::noop();
    let polled = pin!(future).poll(&mut Context::from_waker(waker));
    assert!(polled.is_pending());
}

fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}

/// The batch that it has opened, or has under way, is not left to those who come later.
#[test]
fn a_runtime_that_ends_keeps_nobody() {
    let net = granted(3);
    let renewals = coalescer(&net, 3);
    let others = runtime();
    // It opens a batch, and one that is full and under way.
    for callers in [1, 3] {
        let ends = runtime();
        ends.block_on(async {
            for number in 1..=callers {
                poll_once(renewals.renew(id(number)));
            }
        });
        let waits = others.spawn({
            let renewals = renewals.clone();
            async move { renewals.renew(id(2)).await }
        });
        others.block_on(yield_now());
        drop(ends);
        let waited = others.block_on(async { timeout(LONG, waits).await });
        let waited = waited.expect("it ends").expect("no panic");
        // Told, if the batch was the other runtime's.
        let is_told = matches!(waited, Err(ClientError::Unreachable(_)));
        assert_eq!(is_told, callers == 1, "{waited:?}");
        let later = others.block_on(async { timeout(LONG, renewals.renew(id(3))).await });
        assert_eq!(later.expect("it ends").map(|ttl| ttl.get()), Ok(13));
        // Nothing is waited for, so that nothing is taken for being under way.
        assert_eq!(net.sent().last(), Some(&1));
    }
}

#[test]
fn who_renews_outside_of_a_runtime_panics_and_keeps_nobody() {
    let net = granted(1);
    let renewals = coalescer(&net, 1_000);
    let outside = catch_unwind(AssertUnwindSafe(|| poll_once(renewals.renew(id(1)))));
    outside.expect_err("there is no runtime");
    let renewed = runtime().block_on(async { timeout(LONG, renewals.renew(id(1))).await });
    assert_eq!(renewed.expect("it ends").map(|ttl| ttl.get()), Ok(11));
    assert_eq!(net.sent(), [1]);
}

#[tokio::test(start_paused = true)]
async fn those_who_are_asked_for_alone_take_turns() {
    let net = granted(50);
    net.set(Batches::Unknown);
    net.alone_ms.store(100, Ordering::Relaxed);
    let options = CoalescerOptions {
        max_alone: 20,
        ..CoalescerOptions::default()
    };
    let renewals = Coalescer::new(net.clone(), "http://member/", options);
    let start = Instant::now();
    check(&renew_all(&renewals, 50).await);
    assert_eq!(start.elapsed().as_millis(), 300, "20, 20 and 10");
    assert_eq!((net.sent(), net.alone()), (vec![50], 50));

    // Who has to wait keeps none of those who are asked for alone for another reason.
    let member = Member::primary().with_expired(1, 0).grant(2, 12);
    let net = Net::new(member);
    let options = CoalescerOptions {
        max_alone: 0,
        ..CoalescerOptions::default()
    };
    let renewals = Coalescer::new(net.clone(), "http://member", options);
    let waits = tokio::spawn({
        let renewals = renewals.clone();
        async move { renewals.renew(id(1)).await }
    });
    while net.member.lessor.stats().waiting == 0 {
        yield_now().await;
    }
    net.set(Batches::Unknown);
    let renewed = timeout(Duration::from_secs(1), renewals.renew(id(2))).await;
    assert_eq!(renewed.expect("its turn").map(|ttl| ttl.get()), Ok(12));
    waits.abort();
}
