//! What a call tells, and how long it takes while a leader is new.

use std::io;
use std::sync::Once;
use std::time::Duration;

use lease_core::{LeaseError, LeaseItem};
use lease_http::messages::Keys;
use lease_raft::{Consistency, ReplicaError};
use tokio::time::Instant;
use tracing::Level;
use tracing::subscriber::{set_default, set_global_default};
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::cluster::Cluster;
use crate::text::Text;
use crate::{LONG, id};

static EVERYTHING: Once = Once::new();

/// The spans of calls that have ended are written to this.
fn log(text: &Text) -> impl Sized + use<> {
    // While somebody wants everything, no other test can settle that nobody wants a span.
    EVERYTHING.call_once(|| {
        let all = fmt().with_max_level(Level::TRACE).with_writer(io::sink);
        set_global_default(all.finish()).expect("nobody else sets one");
    });
    let text = text.clone();
    let spans = fmt()
        .with_max_level(Level::DEBUG)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(move || text.clone());
    set_default(spans.finish())
}

#[tokio::test(start_paused = true)]
async fn each_call_is_a_span_with_its_outcome() {
    let cluster = Cluster::new().await;
    let text = Text::default();
    let logging = log(&text);
    let lessor = cluster.lessor(2);
    lessor.grant(id(7), 60, LONG).await.expect("free");
    let again = lessor.grant(id(7), 60, LONG).await;
    assert_eq!(again, Err(ReplicaError::Lease(LeaseError::LeaseExists)));
    let items = vec![LeaseItem::from("a")];
    lessor.attach(id(7), items, LONG).await.expect("there");
    lessor.renew(id(7), LONG).await.expect("there");
    let missing = lessor.time_to_live(id(8), Keys::Omit, LONG).await;
    assert!(missing.is_err());
    lessor.renew_many(&[id(7)], LONG).await;
    let looked = lessor.lookup(id(7), Consistency::Linearizable, LONG).await;
    assert!(looked.expect("there is a leader").is_some());
    cluster.log.cut(2, true);
    let late = lessor.revoke(id(7), Duration::from_millis(300)).await;
    assert_eq!(late, Err(ReplicaError::Unknown));
    drop(logging);
    let text = text.read();
    let spans = text.lines().filter_map(|line| {
        let (_, span) = line.split_once("call{")?;
        Some(span.split_once('}')?.0)
    });
    assert_eq!(
        spans.collect::<Vec<_>>(),
        [
            r#"what="grant" member=2 lease=0000000000000007 outcome="answered""#,
            r#"what="grant" member=2 lease=0000000000000007 outcome="answered""#,
            r#"what="attach" member=2 lease=0000000000000007 outcome="answered""#,
            r#"what="renew" member=2 lease=0000000000000007 outcome="answered""#,
            r#"what="time_to_live" member=2 lease=0000000000000008 outcome=lease not found"#,
            r#"what="renew_many" member=2 outcome="answered""#,
            r#"what="catch_up" member=2 outcome="answered""#,
            r#"what="revoke" member=2 lease=0000000000000007 outcome=the outcome is not known: the request was under way"#,
        ]
    );
}

/// The question comes to the new leader before it is the primary, and waits there.
#[tokio::test(start_paused = true)]
async fn a_renewal_at_a_new_leader_does_not_wait_for_a_pause() {
    let cluster = Cluster::new().await;
    let lessor = cluster.lessor(3);
    lessor.grant(id(7), 60, LONG).await.expect("free");
    cluster.until_equal().await;
    cluster.log.slow(2, true);
    cluster.log.lead(2);
    let begin = Instant::now();
    let renews = async {
        lessor.renew(id(7), LONG).await.expect("there");
        begin.elapsed()
    };
    let goes_on = async {
        tokio::time::sleep(Duration::from_millis(15)).await;
        assert!(!cluster.lessor(2).is_primary());
        cluster.log.slow(2, false);
    };
    let (took, ()) = tokio::join!(renews, goes_on);
    let [least, most] = [15, 25].map(Duration::from_millis);
    assert!(took >= least && took < most, "{took:?}");
}
