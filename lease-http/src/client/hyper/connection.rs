use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use http::Request;
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::rt::{Read, Write};
use tokio::task::coop::{consume_budget, unconstrained};
use tokio::time::{Instant, Sleep, sleep_until};

use super::super::transport::Response;
use super::unreachable;
use crate::ClientError;
use crate::bell::Bell;
use crate::messages::MAX_RESPONSE_LEN;

/// A connection to a member. There is no task behind it: whoever has it and asks drives it.
pub(super) struct Connection {
    requests: SendRequest<Full<Bytes>>,
    // `None` when it is over.
    driven: Option<Driven>,
    bell: Arc<Bell>,
    bell_waker: Waker,
    alarm: Option<Alarm>,
}

type Driven = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// Why there is no answer.
pub(super) enum Failure {
    /// The connection was closed before anything was sent.
    Unsent(Box<Request<Full<Bytes>>>, ClientError),
    Failed(ClientError),
}

impl Connection {
    /// # Errors
    ///
    /// [`ClientError::Unreachable`].
    pub(super) async fn open<T>(io: T) -> Result<Self, ClientError>
    where
        T: Read + Write + Unpin + Send + 'static,
    {
        // One small buffer is written faster than two.
        let handshake = Builder::new().writev(false).handshake(io).await;
        let (requests, driven) = handshake.map_err(unreachable)?;
        let bell = Arc::<Bell>::default();
        Ok(Self {
            requests,
            driven: Some(Box::pin(driven)),
            bell_waker: Waker::from(Arc::clone(&bell)),
            bell,
            alarm: None,
        })
    }

    /// Sends a request and reads the answer. Returns the connection too if it can be used again.
    pub(super) async fn exchange(
        mut self,
        request: Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<(Response, Option<Self>), Failure> {
        let mut alarm = Alarm::set(self.alarm.take(), deadline);
        let response = {
            let mut answered = pin!(self.ask(request));
            poll_fn(|cx| match answered.as_mut().poll(cx) {
                Poll::Ready(answer) => Poll::Ready(answer),
                Poll::Pending => alarm.poll(cx).map(|()| Err(Failure::Failed(too_late()))),
            })
            .await?
        };
        self.alarm = Some(alarm);
        let is_reusable = self.driven.is_some() && self.requests.is_ready();
        Ok((response, is_reusable.then_some(self)))
    }

    async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<Response, Failure> {
        let mut sent = pin!(self.requests.try_send_request(request));
        let answer = self.drive(|cx| sent.as_mut().poll(cx)).await;
        let response = answer.map_err(|mut error| match error.take_message() {
            Some(request) => Failure::Unsent(Box::new(request), unreachable(error.into_error())),
            None => Failure::Failed(unreachable(error.into_error())),
        })?;
        let status = response.status().as_u16();
        let body = self.read(response.into_body()).await;
        let body = body.map_err(Failure::Failed)?;
        Ok(Response { status, body })
    }

    async fn read(&mut self, mut body: Incoming) -> Result<Vec<u8>, ClientError> {
        let mut whole = Vec::new();
        if body.size_hint().lower() > MAX_RESPONSE_LEN as u64 {
            return Err(ClientError::TooLarge);
        }
        loop {
            let frame = self.drive(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            let Some(frame) = frame.transpose().map_err(unreachable)? else {
                return Ok(whole);
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if data.remaining() > MAX_RESPONSE_LEN - whole.len() {
                return Err(ClientError::TooLarge);
            }
            whole.extend_from_slice(&data);
            // Of what comes in tiny pieces there is always more: let the alarm be looked at.
            consume_budget().await;
        }
    }

    /// Drives the connection until this is ready, which only the connection makes it.
    async fn drive<R>(&mut self, mut poll: impl FnMut(&mut Context<'_>) -> Poll<R>) -> R {
        let driven = &mut self.driven;
        poll_fn(|cx| {
            self.bell.poll(&self.bell_waker, cx, |cx| {
                if let Poll::Ready(result) = poll(cx) {
                    return Poll::Ready(result);
                }
                if let Some(Poll::Ready(_)) = driven.as_mut().map(|it| it.as_mut().poll(cx)) {
                    // What it ended with is told to whoever waits for an answer.
                    *driven = None;
                }
                poll(cx)
            })
        })
        .await
    }
}

/// Rings at a time. As long as the time is only ever set later, the timer behind it is left alone until
/// it has fired: to set it is then free.
struct Alarm {
    timer: Pin<Box<Sleep>>,
    time: Instant,
}

impl Alarm {
    fn set(alarm: Option<Self>, time: Instant) -> Self {
        match alarm {
            Some(alarm) if alarm.timer.deadline() <= time => Self { time, ..alarm },
            _ => Self {
                timer: Box::pin(sleep_until(time)),
                time,
            },
        }
    }

    /// Rings also for a task that has used up its share of the time, which a timer by itself does not:
    /// who never stops sending uses it up again and again.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(pin!(unconstrained(self.timer.as_mut())).poll(cx));
            if self.timer.deadline() >= self.time {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.time);
        }
    }
}

fn too_late() -> ClientError {
    unreachable("the time for the answer is over")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::{Duration, advance};

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_exchange_is_woken_by_the_answer_alone() {
        let (near, mut far) = duplex(1024);
        let opened = Connection::open(TokioIo::new(near)).await;
        let mut connection = opened.expect("nothing is sent");
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut cx = Context::from_waker(&waker);
        for round in 1..=3 {
            let deadline = Instant::now() + Duration::from_secs(5);
            let exchange = connection.exchange(Request::new(Full::from("?")), deadline);
            let mut exchange = pin!(exchange);
            assert!(exchange.as_mut().poll(&mut cx).is_pending());
            assert_eq!(wakes.0.load(Ordering::Relaxed), round - 1);
            far.read_buf(&mut Vec::with_capacity(1024))
                .await
                .expect("it is sent");
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
            far.write_all(answer).await.expect("it is read");
            assert_eq!(wakes.0.load(Ordering::Relaxed), round);
            let Poll::Ready(Ok((response, kept))) = exchange.poll(&mut cx) else {
                panic!("there is an answer");
            };
            assert_eq!((response.status, &response.body[..]), (200, &b"hi"[..]));
            assert_eq!(wakes.0.load(Ordering::Relaxed), round);
            connection = kept.expect("it is kept alive");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_exchange_has_its_own_deadline() {
        let (near, mut far) = duplex(1024);
        let opened = Connection::open(TokioIo::new(near)).await;
        let mut connection = opened.expect("nothing is sent");
        let time = Duration::from_secs(5);
        for _ in 0..3 {
            let deadline = Instant::now() + time;
            let answer = async {
                // Later than the deadline of the exchange before.
                advance(time - Duration::from_millis(1)).await;
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                far.write_all(answer).await.expect("it is read");
            };
            let exchange = connection.exchange(Request::default(), deadline);
            let (exchanged, ()) = tokio::join!(exchange, answer);
            let (_, kept) = exchanged.ok().expect("in time");
            connection = kept.expect("it is kept alive");
        }
        let start = Instant::now();
        let late = connection.exchange(Request::default(), start + time).await;
        assert!(matches!(
            late,
            Err(Failure::Failed(ClientError::Unreachable(_)))
        ));
        let took = start.elapsed();
        assert!(took.abs_diff(time) <= Duration::from_millis(1), "{took:?}");
    }
}
