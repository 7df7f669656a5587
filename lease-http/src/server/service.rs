use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use lease_core::LeaseError;
use tower_service::Service;

use super::Handler;
use super::watch::watched;
use crate::messages::Reply;

/// Never fails, and is always ready: a request that cannot be answered is a response too.
impl<W, F, B> Service<http::Request<B>> for Handler<W>
where
    W: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), LeaseError>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Send,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let handler = self.clone();
        Box::pin(async move { Ok(into_response(watched(&handler, request).await)) })
    }
}

fn into_response(reply: Reply) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(reply.status()).expect("replies have real statuses");
    let content_type = HeaderValue::from_static(reply.content_type());
    let is_refusal = reply.is_refusal();
    let mut response = Response::new(Full::from(reply.into_body()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    if is_refusal {
        let nosniff = HeaderValue::from_static("nosniff");
        response
            .headers_mut()
            .insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    }
    response
}
