use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::record::{Entry, Request, Response};
use crate::support::read_request;

/// Takes one request, which has to be the recorded one, and answers what was recorded.
pub(crate) async fn play(listener: TcpListener, entry: &Entry) {
    let recorded = entry.request.as_ref().expect("a request");
    let (mut stream, _) = listener.accept().await.expect("a client");
    let (head, body) = read_request(&mut stream).await.expect("a request");
    check(&entry.name, recorded, &head, &body);
    let response = entry.response.as_ref().expect("a response");
    if let Some(bytes) = encode(response) {
        stream.write_all(&bytes).await.expect("it is read");
        stream.flush().await.expect("it is read");
        // The client may take the whole answer before the connection ends.
        let _ = tokio::time::timeout(Duration::from_millis(20), stream.read_u8()).await;
    }
}

fn check(name: &str, recorded: &Request, head: &str, body: &[u8]) {
    let first = format!("{} {} HTTP/1.1", recorded.method, recorded.path);
    assert_eq!(head.lines().next(), Some(&*first), "{name}");
    let header = |wanted: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.to_owned())
    };
    for wanted in ["Content-Type", "Content-Length"] {
        let recorded = recorded.headers.get(wanted).map(|values| values.join(", "));
        assert_eq!(header(wanted), recorded, "{name}: {wanted}");
    }
    assert!(header("Host").is_some(), "{name}");
    assert_eq!(body, recorded.body(), "{name}");
}

/// The answer as bytes, if there was one.
fn encode(response: &Response) -> Option<Vec<u8>> {
    let mut head = format!("HTTP/1.1 {} x\r\n", response.status?);
    for (name, values) in &response.headers {
        head += &format!("{name}: {}\r\n", values.join(", "));
    }
    Some([head.into_bytes(), b"\r\n".to_vec(), response.body()].concat())
}
