//! What only the simulation's build has: planted bugs, which prove that its checkers can fail, and
//! marks, which prove that a run has reached what it is meant to test.
//!
//! In any other build `planted!` is `false` and `sometimes!` nothing.

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

pub(crate) use {planted, sometimes};

#[cfg(all(madsim, feature = "std"))]
std::thread_local! {
    static PLANTED: Cell<Option<&'static str>> = const { Cell::new(None) };
    static MARKS: RefCell<BTreeMap<&'static str, u64>> = const { RefCell::new(BTreeMap::new()) };
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
