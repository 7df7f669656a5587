use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Uri};
use http_body::Body as _;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use lease_core::HostError;
use tokio::time::timeout;

use super::transport::{Response, Transport};
use crate::ClientError;
use crate::messages::{CONTENT_TYPE as PROTOBUF, MAX_RESPONSE_LEN};

/// A [`Transport`] over hyper and tokio, with a pool of connections.
///
/// A clone is cheap and shares the connections. They are closed when the last clone is gone, or 90 s
/// after their last use.
#[derive(Clone)]
pub struct HyperTransport<C = HttpConnector> {
    client: Client<C, Full<Bytes>>,
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
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self::with_client(client, timeout)
    }
}

impl<C> HyperTransport<C> {
    /// A transport over a client of the host's, which may bring TLS.
    ///
    /// ```
    /// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
    /// use lease_http::HyperTransport;
    /// use std::time::Duration;
    ///
    /// let client = Client::builder(TokioExecutor::new()).build_http();
    /// let transport = HyperTransport::with_client(client, Duration::from_secs(7));
    /// ```
    #[must_use]
    pub const fn with_client(client: Client<C, Full<Bytes>>, timeout: Duration) -> Self {
        Self { client, timeout }
    }
}

impl<C: Connect + Clone + Send + Sync + 'static> HyperTransport<C> {
    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response, ClientError> {
        let response = self.client.request(request).await.map_err(unreachable)?;
        let status = response.status().as_u16();
        let body = response.into_body();
        if body.size_hint().lower() > MAX_RESPONSE_LEN as u64 {
            return Err(ClientError::TooLarge);
        }
        let body = Limited::new(body, MAX_RESPONSE_LEN).collect().await;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                ClientError::TooLarge
            } else {
                unreachable(error)
            }
        })?;
        let body = body.to_bytes().into();
        Ok(Response { status, body })
    }
}

impl<C: Connect + Clone + Send + Sync + 'static> Transport for HyperTransport<C> {
    async fn post(&self, url: &str, body: Vec<u8>) -> Result<Response, ClientError> {
        let uri: Uri = url.parse().map_err(bad_url)?;
        if uri.scheme().is_none() || uri.host().is_none() {
            return Err(bad_url("it names no scheme or no host"));
        }
        let request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header(CONTENT_TYPE, PROTOBUF)
            .body(Full::from(body))
            .map_err(bad_url)?;
        let exchange = timeout(self.timeout, self.exchange(request));
        exchange
            .await
            .unwrap_or_else(|elapsed| Err(unreachable(elapsed)))
    }
}

impl<C> fmt::Debug for HyperTransport<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HyperTransport")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

fn unreachable(error: impl Into<lease_core::BoxError>) -> ClientError {
    ClientError::Unreachable(HostError::new(error))
}

fn bad_url(error: impl Into<lease_core::BoxError>) -> ClientError {
    ClientError::BadUrl(HostError::new(error))
}
