use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::HostError;

/// Runs code of the host's, or of a backend, and makes a panic an error.
pub(super) fn isolate<R>(whose: &str, code: impl FnOnce() -> R) -> Result<R, HostError> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|panic| {
        let message = message(&*panic);
        HostError::new(format!("the {whose} panicked: {message}"))
    })
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
