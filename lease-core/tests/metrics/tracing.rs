use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use expect_test::expect;
use lease_core::metrics::TracingObserver;
use lease_core::{
    BackendLessor, BoxError, Driver, ExpiryMode, LeaseId, Lessor, ManualClock, NullBackend,
    RangeDeleter, TxnDelete, WriteBatch,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber, subscriber};

use crate::history;

/// Keeps events as lines, up to a level.
struct Log {
    level: Level,
    lines: Arc<Mutex<String>>,
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut line = Line(format!("{} {}:", metadata.level(), metadata.target()));
        event.record(&mut line);
        let mut lines = self.lines.lock().expect("nothing panics");
        lines.push_str(&line.0);
        lines.push('\n');
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        panic!("a span: {}", span.metadata().name());
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        }
        .expect("a string takes everything");
    }
}

/// Wants every event, and keeps none. While somebody wants an event everywhere, no thread that comes by it
/// first, without a subscriber of its own, can settle that nobody does.
struct Everything;

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn event(&self, _: &Event<'_>) {}

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

static EVERYTHING: Once = Once::new();

fn log(level: Level, work: impl FnOnce()) -> String {
    EVERYTHING.call_once(|| {
        subscriber::set_global_default(Everything).expect("nobody else sets one");
    });
    let lines = Arc::new(Mutex::default());
    let log = Log {
        level,
        lines: Arc::clone(&lines),
    };
    subscriber::with_default(log, work);
    let lines = lines.lock().expect("nothing panics");
    lines.clone()
}

#[test]
fn every_event_is_told_at_its_level() {
    let text = log(Level::TRACE, || {
        history(Arc::new(TracingObserver)).demote();
    });
    expect![[r#"
        DEBUG lease_core: promoted epoch=3
        TRACE lease_core: granted id=0000000000000001 ttl_secs=1
        TRACE lease_core: granted id=0000000000000002 ttl_secs=1
        TRACE lease_core: granted id=0000000000000003 ttl_secs=4
        TRACE lease_core: granted id=0000000000000004 ttl_secs=9000000000
        TRACE lease_core: revoked id=0000000000000003 reason="user"
        DEBUG lease_core: leases expired epoch=3 number=0 leases=1
        TRACE lease_core: expired id=0000000000000001 incarnation=3.1 attempt=0
        TRACE lease_core: revoked id=0000000000000001 reason="expired"
        TRACE lease_core: granted id=0000000000000001 ttl_secs=60
        DEBUG lease_core: leases expired epoch=3 number=1 leases=1
        TRACE lease_core: expired id=0000000000000002 incarnation=3.2 attempt=0
        TRACE lease_core: renewed id=0000000000000004 ttl_secs=9000000000
        WARN lease_core: failed error=checkpointer failed: the log is down
        DEBUG lease_core: demoted
    "#]]
    .assert_eq(&text);
}

#[test]
fn nothing_about_one_lease_is_told_at_level_debug() {
    let text = log(Level::DEBUG, || {
        history(Arc::new(TracingObserver)).demote();
    });
    expect![[r#"
        DEBUG lease_core: promoted epoch=3
        DEBUG lease_core: leases expired epoch=3 number=0 leases=1
        DEBUG lease_core: leases expired epoch=3 number=1 leases=1
        WARN lease_core: failed error=checkpointer failed: the log is down
        DEBUG lease_core: demoted
    "#]]
    .assert_eq(&text);
}

struct Refuses;

impl RangeDeleter for Refuses {
    fn begin<'t>(&'t self, _: &'t mut WriteBatch) -> Result<Box<dyn TxnDelete + 't>, BoxError> {
        Err("the disk is full".into())
    }
}

#[test]
fn a_failure_is_told_with_its_causes() {
    // Also where there is no observer: `BackendLessor::standalone` takes none.
    let text = log(Level::WARN, || {
        let clock = Arc::new(ManualClock::default());
        let lessor = BackendLessor::builder(Arc::new(NullBackend))
            .clock(clock.clone())
            .driver(Driver::Manual)
            .expiry(ExpiryMode::AutoRevoke)
            .range_deleter(Arc::new(Refuses))
            .build()
            .expect("nothing is stored");
        lessor.promote(Duration::ZERO).expect("stored");
        lessor.grant(id(1), 1).expect("granted");
        lessor.attach(id(1), &["a".into()]).expect("attached");
        clock.advance(Duration::from_secs(1));
        lessor.tick();
    });
    expect![[r#"
        WARN lease_core: failed error=range deleter failed: the disk is full
    "#]]
    .assert_eq(&text);
}

/// A lessor with a clock that the test moves, without an observer.
fn unobserved() -> (BackendLessor, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    let lessor = BackendLessor::builder(Arc::new(NullBackend))
        .clock(clock.clone())
        .driver(Driver::Manual)
        .build();
    (lessor.expect("nothing is stored"), clock)
}

fn id(number: i64) -> LeaseId {
    LeaseId::try_from(number).expect("not zero")
}

#[test]
fn a_forgotten_promote_is_a_warning_without_an_observer() {
    let text = log(Level::WARN, || {
        let (lessor, clock) = unobserved();
        for number in 1..=3 {
            lessor.grant(id(number), 1).expect("granted");
            clock.advance(Duration::from_secs(10));
            lessor.tick();
        }
    });
    expect![[r#"
        WARN lease_core: leases are granted and do not expire: the lessor was never promoted; call promote, or make it with BackendLessor::standalone
    "#]]
    .assert_eq(&text);
}

#[test]
fn expired_leases_that_nobody_takes_are_one_warning() {
    let text = log(Level::WARN, || {
        let (lessor, clock) = unobserved();
        lessor.promote(Duration::ZERO).expect("stored");
        for number in 1..=3 {
            lessor.grant(id(number), 1).expect("granted");
            clock.advance(Duration::from_secs(1));
            lessor.tick();
            clock.advance(Duration::from_secs(10));
            lessor.tick();
            if number == 2 {
                drop(lessor.expired_leases().try_recv());
            }
        }
        assert_eq!(lessor.stats().batches_not_taken, 2);
    });
    expect![[r#"
        WARN lease_core: leases have expired and live on: nobody takes them from expired_leases; take and revoke them, or make the lessor with ExpiryMode::AutoRevoke
    "#]]
    .assert_eq(&text);
}
