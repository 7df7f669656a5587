//! What a lessor shows of itself.

use std::panic::{AssertUnwindSafe, catch_unwind};

use lease_core::{BackendLessor, Lessor};

use crate::spec::State;

/// The replicated state.
pub(super) fn state(lessor: &BackendLessor) -> State {
    let rows = lessor.rows();
    let mut keys = Vec::new();
    for row in &rows {
        let Some(lease) = lessor.lookup(row.id) else {
            continue;
        };
        for key in lease.keys() {
            if let [key] = key.as_bytes() {
                keys.push((*key, row.id.get()));
            }
        }
    }
    State::of(lessor.epoch().get(), &rows, keys)
}

/// Which of its invariants does not hold.
pub(super) fn broken(lessor: &BackendLessor) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(|| lessor.check_invariants())).err()?;
    let text = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    Some(text.unwrap_or_else(|| "an invariant does not hold".into()))
}
