//! What several tests need: a lessor in a known state, and a member that serves it.
#![allow(dead_code, reason = "each test takes what it needs")]

pub(crate) mod wire;

use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use lease_core::{
    BackendLessor, Driver, LeaseError, LeaseId, Lessor, ManualClock, NullBackend, Renewal,
};
use lease_http::{Handler, handler};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) type Applied = Pin<Box<dyn Future<Output = Result<(), LeaseError>> + Send>>;

pub(crate) type Waits = Box<dyn Fn() -> Applied + Send + Sync>;

pub(crate) struct Member {
    pub(crate) lessor: Arc<BackendLessor>,
    pub(crate) clock: Arc<ManualClock>,
}

pub(crate) fn id(number: i64) -> LeaseId {
    LeaseId::new(number).expect("not zero")
}

/// It has always applied what is committed.
pub(crate) fn at_once() -> Waits {
    Box::new(|| Box::pin(ready(Ok(()))))
}

/// It never has.
pub(crate) fn never() -> Waits {
    Box::new(|| Box::pin(pending()))
}

impl Member {
    /// A primary, driven by hand.
    pub(crate) fn primary() -> Self {
        let clock = Arc::new(ManualClock::default());
        let lessor = BackendLessor::builder(Arc::new(NullBackend))
            .clock(clock.clone())
            .driver(Driver::Manual)
            .build();
        let lessor = Arc::new(lessor.expect("an empty backend is read"));
        lessor.promote(Duration::ZERO).expect("the epoch is stored");
        Self { lessor, clock }
    }

    pub(crate) fn grant(self, number: i64, ttl: i64) -> Self {
        self.lessor.grant(id(number), ttl).expect("free");
        self
    }

    pub(crate) fn attach(self, number: i64, items: &[&[u8]]) -> Self {
        let items: Vec<_> = items.iter().map(|item| (*item).into()).collect();
        self.lessor.attach(id(number), &items).expect("there");
        self
    }

    pub(crate) fn advance(self, millis: u64) -> Self {
        self.clock.advance(Duration::from_millis(millis));
        self.lessor.tick();
        self
    }

    /// With a lease of one second that has expired, this long ago, and is not revoked.
    pub(crate) fn with_expired(self, number: i64, millis_ago: u64) -> Self {
        let member = self.grant(number, 1).advance(1_000).advance(millis_ago);
        let renewal = member.lessor.try_renew(id(number));
        assert_eq!(renewal, Ok(Renewal::Expiring));
        member
    }

    pub(crate) fn handler(&self, waits: Waits) -> Handler<Waits> {
        handler(Arc::clone(&self.lessor), waits)
    }

    /// Serves it, and whatever else is in the router, at the address that it returns.
    pub(crate) async fn serve(&self, waits: Waits) -> Server {
        Server::start(Router::new().fallback_service(self.handler(waits))).await
    }
}

/// A member that listens on a port of its own until it is dropped.
pub(crate) struct Server {
    pub(crate) address: String,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(router: Router) -> Self {
        let listener = listen().await;
        let address = listener.local_addr().expect("it listens").to_string();
        let task = tokio::spawn(async {
            let served = axum::serve(listener, router).await;
            served.expect("it never ends");
        });
        Self { address, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) async fn listen() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    listener.expect("a free port")
}

/// Reads a whole request, head and body; `None` if the client goes away before.
pub(crate) async fn read_request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8(bytes[..end].to_vec()).expect("text");
        let lower = head.to_lowercase();
        let mut lines = lower.lines();
        let length = lines.find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().expect("a number"));
        if bytes.len() >= end + 4 + length {
            return Some((head, bytes[end + 4..].to_vec()));
        }
    }
}

pub(crate) fn from_hex(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    assert_eq!(digits.len(), hex.len(), "only digits: {hex}");
    let pairs = digits.chunks(2);
    pairs.map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}
