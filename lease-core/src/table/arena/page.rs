use alloc::boxed::Box;
use alloc::vec;

/// Cells of one size side by side.
#[derive(Clone, Debug)]
pub(super) struct Page {
    // Invariant: `capacity` cells of `cell` bytes; empty while the page is absent. The first bytes
    // of a cell are zero while it is free and only then, see `MARK`.
    memory: Box<[u8]>,
    pub(super) cell: u32,
    pub(super) capacity: u16,
    // How many cells are in use.
    pub(super) live: u16,
    // The cells from here on have not been in use since the page was made.
    fresh: u16,
    // The first of the list of free cells before `fresh`; each holds the number of the next.
    free: u16,
    // Where the class lists the page, if it is open.
    pub(super) slot: u32,
}

/// Names a cell: the number of its page and its number in the page, together of 31 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cell(u32);

/// So many bytes at the start of a cell tell whether it is in use.
pub(super) const MARK: usize = 8;

pub(super) const CELL_BITS: u32 = 9;
const CELL_MASK: u32 = (1 << CELL_BITS) - 1;
pub(super) const PAGE_BITS: u32 = 31 - CELL_BITS;
const NO_CELL: u16 = u16::MAX;
pub(super) const NO_SLOT: u32 = u32::MAX;

// The lists of open pages.
pub(super) const SPARSE: usize = 0;
pub(super) const DENSE: usize = 1;

/// At how many cells one call of [`Page::next_live`] looks.
const SCAN: usize = 64;

impl Page {
    /// A page of `capacity` cells, absent if those are none.
    pub(super) fn new(cell: usize, capacity: u16) -> Self {
        Self {
            memory: vec![0; usize::from(capacity) * cell].into_boxed_slice(),
            cell: cell as u32,
            capacity,
            live: 0,
            fresh: 0,
            free: NO_CELL,
            slot: NO_SLOT,
        }
    }

    /// The list of open pages where the page belongs.
    pub(super) fn openness(&self) -> Option<usize> {
        if self.live == self.capacity {
            return None;
        }
        let is_dense = self.live > self.capacity / 2;
        Some(if is_dense { DENSE } else { SPARSE })
    }

    #[inline]
    pub(super) fn cell(&self, number: u16) -> &[u8] {
        let start = usize::from(number) * self.cell as usize;
        &self.memory[start..start + self.cell as usize]
    }

    #[inline]
    pub(super) fn cell_mut(&mut self, number: u16) -> &mut [u8] {
        let start = usize::from(number) * self.cell as usize;
        &mut self.memory[start..start + self.cell as usize]
    }

    pub(super) fn take(&mut self) -> u16 {
        self.live += 1;
        if self.free == NO_CELL {
            self.fresh += 1;
            return self.fresh - 1;
        }
        let number = self.free;
        let cell = self.cell(number);
        self.free = u16::from_ne_bytes([cell[MARK], cell[MARK + 1]]);
        number
    }

    pub(super) fn give_back(&mut self, number: u16) {
        let free = self.free.to_ne_bytes();
        let cell = self.cell_mut(number);
        debug_assert!(cell[..MARK] != [0; MARK], "a cell in use is marked");
        cell[..MARK].fill(0);
        cell[MARK..MARK + 2].copy_from_slice(&free);
        self.free = number;
        self.live -= 1;
    }

    /// A cell in use, if there is one among the next few; `scan` keeps where to go on.
    pub(super) fn next_live(&self, scan: &mut u16) -> Option<u16> {
        for _ in 0..SCAN {
            let number = if *scan < self.fresh { *scan } else { 0 };
            *scan = number + 1;
            if self.cell(number)[..MARK] != [0; MARK] {
                return Some(number);
            }
        }
        None
    }

    /// Checks that the cells before `fresh` are in use or in the list of free ones. O(cells).
    ///
    /// # Panics
    ///
    /// If they are not.
    pub(super) fn check_invariants(&self) {
        let is_free = |number: u16| self.cell(number)[..MARK] == [0; MARK];
        let (mut free, mut next) = (0, self.free);
        while next != NO_CELL && free <= self.fresh {
            assert!(next < self.fresh && is_free(next), "a listed cell is free");
            free += 1;
            let cell = self.cell(next);
            next = u16::from_ne_bytes([cell[MARK], cell[MARK + 1]]);
        }
        let live = (0..self.fresh).filter(|number| !is_free(*number)).count();
        assert_eq!(live, usize::from(self.live), "a cell in use is marked");
        assert_eq!(self.live + free, self.fresh, "a free cell is listed");
        assert!(self.fresh <= self.capacity, "a page has room for its cells");
    }
}

impl Cell {
    pub(super) const fn new(page: u32, number: u16) -> Self {
        Self(page << CELL_BITS | number as u32)
    }

    /// The cell of this number, as [`to_bits`](Self::to_bits) gave it.
    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(crate) const fn to_bits(self) -> u32 {
        self.0
    }

    pub(super) const fn page(self) -> u32 {
        self.0 >> CELL_BITS
    }

    pub(super) const fn number(self) -> u16 {
        (self.0 & CELL_MASK) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_described_in_half_a_cache_line() {
        assert_eq!(size_of::<Page>(), 32);
    }

    #[test]
    fn cells_in_use_are_found_among_free_ones() {
        let mut page = Page::new(20, 300);
        let mut scan = 0;
        for number in 0..300 {
            assert_eq!(page.take(), number);
            page.cell_mut(number)[0] = 1;
        }
        (0..299).for_each(|number| page.give_back(number));
        let found = (0..5).find_map(|_| page.next_live(&mut scan));
        assert_eq!((found, page.next_live(&mut scan)), (Some(299), None));
        assert_eq!(page.take(), 298, "the last one that was given back");
        page.cell_mut(298)[0] = 1;
        assert_eq!((0..5).find_map(|_| page.next_live(&mut scan)), Some(298));
    }
}
