//! The span of a request, for a subscriber of `tracing`.

mod support;

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use expect_test::expect;
use lease_http::{LEASE_INTERNAL_PREFIX, LEASE_PREFIX};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber, subscriber};

use support::wire::Wire;
use support::{Member, at_once};

/// Keeps the spans of the handler as lines, up to a level.
struct Log {
    level: Level,
    spans: AtomicU64,
    text: Arc<Mutex<String>>,
}

impl Log {
    fn write(&self, text: &str) {
        self.text.lock().expect("nothing panics").push_str(text);
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "lease_http" && *metadata.level() <= self.level
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let metadata = span.metadata();
        self.write(&format!("{} {}\n", metadata.level(), metadata.name()));
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut line = Line(String::new());
        values.record(&mut line);
        self.write(&line.0);
    }

    fn event(&self, event: &Event<'_>) {
        panic!("an event: {}", event.metadata().name());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = writeln!(self.0, "    {}={value:?}", field.name());
        written.expect("a string takes everything");
    }
}

/// What is logged of three requests.
fn log(level: Level) -> String {
    let text = Arc::new(Mutex::default());
    let log = Log {
        level,
        spans: AtomicU64::new(0),
        text: Arc::clone(&text),
    };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime
        .enable_time()
        .start_paused(true)
        .build()
        .expect("it starts");
    subscriber::with_default(log, || {
        runtime.block_on(async {
            let member = Member::primary().grant(1, 10);
            let mut wire = Wire::open(member.handler(at_once()));
            wire.post(LEASE_PREFIX, &[8, 1]).await;
            wire.post(LEASE_INTERNAL_PREFIX, &[0x0a, 2, 8, 9]).await;
            wire.post("/x", b"").await;
            wire.close().await;
        });
    });
    let text = text.lock().expect("nothing panics");
    text.clone()
}

#[test]
fn a_request_is_a_span_with_its_kind_and_outcome() {
    expect![[r#"
        DEBUG request
            kind="renew"
            outcome="answered"
        DEBUG request
            kind="time_to_live"
            outcome="not_found"
        DEBUG request
            outcome="malformed"
    "#]]
    .assert_eq(&log(Level::DEBUG));
}

#[test]
fn nothing_is_told_above_debug() {
    assert_eq!(log(Level::INFO), "");
}
