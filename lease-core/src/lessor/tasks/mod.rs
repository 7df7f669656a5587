mod callers;
mod carrier;
mod commands;
mod expired;
mod pool;
mod queue;
mod reply;
mod teller;

use std::fmt;
use std::future::poll_fn;
use std::task::Poll;

pub(super) use callers::Callers;
pub use expired::ExpiredStream;

use super::{BackendLessor, LeaseEvents, Lookup, Shared};
use crate::sync::{Arc, Deadline, thread};
#[cfg(doc)]
use crate::{Driver, Durability, Observer};
use crate::{HostError, Lease, LeaseError, LeaseId, Lessor, LessorCore, Renewal, TimeToLive, Ttl};
use carrier::Carrier;
use pool::Asked;
use reply::reply;

/// A lessor for tasks: nothing that it does blocks the thread of an executor, of whichever runtime.
///
/// It is made around a [`BackendLessor`], cheap to clone, and ended by [`shutdown`](Self::shutdown).
///
/// # What happens where
///
/// | | |
/// |---|---|
/// | `renew`, `renew_many`, `time_to_live`, `get_lease`, `lookup`, `page`, `expired`, `events` | in the task, without waiting for a store or a lock that is held for long; `renew` of an expired lease sleeps until its end |
/// | `grant`, `grant_new`, `revoke`, `attach`, `detach` and their like, [batched](Durability::Batched) | in the task where nothing has to be waited for, else as below |
/// | the same, durable | in one thread of this handle: commands of however many tasks share it, and each commit is shared by up to 1,024 of those that wait for one |
/// | a revoke for which the host's range deleter is called | in a thread for each, eight at a time |
/// | the items of a lease of more than 1,024 in `lookup` and `page`; `flush` | likewise, eight of each at a time |
/// | `shutdown` | in a thread of its own |
///
/// So 10,000 tasks that grant at the same time take one thread and ten commits. While the store hangs,
/// commands that need it wait, and nothing else. An [`Observer`] is told in the task of what is done there,
/// and of the rest in a thread of its own, before the task has its answer: it must neither block nor wait for
/// an answer of this handle. The lock that all share is held for as long as [`BackendLessor`] says.
///
/// # A future that is dropped
///
/// A command is given when its future is polled for the first time; one that never was has done nothing.
/// If the future is dropped then, by a timeout around it for example, the command goes to its end and the
/// answer is lost; or, if others were still before it, it does not begin, so that tasks that give up and try
/// again while a store hangs do not pile up. Nothing is done by half. So after a timeout a lease may be
/// granted or not, as after a timeout of a network, and whoever has to know looks. A lease from
/// [`grant_new`](Self::grant_new) whose id nobody has heard expires by itself.
///
/// ```
/// use lease_core::{AsyncLessor, BackendLessor, LeaseError, NullBackend};
/// use std::{sync::Arc, time::Duration};
///
/// async fn serve(lessor: AsyncLessor) -> Result<(), LeaseError> {
///     let id = lessor.grant_new(Duration::from_secs(60)).await?.id();
///     lessor.attach(id, &["services/web/1".into()]).await?;
///     assert_eq!(lessor.get_lease(b"services/web/1"), Some(id));
///     assert_eq!(lessor.renew(id).await?.as_secs(), 60);
///     lessor.revoke(id).await?;
///     lessor.shutdown().await
/// }
///
/// let lessor = AsyncLessor::new(BackendLessor::standalone(Arc::new(NullBackend))?)?;
/// # futures::executor::block_on(
/// serve(lessor)
/// # )?;
/// # Ok::<(), LeaseError>(())
/// ```
#[derive(Clone)]
pub struct AsyncLessor {
    inner: Arc<Inner>,
}

struct Inner {
    // Only taken when it is dropped.
    lessor: Option<Arc<BackendLessor>>,
    carrier: Arc<Carrier>,
}

/// The most leases that a task renews, or has in a page, before others have their turn.
const AT_A_TIME: usize = if cfg!(shuttle) { 2 } else { 1024 };

impl AsyncLessor {
    /// A handle for tasks on this lessor, which may be shared with others.
    ///
    /// To open a store and to make a lessor of it blocks: a program does so before it starts its
    /// runtime, or in a thread for such work. The lessor has threads of its own ([`Driver::Threads`], the
    /// default), or is driven by the host.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Spawn`] if the system has no room for a thread.
    ///
    /// ```
    /// # use lease_core::{AsyncLessor, BackendLessor, LeaseError, NullBackend};
    /// # use std::sync::Arc;
    /// let lessor = Arc::new(BackendLessor::standalone(Arc::new(NullBackend))?);
    /// let for_tasks = AsyncLessor::new(Arc::clone(&lessor))?;
    /// assert_eq!(for_tasks.lessor().stats().leases, 0);
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub fn new(lessor: impl Into<Arc<BackendLessor>>) -> Result<Self, LeaseError> {
        let lessor = lessor.into();
        let carrier = Carrier::start(&lessor.shared)?;
        let inner = Arc::new(Inner {
            lessor: Some(lessor),
            carrier,
        });
        Ok(Self { inner })
    }

    /// The lessor, for what else it offers. What of that blocks is in its table.
    ///
    /// ```
    /// # use lease_core::{AsyncLessor, BackendLessor, LeaseError, NullBackend};
    /// # use std::sync::Arc;
    /// # let lessor = BackendLessor::standalone(Arc::new(NullBackend))?;
    /// let lessor = AsyncLessor::new(lessor)?;
    /// assert!(lessor.lessor().primary_epoch().is_some());
    /// # Ok::<(), LeaseError>(())
    /// ```
    #[must_use]
    pub fn lessor(&self) -> &Arc<BackendLessor> {
        let lessor = self.inner.lessor.as_ref();
        lessor.expect("it is taken when nobody has the handle")
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.lessor().shared
    }

    /// Renews a lease and returns its TTL; for an expired lease it waits until that is revoked, see
    /// [`BackendLessor::renew_async`]. The deadline is a timeout of the host's around it.
    ///
    /// # Errors
    ///
    /// Those of [`Lessor::renew`], but for [`LeaseError::DeadlineExceeded`].
    ///
    /// ```
    /// # use lease_core::{AsyncLessor, BackendLessor, LeaseError, NullBackend};
    /// # let lessor = BackendLessor::standalone(std::sync::Arc::new(NullBackend))?;
    /// # let lessor = AsyncLessor::new(lessor)?;
    /// # futures::executor::block_on(async {
    /// let id = lessor.grant_new(60).await?.id();
    /// assert_eq!(lessor.renew(id).await?.as_secs(), 60);
    /// # Ok::<(), LeaseError>(())
    /// # })?;
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub async fn renew(&self, id: LeaseId) -> Result<Ttl, LeaseError> {
        self.lessor().renew_async(id).await
    }

    /// Renews leases without waiting for any of them, see [`Lessor::renew_many`]. Lets other tasks in
    /// after each 1,024.
    ///
    /// ```
    /// # use lease_core::{AsyncLessor, BackendLessor, LeaseError, NullBackend, Renewal};
    /// # let lessor = BackendLessor::standalone(std::sync::Arc::new(NullBackend))?;
    /// # let lessor = AsyncLessor::new(lessor)?;
    /// # futures::executor::block_on(async {
    /// let ids = [lessor.grant_new(60).await?.id(), lessor.grant_new(60).await?.id()];
    /// let answers = lessor.renew_many(&ids).await;
    /// assert!(answers.iter().all(|answer| matches!(answer, Ok(Renewal::Renewed(_)))));
    /// # Ok::<(), LeaseError>(())
    /// # })?;
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub async fn renew_many(&self, ids: &[LeaseId]) -> Vec<Result<Renewal, LeaseError>> {
        let mut answers = Vec::with_capacity(ids.len());
        for (number, some) in ids.chunks(AT_A_TIME).enumerate() {
            if number > 0 {
                let_others_in().await;
            }
            answers.extend(self.lessor().renew_many(some));
        }
        answers
    }

    /// How long the lease with this id has left. O(1), never waits.
    ///
    /// ```
    /// # use lease_core::{AsyncLessor, BackendLessor, LeaseError, NullBackend};
    /// # let lessor = BackendLessor::standalone(std::sync::Arc::new(NullBackend))?;
    /// # let lessor = AsyncLessor::new(lessor)?;
    /// # futures::executor::block_on(async {
    /// let id = lessor.grant_new(60).await?.id();
    /// assert!(lessor.time_to_live(id).is_some_and(|left| left.ttl().as_secs() == 60));
    /// # Ok::<(), LeaseError>(())
    /// # })?;
    /// # Ok::<(), LeaseError>(())
    /// ```
    #[must_use]
    pub fn time_to_live(&self, id: LeaseId) -> Option<TimeToLive> {
        self.lessor().time_to_live(id)
    }

    /// The lease that an item is attached to. O(1), never waits.
    ///
    /// ```
    /// # use lease_core::{AsyncLessor, BackendLessor, LeaseError, NullBackend};
    /// # let lessor = BackendLessor::standalone(std::sync::Arc::new(NullBackend))?;
    /// # let lessor = AsyncLessor::new(lessor)?;
    /// assert_eq!(lessor.get_lease(b"services/web/1"), None);
    /// # Ok::<(), LeaseError>(())
    /// ```
    #[must_use]
    pub fn get_lease(&self, item: &[u8]) -> Option<LeaseId> {
        self.lessor().get_lease(item)
    }

    /// The lease with this id, with its items.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Spawn`] if the lease has more than 1,024 items and there is no room for a thread that
    /// copies them.
    ///
    /// ```
    /// # use lease_core::{AsyncLessor, BackendLessor, LeaseError, NullBackend};
    /// # let lessor = BackendLessor::standalone(std::sync::Arc::new(NullBackend))?;
    /// # let lessor = AsyncLessor::new(lessor)?;
    /// # futures::executor::block_on(async {
    /// let id = lessor.grant_new(60).await?.id();
    /// lessor.attach(id, &["a".into()]).await?;
    /// let lease = lessor.lookup(id).await?.expect("it is there");
    /// assert_eq!(lease.keys(), ["a".into()]);
    /// # Ok::<(), LeaseError>(())
    /// # })?;
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub async fn lookup(&self, id: LeaseId) -> Result<Option<Lease>, LeaseError> {
        match self.lessor().try_lookup(id) {
            None => Ok(None),
            Some(Lookup::Whole(lease)) => Ok(Some(lease)),
            Some(Lookup::WithoutItems(_)) => self.look(move |shared| shared.lookup(id)).await,
        }
    }

    /// The next leases behind `after`, or the first ones, `limit` and 1,024 at most, as
    /// [`Lessor::page`] has them. Who wants all of them asks until a page is empty.
    ///
    /// # Errors
    ///
    /// Those of [`lookup`](Self::lookup).
    ///
    /// ```
    /// # use lease_core::{AsyncLessor, BackendLessor, LeaseError, NullBackend};
    /// # let lessor = BackendLessor::standalone(std::sync::Arc::new(NullBackend))?;
    /// # let lessor = AsyncLessor::new(lessor)?;
    /// # futures::executor::block_on(async {
    /// # for _ in 0..100 { lessor.grant_new(60).await?; }
    /// let (mut seen, mut after) = (0, None);
    /// loop {
    ///     let page = lessor.page(after, 30).await?;
    ///     let Some(last) = page.last() else { break };
    ///     after = Some(last.id());
    ///     seen += page.len();
    /// }
    /// assert_eq!(seen, 100);
    /// # Ok::<(), LeaseError>(())
    /// # })?;
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub async fn page(
        &self,
        after: Option<LeaseId>,
        limit: usize,
    ) -> Result<Vec<Lease>, LeaseError> {
        let shared = self.shared();
        let now = shared.time_or_last();
        let mut page = LessorCore::begin_page(after, limit.min(AT_A_TIME));
        while shared
            .state
            .read(|state| state.core.page_slice(now, &mut page))
        {
            let_others_in().await;
        }
        if page.found.lacking().is_none() {
            return Ok(page.into_leases());
        }
        self.look(move |shared| {
            shared.complete_all(now, &mut page.found);
            page.into_leases()
        })
        .await
    }

    /// The leases that are delivered as expired, in batches, as a stream; see
    /// [`Lessor::expired_leases`]. Of a lessor that revokes by itself none comes.
    ///
    /// ```
    /// # use lease_core::{AsyncLessor, BackendLessor, LeaseError, NullBackend};
    /// # use futures::StreamExt;
    /// /// Revokes what has expired, until the lessor is shut down.
    /// async fn revoke_expired(lessor: AsyncLessor) {
    ///     let mut expired = lessor.expired();
    ///     while let Some(batch) = expired.next().await {
    ///         if let Err(error) = lessor.revoke_expired(batch).await {
    ///             eprintln!("it comes again: {error}");
    ///         }
    ///     }
    /// }
    /// # let lessor = AsyncLessor::new(BackendLessor::standalone(std::sync::Arc::new(NullBackend))?)?;
    /// # futures::executor::block_on(async {
    /// # lessor.shutdown().await?;
    /// # revoke_expired(lessor).await;
    /// # Ok::<(), LeaseError>(())
    /// # })?;
    /// # Ok::<(), LeaseError>(())
    /// ```
    #[must_use]
    pub fn expired(&self) -> ExpiredStream {
        self.lessor().expired_leases().into_stream()
    }

    /// What happens from now on, as a stream, see [`BackendLessor::events`].
    ///
    /// ```
    /// # use lease_core::{AsyncLessor, BackendLessor, LeaseError, NullBackend, RevokeReason};
    /// use futures::StreamExt;
    /// use lease_core::LeaseEvent;
    ///
    /// /// Tells who is gone, until the lessor is shut down.
    /// async fn tell(lessor: AsyncLessor) {
    ///     let mut events = lessor.events(1024).with_items();
    ///     while let Some(event) = events.next().await {
    ///         match event {
    ///             LeaseEvent::Revoked { reason, items, .. } => println!("{items:?}: {reason:?}"),
    ///             LeaseEvent::Lagged(missed) => println!("{missed} events were missed"),
    ///             _ => {}
    ///         }
    ///     }
    /// }
    /// # let lessor = AsyncLessor::new(BackendLessor::standalone(std::sync::Arc::new(NullBackend))?)?;
    /// # futures::executor::block_on(async { futures::join!(tell(lessor.clone()), lessor.shutdown()).1 })?;
    /// # Ok::<(), LeaseError>(())
    /// ```
    #[must_use]
    pub fn events(&self, capacity: usize) -> LeaseEvents {
        self.lessor().events(capacity)
    }

    /// Commits all pending writes, of a lessor whose writes are [batched](Durability::Batched).
    ///
    /// # Errors
    ///
    /// [`LeaseError::Backend`]; what could not be committed stays pending. [`LeaseError::Spawn`].
    ///
    /// ```
    /// # use lease_core::{AsyncLessor, BackendLessor, Durability, LeaseError, NullBackend};
    /// # let lessor = BackendLessor::builder(std::sync::Arc::new(NullBackend));
    /// let lessor = AsyncLessor::new(lessor.durability(Durability::ETCD).build()?)?;
    /// # futures::executor::block_on(async {
    /// lessor.grant_new(60).await?;
    /// lessor.flush().await?; // now a crash cannot take it back
    /// # Ok::<(), LeaseError>(())
    /// # })?;
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub async fn flush(&self) -> Result<(), LeaseError> {
        let (reply, awaited) = self.inner.carrier.answers.open(self.shared());
        let work = |shared: &Shared| shared.flush().map_err(LeaseError::Backend);
        let commits = &self.inner.carrier.pools.commits;
        commits.run(self.shared(), Box::new(Asked { reply, work }));
        awaited.answer().await
    }

    /// Stops the lessor, for all who share it, and waits until that is over: see [`Lessor::stop`]. Takes at
    /// most twice the stop timeout, if a store hangs. It may be called more than once. Once it has begun
    /// it goes to its end; every command answers [`LeaseError::Stopped`] from then on, and streams end.
    /// Then no thread of this handle's has the lessor or its store any more, unless it hangs in the host's code.
    ///
    /// Where the last handle is dropped without it, a thread stops the lessor, and nobody waits for that:
    /// with batched writes a program that ends at once then loses the last ones.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Spawn`] if the system has no room for a thread: then nothing was stopped.
    ///
    /// ```
    /// # use lease_core::{AsyncLessor, BackendLessor, LeaseError, NullBackend};
    /// # let lessor = BackendLessor::standalone(std::sync::Arc::new(NullBackend))?;
    /// # let lessor = AsyncLessor::new(lessor)?;
    /// # futures::executor::block_on(async {
    /// lessor.shutdown().await?;
    /// assert_eq!(lessor.grant_new(60).await, Err(LeaseError::Stopped));
    /// # Ok::<(), LeaseError>(())
    /// # })?;
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub async fn shutdown(&self) -> Result<(), LeaseError> {
        let (reply, awaited) = reply(self.shared());
        let lessor = Arc::clone(self.lessor());
        let carrier = Arc::clone(&self.inner.carrier);
        let stop = move || {
            lessor.stop();
            carrier.close();
            carrier.end(&Deadline::after(Some(lessor.shared.options.stop_timeout)));
            // Whoever waits is to have the last one.
            drop(lessor);
            drop(carrier);
            reply.answer(Ok(()));
        };
        thread::spawn("lease-stop", stop)
            .map_err(|error| LeaseError::Spawn(HostError::new(error)))?;
        awaited.answer().await
    }

    /// Looks at what is large, in a thread for that.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Shared) -> T + Send + 'static,
    ) -> Result<T, LeaseError> {
        let (reply, awaited) = reply(self.shared());
        let work = |shared: &Shared| Ok(look(shared));
        let looks = &self.inner.carrier.pools.looks;
        looks.run(self.shared(), Box::new(Asked { reply, work }));
        awaited.answer().await
    }
}

/// Stops the lessor if nobody else has it, elsewhere: that may take its time, and this may be a task.
impl Drop for Inner {
    fn drop(&mut self) {
        self.carrier.close();
        let Some(last) = self.lessor.take().and_then(Arc::into_inner) else {
            return;
        };
        let is_over = |state: &super::state::State| state.is_stopped && state.stopping.is_none();
        if !last.shared.state.is_poisoned() && !last.shared.state.read(is_over) {
            // Where there is no room for a thread it is dropped here.
            drop(thread::spawn("lease-stop", move || drop(last)));
        }
    }
}

impl fmt::Debug for AsyncLessor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncLessor").field(self.lessor()).finish()
    }
}

/// Ends at the second look: other tasks of the executor have their turn.
async fn let_others_in() {
    let mut is_second = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut is_second, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
