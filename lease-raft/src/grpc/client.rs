use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::uri::PathAndQuery;
use lease_pb::Message;
use lease_pb::leaseraftpb::{AskRequest, AskResponse};
use tokio::time::Instant;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

use super::{MAX_LEN, PATH, Tls, WINDOW};
use crate::error::with_causes;
use crate::replica::{PROPOSE_PATH, READ_INDEX_PATH};
use crate::{MemberId, PeerAnswer, PeerError, Peers};

/// How a member reaches the others over gRPC, each over a few connections. They are made when they are needed and used
/// again; who cannot be reached is left alone for a while, which grows.
pub struct GrpcPeers {
    cluster: String,
    member: MemberId,
    tls: Option<Tls>,
    links: Arc<Mutex<BTreeMap<MemberId, Link>>>,
}

/// The way to one member.
struct Link {
    address: String,
    // By purpose; there is none until one is needed.
    channels: [Option<Channel>; Purpose::COUNT],
    failures: u32,
    /// What came of the last attempt that has failed.
    why: String,
    not_before: Instant,
}

/// What a connection is for. On each one only so many questions wait for their answers, and the others wait for
/// these: there may be thousands of proposals, behind which no renewal and no vote is to wait.
#[derive(Clone, Copy)]
enum Purpose {
    Consensus,
    Questions,
    Proposals,
}

impl Purpose {
    const COUNT: usize = 3;

    fn of(path: &str) -> Self {
        match path {
            PROPOSE_PATH => Self::Proposals,
            READ_INDEX_PATH => Self::Questions,
            _ if path.starts_with("/raft/") => Self::Consensus,
            // Of lease-http.
            _ => Self::Questions,
        }
    }
}

/// The status of HTTP for a request that has come to the wrong one.
const MISDIRECTED: u16 = 421;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The pause after the first failure; each one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl GrpcPeers {
    /// A member of a cluster that knows no others yet.
    #[must_use]
    pub fn new(cluster: impl Into<String>, member: MemberId, tls: Option<Tls>) -> Self {
        Self {
            cluster: cluster.into(),
            member,
            tls,
            links: Arc::default(),
        }
    }

    /// Says where a member is: a host and a port. Connections to where it was are closed.
    pub fn set_address(&self, member: MemberId, address: impl Into<String>) {
        let address = address.into();
        let mut links = lock(&self.links);
        if links
            .get(&member)
            .is_some_and(|link| link.address == address)
        {
            return;
        }
        let link = Link {
            address,
            channels: Default::default(),
            failures: 0,
            why: String::new(),
            not_before: Instant::now(),
        };
        links.insert(member, link);
    }

    /// Forgets a member, and closes the connections to it.
    pub fn forget(&self, member: MemberId) {
        lock(&self.links).remove(&member);
    }

    /// Why a member was not reached, if it was not when it was asked last.
    pub(crate) fn complaint(&self, member: MemberId) -> Option<String> {
        let links = lock(&self.links);
        let link = links.get(&member).filter(|link| link.failures > 0)?;
        Some(link.why.clone())
    }

    /// A connection to a member, and how often it was not reached before.
    ///
    /// # Errors
    ///
    /// Why there is none.
    fn channel(&self, member: MemberId, purpose: Purpose) -> Result<(Channel, u32), String> {
        let mut links = lock(&self.links);
        let link = links.get_mut(&member).ok_or("nobody knows where it is")?;
        if Instant::now() < link.not_before {
            return Err(format!("it was not reached a moment ago: {}", link.why));
        }
        let channel = &mut link.channels[purpose as usize];
        let channel = match channel {
            Some(channel) => channel,
            None => channel.insert(connect(&link.address, self.tls.as_ref())?),
        };
        Ok((channel.clone(), link.failures))
    }
}

fn connect(address: &str, tls: Option<&Tls>) -> Result<Channel, String> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let endpoint = Endpoint::from_shared(format!("{scheme}://{address}"));
    let endpoint = endpoint.map_err(|error| format!("its address {address:?}: {error}"))?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .initial_connection_window_size(WINDOW)
        // An answer to a question that was given up is an error of the other end to HTTP/2.
        .http2_max_local_error_reset_streams(None)
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true);
    let endpoint = match tls {
        Some(tls) => endpoint.tls_config(tls.client()),
        None => Ok(endpoint),
    };
    let endpoint =
        endpoint.map_err(|error| format!("the certificates: {}", with_causes(&error)))?;
    Ok(endpoint.connect_lazy())
}

impl Peers for GrpcPeers {
    fn ask(
        &self,
        member: MemberId,
        path: &'static str,
        body: Vec<u8>,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<PeerAnswer, PeerError>> {
        let request = AskRequest {
            cluster: self.cluster.clone(),
            from: self.member,
            to: member,
            path: path.to_owned(),
            body,
        };
        // Half-way through it would end with an error as of the connection.
        let channel = match request.encoded_len() {
            len if len > MAX_LEN => Err(format!(
                "a message of {len} bytes, and not of {MAX_LEN} at most"
            )),
            _ => self.channel(member, Purpose::of(path)),
        };
        let (links, from) = (Arc::clone(&self.links), self.member);
        let asks = async move {
            let (channel, failures) = channel?;
            let asked = tokio::time::timeout(timeout, ask(channel, request)).await;
            match asked {
                Ok(Ok(answer)) => {
                    note_success(&links, member);
                    Ok(answer)
                }
                // It answers, and is not whom the request is for.
                Ok(Err(status)) if status.code() == Code::FailedPrecondition => {
                    note_success(&links, member);
                    Ok(PeerAnswer {
                        status: MISDIRECTED,
                        body: status.message().into(),
                    })
                }
                Ok(Err(status)) => {
                    let why = as_text(&status);
                    // What another member says has no cause here: who was asked is away, or speaks something else.
                    if status.code() == Code::Unavailable || status.source().is_some() {
                        note_failure(&links, from, member, failures, &why);
                    }
                    Err(why)
                }
                Err(_) => Err(format!("not within {timeout:?}")),
            }
        };
        asks.map(move |answer| answer.map_err(|reason| PeerError { member, reason }))
            .boxed()
    }
}

async fn ask(channel: Channel, request: AskRequest) -> Result<PeerAnswer, tonic::Status> {
    let mut grpc = Grpc::new(channel)
        .max_decoding_message_size(MAX_LEN)
        .max_encoding_message_size(MAX_LEN);
    let ready = grpc.ready().await;
    ready.map_err(|error| tonic::Status::unavailable(with_causes(&error)))?;
    let path = PathAndQuery::from_static(PATH);
    let codec = ProstCodec::<AskRequest, AskResponse>::default();
    let answer = grpc.unary(Request::new(request), path, codec).await?;
    let AskResponse { status, body } = answer.into_inner();
    let status = u16::try_from(status);
    let status = status.map_err(|_| tonic::Status::internal("its status is none of HTTP's"))?;
    Ok(PeerAnswer { status, body })
}

/// What it says, and the first of all causes: between them stands "transport error".
fn as_text(status: &tonic::Status) -> String {
    let (code, said) = (status.code(), status.message());
    let mut first = status.source();
    while let Some(cause) = first.and_then(Error::source) {
        first = Some(cause);
    }
    match first.map(ToString::to_string) {
        Some(cause) if !said.contains(&cause) => format!("{code:?}: {said}: {cause}"),
        _ => format!("{code:?}: {said}"),
    }
}

fn note_success(links: &Mutex<BTreeMap<MemberId, Link>>, member: MemberId) {
    if let Some(link) = lock(links).get_mut(&member) {
        link.failures = 0;
    }
}

/// A member that cannot be reached is left alone for a while. The pause is longer each time, and not the
/// same for all members, so that they do not come all at once to one that has started again. Those that were
/// under way together, after so many failures, have failed once.
fn note_failure(
    links: &Mutex<BTreeMap<MemberId, Link>>,
    from: MemberId,
    member: MemberId,
    failures: u32,
    why: &str,
) {
    if let Some(link) = lock(links).get_mut(&member)
        && link.failures == failures
    {
        link.why = why.to_owned();
        link.not_before = Instant::now() + pause(link.failures, from);
        link.failures = link.failures.saturating_add(1);
    }
}

fn pause(failures: u32, from: MemberId) -> Duration {
    let whole = FIRST_PAUSE
        .saturating_mul(1 << failures.min(10))
        .min(LONGEST_PAUSE);
    // From a half to the whole of it.
    let share = (from ^ u64::from(failures)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
    whole / 2 + whole.mul_f64(share as f64 / 512.0)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_differ_and_end() {
        for failures in 0..40 {
            let pauses: Vec<_> = (1..=8).map(|from| pause(failures, from)).collect();
            assert!(pauses.iter().all(|pause| *pause >= FIRST_PAUSE / 2));
            assert!(pauses.iter().all(|pause| *pause <= LONGEST_PAUSE));
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{pauses:?}");
        }
        assert!(pause(30, 1) >= LONGEST_PAUSE / 2);
    }
}
