//! Both adapters over real connections.

mod support;

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use lease_core::{LeaseItem, Lessor, Ttl};
use lease_http::blocking::{self, UreqTransport};
use lease_http::messages::{BatchAnswer, Keys, LeaseTimes, MAX_RESPONSE_LEN};
use lease_http::{
    ClientError, Coalescer, CoalescerOptions, HyperTransport, LEASE_BATCH_PREFIX,
    LEASE_INTERNAL_PREFIX, LEASE_PREFIX, Transport, renew_batch_http, renew_http, serve,
    time_to_live_http,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::{Instant, timeout};

use support::{Member, Server, at_once, id, listen, read_request};

/// Either transport, as an async caller has it.
#[derive(Clone, Debug)]
enum Client {
    Hyper(HyperTransport),
    Ureq(UreqTransport),
}

impl Client {
    fn both(time: Duration) -> [Self; 2] {
        [
            Self::Hyper(HyperTransport::new(time)),
            Self::Ureq(UreqTransport::new(time)),
        ]
    }

    async fn block<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
        spawn_blocking(work).await.expect("no panic")
    }

    async fn renew(&self, number: i64, url: String) -> Result<Ttl, ClientError> {
        match self.clone() {
            Self::Hyper(hyper) => renew_http(&hyper, id(number), &url).await,
            Self::Ureq(ureq) => {
                Self::block(move || blocking::renew_http(&ureq, id(number), &url)).await
            }
        }
    }

    async fn times(&self, number: i64, url: String) -> Result<LeaseTimes, ClientError> {
        let keys = Keys::List;
        match self.clone() {
            Self::Hyper(hyper) => time_to_live_http(&hyper, id(number), keys, &url).await,
            Self::Ureq(ureq) => {
                let ask = move || blocking::time_to_live_http(&ureq, id(number), keys, &url);
                Self::block(ask).await
            }
        }
    }

    async fn batch(&self, numbers: &[i64], url: String) -> Result<BatchAnswer, ClientError> {
        let ids: Vec<_> = numbers.iter().copied().map(id).collect();
        match self.clone() {
            Self::Hyper(hyper) => renew_batch_http(&hyper, &ids, &url).await,
            Self::Ureq(ureq) => {
                Self::block(move || blocking::renew_batch_http(&ureq, &ids, &url)).await
            }
        }
    }
}

const LONG: Duration = Duration::from_secs(10);

/// Counts the connections that are opened to a server.
struct Counted {
    listener: TcpListener,
    connections: Arc<AtomicUsize>,
}

impl axum::serve::Listener for Counted {
    type Io = TcpStream;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (TcpStream, Self::Addr) {
        let accepted = self.listener.accept().await.expect("it listens");
        self.connections.fetch_add(1, Ordering::Relaxed);
        accepted
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// Serves a member beside a path of the host's, and counts connections.
async fn serve_counted(member: &Member) -> (String, Arc<AtomicUsize>, JoinHandle<()>) {
    let host = Router::new().route("/version", axum::routing::get(|| async { "1" }));
    let router = host.merge(member.handler(at_once()).router());
    let listener = listen().await;
    let url = format!("http://{}", listener.local_addr().expect("it listens"));
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Counted {
        listener,
        connections: Arc::clone(&connections),
    };
    let task = tokio::spawn(async {
        let served = axum::serve(counted, router).await;
        served.expect("it never ends");
    });
    (url, connections, task)
}

#[tokio::test]
async fn a_connection_is_kept_and_used_again() {
    let member = Member::primary().grant(1, 10);
    for client in Client::both(LONG) {
        let (url, connections, server) = serve_counted(&member).await;
        for _ in 0..20 {
            let renewed = client.renew(1, format!("{url}{LEASE_PREFIX}")).await;
            assert_eq!(renewed.map(|ttl| ttl.get()), Ok(10));
            let unknown = client
                .times(9, format!("{url}{LEASE_INTERNAL_PREFIX}"))
                .await;
            assert_eq!(unknown, Err(ClientError::NotFound));
            let batch = client
                .batch(&[9, 1], format!("{url}{LEASE_BATCH_PREFIX}"))
                .await;
            let batch = batch.expect("it is served");
            assert_eq!(batch[0], Err(ClientError::NotFound));
            assert_eq!(batch[1].as_ref().map(|ttl| ttl.get()), Ok(10));
        }
        assert_eq!(connections.load(Ordering::Relaxed), 1, "{client:?}");
        server.abort();
    }
}

#[tokio::test]
async fn the_router_leaves_other_paths_to_the_host() {
    let member = Member::primary().grant(1, 10);
    let (url, _, server) = serve_counted(&member).await;
    for client in Client::both(LONG) {
        for path in ["/", "/leases/", "/leases/x"] {
            let lost = client.renew(1, format!("{url}{path}")).await;
            assert_eq!(lost, Err(ClientError::NotFound), "the host's 404");
        }
        let refused = client.renew(1, format!("{url}/version")).await;
        assert!(matches!(
            refused,
            Err(ClientError::Refused { status: 405, .. })
        ));
        let no_batches = client.batch(&[1], format!("{url}/x")).await;
        assert_eq!(no_batches, Err(ClientError::NoBatches));
    }
    server.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_renewals_at_once_get_their_own_answers() {
    let member = (1..=64).fold(Member::primary(), |member, n| member.grant(n, 100 + n));
    let server = member.serve(at_once()).await;
    for client in Client::both(LONG) {
        let mut all = JoinSet::new();
        for round in 0..6 {
            for number in 1..=64 {
                let (client, url) = (client.clone(), server.url(LEASE_PREFIX));
                all.spawn(async move {
                    let renewed = client.renew(number, url).await;
                    assert_eq!(renewed.map(|ttl| ttl.get()), Ok(100 + number), "{round}");
                });
            }
        }
        assert_eq!(all.join_all().await.len(), 384);
    }
    let transport = HyperTransport::new(LONG);
    let options = CoalescerOptions::default();
    let renewals = Coalescer::new(transport, server.url(""), options);
    let mut all = JoinSet::new();
    for number in (1..=64).cycle().take(500) {
        let renewals = renewals.clone();
        all.spawn(async move {
            let renewed = renewals.renew(id(number)).await;
            assert_eq!(renewed.map(|ttl| ttl.get()), Ok(100 + number));
        });
    }
    assert_eq!(all.join_all().await.len(), 500);
}

#[tokio::test]
async fn a_lease_with_many_items_comes_whole() {
    let member = Member::primary().grant(1, 10);
    let items: Vec<_> = (0..20_000_u32)
        .map(|n| LeaseItem::from(&n.to_be_bytes()[..]))
        .collect();
    member.lessor.attach(id(1), &items).expect("there");
    let server = member.serve(at_once()).await;
    for client in Client::both(LONG) {
        let times = client.times(1, server.url(LEASE_INTERNAL_PREFIX)).await;
        assert_eq!(times.expect("there").keys, items);
    }
}

/// Takes one connection after the other, and answers the one request of each with these bytes; the
/// rest comes until the client has enough.
async fn answer_with(answer: Vec<u8>, rest: Vec<u8>, then: Then) -> (String, JoinHandle<()>) {
    let listener = listen().await;
    let address = listener.local_addr().expect("it listens");
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("it listens");
            // Closed before all is read, a connection may lose what was written.
            let request = read_request(&mut stream).await;
            if request.is_none() || stream.write_all(&answer).await.is_err() {
                continue;
            }
            while !rest.is_empty() && stream.write_all(&rest).await.is_ok() {}
            if then == Then::Hang {
                let _ = stream.read_u8().await;
            }
        }
    });
    (format!("http://{address}/leases"), task)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Close,
    Hang,
}

const RENEWED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\x10\x01\x18\x0a";

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_replaced() {
    for client in Client::both(LONG) {
        let (url, server) = answer_with(RENEWED.into(), vec![], Then::Close).await;
        for _ in 0..3 {
            let renewed = client.renew(1, url.clone()).await;
            assert_eq!(renewed.map(|ttl| ttl.get()), Ok(10), "{client:?}");
            wait(30).await;
        }
        server.abort();
    }
}

/// A server that does not read what it refuses breaks the connection of whoever is writing still.
#[tokio::test]
async fn whoever_sends_too_much_reads_why_not() {
    let member = Member::primary().grant(1, 10);
    let server = member.serve(at_once()).await;
    let url = server.url(LEASE_PREFIX);
    for length in [65_537, 200_000, 1 << 20] {
        let mut stream = TcpStream::connect(&server.address)
            .await
            .expect("it listens");
        let head = format!("POST /leases HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("it is read");
        for piece in vec![0; length].chunks(length / 8) {
            // The member has done by now what it does with the part that it has.
            wait(5).await;
            stream.write_all(piece).await.expect("it is read");
        }
        let mut answer = [0; 12];
        stream
            .read_exact(&mut answer)
            .await
            .expect("there is an answer");
        assert_eq!(&answer, b"HTTP/1.1 413", "{length}");

        let hyper = HyperTransport::new(LONG);
        let refused = hyper.post(&url, vec![0; length]).await;
        assert_eq!(refused.map(|answer| answer.status), Ok(413), "{length}");
        let (ureq, url) = (UreqTransport::new(LONG), url.clone());
        let refused =
            spawn_blocking(move || blocking::Transport::post(&ureq, &url, vec![0; length]));
        let refused = refused.await.expect("no panic");
        assert_eq!(refused.map(|answer| answer.status), Ok(413), "{length}");
    }
}

/// A connection is driven by the runtime that it was opened on.
#[test]
fn a_transport_serves_several_runtimes() {
    let runtime = || Builder::new_current_thread().enable_all().build();
    let of_server = Runtime::new().expect("a runtime");
    let member = Member::primary().grant(1, 10);
    let server = of_server.block_on(member.serve(at_once()));
    let url = server.url(LEASE_PREFIX);
    let transport = HyperTransport::new(Duration::from_secs(2));
    let runtimes = [runtime(), runtime()].map(|runtime| runtime.expect("a runtime"));
    for runtime in runtimes.iter().cycle().take(6) {
        let renewed = runtime.block_on(async {
            let renewed = timeout(LONG, renew_http(&transport, id(1), &url));
            renewed.await.expect("it is driven")
        });
        assert_eq!(renewed.map(|ttl| ttl.get()), Ok(10));
    }
    drop(runtimes);
    let renewed = of_server.block_on(renew_http(&transport, id(1), &url));
    assert_eq!(renewed.map(|ttl| ttl.get()), Ok(10));
}

#[tokio::test]
async fn answers_above_the_limit_are_not_read() {
    let limit = MAX_RESPONSE_LEN;
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = [&b"10000\r\n"[..], &[0; 0x1_0000], b"\r\n"].concat();
    for client in Client::both(LONG) {
        let above = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", limit + 1);
        let (url, server) = answer_with(above.into(), vec![], Then::Hang).await;
        assert_eq!(
            client.renew(1, url).await,
            Err(ClientError::TooLarge),
            "{client:?}"
        );
        server.abort();

        let (url, server) = answer_with(chunked.into(), chunk.clone(), Then::Close).await;
        assert_eq!(
            client.renew(1, url).await,
            Err(ClientError::TooLarge),
            "{client:?}"
        );
        server.abort();

        let full = format!("HTTP/1.1 503 x\r\nContent-Length: {limit}\r\n\r\n");
        let full = [full.into_bytes(), vec![b'x'; limit]].concat();
        let (url, server) = answer_with(full, vec![], Then::Close).await;
        let read = client.renew(1, url).await;
        assert!(
            matches!(read, Err(ClientError::Refused { status: 503, .. })),
            "{client:?}: {read:?}"
        );
        server.abort();
    }
}

#[tokio::test]
async fn a_member_that_says_nothing_is_given_up() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\x10\x01";
    for client in Client::both(Duration::from_millis(100)) {
        for answer in ["", "HTTP/1.1 200", head] {
            let (url, server) = answer_with(answer.into(), vec![], Then::Hang).await;
            let start = Instant::now();
            let silent = client.renew(1, url).await;
            let took = start.elapsed();
            assert!(
                matches!(silent, Err(ClientError::Unreachable(_))),
                "{silent:?}"
            );
            assert!(took >= Duration::from_millis(90), "{took:?}");
            server.abort();
        }
        for nonsense in [
            "\0\0\0\0",
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 999999 x\r\n\r\n",
        ] {
            let (url, server) = answer_with(nonsense.into(), vec![], Then::Close).await;
            let answer = client.renew(1, url).await;
            assert!(
                matches!(answer, Err(ClientError::Unreachable(_))),
                "{answer:?}"
            );
            server.abort();
        }
    }
}

#[tokio::test]
async fn what_is_no_address_is_told() {
    for client in Client::both(Duration::from_millis(500)) {
        for url in [
            "",
            "leases",
            "/leases",
            "http://",
            "http://%zz/leases",
            "http://a b/leases",
            "http://127.0.0.1:99999/leases",
        ] {
            let answer = client.renew(1, url.to_owned()).await;
            assert!(
                matches!(answer, Err(ClientError::BadUrl(_))),
                "{url:?}: {answer:?}"
            );
        }
        // What needs TLS, or is no HTTP at all, cannot be reached without it.
        for url in ["https://127.0.0.1:1/leases", "ftp://127.0.0.1:1/leases"] {
            let answer = client.renew(1, url.to_owned()).await;
            let is_refused = matches!(
                answer,
                Err(ClientError::Unreachable(_) | ClientError::BadUrl(_))
            );
            assert!(is_refused, "{url:?}: {answer:?}");
        }
    }
}

/// All in one task, which tokio stops when it has done much at once.
#[tokio::test]
async fn one_task_renews_a_hundred_at_once() {
    let member = Member::primary().grant(1, 10);
    let listener = listen().await;
    let address = listener.local_addr().expect("it listens");
    let serving = tokio::spawn(serve(listener, member.handler(at_once())));
    let (transport, url) = (
        HyperTransport::new(LONG),
        format!("http://{address}/leases"),
    );
    for _ in 0..3 {
        let renew = || Box::pin(renew_http(&transport, id(1), &url));
        let mut left: Vec<_> = (0..100).map(|_| renew()).collect();
        let all = poll_fn(|cx| {
            left.retain_mut(|renewal| match renewal.as_mut().poll(cx) {
                Poll::Ready(renewed) => {
                    assert_eq!(renewed.map(|ttl| ttl.get()), Ok(10));
                    false
                }
                Poll::Pending => true,
            });
            if left.is_empty() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        timeout(LONG, all).await.expect("they end");
    }
    serving.abort();
}

#[tokio::test]
async fn what_serves_closes_its_connections_when_it_is_dropped() {
    let member = Member::primary().grant(1, 10).with_expired(2, 0);
    let listener = listen().await;
    let address = listener.local_addr().expect("it listens");
    let router = Router::new().merge(member.handler(at_once()).router());
    let serving = tokio::spawn(serve(listener, router));
    for client in Client::both(LONG) {
        let renewed = client.renew(1, format!("http://{address}/leases")).await;
        assert_eq!(renewed.map(|ttl| ttl.get()), Ok(10));
    }
    let waits = tokio::spawn(async move {
        let url = format!("http://{address}/leases");
        renew_http(&HyperTransport::new(LONG), id(2), &url).await
    });
    while member.lessor.stats().waiting == 0 {
        wait(1).await;
    }
    serving.abort();
    let ended = timeout(LONG, waits)
        .await
        .expect("it ends")
        .expect("no panic");
    assert!(matches!(ended, Err(ClientError::Unreachable(_))));
    assert_eq!(member.lessor.stats().waiting, 0);
    assert_eq!(Arc::strong_count(&member.lessor), 1);
}

#[tokio::test]
async fn no_task_is_left_behind() {
    let member = Member::primary().grant(1, 10).with_expired(2, 0);
    let transport = HyperTransport::new(LONG);
    let server: Server = member.serve(at_once()).await;
    let url = server.url(LEASE_PREFIX);
    let renewed = renew_http(&transport, id(1), &url).await;
    assert_eq!(renewed.map(|ttl| ttl.get()), Ok(10));
    let waits = timeout(
        Duration::from_millis(50),
        renew_http(&transport, id(2), &url),
    );
    waits.await.expect_err("its lease is not revoked");
    while member.lessor.stats().waiting > 0 {
        wait(1).await;
    }
    drop((transport, server));
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let ends = async {
        while tasks() > 0 {
            wait(1).await;
        }
    };
    timeout(LONG, ends).await.expect("all tasks end");
    assert_eq!(Arc::strong_count(&member.lessor), 1);
}

async fn wait(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
