use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use expect_test::expect;
use lease_core::metrics::{EXPIRY_LAG_BUCKETS_SECS, FacadeMetrics, TTL_BUCKETS_SECS};
use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit, with_local_recorder,
};

use crate::history;

/// Keeps what it is told as lines, by the name of the metric.
#[derive(Clone, Default)]
struct Notebook(Arc<Mutex<BTreeMap<String, Vec<String>>>>);

/// A metric of a notebook.
struct Page(Notebook, String);

impl Notebook {
    fn note(&self, name: &str, line: String) {
        let mut lines = self.0.lock().expect("nothing panics");
        lines.entry(name.to_owned()).or_default().push(line);
    }

    fn text(&self) -> String {
        let lines = self.0.lock().expect("nothing panics");
        let metrics = lines.iter();
        metrics
            .map(|(name, lines)| format!("{name}\n    {}\n", lines.join("\n    ")))
            .collect()
    }
}

impl Recorder for Notebook {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.note(name.as_str(), format!("counter, {unit:?}: {text}"));
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        panic!("a gauge: {}", name.as_str());
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.note(name.as_str(), format!("histogram, {unit:?}: {text}"));
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(Page(self.clone(), key.name().to_owned())))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        panic!("a gauge: {key}");
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Page(self.clone(), key.name().to_owned())))
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

impl HistogramFn for Page {
    fn record(&self, value: f64) {
        self.0.note(&self.1, format!("{value}"));
    }
}

#[test]
fn the_recorder_is_told_every_event() {
    let notebook = Notebook::default();
    // The observer goes on counting here although the recorder is no longer the installed one.
    let metrics = with_local_recorder(&notebook, FacadeMetrics::new);
    history(Arc::new(metrics));
    expect![[r#"
        etcd_debugging_lease_granted_total
            counter, None: The total number of granted leases.
            +1
            +1
            +1
            +1
            +1
        etcd_debugging_lease_renewed_total
            counter, None: The number of renewed leases seen by the leader.
            +1
        etcd_debugging_lease_revoked_total
            counter, None: The total number of revoked leases.
            +1
            +1
        etcd_debugging_lease_ttl_total
            histogram, Some(Seconds): Bucketed histogram of lease TTLs.
            1
            1
            4
            9000000000
            60
        lessor_expiry_lag_seconds
            histogram, Some(Seconds): How long after their expiry leases were delivered for the first time.
            0
            2
        lessor_failures_total
            counter, None: Work that nobody waits for and that failed: batched commits, automatic revokes, checkpoints.
            +1
        lessor_oversights_total
            counter, None: What the host seems to have forgotten, so that leases do not expire: to promote, to take expired leases.
    "#]].assert_eq(&notebook.text());
}

#[test]
fn the_buckets_double() {
    let powers: Vec<_> = (0..24).map(|power| f64::from(1 << power)).collect();
    assert_eq!(TTL_BUCKETS_SECS[..], powers);
    let millis: Vec<_> = powers[..20].iter().map(|power| power * 0.001).collect();
    assert_eq!(EXPIRY_LAG_BUCKETS_SECS[..], millis);
}
