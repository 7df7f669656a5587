//! What serves a member: callers who stay and say nothing, and a member that ends.

mod support;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use hyper::body::Incoming;
use lease_core::Lessor;
use lease_http::{HyperTransport, renew_http, serve, serve_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, pause, sleep, timeout};
use tower_service::Service;

use support::{Member, at_once, id, listen};

const MINUTE: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(20);

const RENEWAL: &[u8] = b"POST /leases HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n\x08\x01";

/// What a host may have beside the member: what waits long before it answers, and what waits in the
/// middle of its answer.
fn slow() -> Router {
    let wait = || async {
        sleep(30 * MINUTE).await;
        "waited"
    };
    Router::new()
        .route("/wait", get(wait))
        .route("/stream", get(|| async { Body::new(Stream::default()) }))
}

#[derive(Default)]
struct Stream {
    pause: Option<std::pin::Pin<Box<tokio::time::Sleep>>>,
    is_over: bool,
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.is_over {
            return None.into();
        }
        let pause = self
            .pause
            .get_or_insert_with(|| Box::pin(sleep(30 * MINUTE)));
        std::task::ready!(pause.as_mut().poll(cx));
        self.is_over = true;
        std::task::Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"streamed")))))
    }
}

/// Any service that a task may have is served on a task.
fn serving<S>(listener: TcpListener, service: S) -> impl Future<Output = ()> + Send
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    serve(listener, service)
}

async fn start(member: &Member) -> (SocketAddr, JoinHandle<()>) {
    let listener = listen().await;
    let address = listener.local_addr().expect("it listens");
    let router = slow().merge(member.handler(at_once()).router());
    (address, tokio::spawn(serving(listener, router)))
}

/// Sends a request, or a part of one.
async fn connect(address: SocketAddr, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(request).await.expect("it is read");
    stream
}

/// Reads until there was this.
async fn read_until(stream: &mut TcpStream, end: &[u8]) -> String {
    let mut bytes = Vec::new();
    while !bytes.windows(end.len()).any(|part| part == end) {
        let read = stream.read_buf(&mut bytes).await.expect("it is written");
        assert!(
            read > 0,
            "closed after {:?}",
            String::from_utf8_lossy(&bytes)
        );
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn renew(stream: &mut TcpStream) -> String {
    stream.write_all(RENEWAL).await.expect("it is read");
    read_until(stream, b"\x10\x01\x18\x0a").await
}

/// Waits until it is closed.
async fn closed(stream: &mut TcpStream) {
    // Broken if not all was read that was sent.
    while stream
        .read(&mut [0; 1_024])
        .await
        .is_ok_and(|read| read > 0)
    {}
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

#[tokio::test]
async fn who_says_nothing_is_not_kept_for_ever() {
    let member = Member::primary().grant(1, 10);
    let (address, serving) = start(&member).await;
    let mut said = connect(address, b"").await;
    renew(&mut said).await;
    let mut part = connect(address, b"POST /leases HT").await;
    let mut none = connect(address, b"").await;
    // They are accepted by now, and time goes on when nothing else does.
    let mut other = connect(address, b"").await;
    renew(&mut other).await;
    pause();
    let start = Instant::now();
    for stream in [&mut none, &mut part, &mut said] {
        closed(stream).await;
        let took = start.elapsed();
        assert!(
            took >= 5 * MINUTE - LONG && took <= 10 * MINUTE + LONG,
            "{took:?}"
        );
    }
    closed(&mut other).await;
    assert_eq!(tasks(), 1, "what serves");
    serving.abort();
}

#[tokio::test]
async fn who_is_answered_is_kept() {
    let member = Member::primary().grant(1, 10);
    let (address, serving) = start(&member).await;
    let mut renews = connect(address, b"").await;
    let mut waits = connect(address, b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut streams = connect(address, b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n").await;
    read_until(&mut streams, b"\r\n\r\n").await;
    renew(&mut renews).await;
    pause();
    let start = Instant::now();
    for _ in 0..7 {
        sleep(4 * MINUTE).await;
        renew(&mut renews).await;
    }
    read_until(&mut waits, b"waited").await;
    read_until(&mut streams, b"streamed").await;
    assert!(start.elapsed() >= 30 * MINUTE - LONG);
    for mut stream in [renews, waits, streams] {
        renew(&mut stream).await;
    }
    serving.abort();
}

#[tokio::test]
async fn a_member_that_ends_answers_first() {
    let member = Member::primary().grant(1, 10).with_expired(2, 0);
    let listener = listen().await;
    let address = listener.local_addr().expect("it listens");
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let serving = tokio::spawn(serve_until(
        listener,
        member.handler(at_once()),
        stopped,
        LONG,
    ));
    let mut idle = connect(address, b"").await;
    renew(&mut idle).await;
    let of_expired = [&RENEWAL[..RENEWAL.len() - 1], &[2]].concat();
    let mut waits = connect(address, &of_expired).await;
    while member.lessor.stats().waiting == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    drop(stop);
    closed(&mut idle).await;
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens");
    assert!(!serving.is_finished());
    member.lessor.demote();
    let answer = read_until(&mut waits, b"not a primary lessor\n").await;
    assert!(answer.contains("connection: close"), "{answer}");
    closed(&mut waits).await;
    let ended = timeout(LONG / 2, serving).await.expect("it ends");
    ended.expect("no panic");
    assert_eq!(tasks(), 0);
    assert_eq!(Arc::strong_count(&member.lessor), 1);
}

#[tokio::test]
async fn a_member_that_ends_has_so_much_patience() {
    for patience in [Duration::ZERO, Duration::from_millis(50)] {
        let member = Member::primary().with_expired(1, 0);
        let listener = listen().await;
        let address = listener.local_addr().expect("it listens");
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        let router = member.handler(at_once()).router();
        let serving = tokio::spawn(serve_until::<Router, _, _>(
            listener, router, stopped, patience,
        ));
        let mut waits = connect(address, RENEWAL).await;
        let mut part = connect(address, b"POST /leases HT").await;
        while member.lessor.stats().waiting == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        let start = Instant::now();
        drop(stop);
        timeout(LONG, serving)
            .await
            .expect("it ends")
            .expect("no panic");
        assert!(start.elapsed() >= patience);
        closed(&mut waits).await;
        closed(&mut part).await;
        assert_eq!(member.lessor.stats().waiting, 0);
        assert_eq!(tasks(), 0);
    }
}

/// Who is connected is served while there are no files for anybody else, and these when there are.
#[cfg(unix)]
#[tokio::test]
async fn a_member_without_files_goes_on() {
    const LIMITED: &str = "LEASE_HTTP_TEST_WITH_FEW_FILES";
    #[expect(clippy::disallowed_methods, reason = "the test speaks to itself")]
    let is_limited = std::env::var_os(LIMITED).is_some();
    if is_limited {
        return goes_on_without_files().await;
    }
    // The limit is a process's own: this test once more, in a process with few files.
    let test = std::env::current_exe().expect("it runs");
    let script = "ulimit -n 64; exec \"$0\" --exact a_member_without_files_goes_on";
    let mut child = std::process::Command::new("sh");
    let child = child.args(["-c", script]).arg(test).env(LIMITED, "1");
    let output = child.output().expect("there is a shell");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

#[cfg(unix)]
async fn goes_on_without_files() {
    let member = Member::primary().grant(1, 10);
    let (address, serving) = start(&member).await;
    let mut connected = connect(address, b"").await;
    renew(&mut connected).await;
    let open = || std::fs::File::open("/dev/null").ok();
    let mut files: Vec<_> = std::iter::from_fn(open).collect();
    files.pop();
    let mut waits = connect(address, RENEWAL).await;
    for _ in 0..20 {
        renew(&mut connected).await;
    }
    let early = timeout(Duration::from_millis(50), waits.read_u8()).await;
    early.expect_err("it cannot be accepted");
    files.clear();
    read_until(&mut waits, b"\x10\x01\x18\x0a").await;
    serving.abort();
}

/// A client whose kept connection the member has closed asks over another one.
#[tokio::test]
async fn a_member_that_starts_again_is_found() {
    let member = Member::primary().grant(1, 10);
    let transport = HyperTransport::new(LONG);
    let mut listener = Some(listen().await);
    let address = listener
        .as_ref()
        .map(|it| it.local_addr().expect("it listens"));
    let address = address.expect("it is there");
    for _ in 0..3 {
        let listener = match listener.take() {
            Some(listener) => listener,
            None => TcpListener::bind(address).await.expect("it is free"),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        let serving = serve_until(listener, member.handler(at_once()), stopped, LONG);
        let serving = tokio::spawn(serving);
        for _ in 0..2 {
            let renewed = renew_http(&transport, id(1), &format!("http://{address}/leases")).await;
            assert_eq!(renewed.map(|ttl| ttl.get()), Ok(10));
        }
        drop(stop);
        timeout(LONG, serving)
            .await
            .expect("it ends")
            .expect("no panic");
    }
}
