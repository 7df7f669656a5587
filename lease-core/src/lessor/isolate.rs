use std::any::Any;
use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::HostError;
use crate::sync::leaf;

/// Runs code of the host's, or of a backend, and makes a panic an error.
pub(super) fn isolate<R>(whose: &str, code: impl FnOnce() -> R) -> Result<R, HostError> {
    leaf::check("code of the host's runs");
    catch_unwind(AssertUnwindSafe(code)).map_err(|panic| {
        let error = HostError::new(format!("the {whose} panicked: {}", message(&*panic)));
        // To drop it would run code of the host's again, which may panic again.
        std::mem::forget(panic);
        error
    })
}

/// As [`isolate`], and notes meanwhile that this thread is in code that a lessor has called.
pub(super) fn isolate_inside<R>(
    lessor: usize,
    whose: &str,
    code: impl FnOnce() -> R,
) -> Result<R, HostError> {
    INSIDE.with(|inside| inside.enter(lessor));
    let result = isolate(whose, code);
    INSIDE.with(Inside::leave);
    result
}

/// Whether this thread is in code that this lessor has called.
pub(super) fn is_inside(lessor: usize) -> bool {
    INSIDE.with(|inside| inside.contains(lessor))
}

/// Whether this thread is in code that any lessor has called.
pub(super) fn is_inside_any() -> bool {
    INSIDE.with(|inside| inside.first.get().is_some())
}

crate::sync::thread_local! {
    static INSIDE: Inside = const { Inside::new() };
}

/// The lessors whose commands a thread is inside of.
///
/// It needs no destructor: a lessor may be used, or stopped, while the thread-local values of its
/// host's thread are destroyed, after this one would have been.
struct Inside {
    first: Cell<Option<usize>>,
    // Of commands inside of commands. Invariant: has no memory while it is empty.
    others: ManuallyDrop<RefCell<Vec<usize>>>,
}

impl Inside {
    const fn new() -> Self {
        Self {
            first: Cell::new(None),
            others: ManuallyDrop::new(RefCell::new(Vec::new())),
        }
    }

    fn enter(&self, lessor: usize) {
        if self.first.get().is_none() {
            self.first.set(Some(lessor));
        } else {
            self.others.borrow_mut().push(lessor);
        }
    }

    fn leave(&self) {
        let mut others = self.others.borrow_mut();
        if others.pop().is_none() {
            self.first.set(None);
        } else if others.is_empty() {
            *others = Vec::new();
        }
    }

    fn contains(&self, lessor: usize) -> bool {
        self.first.get() == Some(lessor) || self.others.borrow().contains(&lessor)
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "no message"
    }
}
