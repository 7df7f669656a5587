use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

use super::isolate::isolate_inside;
use super::{BackendLessor, Shared};
use crate::observer::{LessorEvent, Oversight, RevokeReason};
use crate::probe::planted;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, Weak, lock};
use crate::{Epoch, ExpiredBatch, Incarnation, LeaseError, LeaseId, LeaseItem, StrangeRow, Ttl};
#[cfg(doc)]
use crate::{ExpiryMode, Observer};

/// What has happened in a lessor, as an item of [`LeaseEvents`].
///
/// ```
/// use lease_core::{LeaseEvent, RevokeReason};
///
/// fn line(event: &LeaseEvent) -> Option<String> {
///     match event {
///         LeaseEvent::Granted { id, ttl } => Some(format!("{id}: granted for {ttl}")),
///         LeaseEvent::Revoked { id, reason: RevokeReason::Expired, .. } => {
///             Some(format!("{id}: expired"))
///         }
///         LeaseEvent::Lagged(missed) => Some(format!("{missed} events were missed")),
///         _ => None,
///     }
/// }
/// assert_eq!(line(&LeaseEvent::Lagged(3)).as_deref(), Some("3 events were missed"));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum LeaseEvent {
    /// A lease was granted.
    Granted {
        /// Which lease.
        id: LeaseId,
        /// For how long.
        ttl: Ttl,
    },
    /// A lease was renewed. Only for a stream [with renewals](LeaseEvents::with_renewals).
    Renewed {
        /// Which lease.
        id: LeaseId,
        /// For how long.
        ttl: Ttl,
    },
    /// A lease was delivered as expired; it is not revoked yet. It comes again with each attempt to revoke
    /// it.
    Expired {
        /// Which lease.
        id: LeaseId,
        /// Which grant of it.
        incarnation: Incarnation,
        /// How often it was delivered before.
        attempt: u32,
        /// What is attached to it, sorted. Only for a stream [with items](LeaseEvents::with_items).
        #[cfg_attr(feature = "serde", serde(with = "crate::formats::shared_items"))]
        items: Arc<[LeaseItem]>,
    },
    /// A lease was revoked, and is gone.
    Revoked {
        /// Which lease.
        id: LeaseId,
        /// Why.
        reason: RevokeReason,
        /// What was attached to it, sorted. Only for a stream [with items](LeaseEvents::with_items).
        #[cfg_attr(feature = "serde", serde(with = "crate::formats::shared_items"))]
        items: Arc<[LeaseItem]>,
    },
    /// Items were added to a lease. Only for a stream [with attachments](LeaseEvents::with_attachments).
    Attached {
        /// Which lease.
        id: LeaseId,
        /// Those that it did not have before, sorted. One that another lease had was taken from that one,
        /// which is told first.
        #[cfg_attr(feature = "serde", serde(with = "crate::formats::shared_items"))]
        items: Arc<[LeaseItem]>,
    },
    /// Items were taken from a lease, by a detach, or by an attach that moved them to another one. Only for
    /// a stream [with attachments](LeaseEvents::with_attachments). A lease that is revoked loses its items
    /// without this event: that of the revoke has them.
    Detached {
        /// Which lease.
        id: LeaseId,
        /// Those that it had, sorted.
        #[cfg_attr(feature = "serde", serde(with = "crate::formats::shared_items"))]
        items: Arc<[LeaseItem]>,
    },
    /// The lessor became the primary of an epoch.
    Promoted(Epoch),
    /// The lessor ceased to be the primary.
    Demoted,
    /// Work that nobody waits for failed, and is tried again.
    Failed(LeaseError),
    /// A stored row was mended or skipped by a recovery.
    StrangeRow(StrangeRow),
    /// The host seems to have forgotten something, and leases do not expire.
    Overlooked(Oversight),
    /// So many events are missing here, the oldest ones: whoever receives was too slow.
    Lagged(u64),
}

/// What happens in a lessor, as a stream for tasks of any runtime. From [`BackendLessor::events`].
///
/// It keeps a number of events until they are received. When there is no room for another one the oldest is
/// dropped, and the next item is [`LeaseEvent::Lagged`] with the number of those that are missing: the
/// lessor never waits. Events that different threads have made may come in another order than things
/// happened. The stream ends when the lessor is stopped or dropped, behind what happened before.
pub struct LeaseEvents {
    shared: Weak<Shared>,
    subscriber: Arc<Subscriber>,
}

/// The streams of a lessor.
#[derive(Default)]
pub(super) struct Feed {
    subscribers: Mutex<Subscribers>,
    // How many there are, so that nobody has to look.
    all: AtomicUsize,
    want_items: AtomicUsize,
    want_attachments: AtomicUsize,
}

#[derive(Default)]
struct Subscribers {
    all: Vec<Arc<Subscriber>>,
    is_closed: bool,
}

struct Subscriber {
    queue: Mutex<Queue>,
    // Whose code calls the waker.
    lessor: usize,
    capacity: usize,
    wants_renewals: AtomicBool,
    wants_items: AtomicBool,
    wants_attachments: AtomicBool,
}

#[derive(Default)]
struct Queue {
    // Oldest first.
    events: VecDeque<LeaseEvent>,
    missed: u64,
    is_closed: bool,
    waker: Option<Waker>,
}

impl BackendLessor {
    /// What happens from now on, as a stream that keeps up to `capacity` events, 1 at least, until they are
    /// received; see [`LeaseEvents`]. An [`Observer`], which is given when the lessor is made, is told the
    /// same, by the thread that did it.
    ///
    /// Every event costs a lock and a copy for each stream; without one it is a load.
    ///
    /// ```
    /// use futures::StreamExt;
    /// use lease_core::{BackendLessor, LeaseEvent, Lessor, NullBackend, RevokeReason};
    /// use std::sync::Arc;
    ///
    /// # futures::executor::block_on(async {
    /// let lessor = BackendLessor::standalone(Arc::new(NullBackend))?;
    /// let mut events = lessor.events(1024).with_items();
    /// let id = lessor.grant_new(60)?.id();
    /// lessor.attach(id, &["services/web/1".into()])?;
    /// lessor.revoke(id)?;
    ///
    /// assert!(matches!(events.next().await, Some(LeaseEvent::Granted { .. })));
    /// let Some(LeaseEvent::Revoked { reason, items, .. }) = events.next().await else {
    ///     panic!("it was revoked");
    /// };
    /// assert_eq!((reason, &*items), (RevokeReason::User, &["services/web/1".into()][..]));
    /// lessor.stop();
    /// assert_eq!(events.next().await, None);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// # })?;
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn events(&self, capacity: usize) -> LeaseEvents {
        let subscriber = Arc::new(Subscriber {
            queue: Mutex::default(),
            lessor: self.shared.state.address(),
            capacity: capacity.max(1),
            wants_renewals: AtomicBool::new(false),
            wants_items: AtomicBool::new(false),
            wants_attachments: AtomicBool::new(false),
        });
        self.shared.feed.add(&subscriber);
        LeaseEvents {
            shared: Arc::downgrade(&self.shared),
            subscriber,
        }
    }
}

impl LeaseEvents {
    /// Also renewals, which are most of what happens: each costs a lock that all who renew share.
    ///
    /// ```
    /// # use futures::StreamExt;
    /// # use lease_core::{BackendLessor, LeaseEvent, Lessor, NullBackend};
    /// # let lessor = BackendLessor::standalone(std::sync::Arc::new(NullBackend))?;
    /// # let id = lessor.grant_new(60)?.id();
    /// # futures::executor::block_on(async {
    /// let mut events = lessor.events(16).with_renewals();
    /// let ttl = lessor.renew(id)?;
    /// assert_eq!(events.next().await, Some(LeaseEvent::Renewed { id, ttl }));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// # })?;
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn with_renewals(self) -> Self {
        let wants = &self.subscriber.wants_renewals;
        wants.store(true, Ordering::Relaxed);
        self
    }

    /// Also the items of leases that expire or are revoked, which are copied for it. Events of what was
    /// under way when this was called may lack them, as the event of an expiry may whose lease is revoked at
    /// once: that of the revoke has them.
    ///
    /// [`BackendLessor::events`] has an example.
    #[must_use]
    pub fn with_items(self) -> Self {
        if let Some(shared) = self.shared.upgrade()
            && !self.subscriber.wants_items.swap(true, Ordering::Relaxed)
        {
            shared.feed.want_items.fetch_add(1, Ordering::Relaxed);
        }
        self
    }

    /// Also what is attached and detached: [`LeaseEvent::Attached`] and [`LeaseEvent::Detached`]. An attach
    /// or a detach then looks each of its items up once more, copies those that change, and is never decided
    /// and applied in one step. Of what was under way when this was called there may be no event.
    ///
    /// ```
    /// # use futures::StreamExt;
    /// # use lease_core::{BackendLessor, LeaseEvent, Lessor, NullBackend};
    /// # let lessor = BackendLessor::standalone(std::sync::Arc::new(NullBackend))?;
    /// # let (one, other) = (lessor.grant_new(60)?.id(), lessor.grant_new(60)?.id());
    /// # futures::executor::block_on(async {
    /// let mut events = lessor.events(16).with_attachments();
    /// lessor.attach(one, &["a".into(), "b".into()])?;
    /// lessor.attach(other, &["b".into()])?; // moves it
    ///
    /// let attached = |id, items: &[_]| Some(LeaseEvent::Attached { id, items: items.into() });
    /// assert_eq!(events.next().await, attached(one, &["a".into(), "b".into()]));
    /// let moved = LeaseEvent::Detached { id: one, items: ["b".into()].into() };
    /// assert_eq!(events.next().await, Some(moved));
    /// assert_eq!(events.next().await, attached(other, &["b".into()]));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// # })?;
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub fn with_attachments(self) -> Self {
        if let Some(shared) = self.shared.upgrade()
            && !self
                .subscriber
                .wants_attachments
                .swap(true, Ordering::Relaxed)
        {
            shared.feed.want_attachments.fetch_add(1, Ordering::Relaxed);
        }
        self
    }
}

impl Stream for LeaseEvents {
    type Item = LeaseEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<LeaseEvent>> {
        // Code of the host's clones and drops a waker: neither is done under the lock.
        let waker = cx.waker().clone();
        let mut queue = self.subscriber.lock();
        if queue.is_closed && planted!("alone-closed-streams-tell-nothing") {
            return Poll::Ready(None);
        }
        let missed = std::mem::take(&mut queue.missed);
        if missed > 0 {
            return Poll::Ready(Some(LeaseEvent::Lagged(missed)));
        }
        if let Some(event) = queue.events.pop_front() {
            return Poll::Ready(Some(event));
        }
        if queue.is_closed {
            return Poll::Ready(None);
        }
        let old = queue.waker.replace(waker);
        drop(queue);
        drop(old);
        Poll::Pending
    }
}

impl Drop for LeaseEvents {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.feed.remove(&self.subscriber);
        }
    }
}

impl fmt::Debug for LeaseEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.subscriber.lock().events.len();
        let mut debug = f.debug_struct("LeaseEvents");
        debug.field("waiting", &waiting).finish_non_exhaustive()
    }
}

impl Feed {
    /// Whether anybody wants to hear anything.
    #[inline]
    pub(super) fn is_heard(&self) -> bool {
        self.all.load(Ordering::Relaxed) > 0
    }

    pub(super) fn wants_items(&self) -> bool {
        self.want_items.load(Ordering::Relaxed) > 0
    }

    pub(super) fn wants_attachments(&self) -> bool {
        self.want_attachments.load(Ordering::Relaxed) > 0
    }

    /// Tells everybody, in the order in which they came.
    pub(super) fn tell(&self, event: &LessorEvent<'_>) {
        if self.is_heard() {
            let all = self.lock().all.clone();
            all.iter().for_each(|subscriber| subscriber.tell(event));
        }
    }

    /// Ends the streams: the lessor was stopped.
    pub(super) fn close(&self) {
        let mut subscribers = self.lock();
        subscribers.is_closed = true;
        let all = subscribers.all.clone();
        drop(subscribers);
        for subscriber in all {
            let mut queue = subscriber.lock();
            queue.is_closed = true;
            let waker = queue.waker.take();
            drop(queue);
            wake(subscriber.lessor, waker);
        }
    }

    fn add(&self, subscriber: &Arc<Subscriber>) {
        let mut subscribers = self.lock();
        subscriber.lock().is_closed = subscribers.is_closed;
        subscribers.all.push(Arc::clone(subscriber));
        self.all.fetch_add(1, Ordering::Relaxed);
    }

    fn remove(&self, subscriber: &Arc<Subscriber>) {
        let mut subscribers = self.lock();
        subscribers.all.retain(|one| !Arc::ptr_eq(one, subscriber));
        self.all.fetch_sub(1, Ordering::Relaxed);
        if subscriber.wants_items.load(Ordering::Relaxed) {
            self.want_items.fetch_sub(1, Ordering::Relaxed);
        }
        if subscriber.wants_attachments.load(Ordering::Relaxed) {
            self.want_attachments.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Subscribers> {
        lock(&self.subscribers)
    }
}

impl Subscriber {
    fn tell(&self, event: &LessorEvent<'_>) {
        match event {
            LessorEvent::Granted { id, ttl } => {
                self.push([LeaseEvent::Granted { id: *id, ttl: *ttl }]);
            }
            LessorEvent::Renewed { id, ttl } => {
                if self.wants_renewals.load(Ordering::Relaxed) {
                    self.push([LeaseEvent::Renewed { id: *id, ttl: *ttl }]);
                }
            }
            LessorEvent::Revoked { id, reason, items } => self.push([LeaseEvent::Revoked {
                id: *id,
                reason: *reason,
                items: self.items(items),
            }]),
            LessorEvent::Expired { batch, items } => self.push(self.expired(batch, items)),
            LessorEvent::Attached { id, items } => self.changed(|| LeaseEvent::Attached {
                id: *id,
                items: (*items).into(),
            }),
            LessorEvent::Detached { id, items } => self.changed(|| LeaseEvent::Detached {
                id: *id,
                items: (*items).into(),
            }),
            LessorEvent::Promoted(epoch) => self.push([LeaseEvent::Promoted(*epoch)]),
            LessorEvent::Demoted => self.push([LeaseEvent::Demoted]),
            LessorEvent::Failed(error) => self.push([LeaseEvent::Failed((*error).clone())]),
            LessorEvent::StrangeRow(row) => self.push([LeaseEvent::StrangeRow(**row)]),
            LessorEvent::Overlooked(what) => self.push([LeaseEvent::Overlooked(*what)]),
        }
    }

    fn expired(&self, batch: &ExpiredBatch, items: &[Vec<LeaseItem>]) -> Vec<LeaseEvent> {
        let event = |(at, lease): (usize, &crate::ExpiredLease)| LeaseEvent::Expired {
            id: lease.id,
            incarnation: lease.incarnation,
            attempt: lease.attempt,
            items: self.items(items.get(at).map_or(&[], Vec::as_slice)),
        };
        batch.leases.iter().enumerate().map(event).collect()
    }

    fn changed(&self, event: impl FnOnce() -> LeaseEvent) {
        if self.wants_attachments.load(Ordering::Relaxed) {
            self.push([event()]);
        }
    }

    fn items(&self, items: &[LeaseItem]) -> Arc<[LeaseItem]> {
        if self.wants_items.load(Ordering::Relaxed) {
            items.into()
        } else {
            Arc::default()
        }
    }

    fn push(&self, events: impl IntoIterator<Item = LeaseEvent>) {
        let mut dropped = Vec::new();
        let mut queue = self.lock();
        if queue.is_closed {
            return;
        }
        for event in events {
            if queue.events.len() == self.capacity {
                dropped.extend(queue.events.pop_front());
                queue.missed += 1;
            }
            queue.events.push_back(event);
        }
        let waker = queue.waker.take();
        drop(queue);
        wake(self.lessor, waker);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }
}

fn wake(lessor: usize, waker: Option<Waker>) {
    if let Some(waker) = waker {
        // Nobody waits for the panic of a waker.
        let _ = isolate_inside(lessor, "waker", || waker.wake());
    }
}
