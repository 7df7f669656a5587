use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};
use tonic::transport::server::{Connected, TcpConnectInfo, TcpIncoming};

use super::complaints::Complaints;

/// How long whoever connects has to say that it speaks the protocol, and as long again for its certificate.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many connections there are at a time: a member has three to each other one. Whoever comes beyond waits.
const MAX_CONNECTIONS: usize = 256;

/// The pause after a connection that could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many bytes say that somebody speaks HTTP/2. A TLS hello is longer.
const PREFACE: usize = 24;

/// The connections of a listener, on which there is TLS or not.
pub(super) fn connections(
    listener: TcpListener,
    has_tls: bool,
) -> impl Stream<Item = io::Result<Connection>> + Send {
    taken(
        TcpIncoming::from(listener).with_nodelay(Some(true)),
        has_tls,
    )
}

fn taken(
    accepted: impl Stream<Item = io::Result<TcpStream>> + Send,
    has_tls: bool,
) -> impl Stream<Item = io::Result<Connection>> + Send {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let complaints = has_tls.then(Arc::<Complaints>::default);
    accepted.then(move |accepted| {
        let (places, complaints) = (Arc::clone(&places), complaints.clone());
        async move {
            let stream = match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection is not taken");
                    // As when the process has too many files open: the next attempt would fail at once.
                    sleep(ACCEPT_PAUSE).await;
                    return Err(error);
                }
            };
            let place = places.acquire_owned().await.map_err(io::Error::other)?;
            Ok(Connection {
                peer: stream.peer_addr().ok(),
                stream,
                silence: Some(Box::pin(sleep(HANDSHAKE_TIMEOUT))),
                heard: 0,
                is_open: AtomicBool::new(false),
                complaints,
                _place: place,
            })
        }
    })
}

/// A connection of which nothing is heard does not stay.
pub(super) struct Connection {
    peer: Option<SocketAddr>,
    stream: TcpStream,
    // `None` when enough was heard.
    silence: Option<Pin<Box<Sleep>>>,
    heard: usize,
    /// Whether its handshake is over, if there is one.
    is_open: AtomicBool,
    /// With TLS.
    complaints: Option<Arc<Complaints>>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Who looks whether the port is open says nothing.
        let has_failed = self.heard > 0 && !self.is_open.load(Relaxed);
        let complaints = self.complaints.as_ref().filter(|_| has_failed);
        let left_out = complaints.and_then(|complaints| complaints.admit(Instant::now()));
        if let (Some(others), Some(peer)) = (left_out, self.peer) {
            tracing::warn!(
                %peer,
                others,
                "a connection has ended in its TLS handshake: either side shows no certificate that the other takes, \
                 or there is no TLS at the other end; tonic says more, at the level DEBUG"
            );
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, buffer) {
            self.heard += buffer.filled().len() - before;
            if self.heard >= PREFACE {
                self.silence = None;
            }
            return Poll::Ready(read);
        }
        if let Some(silence) = &mut self.silence {
            ready!(silence.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    /// It is asked for when the handshake is over.
    fn connect_info(&self) -> TcpConnectInfo {
        self.is_open.store(true, Relaxed);
        self.stream.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_process_with_too_many_files_open_tries_again_after_a_pause() {
        let full = || Err(io::Error::other("too many open files"));
        let accepted = futures::stream::repeat_with(full);
        let mut connections = std::pin::pin!(taken(accepted, false));
        for _ in 0..2 {
            assert!(connections.next().now_or_never().is_none(), "it waits");
            assert!(connections.next().await.is_some_and(|next| next.is_err()));
        }
    }

    #[tokio::test]
    async fn there_are_only_so_many_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut connections = std::pin::pin!(connections(listener, false));
        let (mut clients, mut all) = (Vec::new(), Vec::new());
        for _ in 0..MAX_CONNECTIONS {
            clients.push(TcpStream::connect(address).await.expect("it listens"));
            all.push(connections.next().await);
        }
        clients.push(TcpStream::connect(address).await.expect("the system does"));
        sleep(Duration::from_millis(50)).await;
        assert!(connections.next().now_or_never().is_none(), "it waits");
        all.pop();
        assert!(connections.next().await.is_some_and(|next| next.is_ok()));
    }
}
