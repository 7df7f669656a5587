//! Random histories against a model.

use super::{Case, declare};
use crate::testing::{Model, Workload};

declare! {
    against_a_model => "a random history leaves what it leaves in a model",
}

fn against_a_model(case: &Case<'_>) {
    for seed in 0..3 {
        let mut workload = Workload::new(seed);
        let backend = case.open();
        let mut model = case.ok("read", Model::read(&*backend, workload.tables()));
        for step in 0..50 {
            let batch = workload.batch(30);
            case.ok("commit", backend.commit(&batch));
            model.apply(&batch);
            let found = case.ok("read", Model::read(&*backend, workload.tables()));
            case.equal(&format!("seed {seed}, step {step}"), &found, &model);
            check_gets(case, &*backend, &model);
        }
    }
}

fn check_gets(case: &Case<'_>, backend: &dyn lease_core::Backend, model: &Model) {
    for (table, rows) in &model.host {
        for (key, value) in rows {
            let found = case.get(backend, table, key);
            case.equal("get", &found.as_ref(), &Some(value));
        }
    }
}
