//! Random operations beside a map from items to leases.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::*;

struct Model {
    attachments: Attachments,
    owners: BTreeMap<LeaseItem, LeaseId>,
    state: u64,
}

const LEASES: i64 = 3;
const ITEMS: usize = 4_500;

impl Model {
    fn new(seed: u64) -> Self {
        Self {
            attachments: Attachments::new(seed),
            owners: BTreeMap::new(),
            state: seed,
        }
    }

    fn random(&mut self, below: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state % below as u64) as usize
    }

    fn any_lease(&mut self) -> LeaseId {
        lease(1 + self.random(LEASES as usize) as i64)
    }

    fn any_item(&mut self) -> LeaseItem {
        let number = self.random(ITEMS);
        let mut bytes = number.to_be_bytes().to_vec();
        bytes.resize([8, 8, 32, 33, 300, 5_000][number % 6], b'x');
        LeaseItem::from(bytes)
    }

    fn count(&self, lease: LeaseId) -> usize {
        let owners = self.owners.values();
        owners.filter(|owner| **owner == lease).count()
    }

    /// Who has lost the last item, if `owner` had it and has none now.
    fn emptied(&self, owner: Option<LeaseId>) -> Option<LeaseId> {
        owner.filter(|owner| self.count(*owner) == 0)
    }

    fn attach(&mut self) {
        let (lease, item) = (self.any_lease(), self.any_item());
        let old = self.owners.insert(item.clone(), lease);
        let emptied = self.emptied(old);
        assert_eq!(self.attachments.attach(lease, &item), emptied);
    }

    fn detach(&mut self) {
        let (lease, item) = (self.any_lease(), self.any_item());
        let is_owner = self.owners.get(&item) == Some(&lease);
        let old = is_owner.then(|| self.owners.remove(&item)).flatten();
        let emptied = self.emptied(old);
        let detached = self.attachments.detach(lease, item.as_bytes());
        assert_eq!(detached, emptied);
    }

    /// Returns whether it leaves something to a sweep.
    fn detach_all(&mut self) -> bool {
        let lease = self.any_lease();
        let count = self.count(lease);
        match self.attachments.list(lease) {
            Some(list) => self.attachments.detach_all(lease, list),
            None => assert_eq!(count, 0),
        }
        self.owners.retain(|_, owner| *owner != lease);
        count > ITEMS_PER_STEP
    }

    fn check(&self) {
        let mut items = BTreeMap::<_, Vec<_>>::new();
        for (item, owner) in &self.owners {
            items.entry(*owner).or_default().push(item.clone());
        }
        let attachments = &self.attachments;
        for lease in (1..=LEASES).map(lease) {
            let expected = items.remove(&lease).unwrap_or_default();
            assert_eq!(attachments.count(lease), expected.len());
            assert_eq!(attachments.items(lease), expected);
        }
        assert_eq!(attachments.len(), self.owners.len());
        attachments.check_invariants(|lease| self.count(lease) > 0);
    }

    fn check_any_owner(&mut self) {
        let item = self.any_item();
        let owner = self.attachments.lease_of(item.as_bytes());
        assert_eq!(owner, self.owners.get(&item).copied());
    }
}

fn lease(number: i64) -> LeaseId {
    LeaseId::new(number).expect("not zero")
}

#[test]
fn the_attachments_are_a_map_whatever_comes_and_goes() {
    let (mut sweeps, mut walks) = (0, 0);
    for seed in 1..=4 {
        let mut model = Model::new(seed);
        (0..ITEMS).for_each(|_| model.attach());
        for round in 0..15 {
            let (ops, grows) = (model.random(1_000), model.random(4));
            for _ in 0..ops {
                match model.random(4) {
                    op if op <= grows => model.attach(),
                    _ => model.detach(),
                }
                model.check_any_owner();
            }
            model.check();
            walks += model.attachments.count(lease(1)) / ITEMS_PER_STEP;
            // Several lists may be doomed at a time, and shorter ones go in between.
            while round % 3 == 2 && model.random(3) > 0 {
                sweeps += usize::from(model.detach_all());
                model.check();
                if model.attachments.is_sweeping() {
                    model.attachments.sweep();
                    model.check();
                }
                model.check_any_owner();
            }
            while model.attachments.sweep() {}
            model.check();
        }
    }
    assert!(sweeps > 5 && walks > 5, "{sweeps} sweeps, {walks} walks");
}
