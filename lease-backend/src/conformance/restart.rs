//! What is committed is there when the store is opened again.

use lease_core::Epoch;

use super::{Case, declare, id, keys, row};
use crate::testing::{Model, Workload};

declare! {
    keeps_everything => "a reopened store has every lease row, host row and the epoch",
    keeps_deletes => "what was deleted stays deleted when the store is opened again",
    keeps_a_history => "a store that is opened again after each batch keeps all of them",
}

fn keeps_everything(case: &Case<'_>) {
    case.commit(&*case.open(), |batch| {
        batch.put_lease(row(-1, 10));
        batch.put_lease(row(1, 10));
        batch.put(keys(), "k", "v");
        batch.put_epoch(Epoch::new(4));
    });
    let backend = case.open();
    let expected = [row(-1, 10), row(1, 10)];
    case.equal_lists("rows", &case.rows(&*backend), &expected);
    case.equal("epoch", &case.epoch(&*backend), &Epoch::new(4));
    let expected = [("k".into(), "v".into())];
    case.equal_lists("keys", &case.scan(&*backend, &keys()), &expected);
}

fn keeps_deletes(case: &Case<'_>) {
    case.commit(&*case.open(), |batch| {
        batch.put_lease(row(1, 10));
        batch.put(keys(), "k", "v");
    });
    case.commit(&*case.open(), |batch| {
        batch.delete_lease(id(1));
        batch.delete(keys(), "k");
    });
    let backend = case.open();
    case.equal_lists("rows", &case.rows(&*backend), &[]);
    case.equal_lists("keys", &case.scan(&*backend, &keys()), &[]);
}

fn keeps_a_history(case: &Case<'_>) {
    let mut workload = Workload::new(2);
    let mut model = Model::default();
    for step in 0..20 {
        let backend = case.open();
        let found = case.ok("read", Model::read(&*backend, workload.tables()));
        case.equal(&format!("after batch {step}"), &found, &model);
        let batch = workload.batch(20);
        case.ok("commit", backend.commit(&batch));
        model.apply(&batch);
    }
}
