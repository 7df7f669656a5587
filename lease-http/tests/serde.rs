//! Settings and answers come back from serde's formats.
#![cfg(all(feature = "serde", feature = "coalesce"))]

use std::time::Duration;

use lease_core::{LeaseId, Ttl};
use lease_http::messages::LeaseTimes;
use lease_http::{CoalescerOptions, Timeouts};
use serde_json::{from_value, json, to_value};

#[test]
fn settings_may_be_left_out_and_unknown_ones_are_refused() {
    let timeouts: Timeouts =
        from_value(json!({"applied": {"secs": 2, "nanos": 0}})).expect("the rest is the default");
    let expected = Timeouts {
        applied: Duration::from_secs(2),
        ..Timeouts::default()
    };
    assert_eq!(timeouts, expected);
    let options: CoalescerOptions = from_value(json!({"max_leases": 9})).expect("as well");
    assert_eq!((options.max_leases, options.max_alone), (9, 256));
    let written = to_value(options).expect("it can be written");
    assert_eq!(from_value::<CoalescerOptions>(written).ok(), Some(options));
    assert!(from_value::<Timeouts>(json!({"aplied": null})).is_err());
}

#[test]
fn the_times_of_a_lease_come_back() {
    let times = LeaseTimes {
        id: LeaseId::new(7).expect("not zero"),
        remaining_secs: 42,
        granted: Ttl::new(60).expect("in range"),
        keys: vec!["a".into()],
    };
    let written = to_value(&times).expect("it can be written");
    let expected = json!({
        "id": "0000000000000007", "remaining_secs": 42, "granted": 60, "keys": ["a"],
    });
    assert_eq!(written, expected);
    assert_eq!(from_value::<LeaseTimes>(written).ok(), Some(times));
}
