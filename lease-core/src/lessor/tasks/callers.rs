use std::collections::VecDeque;

use super::super::job::Call;
use crate::sync::{Bell, Mutex, MutexGuard, lock};

/// What one thread that has many places in the line is told: which of them was called, and when to look.
#[derive(Default)]
pub(in crate::lessor) struct Callers {
    calls: Mutex<VecDeque<(u64, Call)>>,
    bell: Bell,
}

impl Callers {
    pub(in crate::lessor) fn put(&self, place: u64, call: Call) {
        self.lock().push_back((place, call));
        self.bell.ring();
    }

    /// The first calls that nobody has taken, with their places.
    pub(super) fn take(&self, most: usize) -> Vec<(u64, Call)> {
        let mut calls = self.lock();
        let len = calls.len().min(most);
        calls.drain(..len).collect()
    }

    /// Has the thread look.
    pub(super) fn ring(&self) {
        self.bell.ring();
    }

    pub(super) fn wait(&self) {
        self.bell.wait();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(u64, Call)>> {
        lock(&self.calls)
    }
}
