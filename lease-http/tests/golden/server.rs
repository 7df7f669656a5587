use std::collections::BTreeMap;
use std::time::Duration;

use lease_core::Lessor;
use tokio::time::{Instant, sleep};

use crate::record::{Entry, Request, entries};
use crate::support::wire::{Answer, Wire};
use crate::support::{Member, Waits, at_once, from_hex, id, never};

/// Where our answer is another one on purpose: status, body and why.
const DIFFERENCES: &[(&str, u16, &str, &str)] = &[
    (
        "renew/body-of-72-KiB",
        413,
        "7265717565737420626f647920746f6f206c617267650a",
        "the limit came with v3.6.14",
    ),
    (
        "ttl/inner-message-absent",
        400,
        MALFORMED,
        "etcd's handler panics",
    ),
    (
        "ttl/inner-message-absent-unknown-field",
        400,
        MALFORMED,
        "etcd's handler panics",
    ),
    (
        "ttl/not-applied-inner-absent",
        400,
        MALFORMED,
        "what cannot be answered is not waited with",
    ),
    (
        "ttl/expired-1.7s",
        200,
        "0a060a0010072001",
        "what remains is never below zero",
    ),
];

const MALFORMED: &str = "6572726f7220756e6d61727368616c6c696e6720726571756573740a";

#[tokio::test(start_paused = true)]
async fn our_handler_answers_as_etcds() {
    let entries = entries("server");
    assert_eq!(entries.len(), 54);
    let mut differing = 0;
    for entry in &entries {
        let (member, waits) = state(entry.lessor.as_deref().expect("a state"));
        let request = entry.request.as_ref().expect("a request");
        let start = Instant::now();
        let answer = exchange(&member, waits, request).await;
        let took = start.elapsed().as_millis() as u64;
        let different = DIFFERENCES.iter().find(|one| one.0 == entry.name);
        if let Some((name, status, body, why)) = different {
            assert_eq!(answer.status, *status, "{name}: {why}");
            assert_eq!(answer.body, from_hex(body), "{name}: {why}");
            assert!(took == 0, "{name} took {took} ms");
            differing += 1;
            continue;
        }
        check(entry, &answer);
        // Recorded in real time, repeated in virtual time.
        let late = entry.took_ms.abs_diff(took);
        assert!(
            late <= 10,
            "{} took {took} ms, not {}",
            entry.name,
            entry.took_ms
        );
    }
    assert_eq!(differing, DIFFERENCES.len(), "each difference is one");
}

fn check(entry: &Entry, answer: &Answer) {
    let name = &entry.name;
    let recorded = entry.response.as_ref().expect("a response");
    assert_eq!(Some(answer.status), recorded.status, "{name}");
    assert_eq!(answer.body, recorded.body(), "{name}");
    let headers = recorded.headers.iter();
    let headers = headers.map(|(name, values)| (name.to_lowercase(), values.join(", ")));
    let headers: BTreeMap<_, _> = headers.collect();
    assert_eq!(answer.headers, headers, "{name}");
}

/// A lessor as the recorded text describes it.
fn state(text: &str) -> (Member, Waits) {
    let member = Member::primary();
    let one = |member: Member| member.grant(1, 10).attach(1, &[b"foo"]);
    match text {
        "primary; leases 1 (TTL 10, key foo), -1 (TTL 60, keys '', 00ff, bar, foo2), \
         0x694d5765fc71500b (TTL 9000000000), min i64 (TTL 3600)" => {
            let member = one(member)
                .grant(-1, 60)
                .attach(-1, &[b"", b"\x00\xff", b"bar", b"foo2"])
                .grant(0x694d_5765_fc71_500b, 9_000_000_000)
                .grant(i64::MIN, 3600);
            (member.advance(5), at_once())
        }
        "primary; lease 7 expired 0.2 s ago and is not revoked" => {
            (member.with_expired(7, 200), at_once())
        }
        "primary; lease 7 expired 1.7 s ago and is not revoked" => {
            (member.with_expired(7, 1_700), at_once())
        }
        "primary; lease 7 has expired, its revoke comes 0.7 s later" => {
            let member = member.with_expired(7, 0);
            let lessor = member.lessor.clone();
            later(700, move || lessor.revoke(id(7)).expect("there"));
            (member, at_once())
        }
        "primary; lease 8 has expired; a demotion comes 0.4 s later" => {
            let member = member.with_expired(8, 0);
            let lessor = member.lessor.clone();
            later(400, move || lessor.demote());
            (member, at_once())
        }
        "demoted" => {
            let member = one(member);
            member.lessor.demote();
            (member, at_once())
        }
        "primary with lease 1; the applied index never catches up" => (one(member), never()),
        "primary with lease 1; applied after 0.6 s" => {
            let applied = async || {
                sleep(Duration::from_millis(600)).await;
                Ok(())
            };
            (one(member), Box::new(move || Box::pin(applied())))
        }
        other => panic!("an unknown state: {other}"),
    }
}

fn later(millis: u64, action: impl FnOnce() + Send + 'static) {
    tokio::spawn(async move {
        sleep(Duration::from_millis(millis)).await;
        action();
    });
}

/// Asks with the recorded bytes.
async fn exchange(member: &Member, waits: Waits, request: &Request) -> Answer {
    let mut wire = Wire::open(member.handler(waits));
    let headers = request.headers.iter();
    let headers = headers.map(|(name, value)| format!("{name}: {}\r\n", value.join(", ")));
    let headers: String = headers.collect();
    let (method, path, body) = (&request.method, &request.path, request.body());
    wire.send(method, path, &headers, &body).await;
    let answer = wire.answer(method).await;
    wire.close().await;
    answer
}
