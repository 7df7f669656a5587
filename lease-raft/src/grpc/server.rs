use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use lease_pb::leaseraftpb::{AskRequest, AskResponse};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::server::Grpc;
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower_service::Service;

use super::complaints::Complaints;
use super::connections::connections;
use super::{MAX_LEN, PATH, Tls, WINDOW};
use crate::{MemberId, PeerAnswer};

/// Who answers what other members ask.
pub trait Answers: Send + Sync + 'static {
    /// Answers `from`.
    fn answer(&self, from: MemberId, path: String, body: Vec<u8>)
    -> BoxFuture<'static, PeerAnswer>;
}

/// Answers other members at a listener until `stop` ends; then what is under way has its answer, and
/// connections are closed. There are 256 connections at most, and one of which nothing is heard for ten seconds,
/// or that has no certificate to show after ten more, is closed. A handshake that fails is a warning in the log, with
/// the address of the other end; of many, one in ten seconds.
///
/// # Errors
///
/// If the certificates are none, or the listener fails.
pub async fn serve(
    listener: TcpListener,
    cluster: impl Into<String>,
    member: MemberId,
    tls: Option<Tls>,
    answers: Arc<dyn Answers>,
    stop: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let mut server = Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(5)))
        .http2_keepalive_timeout(Some(Duration::from_secs(5)))
        .initial_connection_window_size(WINDOW)
        .http2_max_pending_accept_reset_streams(Some(MAX_GIVEN_UP))
        .max_concurrent_streams(Some(MAX_CONCURRENT));
    let has_tls = tls.is_some();
    if let Some(tls) = tls {
        tls.check().map_err(io::Error::other)?;
        server = server.tls_config(tls.server()).map_err(io::Error::other)?;
    }
    let service = Peer {
        cluster: cluster.into().into(),
        member,
        answers,
        complaints: Arc::default(),
    };
    let incoming = connections(listener, has_tls);
    let served = server.serve_with_incoming_shutdown(service, incoming, stop);
    served.await.map_err(io::Error::other)
}

/// How many requests of one connection are answered at a time. With more of them whoever comes late waits long; with
/// fewer than some hundred a commit of the log carries less than it could.
const MAX_CONCURRENT: u32 = 1_000;

/// How many questions may have been given up when this end sees them: after a pause of this process, all those of as
/// many rounds as whoever asks has begun meanwhile.
const MAX_GIVEN_UP: usize = 16 * MAX_CONCURRENT as usize;

/// A member, for the others.
#[derive(Clone)]
struct Peer {
    cluster: Arc<str>,
    member: MemberId,
    answers: Arc<dyn Answers>,
    complaints: Arc<Complaints>,
}

impl Peer {
    /// # Errors
    ///
    /// If the request is not for this member.
    fn check(&self, request: &AskRequest) -> Result<(), Status> {
        let (cluster, member) = (&*self.cluster, self.member);
        let (for_whom, text) = if request.cluster != cluster {
            let text = format!("this is a member of the cluster {cluster:?}");
            ("another cluster", text)
        } else if request.to != member {
            ("another member", format!("this is member {member}"))
        } else {
            return Ok(());
        };
        if let Some(others) = self.complaints.admit(Instant::now()) {
            tracing::warn!(
                from = request.from,
                to = request.to,
                theirs = request.cluster,
                member,
                ours = cluster,
                others,
                "a request for {for_whom} is refused"
            );
        }
        Err(Status::failed_precondition(text))
    }
}

impl Service<http::Request<Body>> for Peer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let ask = Ask(self.clone());
        async move {
            if request.uri().path() != PATH {
                return Ok(Status::unimplemented("there is no such call").into_http());
            }
            let codec = ProstCodec::<AskResponse, AskRequest>::default();
            let mut grpc = Grpc::new(codec)
                .max_decoding_message_size(MAX_LEN)
                .max_encoding_message_size(MAX_LEN);
            Ok(grpc.unary(ask, request).await)
        }
        .boxed()
    }
}

/// The one call.
struct Ask(Peer);

impl Service<Request<AskRequest>> for Ask {
    type Response = Response<AskResponse>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<AskRequest>) -> Self::Future {
        let peer = self.0.clone();
        async move {
            let request = request.into_inner();
            peer.check(&request)?;
            let AskRequest {
                from, path, body, ..
            } = request;
            let PeerAnswer { status, body } = peer.answers.answer(from, path, body).await;
            let status = status.into();
            Ok(Response::new(AskResponse { status, body }))
        }
        .boxed()
    }
}
