use alloc::vec::Vec;

use super::hash::KeyedHash;
use super::record::Record;
use super::shards::{Shards, Spot, rank_of, shard_of_rank};
use crate::LeaseId;

/// The records of all leases.
#[derive(Clone, Debug)]
pub(crate) struct Records {
    shards: Shards<Record>,
    key: KeyedHash,
}

/// How far a walk over all records has come that goes on while they change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Cursor {
    shard: usize,
    bucket: usize,
    moves: u64,
}

/// How many records are looked for at the same time.
pub(crate) const AT_ONCE: usize = 32;

impl Records {
    pub(crate) fn new(hash_seed: u64) -> Self {
        Self {
            shards: Shards::new(),
            key: KeyedHash::new(hash_seed),
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.shards.len()
    }

    /// O(1), one cache miss.
    #[inline]
    pub(crate) fn get(&self, id: LeaseId) -> Option<&Record> {
        let spot = Spot::of(self.hash(id));
        self.shards.find(spot, |record| record.id() == id)
    }

    /// O(1), one cache miss.
    #[inline]
    pub(crate) fn get_mut(&mut self, id: LeaseId) -> Option<&mut Record> {
        let spot = Spot::of(self.hash(id));
        self.shards.find_mut(spot, |record| record.id() == id)
    }

    /// Looks for up to [`AT_ONCE`] records, of which `found` holds the first so many then. The cache
    /// misses do not wait for each other: first come those of where to look, then those of the
    /// records.
    #[inline]
    pub(crate) fn get_many<'a>(&'a self, ids: &[LeaseId], found: &mut [Option<&'a Record>]) {
        let mut candidates: [_; AT_ONCE] = core::array::from_fn(|at| {
            let spot = ids.get(at).map(|id| Spot::of(self.hash(*id)));
            spot.map(|spot| self.shards.candidates(spot))
        });
        for (found, candidates) in found.iter_mut().zip(&mut candidates) {
            *found = candidates.as_mut().and_then(Iterator::next);
        }
        for ((found, candidates), id) in found.iter_mut().zip(&mut candidates).zip(ids) {
            while let Some(record) = found
                && record.id() != *id
            {
                *found = candidates.as_mut().and_then(Iterator::next);
            }
        }
    }

    /// How many of the ids have a record, which are all in the cache then.
    pub(crate) fn count_found(&self, ids: &[LeaseId]) -> usize {
        let mut found = [None; AT_ONCE];
        let chunks = ids.chunks(AT_ONCE).map(|ids| {
            self.get_many(ids, &mut found);
            found[..ids.len()].iter().flatten().count()
        });
        chunks.sum()
    }

    /// Adds a record, O(1) but for the growth of one part. The caller knows that the id is free.
    pub(crate) fn insert(&mut self, record: Record) -> &mut Record {
        let spot = Spot::of(self.hash(record.id()));
        let key = &self.key;
        self.shards
            .insert(spot, record, |record| key.of_id(record.id()))
    }

    /// Takes a record out, O(1) but for the shrinking of a part that is mostly empty.
    pub(crate) fn remove(&mut self, id: LeaseId) -> Option<Record> {
        let spot = Spot::of(self.hash(id));
        let key = &self.key;
        let is_it = |record: &Record| record.id() == id;
        self.shards
            .remove(spot, is_it, |record| key.of_id(record.id()))
    }

    /// Calls `visit` with the records of the next `buckets` buckets behind `cursor` and moves it on.
    /// Returns whether there is more.
    ///
    /// Every record that is there during the whole walk is visited, perhaps twice.
    pub(crate) fn walk(
        &mut self,
        cursor: &mut Cursor,
        mut buckets: usize,
        mut visit: impl FnMut(&mut Record),
    ) -> bool {
        loop {
            cursor.follow(&self.shards);
            let Some(table) = self.shards.table_mut(cursor.shard) else {
                return false;
            };
            let end = table
                .num_buckets()
                .min(cursor.bucket.saturating_add(buckets));
            buckets -= end.saturating_sub(cursor.bucket);
            for bucket in cursor.bucket..end {
                if let Some(record) = table.get_bucket_mut(bucket) {
                    visit(record);
                }
            }
            cursor.bucket = end;
            if end < table.num_buckets() {
                return true;
            }
            cursor.shard += 1;
            cursor.bucket = 0;
        }
    }

    /// Returns whether the records of the part in which the cursor stands have moved, so that the
    /// part begins again.
    pub(crate) fn restarts(&self, cursor: &mut Cursor) -> bool {
        cursor.follow(&self.shards)
    }

    /// As [`walk`](Self::walk), but ends a call also at the end of a part, and behind a record for
    /// which `visit` does not return that it goes on. Takes from `buckets` how many it has looked at.
    /// Empty parts behind a part are passed over at once.
    pub(crate) fn walk_part(
        &self,
        cursor: &mut Cursor,
        buckets: &mut usize,
        mut visit: impl FnMut(&Record) -> bool,
    ) -> bool {
        cursor.follow(&self.shards);
        let tables = self.shards.tables();
        let Some(table) = tables.get(cursor.shard) else {
            return false;
        };
        let start = cursor.bucket;
        let end = table.num_buckets().min(start.saturating_add(*buckets));
        let mut goes_on = true;
        while goes_on && cursor.bucket < end {
            goes_on = table.get_bucket(cursor.bucket).is_none_or(&mut visit);
            cursor.bucket += 1;
        }
        *buckets -= cursor.bucket - start;
        if cursor.bucket == table.num_buckets() {
            let behind = &tables[cursor.shard + 1..];
            let empty = behind.iter().take_while(|table| table.is_empty());
            cursor.shard += 1 + empty.count();
            cursor.bucket = 0;
        }
        cursor.shard < tables.len()
    }

    /// All records, in an order that nothing may depend on.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.shards.iter()
    }

    /// The next `limit` ids behind `after` in an order that depends on the ids and the seed alone,
    /// not on what was granted when. O(leases / 256 + limit log limit).
    pub(crate) fn page(&self, after: Option<LeaseId>, limit: usize) -> Vec<LeaseId> {
        let after = after.map(|id| (self.rank(id), id));
        let first = after.map_or(0, |(rank, _)| shard_of_rank(rank));
        let mut page = Vec::new();
        for table in &self.shards.tables()[first..] {
            let start = page.len();
            if start >= limit {
                break;
            }
            let ids = table
                .iter()
                .map(|record| (self.rank(record.id()), record.id()));
            page.extend(ids.filter(|entry| after.is_none_or(|after| *entry > after)));
            if page.len() > limit {
                page[start..].select_nth_unstable(limit - start);
                page.truncate(limit);
            }
            page[start..].sort_unstable();
        }
        page.into_iter().map(|(_, id)| id).collect()
    }

    fn rank(&self, id: LeaseId) -> u64 {
        rank_of(self.hash(id))
    }

    #[inline]
    fn hash(&self, id: LeaseId) -> u64 {
        self.key.of_id(id)
    }
}

impl Cursor {
    /// Starts the part again if its records have moved, and returns whether a part that was begun
    /// does.
    fn follow(&mut self, shards: &Shards<Record>) -> bool {
        let Some(moves) = shards.moves(self.shard) else {
            return false;
        };
        let has_moved = self.moves != moves;
        let restarts = has_moved && self.bucket > 0;
        if has_moved {
            self.bucket = 0;
            self.moves = moves;
        }
        restarts
    }

    /// Whether it stands at the start of a part.
    pub(crate) const fn is_at_start(&self) -> bool {
        self.bucket == 0
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;
    use crate::table::shards::shard_of;
    use crate::{Epoch, Incarnation, Ttl};

    fn id(number: i64) -> LeaseId {
        LeaseId::new(number).expect("not zero")
    }

    fn records(numbers: impl IntoIterator<Item = i64>) -> Records {
        let mut records = Records::new(7);
        for number in numbers {
            records.insert(Record::new(
                id(number),
                Ttl::MIN,
                Incarnation::counted(Epoch::ZERO, 0),
            ));
        }
        records
    }

    #[test]
    fn inserted_is_found_until_removed() {
        let mut records = records(-500..0);
        assert_eq!(records.len(), 500);
        assert_eq!(records.get(id(-3)).map(Record::id), Some(id(-3)));
        assert_eq!(
            records.remove(id(-3)).map(|record| record.id()),
            Some(id(-3))
        );
        assert!(records.get(id(-3)).is_none() && records.remove(id(-3)).is_none());
        assert_eq!(records.len(), 499);
    }

    #[test]
    fn many_are_found_as_one_by_one() {
        // So many that tags are shared, and some look-ups meet a wrong candidate first.
        let records = records((1..=60_000).filter(|number| number % 3 > 0));
        let ids: Vec<_> = (1..=60_000).map(id).collect();
        let mut found = [None; AT_ONCE];
        for ids in ids.chunks(AT_ONCE - 1) {
            records.get_many(ids, &mut found);
            for (id, found) in ids.iter().zip(&found) {
                let expected = records.get(*id).map(Record::id);
                assert_eq!(found.map(Record::id), expected);
            }
        }
        assert_eq!(records.count_found(&ids), 40_000);
        assert_eq!(records.count_found(&[]), 0);
    }

    #[test]
    fn a_walk_visits_what_stays_while_the_table_grows_and_shrinks() {
        let mut records = records(1..=5_000);
        let mut cursor = Cursor::default();
        let mut seen = BTreeSet::new();
        let mut step = 0;
        while records.walk(&mut cursor, 97, |record| {
            seen.insert(record.id());
        }) {
            for number in 0..40 {
                records.insert(Record::new(
                    id(10_000 + step * 40 + number),
                    Ttl::MIN,
                    Incarnation::counted(Epoch::ZERO, 0),
                ));
            }
            records.remove(id(1_000 + step));
            step += 1;
            assert!(step < 100_000, "the walk ends");
        }
        assert!(step > 10);
        assert!((1..1_000).all(|number| seen.contains(&id(number))));
    }

    #[test]
    fn a_walk_visits_what_stays_though_its_part_moves_in_between() {
        let empty = records([]);
        let in_first_part = |number: &i64| shard_of(empty.hash(id(*number))) == 0;
        let all: Vec<i64> = (1..).filter(in_first_part).take(400).collect();
        let (stays, comes_and_goes) = all.split_at(24);
        let add = |records: &mut Records| {
            for number in comes_and_goes {
                let incarnation = Incarnation::counted(Epoch::ZERO, 0);
                records.insert(Record::new(id(*number), Ttl::MIN, incarnation));
            }
        };
        let take = |records: &mut Records| {
            for number in comes_and_goes {
                records.remove(id(*number));
            }
        };
        let visited = |mut records: Records, buckets, change: &dyn Fn(&mut Records)| {
            let (mut cursor, mut seen) = (Cursor::default(), BTreeSet::new());
            let mut visit = |record: &mut Record| _ = seen.insert(record.id());
            assert!(records.walk(&mut cursor, buckets, &mut visit));
            change(&mut records);
            assert!(!records.walk(&mut cursor, usize::MAX, &mut visit));
            seen
        };
        for buckets in 1..32 {
            let grows = visited(records(stays.iter().copied()), buckets, &add);
            let shrinks = visited(records(all.iter().copied()), buckets, &take);
            let both = visited(records(all.iter().copied()), buckets, &|records| {
                take(records);
                add(records);
            });
            for seen in [grows, shrinks, both] {
                let missed = stays.iter().filter(|number| !seen.contains(&id(**number)));
                assert_eq!(missed.count(), 0, "behind {buckets} buckets");
            }
        }
    }

    #[test]
    fn pages_visit_each_id_once_whatever_the_history() {
        let forwards = records(1..=3_000);
        let backwards = records((1..=4_000).rev());
        let mut backwards_without = backwards.clone();
        for number in 3_001..=4_000 {
            backwards_without.remove(id(number));
        }
        let pages = |records: &Records| {
            let mut all = Vec::new();
            loop {
                let page = records.page(all.last().copied(), 70);
                if page.is_empty() {
                    return all;
                }
                assert!(page.len() <= 70);
                all.extend(page);
            }
        };
        let listed = pages(&forwards);
        assert_eq!(listed, pages(&backwards_without));
        assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), 3_000);
    }
}
