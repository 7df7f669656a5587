//! What a member tells a recorder of the facade `metrics`.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lease_core::LeaseId;
use lease_raft::{Member, MemberMetrics, MemberOptions, Role};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString,
    Unit, with_local_recorder,
};

const LONG: Duration = Duration::from_secs(30);

/// The last value of each metric.
#[derive(Clone, Default)]
struct Values(Arc<Mutex<BTreeMap<String, f64>>>);

struct Value(Values, String);

impl Value {
    fn set(&self, value: f64) {
        let mut values = self.0.0.lock().expect("nothing panics");
        values.insert(self.1.clone(), value);
    }
}

impl CounterFn for Value {
    fn increment(&self, _: u64) {
        panic!("{} is counted elsewhere", self.1);
    }

    fn absolute(&self, value: u64) {
        self.set(value as f64);
    }
}

impl GaugeFn for Value {
    fn increment(&self, _: f64) {
        panic!("{} is counted elsewhere", self.1);
    }

    fn decrement(&self, _: f64) {
        panic!("{} is counted elsewhere", self.1);
    }

    fn set(&self, value: f64) {
        self.set(value);
    }
}

impl Values {
    fn of(&self, key: &Key) -> Arc<Value> {
        let labels: Vec<_> = key
            .labels()
            .map(|label| (label.key(), label.value()))
            .collect();
        assert_eq!(labels, [("member", "7")]);
        Arc::new(Value(self.clone(), key.name().to_owned()))
    }

    fn get(&self, name: &str) -> f64 {
        let values = self.0.lock().expect("nothing panics");
        *values
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {values:?}"))
    }
}

impl Recorder for Values {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, text: SharedString) {
        assert!(text.ends_with('.'), "{text}");
    }

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, text: SharedString) {
        assert!(text.ends_with('.'), "{text}");
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        panic!("a histogram: {}", name.as_str());
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.of(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.of(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        panic!("a histogram: {key}");
    }
}

#[tokio::test]
async fn a_member_tells_how_far_it_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = MemberOptions::new(dir.path(), "blue", 7, "127.0.0.1:7351");
    let options = options.listen("127.0.0.1:0");
    let member = Member::start(options).await.expect("it starts");
    let id = LeaseId::try_from(1).expect("not zero");
    let lessor = member.lessor();
    lessor.grant(id, 1, LONG).await.expect("free");
    lessor.renew(id, LONG).await.expect("there");
    while lessor.stats().expiry_lag == Duration::ZERO || lessor.stats().expired_in_flight != 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let values = Values::default();
    let metrics = with_local_recorder(&values, || MemberMetrics::new(7));
    let status = member.status();
    metrics.record(&status);
    for (name, expected) in [
        ("term", 1.0),
        ("is_leader", 1.0),
        ("is_primary", 1.0),
        ("apply_lag", status.apply_lag() as f64),
        ("commit_lag", status.commit_lag() as f64),
        ("applied", status.replica.applied as f64),
        // The epoch, the grant and the revoke.
        ("proposals_total", 3.0),
        ("proposals_in_flight", 0.0),
        ("confirmations_total", 1.0),
        ("expired_in_flight", 0.0),
    ] {
        assert_eq!(
            values.get(&format!("lease_raft_{name}")),
            expected,
            "{name}"
        );
    }
    let lag = values.get("lease_raft_expiry_lag_seconds");
    assert!(lag > 0.0 && lag < 1.0, "{lag}");
    member.stop().await.expect("the disk works");
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").to_string()
}

/// To its engine it leads for ever.
#[tokio::test]
async fn a_leader_that_nobody_hears_does_not_tell_that_it_leads() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = |member: u64, address: &str| {
        MemberOptions::new(dir.path().join(member.to_string()), "blue", member, address)
    };
    let address = free_address();
    let member = Member::start(options(7, &address)).await;
    let member = member.expect("it starts");
    let other = options(8, &free_address());
    let other = Member::join(other, &[(7, &address)], LONG).await;
    let other = other.expect("it is admitted");
    member
        .transfer_leadership(7, LONG)
        .await
        .expect("it is there");
    other.stop().await.expect("the disk works");
    while member.lessor().is_leader() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let values = Values::default();
    let metrics = with_local_recorder(&values, || MemberMetrics::new(7));
    let status = member.status();
    assert_eq!(status.engine.role, Role::Leader);
    metrics.record(&status);
    assert_eq!(values.get("lease_raft_is_leader"), 0.0);
    member.stop().await.expect("the disk works");
}
