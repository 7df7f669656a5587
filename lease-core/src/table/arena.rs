use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

/// Memory for cells of few sizes, each found by a number of 32 bits.
///
/// A cell costs its size rounded up, by less than 4 bytes up to 128 and by less than an eighth
/// above. Cells of one size share pages of 16 KiB; a larger one has a page of its own. A page whose
/// cells are all free is given back, but for one of each size.
#[derive(Clone, Debug)]
pub(crate) struct Arena {
    pages: Vec<Page>,
    // Numbers of pages without memory, to be used again.
    absent: Vec<u32>,
    // The pages with a free cell, for each size.
    open: Vec<Vec<u32>>,
}

#[derive(Clone, Debug)]
struct Page {
    // Invariant: `capacity` cells of `cell` bytes; empty while the page is absent.
    memory: Box<[u8]>,
    cell: usize,
    class: usize,
    capacity: u16,
    // How many cells are in use.
    live: u16,
    // The cells from here on have not been in use since the page was made.
    fresh: u16,
    // The first of the list of free cells before `fresh`; each holds the number of the next.
    free: u16,
    // Where `open` lists the page, if it does.
    place: Option<u32>,
}

/// Names a cell: the number of its page and its number in the page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cell(u32);

const PAGE_BYTES: usize = 16 * 1024;

/// The smallest cell: so many that a page has fewer cells than [`Cell`] can number.
const MIN_CELL: usize = 20;

const CELL_BITS: u32 = 10;
const CELL_MASK: u32 = (1 << CELL_BITS) - 1;
const NO_CELL: u16 = u16::MAX;

impl Arena {
    pub(crate) const fn new() -> Self {
        Self {
            pages: Vec::new(),
            absent: Vec::new(),
            open: Vec::new(),
        }
    }

    /// A cell of at least `len` bytes, whose content is not specified. O(1).
    ///
    /// # Panics
    ///
    /// If 2^22 pages, which are 64 GiB of small cells, are in use.
    pub(crate) fn take(&mut self, len: usize) -> Cell {
        let class = class_of(len);
        if self.open.len() <= class {
            self.open.resize(class + 1, Vec::new());
        }
        let number = match self.open[class].last() {
            Some(number) => *number,
            None => self.add_page(class),
        };
        let page = &mut self.pages[number as usize];
        let cell = page.take();
        if page.live == page.capacity {
            self.close(number);
        }
        Cell(number << CELL_BITS | u32::from(cell))
    }

    /// Frees a cell. O(1).
    pub(crate) fn give_back(&mut self, cell: Cell) {
        let number = cell.page();
        let page = &mut self.pages[number as usize];
        page.give_back(cell.number());
        let (is_empty, class) = (page.live == 0, page.class);
        if page.place.is_none() {
            page.place = Some(self.open[class].len() as u32);
            self.open[class].push(number);
        }
        if is_empty && self.open[class].len() > 1 {
            self.close(number);
            self.pages[number as usize] = Page::absent();
            self.absent.push(number);
        }
    }

    #[inline]
    pub(crate) fn get(&self, cell: Cell) -> &[u8] {
        let page = &self.pages[cell.page() as usize];
        let start = cell.number() as usize * page.cell;
        &page.memory[start..start + page.cell]
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, cell: Cell) -> &mut [u8] {
        let page = &mut self.pages[cell.page() as usize];
        let start = cell.number() as usize * page.cell;
        &mut page.memory[start..start + page.cell]
    }

    /// How many bytes the pages have.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.pages.iter().map(|page| page.memory.len()).sum()
    }

    fn add_page(&mut self, class: usize) -> u32 {
        let number = self.absent.pop().unwrap_or_else(|| {
            let number = self.pages.len();
            assert!(number < 1 << (u32::BITS - CELL_BITS), "the arena is full");
            self.pages.push(Page::absent());
            number as u32
        });
        let page = &mut self.pages[number as usize];
        *page = Page::new(class);
        page.place = Some(self.open[class].len() as u32);
        self.open[class].push(number);
        number
    }

    /// Takes a page from those with a free cell.
    fn close(&mut self, number: u32) {
        let page = &mut self.pages[number as usize];
        let open = &mut self.open[page.class];
        if let Some(place) = page.place.take() {
            open.swap_remove(place as usize);
            if let Some(moved) = open.get(place as usize) {
                self.pages[*moved as usize].place = Some(place);
            }
        }
    }
}

impl Page {
    fn new(class: usize) -> Self {
        let cell = size_of_class(class);
        let capacity = (PAGE_BYTES / cell).max(1);
        Self {
            memory: vec![0; capacity * cell].into_boxed_slice(),
            cell,
            class,
            capacity: capacity as u16,
            ..Self::absent()
        }
    }

    fn absent() -> Self {
        Self {
            memory: Box::default(),
            cell: 0,
            class: 0,
            capacity: 0,
            live: 0,
            fresh: 0,
            free: NO_CELL,
            place: None,
        }
    }

    fn take(&mut self) -> u16 {
        self.live += 1;
        if self.free == NO_CELL {
            self.fresh += 1;
            return self.fresh - 1;
        }
        let cell = self.free;
        let start = usize::from(cell) * self.cell;
        self.free = u16::from_ne_bytes([self.memory[start], self.memory[start + 1]]);
        cell
    }

    fn give_back(&mut self, cell: u16) {
        let start = usize::from(cell) * self.cell;
        self.memory[start..start + 2].copy_from_slice(&self.free.to_ne_bytes());
        self.free = cell;
        self.live -= 1;
    }
}

impl Cell {
    /// The cell of this number, as [`to_bits`](Self::to_bits) gave it.
    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(crate) const fn to_bits(self) -> u32 {
        self.0
    }

    const fn page(self) -> u32 {
        self.0 >> CELL_BITS
    }

    const fn number(self) -> u16 {
        (self.0 & CELL_MASK) as u16
    }
}

/// Sizes up to here are multiples of [`STEP`]; above, eight sizes lie between powers of two.
const FINE: usize = 128;
const STEP: usize = 4;
const FINE_CLASSES: usize = (FINE - MIN_CELL) / STEP + 1;

/// The class of the smallest cells with room for `len` bytes.
const fn class_of(len: usize) -> usize {
    if len <= MIN_CELL {
        return 0;
    }
    if len <= FINE {
        return (len - MIN_CELL).div_ceil(STEP);
    }
    // The three bits behind the highest one of `last` choose among eight sizes.
    let last = len - 1;
    let exponent = last.ilog2() as usize;
    let eighth = last >> (exponent - 3) & 7;
    FINE_CLASSES + (exponent - FINE.ilog2() as usize) * 8 + eighth
}

const fn size_of_class(class: usize) -> usize {
    if class < FINE_CLASSES {
        return MIN_CELL + class * STEP;
    }
    let coarse = class - FINE_CLASSES;
    let exponent = FINE.ilog2() as usize + coarse / 8;
    (8 + coarse % 8 + 1) << (exponent - 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_has_room_and_wastes_little() {
        let mut last = 0;
        for len in 1..100_000 {
            let class = class_of(len);
            let size = size_of_class(class);
            assert!(size >= len && class >= last, "{len}");
            assert!(class == 0 || size_of_class(class - 1) < len, "{len}");
            let waste = size - len;
            assert!(len < MIN_CELL || waste < STEP || (len > FINE && waste * 8 < len));
            last = class;
        }
        const { assert!(PAGE_BYTES / MIN_CELL < 1 << CELL_BITS) };
        assert!(class_of(usize::MAX >> 1) < 500);
    }

    #[test]
    fn cells_keep_what_they_are_given_whatever_comes_and_goes() {
        let mut arena = Arena::new();
        let fill = |arena: &mut Arena, len: usize, byte: u8| {
            let cell = arena.take(len);
            arena.get_mut(cell)[..len].fill(byte);
            (cell, len, byte)
        };
        let lens = [20, 21, 52, 128, 129, 1_000, 16_384, 16_385, 30_000, 100_000];
        let mut cells = Vec::new();
        for round in 0..50_u8 {
            for len in lens {
                cells.push(fill(&mut arena, len, round));
            }
            if round % 3 == 2 {
                let odd = cells.iter().skip(1).step_by(2);
                odd.for_each(|(cell, ..)| arena.give_back(*cell));
                cells = cells.into_iter().step_by(2).collect();
            }
            for (cell, len, byte) in &cells {
                assert!(arena.get(*cell)[..*len].iter().all(|found| found == byte));
            }
        }
        for (cell, ..) in cells {
            arena.give_back(cell);
        }
        let resident = arena.pages.iter().filter(|page| page.capacity > 0);
        assert!(resident.clone().all(|page| page.live == 0));
        assert_eq!(resident.count(), 10, "one page of each size");
    }

    #[test]
    fn numbers_of_pages_and_cells_are_used_again() {
        let mut arena = Arena::new();
        let take =
            |arena: &mut Arena| -> Vec<Cell> { (0..2_000).map(|_| arena.take(52)).collect() };
        let mut cells = take(&mut arena);
        let (pages, bytes) = (arena.pages.len(), arena.bytes());
        for _ in 0..3 {
            cells.iter().for_each(|cell| arena.give_back(*cell));
            assert_eq!(
                arena.bytes(),
                size_of_class(class_of(52)) * (PAGE_BYTES / 52)
            );
            cells = take(&mut arena);
            assert_eq!((arena.pages.len(), arena.bytes()), (pages, bytes));
        }
    }
}
