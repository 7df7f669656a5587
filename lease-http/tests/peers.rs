//! Members that misbehave on the wire, asked by both transports.

mod support;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lease_core::Ttl;
use lease_http::blocking::{self, UreqTransport};
use lease_http::{ClientError, HyperTransport, renew_http};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

use support::{id, listen, read_request};

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

    async fn renew(&self, url: &str) -> Result<Ttl, ClientError> {
        match self.clone() {
            Self::Hyper(hyper) => renew_http(&hyper, id(1), url).await,
            Self::Ureq(ureq) => {
                let url = url.to_owned();
                let renew = move || blocking::renew_http(&ureq, id(1), &url);
                spawn_blocking(renew).await.expect("no panic")
            }
        }
    }
}

/// A member that treats each connection in its own way.
struct Peer {
    url: String,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Peer {
    async fn start<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = listen().await;
        let address = listener.local_addr().expect("it listens");
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut serving = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("it listens");
                counter.fetch_add(1, Ordering::Relaxed);
                serving.spawn(serve(stream));
            }
        });
        Self {
            url: format!("http://{address}/leases"),
            connections,
            task,
        }
    }

    /// Answers the first request of each connection with these bytes, and closes it.
    async fn answering(bytes: &'static [u8]) -> Self {
        Self::start(move |mut stream| async move {
            if read_request(&mut stream).await.is_some() {
                let _ = stream.write_all(bytes).await;
            }
        })
        .await
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const LONG: Duration = Duration::from_secs(20);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Lease 1 has its whole TTL again.
fn renewed(ttl: usize) -> Vec<u8> {
    let ttl = u8::try_from(ttl).expect("a short test");
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
    [&head[..], &[0x10, 1, 0x18, ttl]].concat()
}

fn check_unreachable(answer: &Result<Ttl, ClientError>, of: impl fmt::Debug) {
    let is_unreachable = matches!(answer, Err(ClientError::Unreachable(_)));
    assert!(is_unreachable, "{of:?}: {answer:?}");
}

/// Whoever reads has always something to read, and looks at the time all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_never_stops_sending_is_given_up() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (first, endless) in [
        ("", "HTTP/1.1 100 Continue\r\n\r\n"),
        ("", "HTTP/1.1 102 Processing\r\n\r\n"),
        ("HTTP/1.1 200 OK\r\n", "X: y\r\n"),
        (chunked, "1\r\nx\r\n"),
    ] {
        for client in Client::both(millis(300)) {
            let peer = Peer::start(move |mut stream| async move {
                read_request(&mut stream).await;
                let _ = stream.write_all(first.as_bytes()).await;
                let much = endless.repeat(8_192);
                while stream.write_all(much.as_bytes()).await.is_ok() {}
            })
            .await;
            // On a task of its own, as it may never come back.
            let (asks, url) = (client.clone(), peer.url.clone());
            let answer = tokio::spawn(async move { asks.renew(&url).await });
            let answer = timeout(LONG, answer).await.expect("it is given up");
            check_unreachable(&answer.expect("no panic"), (client, endless));
        }
    }
}

#[tokio::test]
async fn a_member_that_sends_slowly_is_given_up_in_time() {
    for first in [
        "HTTP/1.1 200 OK\r\nX: ",
        "HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
    ] {
        for client in Client::both(millis(200)) {
            let peer = Peer::start(move |mut stream| async move {
                read_request(&mut stream).await;
                let _ = stream.write_all(first.as_bytes()).await;
                while stream.write_all(b"x").await.is_ok() {
                    sleep(millis(5)).await;
                }
            })
            .await;
            let start = Instant::now();
            let answer = timeout(LONG, client.renew(&peer.url)).await;
            check_unreachable(&answer.expect("it is given up"), &client);
            assert!(start.elapsed() >= millis(190), "{client:?}");
        }
    }
}

/// Each TTL is only told once.
#[tokio::test]
async fn nobody_takes_an_answer_that_nobody_has_asked_for() {
    for late in [0, 10] {
        for client in Client::both(LONG) {
            let told = Arc::new(AtomicUsize::new(0));
            let peer = Peer::start(move |mut stream| {
                let told = Arc::clone(&told);
                async move {
                    while read_request(&mut stream).await.is_some() {
                        let first = told.fetch_add(2, Ordering::Relaxed);
                        let two = [renewed(first + 1), renewed(first + 2)];
                        let two = if late == 0 {
                            vec![two.concat()]
                        } else {
                            two.to_vec()
                        };
                        for part in two {
                            let _ = stream.write_all(&part).await;
                            sleep(millis(late)).await;
                        }
                    }
                }
            })
            .await;
            for round in 0..4 {
                let answer = client.renew(&peer.url).await;
                assert_eq!(answer.map(|ttl| ttl.get()), Ok(2 * round + 1), "{client:?}");
                sleep(millis(3 * late)).await;
            }
            assert_eq!(peer.connections(), 4, "{client:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_nobodys() {
    for client in Client::both(millis(150)) {
        let told = Arc::new(AtomicUsize::new(0));
        let peer = Peer::start(move |mut stream| {
            let told = Arc::clone(&told);
            async move {
                while read_request(&mut stream).await.is_some() {
                    let number = told.fetch_add(1, Ordering::Relaxed);
                    if number == 0 {
                        sleep(millis(200)).await;
                    }
                    let _ = stream.write_all(&renewed(number + 1)).await;
                }
            }
        })
        .await;
        check_unreachable(&client.renew(&peer.url).await, &client);
        for round in 2..=4 {
            let answer = client.renew(&peer.url).await;
            assert_eq!(answer.map(|ttl| ttl.get()), Ok(round), "{client:?}");
            sleep(millis(40)).await;
        }
        // Whoever gives up takes its connection along.
        for micros in (0..1_000).step_by(50) {
            let gives_up = client.renew(&peer.url);
            let _ = timeout(Duration::from_micros(micros), gives_up).await;
        }
        let answers = [client.renew(&peer.url).await, client.renew(&peer.url).await];
        let [Ok(first), Ok(second)] = answers else {
            panic!("{client:?}: {answers:?}");
        };
        assert_eq!(first.get() + 1, second.get(), "{client:?}");
    }
}

#[tokio::test]
async fn what_comes_before_the_answer_is_passed_over() {
    for before in [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
    ] {
        for client in Client::both(LONG) {
            let peer = Peer::start(move |mut stream| async move {
                while read_request(&mut stream).await.is_some() {
                    let answer = [before.as_bytes(), &renewed(10)].concat();
                    let _ = stream.write_all(&answer).await;
                }
            })
            .await;
            for _ in 0..2 {
                let answer = client.renew(&peer.url).await;
                assert_eq!(answer.map(|ttl| ttl.get()), Ok(10), "{client:?}");
            }
            assert_eq!(peer.connections(), 1, "{client:?}");
        }
    }
    let other = b"HTTP/1.1 101 x\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
    for client in Client::both(LONG) {
        let peer = Peer::answering(other).await;
        let answer = client.renew(&peer.url).await;
        let is_refused = matches!(answer, Err(ClientError::Refused { status: 101, .. }));
        assert!(is_refused, "{answer:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_or_no_answer_is_none() {
    for bytes in [
        "",
        "\x10\x01\x18\x0a",
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n\x10\x01\x18\x0a",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n\x10\x01\x18\x0a\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n\x10\x01\x18\x0a",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n\x10\x01\x18\x0a",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n\x10\x01\x18\x0a",
        "HTTP/1.1 307 x\r\nLocation: http://127.0.0.1:1/\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
    ] {
        for client in Client::both(LONG) {
            let peer = Peer::answering(bytes.as_bytes()).await;
            let answer = client.renew(&peer.url).await;
            check_unreachable(&answer, (client, bytes));
            assert_eq!(peer.connections(), 1, "it is not sent again");
        }
    }
}

/// A member closes its idle connections at any time, also while the next request is on its way. That one
/// may have been carried out, so it is an error, and not sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_have_been_carried_out_is_not_sent_again() {
    const CALLS: usize = 200;
    for client in Client::both(LONG) {
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        let peer = Peer::start(move |mut stream| {
            let counter = Arc::clone(&counter);
            async move {
                if read_request(&mut stream).await.is_none() {
                    return;
                }
                let number = counter.fetch_add(1, Ordering::Relaxed);
                let _ = stream.write_all(&renewed(10)).await;
                sleep(Duration::from_micros(number as u64 % 4 * 50)).await;
                let mut next = [0; 1_024];
                if stream.try_read(&mut next).is_ok_and(|length| length > 0) {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
        .await;
        let mut good = 0;
        for _ in 0..CALLS {
            match client.renew(&peer.url).await {
                Ok(_) => good += 1,
                answer @ Err(_) => check_unreachable(&answer, &client),
            }
        }
        assert!(good > 0, "{client:?}");
        assert!(requests.load(Ordering::Relaxed) <= CALLS, "{client:?}");
    }
}
