use super::hash::KeyedHash;
use super::shards::{Entry, Shards, Spot};
use crate::{LeaseId, Ttl};

/// The checkpoints of the leases that have seen one; most have not and take no room here.
#[derive(Clone, Debug)]
pub(crate) struct Remainders {
    // Invariant: each id once, and no default value.
    of: Shards<(LeaseId, Remainder)>,
    key: KeyedHash,
}

/// What checkpoints have left of a lease's TTL.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Remainder {
    /// `None` is the whole TTL.
    pub(crate) remaining: Option<Ttl>,
    /// How often it was reset.
    pub(crate) generation: u32,
}

impl Remainders {
    pub(crate) fn new(hash_seed: u64) -> Self {
        Self {
            of: Shards::new(),
            key: KeyedHash::new(hash_seed),
        }
    }

    #[inline]
    pub(crate) fn get(&self, id: LeaseId) -> Remainder {
        if self.of.len() == 0 {
            return Remainder::default();
        }
        let spot = Spot::of(self.key.of_id(id));
        let entry = self.of.find(spot, |(of, _)| *of == id);
        entry.map(|(_, remainder)| *remainder).unwrap_or_default()
    }

    pub(crate) fn set(&mut self, id: LeaseId, remainder: Remainder) {
        if remainder == Remainder::default() {
            return self.remove(id);
        }
        let Self { of, key } = self;
        let spot = Spot::of(key.of_id(id));
        match of.entry(spot, |(of, _)| *of == id, |(id, _)| key.of_id(*id)) {
            Entry::Occupied((_, old)) => *old = remainder,
            Entry::Vacant(vacancy) => vacancy.insert((id, remainder)),
        }
    }

    pub(crate) fn remove(&mut self, id: LeaseId) {
        let Self { of, key } = self;
        if of.len() > 0 {
            let spot = Spot::of(key.of_id(id));
            of.remove(spot, |(of, _)| *of == id, |(id, _)| key.of_id(*id));
        }
    }

    pub(crate) fn check_invariants(&self, ttl_of: impl Fn(LeaseId) -> Option<Ttl>) {
        for &(id, remainder) in self.of.iter() {
            let ttl = ttl_of(id).expect("a remainder belongs to a lease");
            let is_possible = remainder.remaining.is_none_or(|left| left <= ttl);
            assert!(is_possible, "more remains than the TTL of {id}");
            assert_ne!(remainder, Remainder::default(), "{id} needs no entry");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: i64) -> LeaseId {
        LeaseId::new(number).expect("not zero")
    }

    #[test]
    fn what_is_back_at_the_start_takes_no_room() {
        let mut remainders = Remainders::new(0);
        let remainder = Remainder {
            remaining: Some(Ttl::MIN),
            generation: 0,
        };
        for number in 1..=100_000 {
            remainders.set(id(number), remainder);
        }
        let buckets = remainders.of.buckets();
        for number in 2..=100_000 {
            remainders.set(id(number), Remainder::default());
        }
        assert_eq!(remainders.of.len(), 1);
        assert!(remainders.of.buckets() < buckets / 8);
        assert_eq!(remainders.get(id(1)), remainder);
        let other = Remainder {
            generation: 1,
            ..remainder
        };
        remainders.set(id(1), other);
        assert_eq!((remainders.of.len(), remainders.get(id(1))), (1, other));
        remainders.remove(id(1));
        assert_eq!(remainders.get(id(1)), Remainder::default());
    }

    #[test]
    #[should_panic(expected = "needs no entry")]
    fn the_check_sees_an_entry_that_says_nothing() {
        let mut remainders = Remainders::new(0);
        let entry = (id(1), Remainder::default());
        let hash = remainders.key.of_id(id(1));
        remainders.of.insert(Spot::of(hash), entry, |_| hash);
        remainders.check_invariants(|_| Some(Ttl::MIN));
    }
}
