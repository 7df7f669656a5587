mod connection;
mod pool;
mod target;

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::connect::HttpConnector;
use lease_core::{BoxError, HostError};
use tokio::time::{Instant, timeout_at};
use tower_service::Service;

use self::connection::{Connection, Failure};
use self::pool::Pool;
use self::target::Target;
use super::transport::{Response, Transport};
use crate::ClientError;

/// A [`Transport`] over hyper and tokio, with a pool of connections.
///
/// Whoever asks drives its connection itself, so that an answer wakes no other task on its way. A
/// connection serves one request at a time and is then kept, up to 1,024 for each member. Those that
/// nobody has used for 90 s are closed, by a task that there is as long as any is kept; all of them, and
/// the task, end with the last clone. A clone is cheap and shares them.
#[derive(Clone)]
pub struct HyperTransport<C = HttpConnector> {
    connector: C,
    pool: Arc<Pool>,
    timeout: Duration,
}

impl HyperTransport {
    /// A transport without TLS. Each request ends after `timeout` at the latest; the handler of this
    /// crate may need up to 6 s for a renewal of a lease that has expired.
    ///
    /// ```
    /// use lease_http::HyperTransport;
    /// use std::time::Duration;
    ///
    /// let transport = HyperTransport::new(Duration::from_secs(7));
    /// ```
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self::with_connector(connector, timeout)
    }
}

impl<C> HyperTransport<C> {
    /// A transport over a connector of the host's: a tower service that makes a connection of an
    /// address. It may bring TLS; over the connection HTTP/1.1 is spoken.
    ///
    /// ```
    /// use hyper_util::client::legacy::connect::HttpConnector;
    /// use lease_http::HyperTransport;
    /// use std::time::Duration;
    ///
    /// let mut connector = HttpConnector::new();
    /// connector.set_nodelay(true);
    /// connector.set_connect_timeout(Some(Duration::from_secs(1)));
    /// let transport = HyperTransport::with_connector(connector, Duration::from_secs(7));
    /// ```
    #[must_use]
    pub fn with_connector(connector: C, timeout: Duration) -> Self {
        Self {
            connector,
            pool: Arc::default(),
            timeout,
        }
    }
}

impl<C> HyperTransport<C>
where
    C: Service<Uri> + Clone,
    C::Response: Read + Write + Unpin + Send + 'static,
    C::Error: Into<BoxError>,
{
    async fn connect(&self, target: &Target) -> Result<Connection, ClientError> {
        let mut connector = self.connector.clone();
        let ready = poll_fn(|cx| connector.poll_ready(cx)).await;
        ready.map_err(unreachable)?;
        let io = connector.call(target.origin().clone()).await;
        Connection::open(io.map_err(unreachable)?).await
    }
}

impl<C> Transport for HyperTransport<C>
where
    C: Service<Uri> + Clone + Send + Sync,
    C::Response: Read + Write + Unpin + Send + 'static,
    C::Error: Into<BoxError>,
    C::Future: Send,
{
    async fn post(&self, url: &str, body: Vec<u8>) -> Result<Response, ClientError> {
        let target = Target::parse(url)?;
        let mut request = target.request(Full::<Bytes>::from(body));
        let now = Instant::now();
        let deadline = after(now, self.timeout);
        loop {
            let kept = self.pool.take(target.origin());
            let is_new = kept.is_none();
            let connection = match kept {
                Some(kept) => kept,
                None => timeout_at(deadline, self.connect(&target))
                    .await
                    .unwrap_or_else(|elapsed| Err(unreachable(elapsed)))?,
            };
            match connection.exchange(request, deadline).await {
                Ok((response, connection)) => {
                    if let Some(connection) = connection {
                        self.pool.keep(target.into_origin(), connection, now);
                    }
                    return Ok(response);
                }
                Err(Failure::Unsent(unsent, _)) if !is_new => request = *unsent,
                Err(Failure::Unsent(_, error)) | Err(Failure::Failed(error)) => return Err(error),
            }
        }
    }
}

impl<C> fmt::Debug for HyperTransport<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HyperTransport")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// When this time is over; a time that is out of range is over after a century.
fn after(now: Instant, time: Duration) -> Instant {
    now.checked_add(time).unwrap_or_else(|| now + CENTURY)
}

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

fn unreachable(error: impl Into<BoxError>) -> ClientError {
    ClientError::Unreachable(HostError::new(error))
}
