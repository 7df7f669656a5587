use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lease_core::{
    BackendLessor, Epoch, ExpiredBatch, LeaseId, LeaseItem, LessorEvent, Observer, Oversight,
    RevokeReason, StrangeRow, Ttl, probe,
};

use super::metrics::Metrics;
use super::stream::{CAPACITY, FEW, Followed, Wants};

/// What the observer of the lessor is told, until somebody asks.
pub(super) struct Watch {
    wants: Wants,
    told: Mutex<Heard>,
    metrics: Metrics,
    followed: Mutex<Vec<Followed>>,
    /// A stream that nobody reads in time.
    late: Mutex<Option<Followed>>,
}

/// All that the observer was told, of each kind in its order.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) gone: Vec<Gone>,
    told: Vec<Told>,
    pub(super) notices: Vec<Notice>,
    /// What the observer was told otherwise, and what it should have been.
    pub(super) otherwise: Option<(Vec<Told>, Vec<Told>)>,
    /// What a stream of events says otherwise, and what it should say.
    pub(super) streamed: Option<(Vec<Told>, Vec<Told>)>,
    /// What has expired and is revoked by each stream, and whether with its items.
    pub(super) gone_of_streams: Vec<(Vec<Gone>, bool)>,
}

/// What no client has done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Notice {
    Expired(ExpiredBatch, Vec<BTreeSet<LeaseItem>>),
    Promoted(Epoch),
    Demoted,
    Strange(StrangeRow),
    Overlooked(Oversight),
    Failed(String),
}

/// A lease that has expired and is revoked.
pub(super) struct Gone {
    pub(super) lease: i64,
    pub(super) items: BTreeSet<LeaseItem>,
}

/// What a client has done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Told {
    deed: Deed,
    lease: i64,
    ttl_ms: u64,
    items: BTreeSet<LeaseItem>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Deed {
    Grant,
    Renewal,
    Revoke,
    Attach,
    Detach,
}

impl Watch {
    pub(super) fn new(items: bool, hash_seed: u64) -> Self {
        Self {
            wants: Wants {
                renewals: true,
                items,
                // Seldom the one and not the other.
                attachments: items != hash_seed.is_multiple_of(7),
            },
            told: Mutex::default(),
            metrics: Metrics::new(),
            followed: Mutex::default(),
            late: Mutex::default(),
        }
    }

    pub(super) const fn wants(&self) -> Wants {
        self.wants
    }

    pub(super) const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Follows a lessor that has just started.
    pub(super) fn follow(&self, lessor: &BackendLessor, items: bool, attachments: bool) {
        let wants = [
            Wants {
                renewals: true,
                items,
                attachments,
            },
            Wants {
                renewals: false,
                items: false,
                attachments: false,
            },
        ];
        *self.late() = Some(Followed::of(lessor, wants[1], FEW));
        *self.followed() = wants.map(|it| Followed::of(lessor, it, CAPACITY)).into();
    }

    /// What was told since, and how it differs from what clients have done.
    pub(super) fn take(&self, done: &[Told]) -> Heard {
        let mut heard = std::mem::take(&mut *self.lock());
        let must = self.wants.part_of(done);
        if heard.told != must {
            heard.otherwise = Some((std::mem::take(&mut heard.told), must));
        }
        for followed in &mut *self.followed() {
            let (streamed, gone) = followed.take();
            heard.gone_of_streams.push((gone, followed.wants.items));
            let must = followed.wants.part_of(done);
            if streamed != must {
                heard.streamed = Some((streamed, must));
            }
        }
        heard
    }

    /// How much has happened, and how much that is for a stream that nobody reads in time, if it is otherwise.
    pub(super) fn miscounted(&self) -> Option<(u64, u64)> {
        let mut late = self.late();
        let late = late.as_mut()?;
        late.take();
        let happened = self.followed().get(1)?.happened;
        (happened != late.happened).then_some((happened, late.happened))
    }

    fn late(&self) -> MutexGuard<'_, Option<Followed>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn followed(&self) -> MutexGuard<'_, Vec<Followed>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has been told since it was asked last.
    pub(super) fn has_told(&self, notice: &Notice) -> bool {
        self.lock().notices.contains(notice)
    }

    /// What no client has done, without the rest.
    pub(super) fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut self.lock().notices)
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    pub(super) fn granted(lease: i64, ttl_ms: u64) -> Self {
        Self::of(Deed::Grant, lease, ttl_ms)
    }

    pub(super) fn renewed(lease: i64, ttl_ms: u64) -> Self {
        Self::of(Deed::Renewal, lease, ttl_ms)
    }

    pub(super) fn revoked(lease: i64, items: BTreeSet<LeaseItem>) -> Self {
        Self::of(Deed::Revoke, lease, 0).with(items)
    }

    pub(super) fn attached(lease: i64, items: BTreeSet<LeaseItem>) -> Self {
        Self::of(Deed::Attach, lease, 0).with(items)
    }

    pub(super) fn detached(lease: i64, items: BTreeSet<LeaseItem>) -> Self {
        Self::of(Deed::Detach, lease, 0).with(items)
    }

    /// The same for who wants no items of what is gone.
    pub(super) fn without_items(&self) -> Self {
        match self.is_of_items() {
            true => self.clone(),
            false => Self::of(self.deed, self.lease, self.ttl_ms),
        }
    }

    pub(super) const fn is_of_items(&self) -> bool {
        matches!(self.deed, Deed::Attach | Deed::Detach)
    }

    pub(super) fn is_renewal(&self) -> bool {
        self.deed == Deed::Renewal
    }

    pub(super) fn is_of_nothing(&self) -> bool {
        self.items.is_empty()
    }

    fn of(deed: Deed, lease: i64, ttl_ms: u64) -> Self {
        Self {
            deed,
            lease,
            ttl_ms,
            items: BTreeSet::new(),
        }
    }

    fn with(self, items: BTreeSet<LeaseItem>) -> Self {
        Self { items, ..self }
    }
}

fn notice(event: &LessorEvent<'_>) -> Option<Notice> {
    Some(match event {
        LessorEvent::Expired { batch, items } => {
            let sets = items.iter().map(|items| items.iter().cloned().collect());
            Notice::Expired((*batch).clone(), sets.collect())
        }
        LessorEvent::Promoted(epoch) => Notice::Promoted(*epoch),
        LessorEvent::Demoted => Notice::Demoted,
        LessorEvent::StrangeRow(_) if probe::is_planted("alone-strange-rows-not-told") => {
            return None;
        }
        LessorEvent::StrangeRow(row) => Notice::Strange(**row),
        LessorEvent::Overlooked(_) if probe::is_planted("alone-oversights-not-told") => {
            return None;
        }
        LessorEvent::Overlooked(oversight) => Notice::Overlooked(*oversight),
        LessorEvent::Failed(_) if probe::is_planted("alone-failures-not-told") => return None,
        LessorEvent::Failed(error) => Notice::Failed(format!("{error:?}")),
        _ => return None,
    })
}

/// An observer that says nothing of what it wants, and is told of no items.
pub(super) struct Plain(pub(super) Arc<Watch>);

impl Observer for Plain {
    fn observe(&self, event: &LessorEvent<'_>) {
        self.0.observe(event);
    }
}

impl Observer for Watch {
    fn observe(&self, event: &LessorEvent<'_>) {
        self.metrics.observe(event);
        let lease = |id: &LeaseId| id.get();
        let ms = |ttl: &Ttl| ttl.as_secs() * 1000;
        let set = |items: &[LeaseItem]| items.iter().cloned().collect();
        let told = match event {
            LessorEvent::Granted { id, ttl } => Told::granted(lease(id), ms(ttl)),
            LessorEvent::Renewed { id, ttl } => Told::renewed(lease(id), ms(ttl)),
            LessorEvent::Attached { id, items } => Told::attached(lease(id), set(items)),
            LessorEvent::Detached { id, items } => Told::detached(lease(id), set(items)),
            LessorEvent::Revoked { id, reason, items } => {
                let (lease, items) = (lease(id), set(items));
                if *reason == RevokeReason::Expired {
                    if !probe::is_planted("alone-not-told") {
                        self.lock().gone.push(Gone { lease, items });
                    }
                    return;
                }
                Told::revoked(lease, items)
            }
            event => return self.lock().notices.extend(notice(event)),
        };
        self.lock().told.push(told);
    }

    fn wants_items(&self) -> bool {
        self.wants.items && !probe::is_planted("alone-told-without-items")
    }

    fn wants_attachments(&self) -> bool {
        self.wants.attachments && !probe::is_planted("alone-told-of-no-attachments")
    }
}
