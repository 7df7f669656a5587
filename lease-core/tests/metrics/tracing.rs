use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};

use expect_test::expect;
use lease_core::metrics::TracingObserver;
use lease_core::{BackendError, HostError, LeaseError, Lessor, LessorEvent, Observer};
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

fn log(level: Level, work: impl FnOnce()) -> String {
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

#[test]
fn a_failure_is_told_with_its_causes() {
    let io = BackendError::Damaged("row 7".to_owned());
    let text = log(Level::DEBUG, || {
        TracingObserver.observe(&LessorEvent::Failed(&LeaseError::Backend(io)));
        TracingObserver.observe(&LessorEvent::Failed(&LeaseError::RangeDeleter(
            HostError::new("no"),
        )));
        TracingObserver.observe(&LessorEvent::Failed(&LeaseError::Stopped));
    });
    expect![[r#"
        WARN lease_core: failed error=lease backend failed: the store is damaged: row 7
        WARN lease_core: failed error=range deleter failed: no
        WARN lease_core: failed error=lessor stopped
    "#]]
    .assert_eq(&text);
}
