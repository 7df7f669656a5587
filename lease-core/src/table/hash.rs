use core::hash::{Hash, Hasher};

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;

use crate::LeaseId;

/// Hashes ids and items so that whoever does not know the seed cannot choose many of one hash.
///
/// Foldhash multiplies words of the input, each mixed with a word of its state. All those words
/// depend on the seed: an input that meets a known one turns the product to zero whatever stands
/// in the other half, and then all such inputs share one hash.
#[derive(Clone, Debug)]
pub(crate) struct KeyedHash {
    start: u64,
    shared: SharedSeed,
}

impl KeyedHash {
    pub(crate) const fn new(seed: u64) -> Self {
        // Not the seed itself: foldhash makes nothing but zeros of zero.
        Self {
            start: mix(seed.wrapping_add(GAMMA)),
            shared: SharedSeed::from_u64(mix(seed.wrapping_add(GAMMA.wrapping_mul(2)))),
        }
    }

    /// The hash of what is found by the id of a lease.
    #[inline]
    pub(crate) fn of_id(&self, id: LeaseId) -> u64 {
        self.hash(&id.get())
    }

    /// The hash of what is found by the bytes of an item.
    #[inline]
    pub(crate) fn of_item(&self, item: &[u8]) -> u64 {
        self.hash(item)
    }

    #[inline]
    fn hash<T: Hash + ?Sized>(&self, value: &T) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.start, &self.shared);
        value.hash(&mut hasher);
        hasher.finish()
    }
}

/// The step of splitmix64, from the golden ratio.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// The mixer of splitmix64: seeds that differ in one bit have nothing in common behind it.
const fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

#[cfg(test)]
mod tests {
    use alloc::collections::{BTreeMap, BTreeSet};
    use alloc::vec::Vec;

    use super::*;
    use crate::table::shards::{SHARDS, shard_of};

    /// The words that foldhash 0.2 has in its source, `ARBITRARY0` to `ARBITRARY11`.
    const KNOWN_WORDS: [u64; 12] = [
        0x243f_6a88_85a3_08d3,
        0x1319_8a2e_0370_7344,
        0xa409_3822_299f_31d0,
        0x082e_fa98_ec4e_6c89,
        0x4528_21e6_38d0_1377,
        0xbe54_66cf_34e9_0c6c,
        0xc0ac_29b7_c97c_50dd,
        0x3f84_d5b5_b547_0917,
        0x9216_d5d9_8979_fb1b,
        0xd131_0ba6_98df_b5ac,
        0x2ffd_72db_d01a_dfb7,
        0xb8e1_afed_6a26_7e96,
    ];
    const SEEDS: [u64; 3] = [0, 1, GAMMA];
    const MANY: u64 = 2_048;

    /// Asserts that no part has much more than its share, and that hardly any hash is shared.
    fn assert_spread(hashes: impl Iterator<Item = u64>) {
        let mut parts = BTreeMap::<usize, usize>::new();
        let mut distinct = BTreeSet::new();
        let mut all = 0;
        for hash in hashes {
            *parts.entry(shard_of(hash)).or_default() += 1;
            distinct.insert(hash);
            all += 1;
        }
        let most = parts.into_values().max().unwrap_or(0);
        assert!(most < 5 * all / SHARDS, "{most} of {all} in one part");
        assert!(distinct.len() + 2 >= all, "{} hashes", distinct.len());
    }

    /// Items of this many words, of which that at `at` counts up and the others are `word`.
    fn items(words: usize, at: usize, word: u64) -> impl Iterator<Item = Vec<u8>> {
        (0..MANY).map(move |number| {
            let word = |index| if index == at { number } else { word };
            (0..words).flat_map(|i| word(i).to_ne_bytes()).collect()
        })
    }

    #[test]
    fn items_made_of_the_words_in_foldhashs_source_spread() {
        for seed in SEEDS {
            let key = KeyedHash::new(seed);
            for word in KNOWN_WORDS {
                for (words, at) in [(2, 0), (2, 1), (3, 0), (4, 2), (8, 5), (20, 10), (40, 1)] {
                    assert_spread(items(words, at, word).map(|item| key.of_item(&item)));
                }
            }
        }
    }

    #[test]
    fn short_and_usual_items_spread() {
        for seed in SEEDS {
            let key = KeyedHash::new(seed);
            assert_spread((0..MANY).map(|n| key.of_item(&n.to_be_bytes()[5..])));
            assert_spread((0..MANY).map(|n| key.of_item(&n.to_be_bytes())));
            let name = |n| alloc::format!("services/{n:023}");
            assert_spread((0..MANY).map(|n| key.of_item(name(n).as_bytes())));
        }
    }

    #[test]
    fn ids_that_share_a_part_under_one_seed_spread_under_another() {
        let id = |number| LeaseId::new(number).expect("not zero");
        for seed in SEEDS {
            let known = KeyedHash::new(seed);
            assert_spread((1..=MANY as i64).map(|n| known.of_id(id(n))));
            let chosen = (1..).map(id).filter(|id| shard_of(known.of_id(*id)) == 7);
            let chosen: Vec<_> = chosen.take(MANY as usize).collect();
            for other in SEEDS.into_iter().filter(|other| *other != seed) {
                let other = KeyedHash::new(other);
                assert_spread(chosen.iter().map(|id| other.of_id(*id)));
            }
        }
    }

    #[test]
    fn the_length_counts() {
        let key = KeyedHash::new(0);
        let zeros = [0; 300];
        let hashes: BTreeSet<_> = (0..300).map(|len| key.of_item(&zeros[..len])).collect();
        assert_eq!(hashes.len(), 300);
    }
}
