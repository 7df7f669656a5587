//! What an observer is told of leases that expire or are revoked, and of their items.

use std::sync::{Arc, Mutex, PoisonError};

use lease_core::{
    BackendLessorBuilder, Command, Driver, ExpiryMode, LeaseId, Lessor, LessorEvent, Observer,
    Revocation, RevokeReason, Table, TableDeleter, WriteBatch,
};

use crate::{BATCHED, Bench, bench, id, items};

/// Keeps what it is told of the ends of leases.
#[derive(Default)]
struct Ends {
    wants_items: bool,
    wants_attachments: bool,
    heard: Mutex<Vec<String>>,
}

impl Observer for Ends {
    fn observe(&self, event: &LessorEvent<'_>) {
        let texts = |items: &[lease_core::LeaseItem]| {
            let texts: Vec<_> = items.iter().map(ToString::to_string).collect();
            texts.join(",")
        };
        let line = match event {
            LessorEvent::Expired { batch, items } => {
                let ids: Vec<_> = batch.leases.iter().map(|lease| lease.id.get()).collect();
                let items: Vec<_> = items.iter().map(|items| texts(items)).collect();
                format!("expired {ids:?} {items:?}")
            }
            LessorEvent::Revoked { id, reason, items } => {
                let reason = match reason {
                    RevokeReason::User => "user",
                    _ => "expired",
                };
                format!("revoked {} {reason} [{}]", id.get(), texts(items))
            }
            LessorEvent::Attached { id, items } => {
                format!("attached {} [{}]", id.get(), texts(items))
            }
            LessorEvent::Detached { id, items } => {
                format!("detached {} [{}]", id.get(), texts(items))
            }
            _ => return,
        };
        self.heard().push(line);
    }

    fn wants_items(&self) -> bool {
        self.wants_items
    }

    fn wants_attachments(&self) -> bool {
        self.wants_attachments
    }
}

impl Ends {
    fn heard(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.heard())
    }
}

fn observed(
    wants_items: bool,
    build: impl FnOnce(BackendLessorBuilder) -> BackendLessorBuilder,
) -> (Bench, Arc<Ends>) {
    let ends = Arc::new(Ends {
        wants_items,
        ..Ends::default()
    });
    let bench = bench(|builder| build(builder).observer(ends.clone()));
    (bench, ends)
}

/// Leases with the items a and b, c, and none.
fn with_items(bench: &Bench) -> [LeaseId; 3] {
    let ids = [1, 2, 3].map(id);
    for id in ids {
        bench.lessor.grant(id, 10).expect("free");
    }
    let attached = bench.lessor.attach(ids[0], &items(&["b", "a"]));
    attached.expect("there");
    bench.lessor.attach(ids[1], &items(&["c"])).expect("there");
    ids
}

type Build = fn(BackendLessorBuilder) -> BackendLessorBuilder;

/// Each way that a command can go.
const WAYS: [Build; 3] = [
    |builder| builder,
    |builder| builder.durability(BATCHED),
    |builder| {
        let deleter = TableDeleter::new(Table::new("kv"));
        builder.durability(BATCHED).range_deleter(Arc::new(deleter))
    },
];

#[test]
fn whatever_revokes_a_lease_is_told_with_its_items() {
    for way in WAYS {
        let (bench, ends) = observed(true, way);
        let [first, second, third] = with_items(&bench);
        bench.lessor.revoke(first).expect("there");
        assert_eq!(ends.take(), ["revoked 1 user [a,b]"]);
        let answers = bench.lessor.revoke_many(&[third, second, second]);
        assert_eq!(answers.map(|answers| answers.len()), Ok(3));
        let both = ["revoked 3 user []", "revoked 2 user [c]"];
        assert_eq!(ends.take(), both);

        let [first, ..] = with_items(&bench);
        let command = Revocation::by_user(first).into();
        let applied = bench.lessor.apply(&command, WriteBatch::default());
        applied.expect("it works");
        assert_eq!(ends.take(), ["revoked 1 user [a,b]"]);
        bench.advance(10);
        let batch = bench.lessor.expired_leases().try_recv().expect("due");
        assert_eq!(ends.take(), [r#"expired [2, 3] ["c", ""]"#]);
        let revoke = Command::Revoke(batch.revocations().collect());
        let applied = bench.lessor.apply(&revoke, WriteBatch::default());
        applied.expect("it works");
        let expired = ["revoked 2 expired [c]", "revoked 3 expired []"];
        assert_eq!(ends.take(), expired);
        assert!(bench.lessor.leases().is_empty());
    }
}

#[test]
fn a_lessor_that_revokes_by_itself_tells_both() {
    for way in WAYS {
        let (bench, ends) = observed(true, |builder| way(builder).expiry(ExpiryMode::AutoRevoke));
        with_items(&bench);
        bench.advance(10);
        let mut heard = ends.take();
        assert_eq!(heard.remove(0), r#"expired [1, 2, 3] ["a,b", "c", ""]"#);
        // What the host has something to delete for goes apart.
        heard.sort_unstable();
        let revoked = [
            "revoked 1 expired [a,b]",
            "revoked 2 expired [c]",
            "revoked 3 expired []",
        ];
        assert_eq!(heard, revoked);
    }
}

#[test]
fn nobody_who_does_not_ask_is_told_items() {
    for way in WAYS {
        let (bench, ends) = observed(false, way);
        let [first, ..] = with_items(&bench);
        bench.lessor.revoke(first).expect("there");
        bench.advance(10);
        let heard = ["revoked 1 user []", "expired [2, 3] []"];
        assert_eq!(ends.take(), heard);
    }
}

#[test]
fn one_of_several_observers_may_ask() {
    let both = [false, true].map(|wants_items| {
        Arc::new(Ends {
            wants_items,
            ..Ends::default()
        })
    });
    let observers: Vec<Arc<dyn Observer>> = both.iter().map(|one| one.clone() as _).collect();
    let bench = bench(|builder| builder.observer(Arc::new(observers)));
    let [first, ..] = with_items(&bench);
    bench.lessor.revoke(first).expect("there");
    for ends in both {
        assert_eq!(ends.take(), ["revoked 1 user [a,b]"]);
    }
}

#[test]
fn a_lease_with_very_many_items_is_told_with_all() {
    let (bench, ends) = observed(true, |builder| {
        builder.durability(BATCHED).driver(Driver::Manual)
    });
    bench.lessor.grant(id(1), 10).expect("free");
    let names: Vec<_> = (0..5_000).map(|number| format!("{number:04}")).collect();
    let many: Vec<_> = names.iter().map(|name| name.clone().into()).collect();
    bench.lessor.attach(id(1), &many).expect("there");
    bench.advance(10);
    bench.lessor.revoke(id(1)).expect("there");
    let names = names.join(",");
    let heard = [
        format!("expired [1] [{names:?}]"),
        format!("revoked 1 user [{names}]"),
    ];
    assert_eq!(ends.take(), heard);
}

/// An observer that panics when it is asked wants nothing, and is told all the same.
#[test]
fn an_observer_that_panics_gets_no_items() {
    struct Panics(Ends);

    impl Observer for Panics {
        fn observe(&self, event: &LessorEvent<'_>) {
            self.0.observe(event);
        }

        fn wants_items(&self) -> bool {
            panic!("it does not know")
        }
    }

    let panics = Arc::new(Panics(Ends::default()));
    let bench = bench(|builder| builder.observer(panics.clone()));
    let [first, ..] = with_items(&bench);
    bench.lessor.revoke(first).expect("there");
    assert_eq!(panics.0.take(), ["revoked 1 user []"]);
}

#[test]
fn an_observer_is_told_of_attachments_if_it_asks() {
    for (wants_attachments, is_batched) in [(true, false), (true, true), (false, true)] {
        let ends = Arc::new(Ends {
            wants_attachments,
            ..Ends::default()
        });
        let bench = bench(|builder| {
            let builder = if is_batched {
                builder.durability(BATCHED)
            } else {
                builder
            };
            builder.observer(ends.clone())
        });
        let [one, other, _] = with_items(&bench);
        let moved = bench.lessor.attach(other, &items(&["a", "c", "d"]));
        moved.expect("there");
        let gone = bench.lessor.detach(one, &items(&["b", "c"]));
        gone.expect("there");
        let all = [
            "attached 1 [a,b]",
            "attached 2 [c]",
            "detached 1 [a]",
            "attached 2 [a,d]",
            "detached 1 [b]",
        ];
        let expected = if wants_attachments { &all[..] } else { &[] };
        assert_eq!(ends.take(), expected);
    }
}
