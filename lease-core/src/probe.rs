//! What only the simulation's build has: planted bugs, which prove that its checkers can fail, and
//! marks, which prove that a run has reached what it is meant to test.
//!
//! In any other build `planted!` is `false`, `sometimes!` nothing, and `sized!` the number itself.

#[cfg(all(madsim, feature = "std"))]
use std::{cell::Cell, cell::RefCell, collections::BTreeMap};

/// Whether this bug is planted in the world that runs on this thread.
#[cfg(all(madsim, feature = "std"))]
macro_rules! planted {
    ($bug:literal) => {
        $crate::probe::is_planted($bug)
    };
}

#[cfg(not(all(madsim, feature = "std")))]
macro_rules! planted {
    ($bug:literal) => {
        false
    };
}

/// Notes that the world that runs on this thread came by here.
#[cfg(all(madsim, feature = "std"))]
macro_rules! sometimes {
    ($mark:literal) => {
        $crate::probe::mark($mark)
    };
}

#[cfg(not(all(madsim, feature = "std")))]
macro_rules! sometimes {
    ($mark:literal) => {};
}

/// A number that bounds a piece of work: in the simulation's build what the world wants, if that is
/// less, so that a few leases take several pieces.
#[cfg(all(madsim, feature = "std"))]
macro_rules! sized {
    ($number:expr) => {
        $crate::probe::sized_here($number)
    };
}

#[cfg(not(all(madsim, feature = "std")))]
macro_rules! sized {
    ($number:expr) => {
        $number
    };
}

pub(crate) use {planted, sized, sometimes};

#[cfg(all(madsim, feature = "std"))]
std::thread_local! {
    static PLANTED: Cell<Option<&'static str>> = const { Cell::new(None) };
    static KNOBS: Cell<Knobs> = const { Cell::new(Knobs::PRODUCTION) };
    static MARKS: RefCell<BTreeMap<&'static str, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// What a world sets of the production code, to reach what else takes a million leases or years.
#[cfg(all(madsim, feature = "std"))]
#[derive(Clone, Copy, Debug)]
pub struct Knobs {
    /// The most that one piece of work does.
    pub piece: usize,
    /// How many promotion tags there are, if that is less than there are in production.
    pub tags: u64,
    /// How many batches of expired leases may be on their way, if that is less than in production.
    pub batches: usize,
}

#[cfg(all(madsim, feature = "std"))]
impl Knobs {
    /// As it is in production.
    pub const PRODUCTION: Self = Self {
        piece: usize::MAX,
        tags: u64::MAX,
        batches: usize::MAX,
    };
}

/// Sets the knobs of the worlds of this thread.
#[cfg(all(madsim, feature = "std"))]
pub fn set_knobs(knobs: Knobs) {
    KNOBS.set(knobs);
}

/// The knobs of the worlds of this thread.
#[cfg(all(madsim, feature = "std"))]
#[must_use]
pub fn knobs() -> Knobs {
    KNOBS.get()
}

#[cfg(all(madsim, feature = "std"))]
pub(crate) fn sized_here(number: usize) -> usize {
    number.min(KNOBS.get().piece)
}

#[cfg(all(madsim, feature = "std"))]
pub(crate) fn tags() -> u64 {
    KNOBS.get().tags
}

#[cfg(all(madsim, feature = "std"))]
pub(crate) fn batches() -> usize {
    KNOBS.get().batches
}

/// Plants a bug into the worlds of this thread, or takes it out.
#[cfg(all(madsim, feature = "std"))]
pub fn plant(bug: Option<&'static str>) {
    PLANTED.set(bug);
}

/// Whether this bug is planted into the worlds of this thread.
#[cfg(all(madsim, feature = "std"))]
#[must_use]
pub fn is_planted(bug: &str) -> bool {
    PLANTED.get().is_some_and(|planted| planted == bug)
}

/// Counts a mark.
#[cfg(all(madsim, feature = "std"))]
pub fn mark(mark: &'static str) {
    MARKS.with_borrow_mut(|marks| *marks.entry(mark).or_default() += 1);
}

/// Takes the marks that this thread has counted.
#[cfg(all(madsim, feature = "std"))]
#[must_use]
pub fn take_marks() -> BTreeMap<&'static str, u64> {
    MARKS.take()
}
