mod answer;
mod body;
mod isolate;
#[cfg(feature = "metrics")]
pub(crate) mod metrics;
#[cfg(feature = "axum")]
mod router;
#[cfg(feature = "serve")]
pub(crate) mod serve;
mod service;
mod watch;
mod within;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use lease_core::{BackendLessor, LeaseError};
use tokio::sync::Semaphore;

use crate::messages::Timeouts;

/// Serves renewals and the time to live of a lessor's leases: etcd's `NewHandler`.
///
/// `wait_applied` is called for each request that decodes, and its future ends when this member has
/// applied what was committed before; the lessor is asked after that. What it fails with is answered
/// as if the lessor had: a host that finds meanwhile that it leads no more fails with
/// [`LeaseError::NotPrimary`]. A host without a log is always up to date: `|| ready(Ok(()))`.
///
/// A request ends by its [`Timeouts`], and when its caller hangs up; either costs nothing more, but that
/// the items of a lease that has many are copied to the end. Over HTTP/1.1 it is not seen that a caller
/// has hung up who has already sent another request behind. No thread of the executor is blocked. The
/// executor is tokio's, with its time enabled.
///
/// The lessor has to bring the resets of checkpoints by itself: a renewal that needs one is refused
/// where the host polls them ([`CheckpointMode::Polled`](lease_core::CheckpointMode::Polled)).
///
/// ```
/// use lease_core::{BackendLessor, NullBackend};
/// use lease_http::handler;
/// use std::{future::ready, sync::Arc};
///
/// let lessor = Arc::new(BackendLessor::builder(Arc::new(NullBackend)).build()?);
/// let service = handler(lessor, || ready(Ok(())));
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
pub fn handler<W, F>(lessor: Arc<BackendLessor>, wait_applied: W) -> Handler<W>
where
    W: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), LeaseError>> + Send + 'static,
{
    Handler {
        lessor,
        wait_applied: Arc::new(wait_applied),
        timeouts: Timeouts::default(),
        copies: Arc::new(Semaphore::new(COPIES)),
        #[cfg(feature = "metrics")]
        metrics: None,
    }
}

/// A tower service for the requests of other members, from [`handler`].
///
/// It takes requests of any path and answers those that it does not know as etcd's does; a host with
/// paths of its own takes the `router` (feature `axum`). A clone is cheap and serves the same lessor.
pub struct Handler<W> {
    lessor: Arc<BackendLessor>,
    wait_applied: Arc<W>,
    timeouts: Timeouts,
    // Turns to copy the many items of a lease.
    copies: Arc<Semaphore>,
    #[cfg(feature = "metrics")]
    metrics: Option<Arc<metrics::HandlerMetrics>>,
}

impl<W> Handler<W> {
    /// Sets how long a request may take.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, NullBackend};
    /// # use lease_http::{Timeouts, handler};
    /// # use std::{future::ready, sync::Arc, time::Duration};
    /// # let lessor = Arc::new(BackendLessor::builder(Arc::new(NullBackend)).build()?);
    /// let patient = Timeouts { applied: Duration::from_secs(3), ..Timeouts::default() };
    /// let service = handler(lessor, || ready(Ok(()))).timeouts(patient);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Sets who counts the requests.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, NullBackend};
    /// # use lease_http::{HandlerMetrics, handler};
    /// # use std::{future::ready, sync::Arc};
    /// # let lessor = Arc::new(BackendLessor::builder(Arc::new(NullBackend)).build()?);
    /// // After the program has installed its recorder:
    /// let service = handler(lessor, || ready(Ok(()))).metrics(HandlerMetrics::new());
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn metrics(mut self, metrics: metrics::HandlerMetrics) -> Self {
        self.metrics = Some(Arc::new(metrics));
        self
    }
}

impl<W> Clone for Handler<W> {
    fn clone(&self) -> Self {
        Self {
            lessor: Arc::clone(&self.lessor),
            wait_applied: Arc::clone(&self.wait_applied),
            timeouts: self.timeouts,
            copies: Arc::clone(&self.copies),
            #[cfg(feature = "metrics")]
            metrics: self.metrics.clone(),
        }
    }
}

impl<W> fmt::Debug for Handler<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler")
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

/// How many leases with many items are copied at a time: each takes a thread and, with its answer, up to
/// some hundred MB.
const COPIES: usize = 4;
