use std::convert::Infallible;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use lease_backend::RedbBackend;
use lease_bench::{lessor_as_etcds, shuffled_ids};
use lease_core::{LeaseId, Lessor, Renewal, Ttl};
use lease_http::messages::{CONTENT_TYPE as PROTOBUF, Reply};
use lease_http::{
    Coalescer, CoalescerOptions, HyperTransport, LEASE_BATCH_PREFIX, LEASE_PREFIX, handler,
    renew_batch_http, renew_http, serve,
};
use rustix::time::{ClockId, clock_gettime};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tower_service::Service;

use crate::lessor::TTL;
use crate::stopwatch::{Stopwatch, rotated};

/// How many callers ask at once, each over a connection of its own.
const CALLERS: [usize; 2] = [1, 64];

/// How many requests all callers together send, one by one and in batches.
const REQUESTS: [usize; 2] = [20_000, 3_000];

/// How many leases a request renews where it renews many.
const BATCH: usize = 256;

/// How often each row is measured, after once to warm up.
const PASSES: usize = 3;

/// Renewals over loopback, each row beside the same requests at a server that has no lessor.
///
/// Server and callers are tasks of one runtime with a thread for each processor, as the peer's are
/// goroutines of one process.
pub(crate) fn run(watch: &Stopwatch) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let backend = RedbBackend::open(folder.path().join("leases.redb"))?;
    let lessor = Arc::new(lessor_as_etcds(Arc::new(backend))?);
    lessor.promote(Duration::ZERO).expect("the epoch is stored");
    let ids = shuffled_ids(watch.n);
    for id in &ids {
        lessor.grant(*id, TTL)?;
    }
    lessor.flush()?;
    let runtime = Runtime::new()?;
    let same = vec![ids[0]; BATCH];
    let floor = Load::start(&runtime, Constant::new(&same), same)?;
    let primary = handler(lessor, || ready(Ok(())));
    let primary = Load::start(&runtime, primary, rotated(&ids, watch.n / 3))?;
    for callers in CALLERS {
        let op = format!("http_renew_{callers}");
        for (op, load) in [(format!("floor_{op}"), &floor), (op, &primary)] {
            measure(watch, &op, || load.one_by_one(callers))?;
            measure(watch, &format!("{op}_batched"), || load.batched(callers))?;
        }
    }
    let callers = CALLERS[1];
    let op = format!("http_renew_{callers}_coalesced");
    measure(watch, &op, || primary.coalesced(callers))
}

fn measure(
    watch: &Stopwatch,
    op: &str,
    work: impl Fn() -> anyhow::Result<usize>,
) -> anyhow::Result<()> {
    work()?;
    for _ in 0..PASSES {
        let (start, used) = (Instant::now(), processor_time());
        let renewals = work()?;
        watch.note(op, start.elapsed(), renewals);
        watch.note(&format!("{op}_cpu"), processor_time() - used, renewals);
    }
    Ok(())
}

/// What this process has used of all processors, in the kernel too.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.try_into().expect("it is not negative")
}

/// Answers each request as a renewal of the first of some leases, or as one of all of them.
#[derive(Clone)]
struct Constant {
    one: Bytes,
    all: Bytes,
}

impl Constant {
    fn new(ids: &[LeaseId]) -> Self {
        let ttl = Ttl::new(TTL).expect("legal");
        let one = Reply::renewed(ids[0], ttl);
        let all = Reply::batch(ids, &vec![Ok(Renewal::Renewed(ttl)); ids.len()]);
        let [one, all] = [one, all].map(|reply| reply.into_body().into());
        Self { one, all }
    }
}

impl<B> Service<Request<B>> for Constant
where
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

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let body = match request.uri().path() {
            LEASE_PREFIX => self.one.clone(),
            _ => self.all.clone(),
        };
        Box::pin(async move {
            drop(request.into_body().collect().await);
            let mut response = Response::new(Full::from(body));
            let content_type = HeaderValue::from_static(PROTOBUF);
            response.headers_mut().insert(CONTENT_TYPE, content_type);
            Ok(response)
        })
    }
}

/// A member, and who asks it.
struct Load<'a> {
    runtime: &'a Runtime,
    member: String,
    ids: Arc<[LeaseId]>,
    transport: HyperTransport,
}

impl<'a> Load<'a> {
    fn start<S>(runtime: &'a Runtime, service: S, ids: Vec<LeaseId>) -> anyhow::Result<Self>
    where
        S: Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send,
    {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let member = format!("http://{}", listener.local_addr()?);
        runtime.spawn(serve(listener, service));
        Ok(Self {
            runtime,
            member,
            ids: ids.into(),
            transport: HyperTransport::new(Duration::from_secs(7)),
        })
    }

    fn one_by_one(&self, callers: usize) -> anyhow::Result<usize> {
        let requests = REQUESTS[0] / callers;
        self.each(callers, |mut ids| {
            let transport = self.transport.clone();
            let url = format!("{}{LEASE_PREFIX}", self.member);
            async move {
                for id in ids.by_ref().take(requests) {
                    renew_http(&transport, id, &url).await?;
                }
                Ok(requests)
            }
        })
    }

    fn batched(&self, callers: usize) -> anyhow::Result<usize> {
        let requests = REQUESTS[1] / callers;
        self.each(callers, |mut ids| {
            let transport = self.transport.clone();
            let url = format!("{}{LEASE_BATCH_PREFIX}", self.member);
            async move {
                for _ in 0..requests {
                    let ids: Vec<_> = ids.by_ref().take(BATCH).collect();
                    for answer in renew_batch_http(&transport, &ids, &url).await? {
                        answer?;
                    }
                }
                Ok(requests * BATCH)
            }
        })
    }

    /// Callers who renew one lease after the other, and whose renewals are gathered.
    fn coalesced(&self, callers: usize) -> anyhow::Result<usize> {
        let renewals = 10 * REQUESTS[0] / callers;
        let transport = self.transport.clone();
        let coalescer = Coalescer::new(transport, &*self.member, CoalescerOptions::default());
        self.each(callers, |mut ids| {
            let coalescer = coalescer.clone();
            async move {
                for id in ids.by_ref().take(renewals) {
                    coalescer.renew(id).await?;
                }
                Ok(renewals)
            }
        })
    }

    /// Starts callers, each of which begins elsewhere in the leases, and waits for all of them. Returns
    /// the sum of what they answer.
    fn each<F>(&self, callers: usize, start: impl Fn(Ids) -> F) -> anyhow::Result<usize>
    where
        F: Future<Output = anyhow::Result<usize>> + Send + 'static,
    {
        let starts = (0..callers).map(|number| number * self.ids.len() / callers);
        let calls = starts.map(|start_at| start(Ids::new(&self.ids, start_at)));
        let calls: Vec<_> = calls.map(|call| self.runtime.spawn(call)).collect();
        self.runtime.block_on(async {
            let mut sum = 0;
            for call in calls {
                sum += call.await??;
            }
            Ok(sum)
        })
    }
}

/// The leases from one on, again and again.
struct Ids {
    ids: Arc<[LeaseId]>,
    next: usize,
}

impl Ids {
    fn new(ids: &Arc<[LeaseId]>, next: usize) -> Self {
        let ids = Arc::clone(ids);
        Self { ids, next }
    }
}

impl Iterator for Ids {
    type Item = LeaseId;

    fn next(&mut self) -> Option<LeaseId> {
        let id = self.ids[self.next];
        self.next = (self.next + 1) % self.ids.len();
        Some(id)
    }
}
