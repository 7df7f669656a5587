use super::Shared;
use super::sleepers::Sleepers;
use super::state::State;
use crate::sync::Weak;

/// The place of one future among the sleepers, which it leaves when it is dropped.
pub(super) struct Bed {
    shared: Weak<Shared>,
    sleepers: fn(&mut State) -> &mut Sleepers,
    pub(super) place: Option<u64>,
}

impl Bed {
    pub(super) const fn new(
        shared: Weak<Shared>,
        sleepers: fn(&mut State) -> &mut Sleepers,
    ) -> Self {
        Self {
            shared,
            sleepers,
            place: None,
        }
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Some(place) = self.place
            && let Some(shared) = self.shared.upgrade()
            && !shared.state.is_poisoned()
        {
            let leave = |state: &mut State| (self.sleepers)(state).leave(place);
            // The waker is dropped without the lock.
            let _waker = shared.state.with(leave);
        }
    }
}
