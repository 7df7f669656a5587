use std::any::Any;
use std::cell::RefCell;
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
    INSIDE.with(|inside| inside.borrow_mut().push(lessor));
    let result = isolate(whose, code);
    INSIDE.with(|inside| inside.borrow_mut().pop());
    result
}

/// Whether this thread is in code that this lessor has called.
pub(super) fn is_inside(lessor: usize) -> bool {
    INSIDE.with(|inside| inside.borrow().contains(&lessor))
}

/// Whether this thread is in code that any lessor has called.
pub(super) fn is_inside_any() -> bool {
    INSIDE.with(|inside| !inside.borrow().is_empty())
}

crate::sync::thread_local! {
    // The lessors whose commands this thread is inside of.
    static INSIDE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
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
