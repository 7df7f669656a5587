mod page;
mod size;

use alloc::vec::Vec;

pub(crate) use page::Cell;
use page::{CELL_BITS, DENSE, NO_SLOT, PAGE_BITS, Page, SPARSE};
use size::{PAGE_BYTES, class_of, size_of_class};

/// Memory for cells of few sizes, each found by a number of 32 bits.
///
/// A cell costs its size rounded up, by less than 4 bytes up to 128 and by less than an eighth
/// above. Cells of one size share pages of 12 KiB; one of more than 4 KiB has a page of its own,
/// which goes with it. Memory follows the cells in use down: where more than half of it is free and
/// it is no small amount, [`relocate`](Self::relocate) empties pages cell by cell.
#[derive(Clone, Debug)]
pub(crate) struct Arena {
    pages: Vec<Page>,
    // Numbers of pages without memory, to be used again. Those at or beyond the end of `pages` are
    // of pages that are gone.
    absent: Vec<u32>,
    // The sizes of shared pages, as far as they have been used.
    classes: Vec<Class>,
    // One bit for each class; clear where the class is not sparse.
    sparse: u128,
    // The class of the last cell that was given back: moves within it make up for that cell, those
    // of smaller cells would not.
    last: usize,
    // Of all shared pages, and of the cells in use there.
    bytes: usize,
    live_bytes: usize,
}

/// All pages with cells of one size.
#[derive(Clone, Debug)]
struct Class {
    cell: u32,
    capacity: u16,
    pages: usize,
    live: usize,
    // The pages with a free cell: up to half full and more.
    open: [Vec<u32>; 2],
    // Where in the first of the emptier ones `relocate` looks for the next cell in use.
    scan: u16,
}

/// So much may be free whatever is in use: little, and enough for a table of some thousand items to
/// come and go without a move.
const SLACK: usize = if cfg!(madsim) { 0 } else { 256 * 1024 };

impl Arena {
    pub(crate) const fn new() -> Self {
        Self {
            pages: Vec::new(),
            absent: Vec::new(),
            classes: Vec::new(),
            sparse: 0,
            last: 0,
            bytes: 0,
            live_bytes: 0,
        }
    }

    /// A cell of at least `len` bytes, whose content is not specified. The first eight of them must
    /// be made to differ from zero before the next call. O(1).
    ///
    /// # Panics
    ///
    /// If 2^22 pages, which are 48 GiB of small cells, are in use.
    pub(crate) fn take(&mut self, len: usize) -> Cell {
        let Some(class) = class_of(len) else {
            let number = self.add_page(Page::new(len, 1));
            return self.take_from(number);
        };
        while self.classes.len() <= class {
            self.classes.push(Class::new(self.classes.len()));
        }
        let number = self.classes[class].fullest_open().unwrap_or_else(|| {
            let Class { cell, capacity, .. } = self.classes[class];
            self.classes[class].pages += 1;
            self.bytes += usize::from(capacity) * cell as usize;
            self.add_page(Page::new(cell as usize, capacity))
        });
        self.take_shared(class, number)
    }

    /// Frees a cell. O(1).
    pub(crate) fn give_back(&mut self, cell: Cell) {
        let number = cell.page();
        let page = &mut self.pages[number as usize];
        page.give_back(cell.number());
        let (is_empty, size) = (page.live == 0, page.cell as usize);
        let Some(class) = class_of(size) else {
            return self.drop_page(number);
        };
        self.classes[class].live -= 1;
        self.live_bytes -= size;
        self.last = class;
        self.list(class, number);
        // The only page with a free cell stays, for who takes and gives back by turns.
        if is_empty && self.classes[class].open_len() > 1 {
            self.drop_shared(class, number);
        }
        if self.classes[class].is_sparse() {
            self.sparse |= 1 << class;
        }
    }

    /// Moves the content of one cell to a page that is fuller, if any size has too few cells in use
    /// for its pages. Returns the cell's old and new name; the old one is free. O(1).
    ///
    /// Called once for each cell that is given back, it keeps memory below two times that of the
    /// cells in use and 1 MiB.
    pub(crate) fn relocate(&mut self) -> Option<(Cell, Cell)> {
        if !self.is_sparse() {
            return None;
        }
        let (class, from) = self.sparse_page()?;
        let to = self.classes[class].fullest_open();
        let to = to.filter(|to| *to != from)?;
        let scan = &mut self.classes[class].scan;
        let old = Cell::new(from, self.pages[from as usize].next_live(scan)?);
        let new = self.take_shared(class, to);
        let pages = [from as usize, to as usize];
        let [from, target] = self.pages.get_disjoint_mut(pages).expect("two open pages");
        target
            .cell_mut(new.number())
            .copy_from_slice(from.cell(old.number()));
        self.give_back(old);
        Some((old, new))
    }

    /// Whether [`relocate`](Self::relocate) has something to do. O(1).
    pub(crate) const fn is_sparse(&self) -> bool {
        self.sparse != 0 && self.bytes > 2 * self.live_bytes + SLACK
    }

    #[inline]
    pub(crate) fn get(&self, cell: Cell) -> &[u8] {
        self.pages[cell.page() as usize].cell(cell.number())
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, cell: Cell) -> &mut [u8] {
        self.pages[cell.page() as usize].cell_mut(cell.number())
    }

    /// Checks that the books agree with the pages. O(cells).
    ///
    /// # Panics
    ///
    /// If they do not.
    pub(crate) fn check_invariants(&self) {
        let mut found = alloc::vec![(0, 0, 0); self.classes.len()];
        let mut absent = 0;
        for (number, page) in self.pages.iter().enumerate() {
            page.check_invariants();
            absent += usize::from(page.capacity == 0);
            let class = class_of(page.cell as usize).filter(|_| page.capacity > 0);
            let Some(class) = class else {
                assert_eq!(page.slot, NO_SLOT, "a page of its own is in no list");
                continue;
            };
            let (pages, live, open) = &mut found[class];
            (*pages, *live) = (*pages + 1, *live + usize::from(page.live));
            let Some(list) = page.openness() else {
                assert_eq!(page.slot, NO_SLOT, "a full page is in no list");
                continue;
            };
            *open += 1;
            let listed = self.classes[class].open[list].get(page.slot as usize);
            assert_eq!(listed, Some(&(number as u32)), "an open page is listed");
        }
        let (mut bytes, mut live_bytes) = (0, 0);
        for (number, (class, found)) in self.classes.iter().zip(found).enumerate() {
            assert_eq!((class.pages, class.live, class.open_len()), found);
            let is_known = self.sparse >> number & 1 == 1;
            assert!(is_known || !class.is_sparse(), "a sparse class is known");
            bytes += class.pages * usize::from(class.capacity) * class.cell as usize;
            live_bytes += class.live * class.cell as usize;
        }
        assert_eq!((self.bytes, self.live_bytes), (bytes, live_bytes));
        let is_absent = |number: &u32| {
            let page = self.pages.get(*number as usize);
            page.is_none_or(|page| page.capacity == 0)
        };
        assert!(self.absent.iter().all(is_absent) && self.absent.len() >= absent);
    }

    /// Checks that no more than half of the memory is free, and some pages of each size.
    ///
    /// # Panics
    ///
    /// If more is.
    pub(crate) fn check_is_compact(&self) {
        let used = self.classes.iter().filter(|class| class.pages > 0);
        let most = 2 * self.live_bytes + SLACK + 2 * PAGE_BYTES * used.count();
        assert!(self.bytes <= most, "{} bytes, and not {most}", self.bytes);
    }

    /// How many bytes all pages have.
    #[cfg(test)]
    pub(crate) fn all_bytes(&self) -> usize {
        let bytes = |page: &Page| usize::from(page.capacity) * page.cell as usize;
        self.pages.iter().map(bytes).sum()
    }

    /// A class that is sparse and the page to be emptied: the same one until it is empty.
    fn sparse_page(&mut self) -> Option<(usize, u32)> {
        while self.sparse != 0 {
            let class = match self.sparse >> self.last & 1 {
                1 => self.last,
                _ => self.sparse.trailing_zeros() as usize,
            };
            let first = self.classes[class].open[SPARSE].first().copied();
            match first.filter(|_| self.classes[class].is_sparse()) {
                None => self.sparse &= !(1 << class),
                Some(page) if self.pages[page as usize].live == 0 => self.drop_shared(class, page),
                Some(page) => return Some((class, page)),
            }
        }
        None
    }

    fn take_shared(&mut self, class: usize, number: u32) -> Cell {
        let Class { live, cell, .. } = &mut self.classes[class];
        *live += 1;
        self.live_bytes += *cell as usize;
        let cell = self.take_from(number);
        self.list(class, number);
        cell
    }

    fn take_from(&mut self, number: u32) -> Cell {
        Cell::new(number, self.pages[number as usize].take())
    }

    fn add_page(&mut self, page: Page) -> u32 {
        while let Some(number) = self.absent.pop() {
            if let Some(absent) = self.pages.get_mut(number as usize) {
                *absent = page;
                return number;
            }
        }
        let number = self.pages.len();
        assert!(number < 1 << PAGE_BITS, "the arena is full");
        self.pages.push(page);
        number as u32
    }

    fn drop_shared(&mut self, class: usize, number: u32) {
        self.unlist(class, number);
        let page = &self.pages[number as usize];
        self.bytes -= usize::from(page.capacity) * page.cell as usize;
        self.classes[class].pages -= 1;
        self.drop_page(number);
    }

    fn drop_page(&mut self, number: u32) {
        self.pages[number as usize] = Page::new(0, 0);
        self.absent.push(number);
        while self.pages.pop_if(|page| page.capacity == 0).is_some() {}
        shrink(&mut self.pages);
        if self.absent.len() > 2 * self.pages.len() {
            let end = self.pages.len();
            self.absent.retain(|number| (*number as usize) < end);
            shrink(&mut self.absent);
        }
    }

    /// Puts a page into the list where it belongs.
    fn list(&mut self, class: usize, number: u32) {
        let page = &self.pages[number as usize];
        let wanted = page.openness();
        let is_there = |list: usize| {
            let listed = self.classes[class].open[list].get(page.slot as usize);
            listed.is_some_and(|listed| *listed == number)
        };
        match wanted {
            Some(list) if is_there(list) => return,
            None if page.slot == NO_SLOT => return,
            _ => self.unlist(class, number),
        }
        if let Some(list) = wanted {
            let open = &mut self.classes[class].open[list];
            self.pages[number as usize].slot = open.len() as u32;
            open.push(number);
        }
    }

    /// Takes a page from the list where it is, if it is in one.
    fn unlist(&mut self, class: usize, number: u32) {
        let slot = core::mem::replace(&mut self.pages[number as usize].slot, NO_SLOT);
        for open in &mut self.classes[class].open {
            if open.get(slot as usize) != Some(&number) {
                continue;
            }
            open.swap_remove(slot as usize);
            if let Some(moved) = open.get(slot as usize) {
                self.pages[*moved as usize].slot = slot;
            }
            return shrink(open);
        }
    }
}

impl Class {
    fn new(class: usize) -> Self {
        let cell = size_of_class(class);
        let capacity = (PAGE_BYTES / cell).min(1 << CELL_BITS);
        Self {
            cell: cell as u32,
            capacity: capacity as u16,
            pages: 0,
            live: 0,
            open: [Vec::new(), Vec::new()],
            scan: 0,
        }
    }

    fn open_len(&self) -> usize {
        self.open[SPARSE].len() + self.open[DENSE].len()
    }

    fn fullest_open(&self) -> Option<u32> {
        let [sparse, dense] = &self.open;
        dense.last().or(sparse.last()).copied()
    }

    /// Whether more than a page's worth and more than half of the cells are free: the free cells
    /// of the others can take those of the first page that is no more than half full.
    fn is_sparse(&self) -> bool {
        let capacity = usize::from(self.capacity);
        self.pages.saturating_sub(1) * capacity > 2 * self.live
    }
}

/// Gives memory back that a shorter vector does not need.
fn shrink<T>(vec: &mut Vec<T>) {
    if vec.len() < vec.capacity() / 4 && vec.capacity() > 64 {
        vec.shrink_to(vec.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use super::size::MAX_SHARED;
    use super::*;
    use crate::table::arena::page::MARK;

    /// An arena beside a map of what its cells must hold.
    struct Model {
        arena: Arena,
        held: BTreeMap<u32, (usize, u8)>,
        // To choose from; some are not held any more.
        names: Vec<u32>,
        state: u64,
        relocated: usize,
    }

    impl Model {
        fn new(seed: u64) -> Self {
            Self {
                arena: Arena::new(),
                held: BTreeMap::new(),
                names: Vec::new(),
                state: seed,
                relocated: 0,
            }
        }

        fn random(&mut self, below: usize) -> usize {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            (self.state % below as u64) as usize
        }

        fn take(&mut self, len: usize) {
            let byte = 1 + self.random(255) as u8;
            let cell = self.arena.take(len);
            self.arena.get_mut(cell)[..len].fill(byte);
            self.arena.get_mut(cell)[..MARK].fill(byte);
            let old = self.held.insert(cell.to_bits(), (len, byte));
            assert_eq!(old, None, "a cell is taken once");
            self.names.push(cell.to_bits());
        }

        fn give_back(&mut self, bits: u32) {
            self.held.remove(&bits).expect("it is held");
            self.arena.give_back(Cell::from_bits(bits));
            if let Some((old, new)) = self.arena.relocate() {
                let content = self.held.remove(&old.to_bits()).expect("it was in use");
                assert_eq!(self.held.insert(new.to_bits(), content), None);
                self.names.push(new.to_bits());
                self.relocated += 1;
            }
        }

        fn give_back_any(&mut self) {
            while !self.names.is_empty() {
                let at = self.random(self.names.len());
                let name = self.names.swap_remove(at);
                if self.held.contains_key(&name) {
                    return self.give_back(name);
                }
            }
        }

        fn check(&self) {
            let (mut bytes, mut shared) = (0, 0);
            for (bits, (len, byte)) in &self.held {
                let cell = self.arena.get(Cell::from_bits(*bits));
                assert!(cell[..*len].iter().all(|found| found == byte));
                bytes += cell.len();
                shared += if *len > MAX_SHARED { 0 } else { cell.len() };
            }
            assert_eq!(self.arena.live_bytes, shared);
            assert_eq!(self.arena.all_bytes() - self.arena.bytes, bytes - shared);
            let used: usize = self.arena.classes.iter().map(|class| class.live).sum();
            let own = |(len, _): &&(usize, u8)| *len > MAX_SHARED;
            assert_eq!(
                used + self.held.values().filter(own).count(),
                self.held.len()
            );
            self.arena.check_invariants();
            self.arena.check_is_compact();
        }
    }

    #[test]
    fn cells_keep_what_they_are_given_and_memory_follows_them_whatever_comes_and_goes() {
        const LENS: [usize; 10] = [20, 21, 52, 128, 129, 1_000, 4_096, 4_097, 30_000, 52];
        let mut relocated = 0;
        for seed in 1..=4 {
            let mut model = Model::new(seed);
            for _ in 0..12 {
                let (lens, ops) = (1 + model.random(LENS.len()), model.random(16_000));
                let grows = model.random(10);
                for _ in 0..ops {
                    if model.random(10) < grows {
                        let len = LENS[model.random(lens)];
                        model.take(len);
                    } else {
                        model.give_back_any();
                    }
                }
                model.check();
            }
            while !model.held.is_empty() {
                model.give_back_any();
            }
            model.check();
            relocated += model.relocated;
        }
        assert!(relocated > 100, "{relocated} cells have moved");
    }

    #[test]
    fn what_is_left_of_many_pages_moves_together() {
        let mut model = Model::new(1);
        (0..50_000).for_each(|_| model.take(52));
        let cells: Vec<_> = model.held.keys().copied().collect();
        for (at, cell) in cells.iter().enumerate() {
            // Once relocated it is not held any more under this name.
            if at % 300 > 0 && model.held.contains_key(cell) {
                model.give_back(*cell);
            }
        }
        while model.held.len() > 167 {
            model.give_back_any();
        }
        model.check();
        assert!(model.relocated > 100);
        assert!(model.arena.all_bytes() < SLACK + 4 * PAGE_BYTES);
        assert!(model.arena.absent.len() <= 2 * model.arena.pages.len());
    }

    #[test]
    fn a_large_cell_leaves_nothing_behind_and_a_small_one_a_page() {
        let mut model = Model::new(1);
        for len in [4_097, 100_000, 10_000_000] {
            model.take(len);
            assert!(model.arena.all_bytes() == len, "no more than asked for");
            model.give_back_any();
            assert_eq!((model.arena.all_bytes(), model.arena.pages.len()), (0, 0));
        }
        model.take(52);
        let bytes = model.arena.all_bytes();
        model.give_back_any();
        assert_eq!(model.arena.all_bytes(), bytes, "for who takes it again");
    }

    #[test]
    fn numbers_of_pages_and_cells_are_used_again() {
        let mut model = Model::new(1);
        (0..2_000).for_each(|_| model.take(52));
        let (pages, bytes) = (model.arena.pages.len(), model.arena.all_bytes());
        for _ in 0..3 {
            while !model.held.is_empty() {
                model.give_back_any();
            }
            assert!(model.arena.all_bytes() <= PAGE_BYTES);
            (0..2_000).for_each(|_| model.take(52));
            let same = (model.arena.pages.len(), model.arena.all_bytes());
            assert_eq!(same, (pages, bytes));
        }
    }
}
