use super::Shared;
use super::job::{Job, Refusal};
use crate::machine::{Found, Items, Listing};
use crate::table::attachments::ItemWalk;
use crate::{Command, Lease, LeaseId, LeaseItem, WriteBatch};

impl Shared {
    /// The lease with this id.
    #[inline]
    pub(super) fn lookup(&self, id: LeaseId) -> Option<Lease> {
        let now = self.clock.now();
        let looked = self.state.read(|state| state.core.lookup_slice(now, id));
        match looked? {
            (lease, Items::Copied(_)) => Some(lease),
            (lease, Items::Lacking) => Some(self.complete(lease)),
        }
    }

    /// All leases, those first that expire first.
    pub(super) fn leases(&self) -> Vec<Lease> {
        let now = self.clock.now();
        let mut listing = Listing::default();
        let mut slice = || {
            let state = &self.state;
            state.read(|state| state.core.list_slice(now, &mut listing))
        };
        while slice() {}
        self.complete_all(&mut listing.found);
        listing.into_sorted()
    }

    /// The next `limit` leases behind `after`.
    pub(super) fn page(&self, after: Option<LeaseId>, limit: usize) -> Vec<Lease> {
        let now = self.clock.now();
        let state = &self.state;
        let mut page = state.read(|state| state.core.begin_page(after, limit));
        while state.read(|state| state.core.page_slice(now, &mut page)) {}
        self.complete_all(&mut page.found);
        page.into_leases()
    }

    /// The items of a lease that a command of this thread's has a claim on, so that nobody changes
    /// them between two slices.
    pub(super) fn items_of_claimed(&self, id: LeaseId) -> Vec<LeaseItem> {
        let mut walk = ItemWalk::default();
        let mut slice = || {
            let state = &self.state;
            state.read(|state| state.core.items_slice(id, &mut walk))
        };
        while slice() {}
        walk.into_sorted()
    }

    /// The items of a lease that has many: commands that touch it wait meanwhile.
    fn items_of_large(&self, id: LeaseId) -> Vec<LeaseItem> {
        // It detaches nothing, and has a claim on the lease as any other command.
        let nothing = Command::Detach {
            id,
            items: Vec::new(),
        };
        match self.claim(Job::new(nothing, WriteBatch::default(), Refusal::Drops)) {
            Ok(claim) => {
                let items = self.items_of_claimed(id);
                self.release(claim);
                items
            }
            // There is nobody to wait for: the lessor was stopped, or this thread is inside of a
            // command of the lease.
            Err(_) => self.state.read(|state| state.core.items(id)),
        }
    }

    #[cold]
    fn complete(&self, mut lease: Lease) -> Lease {
        let items = self.items_of_large(lease.id());
        lease.set_keys(items);
        lease
    }

    fn complete_all(&self, found: &mut Found) {
        while let Some(id) = found.lacking() {
            found.add_items(id, self.items_of_large(id));
        }
    }
}
