use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lease_core::{HostError, LeaseId, Ttl};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use super::calls::{renew_batch_http, renew_http};
use super::transport::Transport;
use crate::ClientError;
use crate::messages::{BatchAnswer, LEASE_BATCH_PREFIX, LEASE_PREFIX, MAX_BATCH};

/// Renews the leases of many callers at one member in few requests.
///
/// The first caller opens a batch. It goes out at once if no other one is under way; else when that is
/// answered, after a set time or with a set number of leases, whichever comes first. Whoever gives up
/// is not asked for, and nothing is sent for nobody. A renewal that has to wait, and every one at a
/// member that knows no batches, is asked for by itself.
///
/// Batches go out on tasks of tokio's, which end with their request, or with the set time.
///
/// ```
/// use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
/// use lease_http::{Coalescer, CoalescerOptions, HyperTransport, handler};
/// use std::{future::ready, sync::Arc, time::Duration};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let lessor = Arc::new(BackendLessor::builder(Arc::new(NullBackend)).build()?);
/// lessor.promote(Duration::ZERO)?;
/// let (a, b) = (LeaseId::try_from(1)?, LeaseId::try_from(2)?);
/// lessor.grant(a, 60)?;
/// lessor.grant(b, 90)?;
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let member = format!("http://{}", listener.local_addr()?);
/// let router = handler(lessor, || ready(Ok(()))).router();
/// tokio::spawn(async { axum::serve(listener, router).await });
///
/// let transport = HyperTransport::new(Duration::from_secs(7));
/// let renewals = Coalescer::new(transport, member, CoalescerOptions::default());
/// let (a, b) = tokio::join!(renewals.renew(a), renewals.renew(b)); // one request
/// assert_eq!((a?.as_secs(), b?.as_secs()), (60, 90));
/// # Ok(())
/// # }
/// ```
pub struct Coalescer<T> {
    shared: Arc<Shared<T>>,
}

/// How renewals are gathered.
///
/// Any release may add an option: take the default for what is not named, as here.
///
/// ```
/// use lease_http::CoalescerOptions;
/// use std::time::Duration;
///
/// let options = CoalescerOptions { max_leases: 64, ..CoalescerOptions::default() };
/// assert_eq!(options.max_wait, Duration::from_millis(2));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct CoalescerOptions {
    /// For how long a batch may be open while another one is under way, in whole milliseconds rounded
    /// up: 2 ms by default. Where nothing is waited for, a batch takes those who come before the
    /// executor has looked at all tasks once.
    pub max_wait: Duration,
    /// With how many leases it goes out: 1,000 by default, at least 1, and at most [`MAX_BATCH`].
    pub max_leases: usize,
    /// How many renewals are asked for by themselves at a time, which is how many connections they need:
    /// 256 by default, and at least 1. The others wait for their turn. Those that have to wait, and those
    /// at a member that knows no batches, are counted apart.
    pub max_alone: usize,
}

impl Default for CoalescerOptions {
    fn default() -> Self {
        Self {
            max_wait: Duration::from_millis(2),
            max_leases: 1_000,
            max_alone: 256,
        }
    }
}

impl<T: Transport + Send + Sync + 'static> Coalescer<T> {
    /// Gathers renewals for a member, such as `http://10.0.0.7:2380`; a slash behind it is as good.
    #[must_use]
    pub fn new(transport: T, member: impl Into<String>, options: CoalescerOptions) -> Self {
        let member = member.into();
        let member = member.trim_end_matches('/');
        let turns = || Semaphore::new(options.max_alone.clamp(1, Semaphore::MAX_PERMITS));
        Self {
            shared: Arc::new(Shared {
                transport,
                url: format!("{member}{LEASE_PREFIX}"),
                batch_url: format!("{member}{LEASE_BATCH_PREFIX}"),
                max_wait: options.max_wait,
                max_leases: options.max_leases.clamp(1, MAX_BATCH),
                gathering: Mutex::default(),
                alone: turns(),
                waiting: turns(),
            }),
        }
    }

    /// Renews a lease at the member and returns its TTL. To be called on a runtime of tokio's.
    ///
    /// # Errors
    ///
    /// As [`renew_http`].
    ///
    /// # Panics
    ///
    /// Outside of a runtime of tokio's.
    pub async fn renew(&self, id: LeaseId) -> Result<Ttl, ClientError> {
        let shared = &self.shared;
        let answer = match shared.join(id) {
            Some(seat) => seat.await.unwrap_or_else(|_| Err(abandoned())),
            None => Err(ClientError::NoBatches),
        };
        match answer {
            Err(ClientError::MustWait) => shared.renew_alone(id, &shared.waiting).await,
            Err(ClientError::NoBatches) => shared.renew_alone(id, &shared.alone).await,
            answer => answer,
        }
    }
}

impl<T> Clone for Coalescer<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> fmt::Debug for Coalescer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coalescer")
            .field("url", &self.shared.batch_url)
            .finish_non_exhaustive()
    }
}

struct Shared<T> {
    transport: T,
    url: String,
    batch_url: String,
    max_wait: Duration,
    max_leases: usize,
    gathering: Mutex<Gathering>,
    // Turns of those who are asked for by themselves: where batches are not known, and where a renewal
    // has to wait. These would keep the others.
    alone: Semaphore,
    waiting: Semaphore,
}

/// The open batch.
#[derive(Default)]
struct Gathering {
    // Invariant: fewer than a batch may have.
    callers: Vec<Caller>,
    // Which batch it is, so that whoever slept for an earlier one does not take it.
    round: u64,
    // How many batches have gone out and are not answered.
    in_flight: usize,
    // Until when the member is taken for one that knows no batches.
    alone_until: Option<Instant>,
}

/// Who waits for the answer about a lease.
struct Caller {
    id: LeaseId,
    answer: oneshot::Sender<Result<Ttl, ClientError>>,
}

type Seat = oneshot::Receiver<Result<Ttl, ClientError>>;

impl Gathering {
    fn asks_alone(&mut self) -> bool {
        self.alone_until = self.alone_until.filter(|until| Instant::now() < *until);
        self.alone_until.is_some()
    }

    /// Takes the open batch.
    fn close(&mut self) -> Vec<Caller> {
        self.round += 1;
        mem::take(&mut self.callers)
    }
}

impl<T: Transport + Send + Sync + 'static> Shared<T> {
    /// Takes a seat in the open batch; `None` where batches are not known.
    fn join(self: &Arc<Self>, id: LeaseId) -> Option<Seat> {
        // Where there is none it panics, before anybody has taken a seat.
        let runtime = Handle::current();
        let (answer, seat) = oneshot::channel();
        let mut gathering = self.gathering();
        if gathering.asks_alone() {
            return None;
        }
        gathering.callers.push(Caller { id, answer });
        if gathering.callers.len() >= self.max_leases {
            let batch = Batch::take_off(self, &mut gathering);
            drop(gathering);
            runtime.spawn(batch.send());
        } else if gathering.callers.len() == 1 {
            let opened = Opened {
                shared: Arc::clone(self),
                round: gathering.round,
            };
            let is_idle = gathering.in_flight == 0;
            drop(gathering);
            let pause = if is_idle {
                Duration::ZERO
            } else {
                self.max_wait
            };
            runtime.spawn(opened.send_later(pause));
        }
        Some(seat)
    }

    async fn exchange(
        &self,
        mut callers: Vec<Caller>,
    ) -> (Vec<Caller>, Result<BatchAnswer, ClientError>) {
        callers.retain(|caller| !caller.answer.is_closed());
        if callers.is_empty() {
            return (callers, Ok(Vec::new()));
        }
        if self.gathering().asks_alone() {
            return (callers, Err(ClientError::NoBatches));
        }
        let ids: Vec<_> = callers.iter().map(|caller| caller.id).collect();
        let answers = renew_batch_http(&self.transport, &ids, &self.batch_url).await;
        if let Err(ClientError::NoBatches) = answers {
            self.gathering().alone_until = Some(Instant::now() + ALONE);
        }
        (callers, answers)
    }

    async fn renew_alone(&self, id: LeaseId, turns: &Semaphore) -> Result<Ttl, ClientError> {
        let _turn = turns.acquire().await.map_err(|_| abandoned())?;
        renew_http(&self.transport, id, &self.url).await
    }
}

impl<T> Shared<T> {
    fn gathering(&self) -> MutexGuard<'_, Gathering> {
        // Nothing panics under it.
        self.gathering
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A batch that is open. If this is dropped before it has gone out, its callers are told: the runtime
/// that the first one of them was on has ended.
struct Opened<T> {
    shared: Arc<Shared<T>>,
    round: u64,
}

impl<T: Transport + Send + Sync + 'static> Opened<T> {
    async fn send_later(self, pause: Duration) {
        if pause.is_zero() {
            yield_now().await;
        } else {
            sleep(pause).await;
        }
        if let Some(batch) = self.take_off() {
            batch.send().await;
        }
    }

    /// `None` if it went out when it was full, or when the one before was answered.
    fn take_off(&self) -> Option<Batch<T>> {
        let mut gathering = self.shared.gathering();
        let is_open = gathering.round == self.round;
        is_open.then(|| Batch::take_off(&self.shared, &mut gathering))
    }
}

impl<T> Drop for Opened<T> {
    fn drop(&mut self) {
        let mut gathering = self.shared.gathering();
        let is_open = gathering.round == self.round;
        let abandoned = is_open.then(|| gathering.close());
        // They are woken without the lock.
        drop(gathering);
        drop(abandoned);
    }
}

/// A batch that goes out. If this is dropped before there is an answer, its callers are told.
struct Batch<T> {
    callers: Vec<Caller>,
    flight: Flight<T>,
}

impl<T: Transport + Send + Sync + 'static> Batch<T> {
    /// Takes the open batch.
    fn take_off(shared: &Arc<Shared<T>>, gathering: &mut Gathering) -> Self {
        gathering.in_flight += 1;
        Self {
            callers: gathering.close(),
            flight: Flight(Arc::clone(shared)),
        }
    }

    /// Sends it, and those who gather meanwhile if nobody else does.
    async fn send(self) {
        let mut next = Some(self);
        while let Some(Self { callers, flight }) = next {
            let (callers, answers) = flight.0.exchange(callers).await;
            next = flight.land();
            tell(callers, answers);
        }
    }
}

/// A batch is under way. It is not any more when this is dropped, also by a panic of the transport's.
struct Flight<T>(Arc<Shared<T>>);

impl<T: Transport + Send + Sync + 'static> Flight<T> {
    /// Ends it. Returns the open batch if nothing else is under way.
    fn land(self) -> Option<Batch<T>> {
        let shared = Arc::clone(&self.0);
        drop(self);
        let mut gathering = shared.gathering();
        let goes_out = gathering.in_flight == 0 && !gathering.callers.is_empty();
        goes_out.then(|| Batch::take_off(&shared, &mut gathering))
    }
}

impl<T> Drop for Flight<T> {
    fn drop(&mut self) {
        self.0.gathering().in_flight -= 1;
    }
}

fn tell(callers: Vec<Caller>, answers: Result<BatchAnswer, ClientError>) {
    let answers = answers.unwrap_or_else(|error| vec![Err(error); callers.len()]);
    for (caller, answer) in callers.into_iter().zip(answers) {
        // It may have given up meanwhile.
        let _ = caller.answer.send(answer);
    }
}

fn abandoned() -> ClientError {
    ClientError::Unreachable(HostError::new("the request was abandoned"))
}

/// How long a member that knows no batches is not asked for one again: it may be upgraded.
const ALONE: Duration = Duration::from_secs(60);
