//! A member with nothing wrong warns of nothing.
#![cfg(not(madsim))]

#[path = "support/text.rs"]
mod text;

use std::time::Duration;

use lease_raft::{Member, MemberOptions};
use tracing::Level;
use tracing_subscriber::fmt;

use text::Text;

const LONG: Duration = Duration::from_secs(30);

/// openraft warns of who does not wait for what it says of a proposal.
#[tokio::test(flavor = "multi_thread")]
async fn grants_warn_of_nothing() {
    let text = Text::default();
    let log = text.clone();
    let subscriber = fmt().with_max_level(Level::WARN).with_ansi(false);
    let subscriber = subscriber.with_writer(move || log.clone()).finish();
    tracing::subscriber::set_global_default(subscriber).expect("nobody else sets one");

    let dir = tempfile::tempdir().expect("a folder");
    let options =
        MemberOptions::new(dir.path(), "quiet", 1, "127.0.0.1:7351").listen("127.0.0.1:0");
    let member = Member::start(options).await.expect("it starts");
    for _ in 0..20 {
        let granted = member.lessor().grant_new(60, LONG).await.expect("it leads");
        member
            .lessor()
            .revoke(granted.id, LONG)
            .await
            .expect("it is there");
    }
    member.stop().await.expect("it stops");
    let text = text.read();
    let of_proposals = text.lines().filter(|line| line.contains("is_ok: false"));
    assert_eq!(of_proposals.collect::<Vec<_>>(), Vec::<&str>::new());
}
