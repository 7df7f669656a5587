use alloc::{boxed::Box, vec, vec::Vec};

use super::{
    arithmetic::Slot,
    position::{CHUNK_LEN, CHUNKS_MAX},
};

/// Chunks of up to 63 keys, in pages, so that growth never moves a key and an emptied page goes back
/// to the heap.
#[derive(Clone, Debug)]
pub(super) struct Pool<K> {
    pages: Vec<Page<K>>,
    // Invariant: bit `p % 64` of word `p / 64` is set if page `p` is resident and has a free chunk.
    open: Vec<u64>,
    // Invariant: no word of `open` before this one has a bit set.
    first_open: usize,
    // Invariant: exactly the pages without memory.
    absent: Vec<u32>,
    // Invariant: how many resident pages are free as a whole; at most one.
    spare: usize,
}

/// What a chunk belongs to.
///
/// Links do not lie between the keys: chunks of exactly 512 bytes, filled at about the same pace,
/// would compete for one eighth of the first cache level.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    /// The next chunk of the same slot, or [`NO_CHUNK`].
    pub(super) next: u32,
    pub(super) slot: Slot,
}

#[derive(Clone, Debug)]
struct Page<K> {
    memory: Option<Memory<K>>,
    // Invariant: bit `c` is set if chunk `c` is free; all are in a page without memory.
    free: u64,
}

#[derive(Clone, Debug)]
struct Memory<K> {
    links: Box<[Link; PAGE_LEN]>,
    // How many keys of a chunk count is not stored: all 63, except in the first chunk of a slot,
    // whose length is in the slot table.
    keys: Box<[[K; CHUNK_LEN]; PAGE_LEN]>,
}

impl<K> Pool<K> {
    pub(super) const fn new() -> Self {
        Self {
            pages: Vec::new(),
            open: Vec::new(),
            first_open: 0,
            absent: Vec::new(),
            spare: 0,
        }
    }

    /// All keys of a chunk in use, of which the last ones may be meaningless.
    pub(super) fn keys(&self, chunk: u32) -> &[K; CHUNK_LEN] {
        let (page, offset) = split(chunk);
        let memory = self.pages[page].memory.as_ref();
        &memory.expect("a chunk in use is in memory").keys[offset]
    }

    pub(super) fn keys_mut(&mut self, chunk: u32) -> &mut [K; CHUNK_LEN] {
        let (page, offset) = split(chunk);
        let memory = self.pages[page].memory.as_mut();
        &mut memory.expect("a chunk in use is in memory").keys[offset]
    }

    /// What the chunk belongs to, if it exists and is in use.
    pub(super) fn link(&self, chunk: u32) -> Option<Link> {
        let (page, offset) = split(chunk);
        let page = self.pages.get(page)?;
        let in_use = page.free >> offset & 1 == 0;
        let memory = page.memory.as_ref().filter(|_| in_use)?;
        Some(memory.links[offset])
    }

    pub(super) fn give_back(&mut self, chunk: u32) {
        let (index, offset) = split(chunk);
        let page = &mut self.pages[index];
        assert!(page.free >> offset & 1 == 0, "a chunk is freed once");
        page.free |= 1 << offset;
        let is_empty = page.free == u64::MAX;
        if is_empty && self.spare == SPARE_PAGES {
            page.memory = None;
            self.absent.push(index as u32);
            self.open[index / 64] &= !(1 << (index % 64));
        } else {
            self.spare += usize::from(is_empty);
            self.mark_open(index);
        }
    }

    pub(super) fn chunks_in_use(&self) -> usize {
        let in_use = |page: &Page<K>| page.free.count_zeros() as usize;
        self.pages.iter().map(in_use).sum()
    }

    #[cfg(test)]
    pub(super) fn resident_pages(&self) -> usize {
        self.pages.len() - self.absent.len()
    }

    /// Frees the memory of up to `pages` pages with all they hold; returns whether none is left.
    pub(super) fn drop_pages(&mut self, pages: usize) -> bool {
        let left = self.pages.len().saturating_sub(pages);
        self.pages.truncate(left);
        left == 0
    }

    pub(super) fn check_invariants(&self) {
        let whole = |page: &&Page<K>| page.memory.is_some() && page.free == u64::MAX;
        let spare = self.pages.iter().filter(whole).count();
        assert_eq!(self.spare, spare, "spare pages are counted");
        assert!(self.spare <= SPARE_PAGES, "empty pages are given back");
        for (index, page) in self.pages.iter().enumerate() {
            let is_open = self.open[index / 64] >> (index % 64) & 1 == 1;
            let has_room = page.memory.is_some() && page.free != 0;
            assert_eq!(is_open, has_room, "page {index} is marked");
            assert!(
                !is_open || index / 64 >= self.first_open,
                "the search finds page {index}"
            );
            assert!(
                page.memory.is_some() || page.free == u64::MAX,
                "page {index} is absent and in use"
            );
        }
        let absent = self.pages.iter().filter(|page| page.memory.is_none());
        assert_eq!(absent.count(), self.absent.len(), "absent pages are listed");
    }

    fn mark_open(&mut self, page: usize) {
        self.open[page / 64] |= 1 << (page % 64);
        self.first_open = self.first_open.min(page / 64);
    }
}

impl<K: Copy> Pool<K> {
    /// Takes a free chunk for `slot` whose first key is `key`, in the lowest page that has one.
    ///
    /// The low pages are preferred so that the high ones empty and can be given back. O(1) but for
    /// the search in `open`, which passes one word per 258,048 keys.
    pub(super) fn take(&mut self, slot: Slot, next: u32, key: K) -> u32 {
        let index = self.lowest_open().unwrap_or_else(|| self.add_page(key));
        let page = &mut self.pages[index];
        let offset = page.free.trailing_zeros() as usize;
        self.spare -= usize::from(page.free == u64::MAX);
        page.free &= !(1 << offset);
        if page.free == 0 {
            self.open[index / 64] &= !(1 << (index % 64));
        }
        let memory = page.memory.as_mut().expect("an open page has memory");
        memory.links[offset] = Link { next, slot };
        memory.keys[offset][0] = key;
        (index * PAGE_LEN + offset) as u32
    }

    fn lowest_open(&mut self) -> Option<usize> {
        let later = &self.open[self.first_open..];
        let skipped = later.iter().position(|&word| word != 0);
        self.first_open += skipped.unwrap_or(later.len());
        let word = self.open.get(self.first_open)?;
        Some(self.first_open * 64 + word.trailing_zeros() as usize)
    }

    fn add_page(&mut self, filler: K) -> usize {
        let index = match self.absent.pop() {
            Some(index) => index as usize,
            None => self.push_absent_page(),
        };
        self.pages[index].memory = Some(Memory::filled_with(filler));
        self.spare += 1;
        self.mark_open(index);
        index
    }

    fn push_absent_page(&mut self) -> usize {
        let index = self.pages.len();
        assert!(
            index < CHUNKS_MAX as usize / PAGE_LEN,
            "a wheel holds at most 2^24 chunks of 63 keys"
        );
        self.pages.push(Page {
            memory: None,
            free: u64::MAX,
        });
        self.open.resize(index / 64 + 1, 0);
        index
    }
}

impl<K: Copy> Memory<K> {
    fn filled_with(filler: K) -> Self {
        let link = Link {
            next: NO_CHUNK,
            slot: Slot::new(0, 0),
        };
        Self {
            links: boxed(link),
            keys: boxed([filler; CHUNK_LEN]),
        }
    }
}

/// One value in every place, made on the heap: a page is too large for some stacks.
fn boxed<T: Copy>(value: T) -> Box<[T; PAGE_LEN]> {
    let boxed = vec![value; PAGE_LEN].into_boxed_slice().try_into();
    boxed.ok().expect("the length is the one asked for")
}

const fn split(chunk: u32) -> (usize, usize) {
    (chunk as usize / PAGE_LEN, chunk as usize % PAGE_LEN)
}

/// No chunk: the end of a slot's chain.
pub(super) const NO_CHUNK: u32 = u32::MAX;

/// Chunks per page: one per bit of its free mask; 32 KiB of 8-byte keys.
pub(super) const PAGE_LEN: usize = 64;

/// Empty pages kept, so that a wheel at the edge of a page does not allocate at each step.
const SPARE_PAGES: usize = 1;

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: Slot = Slot::new(0, 0);

    #[test]
    fn a_chunk_of_eight_byte_keys_and_its_link_are_512_bytes() {
        assert_eq!(size_of::<[u64; CHUNK_LEN]>() + size_of::<Link>(), 512);
    }

    #[test]
    fn the_lowest_free_chunk_is_taken_first() {
        let mut pool = Pool::new();
        for expected in 0..130 {
            assert_eq!(pool.take(SLOT, NO_CHUNK, 0_u64), expected);
        }
        for chunk in [100, 3, 70] {
            pool.give_back(chunk);
            pool.check_invariants();
        }
        for expected in [3, 70, 100, 130] {
            assert_eq!(pool.take(SLOT, NO_CHUNK, 0), expected);
        }
        pool.check_invariants();
    }

    #[test]
    fn empty_pages_go_back_but_for_one_and_come_again() {
        let mut pool = Pool::new();
        for round in 0_u64..3 {
            let taken = [(); 64 * 5].map(|()| pool.take(SLOT, NO_CHUNK, round));
            assert_eq!(pool.resident_pages(), 5);
            for chunk in taken {
                pool.give_back(chunk);
            }
            pool.check_invariants();
            assert_eq!(pool.resident_pages(), 1);
            assert_eq!(pool.chunks_in_use(), 0);
        }
    }

    #[test]
    fn free_chunks_cannot_be_reached() {
        let mut pool = Pool::new();
        let chunk = pool.take(SLOT, NO_CHUNK, 0_u64);
        assert!(pool.link(chunk).is_some());
        assert!(pool.link(chunk + 1).is_none() && pool.link(1 << 23).is_none());
        pool.give_back(chunk);
        assert!(pool.link(chunk).is_none());
    }

    /// One page more and the numbers of chunks would not fit into a position.
    #[test]
    #[should_panic(expected = "at most 2^24 chunks")]
    fn the_last_page_is_the_last() {
        let mut pool = Pool::<u8>::new();
        for page in 0..CHUNKS_MAX as usize / PAGE_LEN {
            assert_eq!(pool.push_absent_page(), page);
        }
        pool.push_absent_page();
    }

    /// Page 0 is full, page 1 has one chunk in use, page 2 is absent.
    fn pool_of_three_pages() -> Pool<u64> {
        let mut pool = Pool::new();
        let taken = [(); PAGE_LEN * 3].map(|()| pool.take(SLOT, NO_CHUNK, 0));
        for &chunk in &taken[PAGE_LEN..] {
            pool.give_back(chunk);
        }
        pool.take(SLOT, NO_CHUNK, 0);
        pool.check_invariants();
        assert_eq!(pool.absent, [2]);
        pool
    }

    #[test]
    #[should_panic(expected = "spare pages are counted")]
    fn the_check_sees_a_spare_page_that_is_none() {
        let mut pool = pool_of_three_pages();
        pool.spare = 1;
        pool.check_invariants();
    }

    #[test]
    #[should_panic(expected = "empty pages are given back")]
    fn the_check_sees_empty_pages_pile_up() {
        let mut pool = pool_of_three_pages();
        pool.add_page(0);
        pool.add_page(0);
        pool.check_invariants();
    }

    #[test]
    #[should_panic(expected = "page 1 is marked")]
    fn the_check_sees_a_page_with_room_that_is_not_marked() {
        let mut pool = pool_of_three_pages();
        pool.open[0] = 0;
        pool.check_invariants();
    }

    #[test]
    #[should_panic(expected = "page 0 is marked")]
    fn the_check_sees_a_full_page_that_is_marked() {
        let mut pool = pool_of_three_pages();
        pool.mark_open(0);
        pool.check_invariants();
    }

    #[test]
    #[should_panic(expected = "the search finds page 1")]
    fn the_check_sees_a_page_that_the_search_skips() {
        let mut pool = pool_of_three_pages();
        pool.first_open = 1;
        pool.check_invariants();
    }

    #[test]
    #[should_panic(expected = "page 2 is absent and in use")]
    fn the_check_sees_a_chunk_in_use_without_memory() {
        let mut pool = pool_of_three_pages();
        pool.pages[2].free = 1;
        pool.check_invariants();
    }

    #[test]
    #[should_panic(expected = "absent pages are listed")]
    fn the_check_sees_an_absent_page_that_is_not_listed() {
        let mut pool = pool_of_three_pages();
        pool.absent.clear();
        pool.check_invariants();
    }
}
