//! What was asked of a lessor and what it answered, and whether there is an order in which that makes
//! sense: the search of Wing and Gong.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};

use super::model::Model;
use super::op::Op;
use crate::LeaseError;

/// Not of `crate::sync`: who takes notes is no part of the schedule.
#[derive(Default)]
pub(super) struct History {
    steps: AtomicUsize,
    ops: Mutex<Vec<Op>>,
}

impl History {
    pub(super) fn step(&self) -> usize {
        self.steps.fetch_add(1, SeqCst)
    }

    pub(super) fn note(&self, op: Op) {
        let mut ops = self.ops.lock().unwrap_or_else(PoisonError::into_inner);
        ops.push(op);
    }

    pub(super) fn ops(&self) -> Vec<Op> {
        self.ops
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Checks that no command has failed for a reason that lies in the host.
    pub(super) fn check_no_failure(&self) {
        let ops = self.ops();
        let failed = ops.iter().find(|op| {
            let is_hosts = |error: &LeaseError| {
                !matches!(
                    error,
                    LeaseError::LeaseNotFound
                        | LeaseError::LeaseExists
                        | LeaseError::NotPrimary
                        | LeaseError::TooManyLeases
                        | LeaseError::DeadlineExceeded
                        | LeaseError::Reentrant
                        | LeaseError::Stopped
                )
            };
            op.what.error().is_some_and(is_hosts)
        });
        assert!(failed.is_none(), "nothing fails here: {failed:?}");
    }

    /// Checks that a model that does one thing after the other could have answered the same.
    pub(super) fn check(&self, start: Model) {
        let mut ops = self.ops();
        assert!(ops.len() <= 128, "a short history");
        ops.sort_by_key(|op| op.began);
        let mut search = Search {
            ops: &ops,
            seen: BTreeSet::new(),
            deepest: 0,
        };
        if !search.from(0, &start) {
            let story: Vec<_> = ops.iter().map(|op| format!("{op:?}")).collect();
            let (count, story) = (search.deepest.count_ones(), story.join("\n"));
            panic!("not linearizable; {count} can be ordered of\n{story}\nfrom {start:?}");
        }
    }
}

struct Search<'a> {
    ops: &'a [Op],
    seen: BTreeSet<(u128, Model)>,
    deepest: u128,
}

impl Search<'_> {
    fn from(&mut self, done: u128, model: &Model) -> bool {
        if done.count_ones() as usize == self.ops.len() {
            return true;
        }
        if !self.seen.insert((done, model.clone())) {
            return false;
        }
        if done.count_ones() > self.deepest.count_ones() {
            self.deepest = done;
        }
        let is_open = |at: &usize| done & 1 << at == 0;
        let open: Vec<_> = (0..self.ops.len()).filter(is_open).collect();
        let end = open.iter().map(|at| self.ops[*at].ended).min();
        for at in open {
            if Some(self.ops[at].began) > end {
                break;
            }
            for next in model.after(&self.ops[at]) {
                if self.from(done | 1 << at, &next) {
                    return true;
                }
            }
        }
        false
    }
}
