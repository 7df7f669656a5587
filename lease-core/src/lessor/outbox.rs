use std::collections::VecDeque;

use super::sleepers::Sleepers;
use crate::ExpiredBatch;

/// The batches between the lessor and the host.
pub(super) struct Outbox {
    // Oldest first.
    pub(super) batches: VecDeque<ExpiredBatch>,
    capacity: usize,
    pub(super) receivers: Sleepers,
}

impl Outbox {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            batches: VecDeque::new(),
            capacity,
            receivers: Sleepers::default(),
        }
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.batches.len() >= self.capacity
    }
}
