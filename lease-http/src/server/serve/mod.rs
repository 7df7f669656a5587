mod activity;
mod connection;
mod stop;

use std::convert::Infallible;
use std::future::{Future, pending};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use lease_core::BoxError;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower_service::Service;

use self::connection::serve_connection;
use self::stop::Stop;

/// Serves a [`Handler`](crate::Handler), or a router of the host's that it was merged into, with
/// HTTP/1.1.
///
/// It does what `axum::serve` does, with less work for each request: a task that is polled for a request
/// is not woken again by that request's own body, and answers are sent without delay. A connection on
/// which no request has begun for five minutes, nor is under way, is closed within the next five: it may
/// be idle, have sent a part of a request, or not read an answer.
///
/// It never ends by itself; dropped, it closes the listener and cuts all connections. [`serve_until`]
/// lets the requests under way end.
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
    serve_until(listener, service, pending(), Duration::ZERO).await;
}

/// As [`serve()`], until `stop` ends.
///
/// Then the listener and all idle connections are closed at once, and those with a request under way when
/// it is answered. After `patience` the rest is cut, and this ends. Dropped, it cuts everything.
///
/// A renewal may take 7 s by the handler's own [`Timeouts`](crate::Timeouts); a lessor that is stopped or
/// demoted before lets those that wait end at once.
///
/// ```
/// use lease_core::{BackendLessor, NullBackend};
/// use lease_http::{handler, serve_until};
/// use std::{future::ready, sync::Arc, time::Duration};
/// use tokio::net::TcpListener;
/// use tokio::sync::oneshot;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let lessor = Arc::new(BackendLessor::builder(Arc::new(NullBackend)).build()?);
/// let leases = handler(lessor, || ready(Ok(())));
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let (stop, stopped) = oneshot::channel::<()>();
/// let stopped = async { drop(stopped.await) };
/// let serving = tokio::spawn(serve_until(listener, leases, stopped, Duration::from_secs(7)));
/// // When the member ends:
/// drop(stop);
/// serving.await?;
/// # Ok(())
/// # }
/// ```
pub async fn serve_until<S, B, F>(listener: TcpListener, service: S, stop: F, patience: Duration)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
    F: Future<Output = ()>,
{
    let mut connections = JoinSet::new();
    let stopping = Arc::<Stop>::default();
    tokio::select! {
        biased;
        () = stop => {}
        () = accept(&listener, service, &mut connections, &stopping) => {}
    }
    drop(listener);
    stopping.set();
    let ended = async { while connections.join_next().await.is_some() {} };
    // Those that are left are cut when they are dropped.
    let _ = timeout(patience, ended).await;
}

/// Takes one connection after the other, and never ends.
async fn accept<S, B>(
    listener: &TcpListener,
    service: S,
    connections: &mut JoinSet<()>,
    stopping: &Arc<Stop>,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let stop = Arc::clone(stopping);
                connections.spawn(serve_connection(stream, service.clone(), stop));
            }
            Err(error) if is_of_connection(&error) => {}
            // There are too many files open, or too little memory, which needs time.
            Err(_) => sleep(PAUSE).await,
        }
        while connections.try_join_next().is_some() {}
    }
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
