use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use lease_core::BoxError;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tower_service::Service;

use crate::bell::Bell;

/// Serves a [`Handler`](crate::Handler), or a router of the host's that it was merged into, with
/// HTTP/1.1.
///
/// It does what `axum::serve` does, with less work for each request: a task that is polled for a request
/// is not woken again by that request's own body, and answers are sent without delay. Nor does it limit
/// for how long a connection may be idle. It never ends by itself; dropped, it closes the listener and
/// all connections.
///
/// ```
/// use lease_core::{BackendLessor, NullBackend};
/// use lease_http::{handler, serve};
/// use std::{future::ready, sync::Arc};
/// use tokio::net::TcpListener;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let lessor = Arc::new(BackendLessor::builder(Arc::new(NullBackend)).build()?);
/// let leases = handler(lessor, || ready(Ok(())));
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let serving = tokio::spawn(serve(listener, leases));
/// // Until the member ends:
/// serving.abort();
/// # Ok(())
/// # }
/// ```
pub async fn serve<S, B>(listener: TcpListener, service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(serve_connection(stream, service.clone()));
            }
            Err(error) if is_of_connection(&error) => {}
            // There are too many files open, or too little memory, which needs time.
            Err(_) => sleep(PAUSE).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve_connection<S, B>(stream: TcpStream, service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    // Where it cannot be set, answers are sent all the same.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(service);
    let connection = Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let bell = Arc::<Bell>::default();
    let waker = Waker::from(Arc::clone(&bell));
    // What it ends with is the caller's fault, or that the caller is gone.
    let _ = poll_fn(|cx| bell.poll(&waker, cx, |cx| connection.as_mut().poll(cx))).await;
}

/// Whether it says something of the one connection that was to be accepted.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// For how long nothing is accepted then: as long as axum waits.
const PAUSE: Duration = Duration::from_secs(1);
