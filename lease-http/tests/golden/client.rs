use std::time::Duration;

use lease_core::{LeaseId, Lessor};
use lease_http::blocking::{self, UreqTransport};
use lease_http::messages::{self, Keys, LeaseTimes};
use lease_http::{
    ClientError, HyperTransport, LEASE_INTERNAL_PREFIX, LEASE_PREFIX, renew_http, time_to_live_http,
};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use crate::record::{Entry, entries};
use crate::script::play;
use crate::support::{Member, Waits, at_once, listen, never};

/// What etcd's client was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Call {
    Renew(Option<LeaseId>),
    TimeToLive(Option<LeaseId>, Keys),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Adapter {
    Hyper,
    Ureq,
}

/// What a call came to, as the record has it.
type Answer = Result<String, ClientError>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_clients_take_answers_as_etcds() {
    for adapter in [Adapter::Hyper, Adapter::Ureq] {
        let mut all = JoinSet::new();
        for entry in entries("client") {
            all.spawn(async move { check(adapter, &entry).await });
        }
        assert_eq!(all.len(), 58);
        let checked = all.join_all().await;
        let unasked = checked.iter().filter(|was_asked| !**was_asked).count();
        let cannot_cancel = if adapter == Adapter::Ureq { 3 } else { 0 };
        assert_eq!(unasked, 3 + cannot_cancel, "id 0 cannot be asked for");
    }
}

#[test]
fn our_handler_reads_what_etcds_client_sends() {
    let entries = entries("client");
    let recorded = entries.iter().filter(|entry| entry.request.is_some());
    let read = recorded.map(|entry| {
        let request = entry.request.as_ref().expect("a request");
        let read = messages::Request::decode(&request.path, &request.body());
        let asked = match entry.asked() {
            Call::Renew(id) => messages::Request::Renew(id),
            Call::TimeToLive(id, keys) => messages::Request::TimeToLive { id, keys },
        };
        assert_eq!(read, Ok(asked), "{}", entry.name);
    });
    assert_eq!(read.count(), 38);
}

impl Entry {
    fn asked(&self) -> Call {
        let call = self.call.as_ref().expect("a call");
        let call = call.trim_end_matches(", url)");
        let (function, arguments) = call.split_once("(ctx, ").expect("arguments");
        let (number, keys) = arguments.split_once(", ").unwrap_or((arguments, ""));
        let id = LeaseId::new(number.parse().expect("a number"));
        match (function, keys) {
            ("RenewHTTP", "") => Call::Renew(id),
            ("TimeToLiveHTTP", "keys=true") => Call::TimeToLive(id, Keys::List),
            ("TimeToLiveHTTP", "keys=false") => Call::TimeToLive(id, Keys::Omit),
            _ => panic!("an unknown call: {call}"),
        }
    }
}

/// Asks as etcd's client did. Returns whether it can be asked for.
async fn check(adapter: Adapter, entry: &Entry) -> bool {
    let call = entry.asked();
    let (Call::Renew(Some(_)) | Call::TimeToLive(Some(_), _)) = call else {
        return false;
    };
    let path = match (&*entry.name, call) {
        ("client/renew/wrong-path", _) => "/foo",
        ("client/ttl/on-renew-path", _) | (_, Call::Renew(_)) => LEASE_PREFIX,
        (_, Call::TimeToLive(..)) => LEASE_INTERNAL_PREFIX,
    };
    let name = entry.name.rsplit('/').next().expect("a name");
    let answer = match (name, &entry.request, &entry.lessor) {
        ("refused", ..) => {
            let address = listen().await.local_addr().expect("it listens");
            // Nobody listens any more.
            ask(adapter, call, format!("http://{address}{path}"), LONG).await
        }
        ("bad-url", ..) => ask(adapter, call, "http://%zz/leases".to_owned(), LONG).await,
        ("cancelled" | "cancelled-before", ..) if adapter == Adapter::Ureq => return false,
        ("cancelled" | "cancelled-before", _, Some(lessor)) => {
            check_cancelled(call, lessor, path, entry.took_ms).await;
            return true;
        }
        (_, Some(_), _) => {
            let listener = listen().await;
            let address = listener.local_addr().expect("it listens");
            let url = format!("http://{address}{path}");
            let (answer, ()) = tokio::join!(ask(adapter, call, url, LONG), play(listener, entry));
            answer
        }
        (_, None, Some(lessor)) => {
            let (member, waits) = state(lessor);
            let server = member.serve(waits).await;
            let time = if name == "deadline" { SHORT } else { LONG };
            ask(adapter, call, server.url(path), time).await
        }
        _ => panic!("{} has neither a request nor a lessor", entry.name),
    };
    compare(entry, &answer);
    true
}

const LONG: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(300);

async fn ask(adapter: Adapter, call: Call, url: String, time: Duration) -> Answer {
    match adapter {
        Adapter::Hyper => ask_hyper(call, url, time).await,
        Adapter::Ureq => {
            let asked = spawn_blocking(move || ask_ureq(call, &url, time)).await;
            asked.expect("no panic")
        }
    }
}

async fn ask_hyper(call: Call, url: String, time: Duration) -> Answer {
    let transport = HyperTransport::new(time);
    match call {
        Call::Renew(id) => {
            let ttl = renew_http(&transport, id.expect("not zero"), &url).await?;
            Ok(format!("ttl {}", ttl.get()))
        }
        Call::TimeToLive(id, keys) => {
            let id = id.expect("not zero");
            Ok(text(&time_to_live_http(&transport, id, keys, &url).await?))
        }
    }
}

fn ask_ureq(call: Call, url: &str, time: Duration) -> Answer {
    let transport = UreqTransport::new(time);
    match call {
        Call::Renew(id) => {
            let ttl = blocking::renew_http(&transport, id.expect("not zero"), url)?;
            Ok(format!("ttl {}", ttl.get()))
        }
        Call::TimeToLive(id, keys) => {
            let id = id.expect("not zero");
            let times = blocking::time_to_live_http(&transport, id, keys, url)?;
            Ok(text(&times))
        }
    }
}

/// As Go prints the message.
fn text(times: &LeaseTimes) -> String {
    let keys = times.keys.iter();
    let keys = keys.map(|key| format!("keys:{:?} ", String::from_utf8_lossy(key.as_bytes())));
    let (id, ttl, granted) = (times.id.get(), times.remaining_secs, times.granted.get());
    let keys: String = keys.collect();
    format!("LeaseTimeToLiveResponse:<ID:{id} TTL:{ttl} grantedTTL:{granted} {keys}> ")
}

fn compare(entry: &Entry, answer: &Answer) {
    let name = &entry.name;
    let recorded = entry.result.as_deref().unwrap_or_default();
    match entry.error.as_deref().unwrap_or_default() {
        // A negative TTL is passed on by etcd; nothing renews a lease for -1 s.
        "" if name == "client/renew/negative-ttl" => {
            assert_eq!(*answer, Err(ClientError::TtlOutOfRange(-1)), "{name}");
        }
        "" => {
            let recorded = recorded.replace("header:<> ", "");
            assert_eq!(*answer, Ok(recorded), "{name}");
        }
        error => {
            let answer = answer.as_ref().expect_err(name);
            assert!(is_same(error, answer), "{name}: {error}: {answer:?}");
        }
    }
}

/// Whether our error says what etcd's does.
fn is_same(recorded: &str, ours: &ClientError) -> bool {
    let is_refused = matches!(ours, ClientError::Refused { .. });
    match ours {
        // Etcd's client does not tell this one from other refusals.
        ClientError::Demoted => recorded == "lease: unknown error(not a primary lessor\n)",
        ClientError::Unreachable(_) => {
            recorded.starts_with("Post \"{url}\": ") || recorded == "unexpected EOF"
        }
        ClientError::BadUrl(_) => recorded.starts_with("parse \"{url}\": "),
        ClientError::Malformed(_) => recorded.starts_with("lease: proto: "),
        // Etcd's client panics.
        ClientError::Empty => recorded.starts_with("PANIC"),
        _ => ours.to_string() == recorded && (is_refused == recorded.contains("unknown error")),
    }
}

fn state(text: &str) -> (Member, Waits) {
    let member = Member::primary();
    let one = |member: Member| member.grant(1, 10).attach(1, &[b"foo"]);
    match text {
        "primary; lease 8 has expired and is never revoked" => {
            (member.with_expired(8, 0), at_once())
        }
        "demoted" => {
            let member = one(member);
            member.lessor.demote();
            (member, at_once())
        }
        "primary with lease 1; the applied index never catches up" => (one(member), never()),
        text if text.starts_with("primary; leases 1 (TTL 10, key foo), ") => {
            (one(member).advance(5), at_once())
        }
        other => panic!("an unknown state: {other}"),
    }
}

/// Gives up after the recorded time; then nobody waits at the primary either.
async fn check_cancelled(call: Call, lessor: &str, path: &str, took_ms: u64) {
    let (member, waits) = state(lessor);
    let server = member.serve(waits).await;
    let asked = ask_hyper(call, server.url(path), LONG);
    let gave_up = timeout(Duration::from_millis(took_ms), asked).await;
    gave_up.expect_err("nothing could be answered");
    while member.lessor.stats().waiting > 0 {
        tokio::task::yield_now().await;
    }
}
