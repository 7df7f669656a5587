//! A host that forgets something is told, before it has lost a day.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lease_core::{
    Clock, Command, Epoch, ExpiryMode, Grant, Lessor, LessorEvent, Observer, Oversight, Ttl,
    WriteBatch,
};

use crate::{bench, id};

#[derive(Default)]
struct Told(Mutex<Vec<Oversight>>);

impl Told {
    fn all(&self) -> Vec<Oversight> {
        self.0.lock().expect("nobody panics").clone()
    }
}

impl Observer for Told {
    fn observe(&self, event: &LessorEvent<'_>) {
        if let LessorEvent::Overlooked(what) = event {
            self.0.lock().expect("nobody panics").push(*what);
        }
    }
}

const ALMOST: Duration = Duration::from_millis(9_999);
const REST: Duration = Duration::from_millis(1);

/// A lessor that was never promoted.
fn unpromoted(told: &Arc<Told>) -> crate::Bench {
    crate::unpromoted_bench(|builder| builder.observer(told.clone()))
}

#[test]
fn who_grants_and_never_promotes_is_told_once() {
    let told = Arc::<Told>::default();
    let bench = unpromoted(&told);
    bench.lessor.tick();
    bench.clock.advance(Duration::from_secs(100));
    bench.lessor.grant(id(1), 1).expect("granted");
    bench.lessor.grant(id(2), 1).expect("granted");
    let due = bench.lessor.tick().expect("it wakes for that");
    bench.clock.advance(ALMOST);
    bench.lessor.tick();
    assert_eq!(told.all(), []);
    bench.clock.advance(REST);
    assert!(
        due <= bench.clock.now(),
        "a driver that sleeps comes in time"
    );
    bench.lessor.tick();
    bench.lessor.grant(id(3), 1).expect("granted");
    bench.clock.advance(Duration::from_secs(100));
    assert_eq!(bench.lessor.tick(), None, "nothing is due any more");
    assert_eq!(told.all(), [Oversight::NotPromoted]);
    assert_eq!(bench.lessor.stats().grants_unpromoted, 3);
}

#[test]
fn who_promotes_within_ten_seconds_is_told_nothing() {
    let told = Arc::<Told>::default();
    let bench = unpromoted(&told);
    bench.lessor.grant(id(1), 3600).expect("granted");
    bench.clock.advance(ALMOST);
    bench.lessor.promote(Duration::ZERO).expect("stored");
    bench.clock.advance(Duration::from_secs(100));
    bench.lessor.tick();
    bench.lessor.demote();
    bench.lessor.grant(id(2), 3600).expect("granted");
    bench.clock.advance(Duration::from_secs(100));
    bench.lessor.tick();
    assert_eq!(told.all(), []);
    assert_eq!(bench.lessor.stats().grants_unpromoted, 1);
}

#[test]
fn a_member_whose_log_grants_has_forgotten_nothing() {
    let told = Arc::<Told>::default();
    let bench = unpromoted(&told);
    let grant = Grant::new(id(1), Ttl::new(1).expect("in range")).into();
    for command in [Command::BeginEpoch(Epoch::new(5)), grant] {
        let applied = bench.lessor.apply(&command, WriteBatch::default());
        applied.expect("applied");
    }
    bench.clock.advance(Duration::from_secs(100));
    assert_eq!(bench.lessor.tick(), None);
    assert_eq!(told.all(), []);
    assert_eq!(bench.lessor.stats().grants_unpromoted, 0);
}

#[test]
fn who_never_takes_expired_leases_is_told_each_time() {
    let told = Arc::<Told>::default();
    let bench = bench(|builder| builder.observer(told.clone()));
    bench.lessor.grant(id(1), 1).expect("granted");
    bench.lessor.grant(id(2), 8).expect("granted");
    bench.clock.advance(Duration::from_secs(1));
    bench.lessor.tick();
    bench.clock.advance(ALMOST);
    bench.lessor.tick();
    assert_eq!(told.all(), []);
    let due = bench.lessor.next_wakeup().expect("it wakes for that");
    bench.clock.advance(REST);
    assert!(due <= bench.clock.now());
    for _ in 0..3 {
        bench.lessor.tick();
    }
    assert_eq!(told.all(), [Oversight::NotTaken]);

    // Both leases are in a batch of their own; the other one lies on.
    let expired = bench.lessor.expired_leases();
    let batch = expired.try_recv().expect("it is there");
    bench.lessor.revoke_expired(&batch).expect("revoked");
    bench.clock.advance(ALMOST);
    bench.lessor.tick();
    assert_eq!(told.all().len(), 1);
    bench.clock.advance(REST);
    bench.lessor.tick();
    assert_eq!(told.all(), [Oversight::NotTaken; 2]);
    assert_eq!(bench.lessor.stats().batches_not_taken, 2);
}

#[test]
fn who_takes_in_time_or_is_no_primary_any_more_is_told_nothing() {
    let told = Arc::<Told>::default();
    let taking = bench(|builder| builder.observer(told.clone()));
    taking.lessor.grant(id(1), 1).expect("granted");
    taking.clock.advance(Duration::from_secs(1));
    taking.lessor.tick();
    taking.clock.advance(ALMOST);
    taking
        .lessor
        .expired_leases()
        .try_recv()
        .expect("it is there");
    // It is slow to revoke, and that is another matter.
    taking.clock.advance(Duration::from_millis(1));
    taking.lessor.tick();
    assert_eq!(told.all(), []);

    let demoted = bench(|builder| builder.observer(told.clone()));
    demoted.lessor.grant(id(1), 1).expect("granted");
    demoted.clock.advance(Duration::from_secs(1));
    demoted.lessor.tick();
    demoted.lessor.demote();
    demoted.clock.advance(Duration::from_secs(100));
    assert_eq!(demoted.lessor.tick(), None);
    assert_eq!(told.all(), []);

    let own = bench(|builder| {
        builder
            .observer(told.clone())
            .expiry(ExpiryMode::AutoRevoke)
    });
    own.lessor.grant(id(1), 1).expect("granted");
    own.clock.advance(Duration::from_secs(100));
    own.lessor.tick();
    assert_eq!(told.all(), []);
}
