use std::collections::BTreeMap;
use std::future::Future;

use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use lease_core::LeaseError;
use lease_http::Handler;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

/// A connection to a handler that is no socket and needs no real time.
pub(crate) struct Wire {
    near: DuplexStream,
    server: JoinHandle<hyper::Result<()>>,
}

/// What came over it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Wire {
    pub(crate) fn open<W, F>(handler: Handler<W>) -> Self
    where
        W: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), LeaseError>> + Send + 'static,
    {
        let (near, far) = duplex(1 << 20);
        let service = TowerToHyperService::new(handler);
        let mut builder = hyper::server::conn::http1::Builder::new();
        let builder = builder.auto_date_header(false);
        let connection = builder.serve_connection(TokioIo::new(far), service);
        let server = tokio::spawn(connection);
        Self { near, server }
    }

    /// Sends a whole request; `headers` are lines.
    pub(crate) async fn send(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) {
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {length}\r\n\r\n"
        );
        self.send_raw(head.as_bytes()).await;
        self.send_raw(body).await;
    }

    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.near.write_all(bytes).await.expect("it is read");
    }

    /// Posts a body and returns the answer.
    pub(crate) async fn post(&mut self, path: &str, body: &[u8]) -> Answer {
        self.send("POST", path, "", body).await;
        self.answer("POST").await
    }

    /// The answer to a request with this method.
    pub(crate) async fn answer(&mut self, method: &str) -> Answer {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            self.read(&mut bytes).await;
        };
        let mut body = bytes.split_off(end + 4);
        let head = String::from_utf8(bytes).expect("text");
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let headers = lines.map(|line| line.split_once(": ").expect("a header"));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        let mut headers: BTreeMap<_, _> = headers.collect();
        // The connection's own business.
        headers.remove("connection");
        let length = headers.get("content-length").expect("a length");
        let length = length.parse().expect("a number");
        while method != "HEAD" && body.len() < length {
            self.read(&mut body).await;
        }
        Answer {
            status: status.expect("a status").parse().expect("a number"),
            headers,
            body,
        }
    }

    async fn read(&mut self, bytes: &mut Vec<u8>) {
        let read = self.near.read_buf(bytes).await.expect("it is written");
        assert!(read > 0, "the connection was closed");
    }

    /// Hangs up, and waits until the server has noticed.
    pub(crate) async fn close(self) {
        drop(self.near);
        // Whatever the connection ends with.
        let _ = self.server.await.expect("no panic");
    }
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}
