//! What is done a part at a time, which here is two leases.

use shuttle::future::block_on;

use super::model::IDS;
use super::op::What;
use super::world::{SLOWLY, Setting, World, join, lease};
use super::{explore, one_of};
use crate::{Durability, LeaseError, Lessor};

/// INV-21: each of many leases has the answer that says what has become of it, also if the store fails
/// between two parts.
#[test]
fn parts_revokes() {
    explore(|| run(World::revoke_all, one_of(&[0, 3])));
}

#[test]
fn parts_renewals() {
    explore(|| run(World::renew_all, 0));
}

fn run(work: fn(&World), fails_one_in: usize) {
    let setting = Setting {
        durability: one_of(&[Durability::EveryCommand, SLOWLY]),
        fails_one_in,
        ..Setting::default()
    };
    let world = World::with_tasks(setting, |builder| builder);
    for id in ALL {
        let _failed = world.grant(id);
    }
    let mut threads = world.spawn_many(1, 2);
    threads.push(world.spawn(work));
    join(threads);
    world.finish();
}

/// One and a half parts.
const ALL: [i64; IDS] = [1, 2, 3];

impl World {
    fn revoke_all(&self) {
        let ids = ALL.map(lease);
        let began = self.history.step();
        let answers = match self.by_task() {
            Some(tasks) => block_on(tasks.revoke_many(&ids)),
            None => self.lessor.revoke_many(&ids),
        };
        // With a failure of the whole nothing is revoked.
        let answers = answers.unwrap_or_else(|error| Vec::from(ALL.map(|_| Err(error.clone()))));
        self.note_all(began, &answers, What::Revoke);
    }

    fn renew_all(&self) {
        let ids = ALL.map(lease);
        let began = self.history.step();
        let answers = match self.by_task() {
            Some(tasks) => block_on(tasks.renew_many(&ids)),
            None => self.lessor.renew_many(&ids),
        };
        self.note_all(began, &answers, What::Renew);
    }

    // Each may have been done at any time since `began`.
    fn note_all<T: Clone>(
        &self,
        began: usize,
        answers: &[Result<T, LeaseError>],
        what: impl Fn(i64, Result<T, LeaseError>) -> What,
    ) {
        assert_eq!(answers.len(), ALL.len(), "an answer for each");
        for (id, answer) in ALL.into_iter().zip(answers) {
            self.note_since(began, || what(id, answer.clone()));
        }
    }
}
