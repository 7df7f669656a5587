use super::Shared;
use super::job::{Job, Refusal};
use crate::machine::{Found, Items, Listing};
use crate::table::attachments::ItemWalk;
use crate::{Command, Lease, LeaseId, LeaseItem, LessorCore, TimeToLive, Timestamp, WriteBatch};

/// How often the items of a lease may change while they are copied before other commands of the lease
/// have to wait.
const RESTARTS: usize = 3;

/// What a look-up that does not wait has found.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Lookup {
    /// The lease as it is.
    Whole(Lease),
    /// A lease that has too many items for one look, without them:
    /// [`lookup`](crate::Lessor::lookup) copies them a part at a time.
    WithoutItems(Lease),
}

impl Shared {
    /// The lease with this id, in one look.
    pub(super) fn try_lookup(&self, id: LeaseId) -> Option<Lookup> {
        let now = self.time_or_last();
        let (lease, items) = self.state.read(|state| state.core.lookup_slice(now, id))?;
        Some(match items {
            Items::Copied(_) => Lookup::Whole(lease),
            Items::Lacking => Lookup::WithoutItems(lease),
        })
    }

    /// The lease with this id.
    #[inline]
    pub(super) fn lookup(&self, id: LeaseId) -> Option<Lease> {
        // A clock that panics does so in the caller: to catch it costs a fifth of a look-up, or a half
        // where the lease is not in the cache.
        let now = self.clock.now();
        let (lease, items) = self.state.read(|state| state.core.lookup_slice(now, id))?;
        if items == Items::Lacking {
            return self.lookup_large(now, id);
        }
        Some(lease)
    }

    /// How long the lease with this id has left.
    #[inline]
    pub(super) fn time_to_live(&self, id: LeaseId) -> Option<TimeToLive> {
        let now = self.clock.now();
        self.state.read(|state| state.core.time_to_live(now, id))
    }

    /// All leases, those first that expire first.
    pub(super) fn leases(&self) -> Vec<Lease> {
        let now = self.time_or_last();
        let mut listing = Listing::default();
        let mut slice = || {
            let state = &self.state;
            state.read(|state| state.core.list_slice(now, &mut listing))
        };
        while slice() {}
        self.complete_all(now, &mut listing.found);
        listing.into_sorted()
    }

    /// The next `limit` leases behind `after`.
    pub(super) fn page(&self, after: Option<LeaseId>, limit: usize) -> Vec<Lease> {
        let now = self.time_or_last();
        let state = &self.state;
        let mut page = LessorCore::begin_page(after, limit);
        while state.read(|state| state.core.page_slice(now, &mut page)) {}
        self.complete_all(now, &mut page.found);
        page.into_leases()
    }

    /// The items of a lease that a command of this thread's has a claim on, so that nobody changes
    /// them meanwhile.
    pub(super) fn items_of_claimed(&self, id: LeaseId) -> Vec<LeaseItem> {
        let mut walk = ItemWalk::default();
        let mut slice = || {
            let state = &self.state;
            state.read(|state| state.core.items_slice(id, &mut walk))
        };
        while slice() {}
        walk.into_sorted()
    }

    /// The items of a lease as they are. They are copied in slices if nobody changes them meanwhile, and
    /// else in one look: no command is waited for.
    pub(super) fn items_now(&self, id: LeaseId) -> Vec<LeaseItem> {
        let mut walk = ItemWalk::default();
        while walk.restarts() < RESTARTS {
            let (has_more, _stale) = self.state.read(|state| {
                let has_more = state.core.items_slice(id, &mut walk);
                (has_more, walk.take_stale())
            });
            if !has_more {
                return walk.into_sorted();
            }
        }
        self.state.read(|state| state.core.items(id))
    }

    /// The lease with this id, which has many items. They are copied in slices, and from the start
    /// again if they change meanwhile; if they do so often, commands that touch the lease wait.
    #[cold]
    fn lookup_large(&self, now: Timestamp, id: LeaseId) -> Option<Lease> {
        let mut walk = ItemWalk::default();
        while walk.restarts() < RESTARTS {
            if let Some(looked) = self.look(now, id, &mut walk) {
                return looked;
            }
        }
        // It detaches nothing, and has a claim on the lease as any other command.
        let nothing = Command::Detach {
            id,
            items: Vec::new(),
        };
        let Ok(claim) = self.claim(Job::new(nothing, WriteBatch::default(), Refusal::Drops)) else {
            // The lessor was stopped, or this thread is inside of a command, which must not wait for
            // others: then they wait for this one look.
            return self.state.read(|state| state.core.lookup(now, id));
        };
        let looked = loop {
            if let Some(looked) = self.look(now, id, &mut walk) {
                break looked;
            }
        };
        self.release(claim);
        looked
    }

    /// One slice of a look at a lease with many items. `Some` when it is over.
    fn look(&self, now: Timestamp, id: LeaseId, walk: &mut ItemWalk) -> Option<Option<Lease>> {
        let (has_more, lease, _stale) = self.state.read(|state| {
            let has_more = state.core.items_slice(id, walk);
            let lease = if has_more {
                None
            } else {
                state.core.lookup_slice(now, id)
            };
            (has_more, lease, walk.take_stale())
        });
        if has_more {
            return None;
        }
        Some(lease.map(|(mut lease, items)| {
            if items == Items::Lacking {
                lease.set_keys(std::mem::take(walk).into_sorted());
            }
            lease
        }))
    }

    /// Looks the leases up whose items were too many for a slice. One that is gone meanwhile is left
    /// out, as it would be if it had been listed now.
    pub(super) fn complete_all(&self, now: Timestamp, found: &mut Found) {
        while let Some(id) = found.lacking() {
            found.complete(self.lookup_large(now, id));
        }
    }
}
