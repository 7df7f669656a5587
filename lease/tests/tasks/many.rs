use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;
use lease::{AsyncLessor, BackendLessor, LeaseId, Lessor, RedbBackend};

use crate::on_one_thread;
#[cfg(target_os = "linux")]
use crate::support::threads;
use crate::support::{Mode, lessor, watched};

const MANY: usize = 10_000;

#[test]
fn ten_thousand_grants_share_a_thread_and_ten_commits() {
    on_one_thread(async {
        let (lessor, store) = lessor();
        store.set(Mode::Closed);
        let begun = Arc::new(AtomicUsize::new(0));
        let grant = |_| {
            let (lessor, begun) = (lessor.clone(), Arc::clone(&begun));
            tokio::spawn(async move {
                begun.fetch_add(1, Ordering::Relaxed);
                watched(lessor.grant_new(60)).await
            })
        };
        let first = grant(0);
        store.hangs().await;
        let grants: Vec<_> = (1..MANY).map(grant).collect();
        while begun.load(Ordering::Relaxed) < MANY {
            tokio::task::yield_now().await;
        }
        #[cfg(target_os = "linux")]
        assert!(threads() < 100, "they take {} threads", threads());
        let before = store.commits.load(Ordering::Relaxed);
        store.set(Mode::Open);
        first.await.expect("no panic").expect("granted");
        let mut ids = Vec::new();
        for granted in grants {
            ids.push(granted.await.expect("no panic").expect("granted").id());
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), MANY - 1);
        let commits = store.commits.load(Ordering::Relaxed) - before;
        assert!(commits <= 11, "{commits} commits");
    });
}

#[test]
fn ten_thousand_renewals_at_once() {
    on_one_thread(async {
        let (lessor, _) = lessor();
        let ids: Vec<_> = (1..=MANY as i64)
            .map(|number| LeaseId::try_from(number).expect("not zero"))
            .collect();
        for granted in join_all(ids.iter().map(|id| lessor.grant(*id, 60))).await {
            granted.expect("granted");
        }
        let renew = |id: &LeaseId| {
            let (lessor, id) = (lessor.clone(), *id);
            tokio::spawn(async move { watched(lessor.renew(id)).await })
        };
        let renewals: Vec<_> = ids.iter().map(renew).collect();
        for renewed in renewals {
            renewed.await.expect("no panic").expect("renewed");
        }
        let together = lessor.renew_many(&ids).await;
        assert!(together.iter().all(Result::is_ok));
        assert_eq!(lessor.lessor().stats().renewed, 2 * MANY as u64);
    });
}

#[test]
fn what_was_granted_on_redb_is_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("leases.redb");
    let its = path.clone();
    on_one_thread(async move {
        let store = RedbBackend::open(its).expect("it is made");
        let lessor = BackendLessor::standalone(Arc::new(store)).expect("it starts");
        let lessor = AsyncLessor::new(lessor).expect("there is room");
        let register = |number: usize| {
            let lessor = lessor.clone();
            async move {
                let id = lessor.grant_new(60).await?.id();
                lessor.attach(id, &[format!("{number}").into()]).await
            }
        };
        for registered in join_all((0..MANY / 10).map(register)).await {
            registered.expect("registered");
        }
        lessor.shutdown().await.expect("it ends");
    });
    let store = RedbBackend::open(path).expect("nobody has it any more");
    let lessor = BackendLessor::standalone(Arc::new(store)).expect("it starts");
    assert_eq!(lessor.stats().items, MANY / 10);
    assert!(lessor.get_lease(b"999").is_some());
}
