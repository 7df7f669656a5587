use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use lease_core::BoxError;
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant, Sleep, sleep};
use tower_service::Service;

use super::activity::Activity;
use super::stop::Stop;
use crate::bell::Bell;

/// Serves a connection until its caller closes it, it has been idle for long, or it was told to stop and
/// its request is answered.
pub(super) async fn serve_connection<S, B>(stream: TcpStream, service: S, stop: Arc<Stop>)
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
    let activity = Arc::<Activity>::default();
    let observed = Arc::clone(&activity);
    let service = service_fn(move |request| {
        let (mut service, open) = (service.clone(), observed.begin());
        async move {
            poll_fn(|cx| service.poll_ready(cx)).await?;
            let response = service.call(request).await?;
            // The body keeps it open.
            Ok::<_, Infallible>(response.map(|body| {
                body.map_err(move |error| {
                    let _ = &open;
                    error.into()
                })
            }))
        }
    });
    let connection = Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let bell = Arc::<Bell>::default();
    let waker = Waker::from(Arc::clone(&bell));
    let mut told = pin!(stop.notified());
    let mut is_told = false;
    let mut idle = pin!(sleep(MAX_IDLE));
    let mut rest = Rest::default();
    let mut polls_for = None;
    poll_fn(|cx| {
        // Both have the task's waker from its first poll on, and cost nothing as long as it is the same.
        if is_new(&mut polls_for, cx) {
            let _ = told.as_mut().poll(cx);
            let _ = idle.as_mut().poll(cx);
        }
        if !is_told && stop.is_set() {
            is_told = true;
            connection.as_mut().graceful_shutdown();
        }
        if idle.is_elapsed() && rest.is_over(&activity, idle.as_mut(), cx) {
            return Poll::Ready(());
        }
        // What it ends with is the caller's fault, or that the caller is gone.
        let poll = bell.poll(&waker, cx, |cx| connection.as_mut().poll(cx));
        poll.map(drop)
    })
    .await;
}

/// Whether somebody else polls than before.
fn is_new(waker: &mut Option<Waker>, cx: &Context<'_>) -> bool {
    let is_new = !waker
        .as_ref()
        .is_some_and(|waker| waker.will_wake(cx.waker()));
    if is_new {
        *waker = Some(cx.waker().clone());
    }
    is_new
}

/// Whether a connection is used, which is looked at now and then.
#[derive(Default)]
struct Rest {
    begun: u64,
}

impl Rest {
    /// Whether no request has begun since the last look, and none is open. If not, the next look is set.
    fn is_over(
        &mut self,
        activity: &Activity,
        mut idle: Pin<&mut Sleep>,
        cx: &mut Context<'_>,
    ) -> bool {
        let at_rest = activity.at_rest();
        if at_rest == Some(self.begun) {
            return true;
        }
        self.begun = at_rest.unwrap_or(self.begun);
        idle.as_mut().reset(Instant::now() + MAX_IDLE);
        idle.poll(cx).is_ready()
    }
}

/// For how long no request has begun, at least, when a connection is closed: as long as etcd's server for
/// members reads a request, or waits for one.
const MAX_IDLE: Duration = Duration::from_secs(5 * 60);
