//! What a handler counts, for a recorder of the `metrics` facade.

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use expect_test::expect;
use lease_http::messages::{Call, Keys, Outcome, RenewBatch, TimeToLive};
use lease_http::{HandlerMetrics, LEASE_BATCH_PREFIX, LEASE_INTERNAL_PREFIX, LEASE_PREFIX};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit, with_local_recorder,
};
use tokio::time::sleep;

use support::wire::Wire;
use support::{Member, Waits, at_once, id, never};

/// Keeps what it is told, by the name of the metric and its labels.
#[derive(Clone, Default)]
struct Notebook(Arc<Mutex<BTreeMap<String, Vec<String>>>>);

struct Page(Notebook, String);

impl Notebook {
    fn note(&self, name: &str, line: String) {
        let mut pages = self.0.lock().expect("nothing panics");
        pages.entry(name.to_owned()).or_default().push(line);
    }

    fn page(&self, key: &Key) -> Arc<Page> {
        let labels = key.labels().map(|label| format!(" {}", label.value()));
        let labels: String = labels.collect();
        Arc::new(Page(self.clone(), format!("{}{labels}", key.name())))
    }

    fn text(&self) -> String {
        let pages = self.0.lock().expect("nothing panics");
        let pages = pages.iter();
        pages
            .map(|(name, lines)| format!("{name}: {}\n", lines.join(", ")))
            .collect()
    }
}

impl Recorder for Notebook {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, text: SharedString) {
        self.note(name.as_str(), format!("counter: {text}"));
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, text: SharedString) {
        self.note(name.as_str(), format!("gauge: {text}"));
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.note(name.as_str(), format!("histogram, {unit:?}: {text}"));
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.page(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.page(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.page(key))
    }
}

impl CounterFn for Page {
    fn increment(&self, value: u64) {
        self.0.note(&self.1, format!("+{value}"));
    }

    fn absolute(&self, value: u64) {
        panic!("{} is set to {value}", self.1);
    }
}

impl GaugeFn for Page {
    fn increment(&self, value: f64) {
        self.0.note(&self.1, format!("+{value}"));
    }

    fn decrement(&self, value: f64) {
        self.0.note(&self.1, format!("-{value}"));
    }

    fn set(&self, value: f64) {
        panic!("{} is set to {value}", self.1);
    }
}

impl HistogramFn for Page {
    fn record(&self, value: f64) {
        self.0.note(&self.1, format!("{value:.1}"));
    }
}

/// Has a handler count what `requests` does.
async fn counted(member: &Member, waits: Waits, requests: impl AsyncFnOnce(&mut Wire)) -> String {
    let notebook = Notebook::default();
    // It goes on counting here although the recorder is no longer the installed one.
    let metrics = with_local_recorder(&notebook, HandlerMetrics::new);
    let mut wire = Wire::open(member.handler(waits).metrics(metrics));
    requests(&mut wire).await;
    wire.close().await;
    notebook.text()
}

#[tokio::test(start_paused = true)]
async fn requests_are_counted_by_kind_and_outcome() {
    let member = Member::primary().with_expired(2, 0).grant(1, 10);
    let text = counted(&member, at_once(), async |wire| {
        let keys = Keys::Omit;
        wire.post(LEASE_PREFIX, &[8, 1]).await;
        wire.post(LEASE_PREFIX, &[8, 9]).await;
        wire.post(LEASE_PREFIX, &[8, 2]).await;
        let times = TimeToLive { id: id(1), keys };
        wire.post(LEASE_INTERNAL_PREFIX, &times.encode()).await;
        let batch = RenewBatch(&[id(1), id(9)]).encode();
        wire.post(LEASE_BATCH_PREFIX, &batch).await;
        wire.post(LEASE_PREFIX, &[8]).await;
        wire.send("GET", "/", "", b"").await;
        wire.answer("GET").await;
        // Its caller goes away.
        wire.send("POST", LEASE_PREFIX, "", &[8, 2]).await;
        sleep(Duration::from_millis(300)).await;
    });
    expect![[r#"
        lease_http_in_flight: gauge: Requests of other members that have not ended., +1, -1, +1, -1, +1, -1, +1, -1, +1, -1, +1, -1, +1, -1, +1, -1
        lease_http_requests_total: counter: Requests of other members that have ended.
        lease_http_requests_total renew answered: +1
        lease_http_requests_total renew failed: +1
        lease_http_requests_total renew gone: +1
        lease_http_requests_total renew not_found: +1
        lease_http_requests_total renew_batch answered: +1
        lease_http_requests_total time_to_live answered: +1
        lease_http_requests_total unknown malformed: +1
        lease_http_requests_total unknown method_not_allowed: +1
        lease_http_wait_seconds: histogram, Some(Seconds): How long requests have waited.
        lease_http_wait_seconds applied: 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        lease_http_wait_seconds lease: 0.0, 0.0, 5.0, 0.0, 0.3
    "#]]
    .assert_eq(&text.await);
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_member_that_lags_is_told() {
    let member = Member::primary().grant(1, 10);
    let text = counted(&member, never(), async |wire| {
        wire.post(LEASE_PREFIX, &[8, 1]).await;
    });
    expect![[r#"
        lease_http_in_flight: gauge: Requests of other members that have not ended., +1, -1
        lease_http_requests_total: counter: Requests of other members that have ended.
        lease_http_requests_total renew not_caught_up: +1
        lease_http_wait_seconds: histogram, Some(Seconds): How long requests have waited.
        lease_http_wait_seconds applied: 1.0
    "#]]
    .assert_eq(&text.await);
}

#[test]
fn outcomes_have_names_of_their_own() {
    let mut names = Outcome::ALL.map(Outcome::name);
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_away_is_in_flight_no_more() {
    let member = Member::primary().grant(1, 10);
    for (request, in_flight, ended) in [
        // Before there is a request, in its body, while the member catches up, and with one more behind.
        ("POST /leases HTTP/1.1\r\nHo", "", ""),
        (
            "POST /leases HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n\x08",
            ", +1, -1",
            "lease_http_requests_total unknown malformed: +1\n",
        ),
        (
            "POST /leases HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n\x08\x01",
            ", +1, -1",
            "lease_http_requests_total renew gone: +1\n",
        ),
        (
            "POST /leases HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n\x08\x01POST /leases",
            ", +1, -1",
            // What was sent behind it is not read meanwhile, nor that there is nothing more.
            "lease_http_requests_total renew not_caught_up: +1\n",
        ),
    ] {
        let text = counted(&member, never(), async |wire| {
            wire.send_raw(request.as_bytes()).await;
            sleep(Duration::from_millis(10)).await;
        });
        let text = text.await;
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].ends_with(&format!("ended.{in_flight}")), "{text}");
        assert!(text.contains(ended), "{text}");
    }
}
