use alloc::boxed::Box;

use hashbrown::HashTable;
use hashbrown::hash_table::{self, IterHash, VacantEntry};

/// A hash table in [`SHARDS`] parts of unequal size.
///
/// The parts bound how long the growth of a table holds up a command, and because the largest
/// covers about twice as many hashes as the smallest they do not grow at the same time: memory
/// follows the number of entries instead of doubling now and then. A record of 32 bytes takes about
/// 54 (measured from 10^4 to 10^7), where one table takes from 38 to 75.
#[derive(Clone, Debug)]
pub(crate) struct Shards<T> {
    tables: Box<[HashTable<T>]>,
    // Counts for each part the times that its entries may have changed their buckets.
    moves: Box<[u64]>,
    len: usize,
}

/// Where an entry belongs: its part, and its hash in the part's table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    shard: usize,
    hash: u64,
}

/// What [`Shards::entry`] has found.
pub(crate) enum Entry<'a, T> {
    Occupied(&'a mut T),
    Vacant(Vacancy<'a, T>),
}

/// Where an entry that is not there can be inserted without another search.
pub(crate) struct Vacancy<'a, T> {
    entry: VacantEntry<'a, T>,
    len: &'a mut usize,
}

/// As much of a hash as tells the buckets of a part apart: parts of 2^24 hold billions of entries.
pub(crate) type Short = [u8; 3];

/// How many parts there are.
pub(crate) const SHARDS: usize = 256;

/// A part with so many buckets is small enough to stay as it is: all parts with records are 270 KB
/// then.
const MIN_BUCKETS: usize = 32;

impl<T> Shards<T> {
    pub(crate) fn new() -> Self {
        Self {
            tables: (0..SHARDS).map(|_| HashTable::new()).collect(),
            moves: (0..SHARDS).map(|_| 0).collect(),
            len: 0,
        }
    }

    /// O(1).
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// O(1).
    #[inline]
    pub(crate) fn find(&self, spot: Spot, is_it: impl FnMut(&T) -> bool) -> Option<&T> {
        self.tables[spot.shard].find(spot.hash, is_it)
    }

    /// The entries that may be at a spot: where to look is known without a look at an entry. O(1).
    #[inline]
    pub(crate) fn candidates(&self, spot: Spot) -> IterHash<'_, T> {
        self.tables[spot.shard].iter_hash(spot.hash)
    }

    /// O(1).
    #[inline]
    pub(crate) fn find_mut(&mut self, spot: Spot, is_it: impl FnMut(&T) -> bool) -> Option<&mut T> {
        self.tables[spot.shard].find_mut(spot.hash, is_it)
    }

    /// The entry at a spot, or where to insert it. `hash_of` as for [`insert`](Self::insert). O(1)
    /// but for the growth of one part.
    #[inline]
    pub(crate) fn entry(
        &mut self,
        spot: Spot,
        is_it: impl FnMut(&T) -> bool,
        hash_of: impl Fn(&T) -> u64,
    ) -> Entry<'_, T> {
        let table = &mut self.tables[spot.shard];
        if table.len() == table.capacity() {
            self.moves[spot.shard] += 1;
        }
        match table.entry(spot.hash, is_it, hash_of) {
            hash_table::Entry::Occupied(entry) => Entry::Occupied(entry.into_mut()),
            hash_table::Entry::Vacant(entry) => Entry::Vacant(Vacancy {
                entry,
                len: &mut self.len,
            }),
        }
    }

    /// Adds an entry that is not there yet. `hash_of` tells the hash in the table, see [`Spot`]. O(1)
    /// but for the growth of one part.
    pub(crate) fn insert(&mut self, spot: Spot, entry: T, hash_of: impl Fn(&T) -> u64) -> &mut T {
        let table = &mut self.tables[spot.shard];
        if table.len() == table.capacity() {
            self.moves[spot.shard] += 1;
        }
        self.len += 1;
        table.insert_unique(spot.hash, entry, hash_of).into_mut()
    }

    /// Takes an entry out. O(1) but for the shrinking of a part that is mostly empty.
    pub(crate) fn remove(
        &mut self,
        spot: Spot,
        is_it: impl FnMut(&T) -> bool,
        hash_of: impl Fn(&T) -> u64,
    ) -> Option<T> {
        let bucket = self.bucket_of(spot, is_it)?;
        self.remove_at(spot, bucket, hash_of)
    }

    /// The bucket of an entry in its part, for [`at_mut`](Self::at_mut) and
    /// [`remove_at`](Self::remove_at) as long as nothing is inserted or removed. O(1).
    #[inline]
    pub(crate) fn bucket_of(&self, spot: Spot, is_it: impl FnMut(&T) -> bool) -> Option<usize> {
        self.tables[spot.shard].find_bucket_index(spot.hash, is_it)
    }

    /// The entry in a bucket. O(1).
    #[inline]
    pub(crate) fn at_mut(&mut self, spot: Spot, bucket: usize) -> Option<&mut T> {
        self.tables[spot.shard].get_bucket_mut(bucket)
    }

    /// Takes the entry out of a bucket. O(1) as [`remove`](Self::remove).
    pub(crate) fn remove_at(
        &mut self,
        spot: Spot,
        bucket: usize,
        hash_of: impl Fn(&T) -> u64,
    ) -> Option<T> {
        let table = &mut self.tables[spot.shard];
        let (entry, _) = table.get_bucket_entry(bucket).ok()?.remove();
        self.len -= 1;
        if table.len() < table.num_buckets() / 5 && table.num_buckets() > MIN_BUCKETS {
            self.moves[spot.shard] += 1;
            // Half the buckets, of which less than half are full then.
            table.shrink_to(table.len() * 3 / 2, hash_of);
        }
        Some(entry)
    }

    /// The parts, in the order of the [ranks](rank_of) of their entries' hashes.
    pub(crate) fn tables(&self) -> &[HashTable<T>] {
        &self.tables
    }

    /// The part of this number, if there is one.
    pub(crate) fn table_mut(&mut self, shard: usize) -> Option<&mut HashTable<T>> {
        self.tables.get_mut(shard)
    }

    /// Differs from what it was before if entries of the part may have changed their buckets; `None`
    /// behind the last part.
    pub(crate) fn moves(&self, shard: usize) -> Option<u64> {
        self.moves.get(shard).copied()
    }

    /// All entries, in an order that nothing may depend on. An empty part costs a look, if there is
    /// any other.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let parts = if self.len == 0 { &[] } else { self.tables() };
        parts.iter().filter(|part| !part.is_empty()).flatten()
    }

    #[cfg(test)]
    pub(crate) fn buckets(&self) -> usize {
        self.tables.iter().map(HashTable::num_buckets).sum()
    }
}

impl<T> Vacancy<'_, T> {
    #[inline]
    pub(crate) fn insert(self, entry: T) {
        *self.len += 1;
        self.entry.insert(entry);
    }
}

impl Spot {
    /// The spot of an entry whose whole hash is at hand whenever it is asked for.
    #[inline]
    pub(crate) const fn of(hash: u64) -> Self {
        let shard = shard_of(hash);
        Self { shard, hash }
    }

    /// The spot of an entry that keeps no more of its hash than [`short`](Self::short).
    #[inline]
    pub(crate) const fn of_short(hash: u64) -> Self {
        let shard = shard_of(hash);
        let [a, b, c, ..] = hash.to_le_bytes();
        let hash = Self::spread([a, b, c]);
        Self { shard, hash }
    }

    /// What an entry of such a spot keeps.
    #[inline]
    pub(crate) const fn short(self) -> Short {
        let [a, b, c, ..] = self.hash.to_le_bytes();
        [a, b, c]
    }

    /// The hash in the table of an entry that has kept this: a table takes the buckets from the
    /// low end and the tags from the high one.
    #[inline]
    pub(crate) const fn spread([a, b, c]: Short) -> u64 {
        u64::from_le_bytes([a, b, c, 0, 0, a, b, c])
    }
}

/// Brings the bits that choose the part to the top. They are neither those that choose the bucket
/// in the part's table, the lowest, nor those of its tags, the highest seven.
pub(crate) const fn rank_of(hash: u64) -> u64 {
    hash.rotate_left(24)
}

/// The part of the entries with this hash.
#[inline]
pub(crate) const fn shard_of(hash: u64) -> usize {
    shard_of_rank(rank_of(hash))
}

/// Maps the top 24 bits x of a rank, as a fraction, to (4x - x^2) / 3 of all parts: rising, and
/// twice as dense at the end as at the start.
#[inline]
pub(crate) const fn shard_of_rank(rank: u64) -> usize {
    let x = rank >> 40;
    let bent = (x * ((4 << 24) - x)) >> 24;
    ((bent * SHARDS as u64 / 3) >> 24) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::hash::KeyedHash;

    fn hash(number: &u32) -> u64 {
        KeyedHash::new(7).of_item(&number.to_ne_bytes())
    }

    fn spot(number: u32) -> Spot {
        Spot::of(hash(&number))
    }

    fn shards(numbers: impl IntoIterator<Item = u32>) -> Shards<u32> {
        let mut shards = Shards::new();
        for number in numbers {
            shards.insert(spot(number), number, hash);
        }
        shards
    }

    #[test]
    fn every_rank_has_a_shard_and_ranks_rise_with_shards() {
        assert_eq!(shard_of_rank(0), 0);
        assert_eq!(shard_of_rank(u64::MAX), SHARDS - 1);
        let shards = (0..1 << 12).map(|x| shard_of_rank(x << 52));
        assert!(shards.is_sorted());
    }

    #[test]
    fn parts_differ_in_size_by_about_two() {
        let shards = shards(0..400_000);
        let mean = |tables: &[HashTable<u32>]| {
            let len: usize = tables.iter().map(HashTable::len).sum();
            len / tables.len()
        };
        let (first, last) = (&shards.tables[..16], &shards.tables[SHARDS - 16..]);
        let (small, large) = (mean(first), mean(last));
        assert!(
            large > small * 3 / 2 && large < small * 3,
            "{small}, {large}"
        );
    }

    #[test]
    fn inserted_is_found_until_removed() {
        let mut shards = shards(0..500);
        assert_eq!(shards.len(), 500);
        assert_eq!(shards.find(spot(3), |n| *n == 3), Some(&3));
        assert_eq!(shards.remove(spot(3), |n| *n == 3, hash), Some(3));
        assert_eq!(shards.find(spot(3), |n| *n == 3), None);
        assert_eq!(shards.remove(spot(3), |n| *n == 3, hash), None);
        assert_eq!((shards.len(), shards.iter().count()), (499, 499));
    }

    #[test]
    fn memory_follows_the_number_of_entries_down() {
        let mut shards = shards(0..100_000);
        for number in 0..96_000 {
            shards.remove(spot(number), |n| *n == number, hash);
        }
        let buckets = shards.buckets();
        assert!(buckets < 20_000, "{buckets} buckets for 4,000 entries");
        assert!(
            (96_000..100_000).all(|number| shards.find(spot(number), |n| *n == number).is_some())
        );
    }

    #[test]
    fn an_entry_is_found_or_made() {
        let mut shards = shards(0..500);
        let mut entry = |number| match shards.entry(spot(number), |n| *n == number, hash) {
            Entry::Occupied(found) => Some(*found),
            Entry::Vacant(vacancy) => {
                vacancy.insert(number);
                None
            }
        };
        assert_eq!(
            (entry(499), entry(500), entry(500)),
            (Some(499), None, Some(500))
        );
        assert_eq!((shards.len(), shards.iter().count()), (501, 501));
    }

    #[test]
    fn a_short_hash_finds_as_well() {
        let hash_of = |short: &Short| Spot::spread(*short);
        let mut shards = Shards::new();
        for number in 0..10_000 {
            let spot = Spot::of_short(hash(&number));
            assert_eq!(hash_of(&spot.short()), spot.hash);
            shards.insert(spot, spot.short(), hash_of);
        }
        for number in 0..10_000 {
            let spot = Spot::of_short(hash(&number));
            assert!(
                shards
                    .remove(spot, |short| *short == spot.short(), hash_of)
                    .is_some()
            );
        }
        assert_eq!(shards.len(), 0);
    }
}
