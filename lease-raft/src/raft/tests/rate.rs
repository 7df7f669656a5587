//! How fast it is: `cargo test --release -p lease-raft rate -- --ignored --nocapture`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::network::Cluster;
use crate::Engine;
use crate::raft::config::Vote;
use crate::redb_store::{LogChange, RedbStore};

const SPAN: Duration = Duration::from_secs(3);

#[test]
#[ignore = "it measures"]
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn commits_of_the_disk() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = RedbStore::open(dir.path().join("member.redb")).expect("a new store");
    let (start, mut commits) = (Instant::now(), 0);
    while start.elapsed() < SPAN {
        let vote = LogChange::Vote(Vote::new(commits, 1));
        store.write_log(&[vote], None).expect("it works");
        commits += 1;
    }
    println!(
        "durable commits of redb a second: {}",
        commits / SPAN.as_secs()
    );
}

async fn measure(cluster: &Cluster, callers: usize) {
    let engine = cluster.engine(cluster.leader().await);
    for (what, is_read) in [("proposals", false), ("confirmations", true)] {
        #[expect(clippy::disallowed_methods, reason = "it measures")]
        let start = Instant::now();
        let working = (0..callers).map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let mut done = 0_u64;
                #[expect(clippy::disallowed_methods, reason = "it measures")]
                while start.elapsed() < SPAN {
                    match is_read {
                        true => drop(engine.confirm().await.expect("it leads")),
                        false => engine.propose(vec![7; 64]).await.expect("it leads"),
                    }
                    done += 1;
                }
                done
            })
        });
        let done = futures::future::join_all(working).await;
        let done: u64 = done.into_iter().map(|done| done.expect("no panic")).sum();
        println!(
            "{what} a second, {callers} callers: {}",
            done / SPAN.as_secs()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures"]
async fn of_one_member() {
    let mut cluster = Cluster::new();
    cluster.start(1).await;
    cluster.engine(1).bootstrap("one").await.expect("a new one");
    for callers in [1, 64, 512] {
        measure(&cluster, callers).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures"]
async fn of_three_members() {
    let cluster = Arc::new(Cluster::of_three().await);
    for callers in [1, 64, 512] {
        measure(&cluster, callers).await;
    }
}
