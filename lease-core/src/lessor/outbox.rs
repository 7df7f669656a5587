use std::collections::VecDeque;
use std::task::Waker;

use crate::ExpiredBatch;

/// The batches between the lessor and the host.
pub(super) struct Outbox {
    // Oldest first.
    pub(super) batches: VecDeque<ExpiredBatch>,
    capacity: usize,
    pub(super) receivers: Vec<Waker>,
}

impl Outbox {
    pub(super) const fn new(capacity: usize) -> Self {
        Self {
            batches: VecDeque::new(),
            capacity,
            receivers: Vec::new(),
        }
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.batches.len() >= self.capacity
    }
}
