//! Readers beside commits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use lease_core::{Backend, Epoch};

use super::{Case, declare, keys, row};

declare! {
    whole_batches => "a reader beside commits sees whole batches only",
}

/// Every batch moves all rows on to the same number, so that a mixture shows.
fn whole_batches(case: &Case<'_>) {
    let backend = case.open();
    let backend = &*backend;
    let is_done = AtomicBool::new(false);
    commit_round(case, backend, 1);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    verify_one_round(case, backend);
                }
            });
        }
        // A reader ends also when a commit panics.
        let _done = SetOnDrop(&is_done);
        for round in 2..=100 {
            commit_round(case, backend, round);
        }
    });
    verify_one_round(case, backend);
}

fn commit_round(case: &Case<'_>, backend: &dyn Backend, round: i64) {
    case.commit(backend, |batch| {
        for number in -5..=5 {
            if number != 0 {
                batch.put_lease(row(number, round));
            }
        }
        for key in ["a", "b", "c"] {
            batch.put(keys(), key, round.to_be_bytes());
        }
        batch.put_epoch(Epoch::new(round as u64));
    });
}

fn verify_one_round(case: &Case<'_>, backend: &dyn Backend) {
    let rows = case.rows(backend);
    let expected = vec![rows[0].ttl; 10];
    let ttls: Vec<_> = rows.iter().map(|row| row.ttl).collect();
    case.equal_lists("TTLs of one load", &ttls, &expected);

    let mut first = None;
    let epoch = backend.load(&mut |row| first = first.or(Some(row.ttl.as_secs())));
    let epoch = case.ok("load", epoch);
    case.equal("epoch and TTL of one load", &first, &Some(epoch.get()));

    let values: Vec<_> = (case.scan(backend, &keys()).into_iter().map(|row| row.1)).collect();
    let expected = vec![values[0].clone(); 3];
    case.equal_lists("values of one scan", &values, &expected);
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
