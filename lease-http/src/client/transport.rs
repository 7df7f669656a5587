use std::future::Future;

use crate::ClientError;

/// Carries requests to other members, for async callers.
///
/// A transport
/// - posts `body` to `url` with the content type [`CONTENT_TYPE`](crate::messages::CONTENT_TYPE);
/// - follows no redirect;
/// - reads at most [`MAX_RESPONSE_LEN`](crate::messages::MAX_RESPONSE_LEN) bytes of the answer's
///   body, and fails with [`ClientError::TooLarge`] if there are more;
/// - ends after a bounded time with [`ClientError::Unreachable`], also if the body of the answer
///   ends early, and when its future is dropped;
/// - keeps its connections and uses them again.
///
/// ```
/// use lease_core::{LeaseId, Ttl};
/// use lease_http::messages::Reply;
/// use lease_http::{ClientError, Response, Transport, renew_http};
///
/// /// Answers by itself.
/// struct Loopback;
///
/// impl Transport for Loopback {
///     async fn post(&self, _url: &str, _body: Vec<u8>) -> Result<Response, ClientError> {
///         let reply = Reply::renewed(LeaseId::new(7).expect("not zero"), Ttl::MIN);
///         let (status, body) = (reply.status(), reply.into_body());
///         Ok(Response { status, body })
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let id = LeaseId::try_from(7)?;
/// assert_eq!(renew_http(&Loopback, id, "http://primary/leases").await?, Ttl::MIN);
/// # Ok(())
/// # }
/// ```
pub trait Transport {
    /// Posts a request.
    ///
    /// # Errors
    ///
    /// [`ClientError::Unreachable`], [`ClientError::TooLarge`] and [`ClientError::BadUrl`].
    fn post(
        &self,
        url: &str,
        body: Vec<u8>,
    ) -> impl Future<Output = Result<Response, ClientError>> + Send;
}

/// What another member answered, with any status.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The whole body.
    pub body: Vec<u8>,
}
