use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use lease_backend::testing::SimDisk;
use lease_backend::{RedbBackend, RedbOptions};
use lease_core::BackendError;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use openraft::{EntryPayload, RaftLogReader};
use redb::TableDefinition;

use crate::raft::config::{Entry, LogId, Proposal, Types, Vote};
use crate::raft::log::RedbLog;
use crate::redb_store::RedbStore;
use crate::{Runtime, TokioRuntime};

pub(super) fn id(term: u64, index: u64) -> LogId {
    LogId::new_term_index(term, index)
}

pub(super) fn entry(term: u64, index: u64, text: &str) -> Entry {
    let proposal = Proposal(Bytes::copy_from_slice(text.as_bytes()));
    Entry {
        log_id: id(term, index),
        payload: EntryPayload::Normal(proposal),
    }
}

/// The future ends when the entries are durable.
pub(super) async fn append(
    log: &mut RedbLog,
    entries: Vec<Entry>,
) -> io::Result<impl Future<Output = io::Result<()>> + use<>> {
    let (sender, flushed) = Types::oneshot();
    log.append(entries, IOFlushed::signal(sender)).await?;
    Ok(async move { flushed.await.expect("the callback is called") })
}

async fn open(store: &Arc<RedbStore>) -> io::Result<RedbLog> {
    RedbLog::open(Arc::clone(store), Arc::new(TokioRuntime)).await
}

async fn read(log: &mut RedbLog) -> Vec<Entry> {
    let mut reader = log.get_log_reader().await;
    reader
        .try_get_log_entries(..)
        .await
        .expect("it can be read")
}

fn store() -> (tempfile::TempDir, Arc<RedbStore>) {
    let dir = tempfile::tempdir().expect("a folder");
    let store = RedbStore::open(dir.path().join("member.redb")).expect("a new store");
    (dir, Arc::new(store))
}

#[tokio::test]
async fn an_append_is_seen_at_once_and_a_hole_is_refused() {
    let (_dir, store) = store();
    let mut log = open(&store).await.expect("an empty log");
    let first = append(&mut log, vec![entry(1, 0, "a"), entry(1, 1, "b")]).await;
    assert_eq!(read(&mut log).await.len(), 2, "before it is durable");
    first.expect("it is taken").await.expect("it is durable");
    for index in [0, 1, 3] {
        let refused = append(&mut log, vec![entry(1, index, "c")]).await;
        assert!(refused.is_err(), "entry {index} after entry 1");
    }
    assert_eq!(read(&mut log).await.len(), 2);
}

#[tokio::test]
async fn a_log_comes_back_as_it_was_after_truncations_and_purges() {
    let (_dir, store) = store();
    let mut log = open(&store).await.expect("an empty log");
    let entries = |from, to, term| (from..to).map(|n| entry(term, n, "x")).collect();
    let appended = append(&mut log, entries(0, 20, 1)).await.expect("taken");
    log.truncate_after(Some(id(1, 9))).await.expect("taken");
    let rest = append(&mut log, entries(10, 15, 2)).await.expect("taken");
    log.purge(id(1, 4)).await.expect("taken");
    log.save_committed(Some(id(1, 7))).await.expect("taken");
    let vote = Vote::new_committed(2, 3);
    log.save_vote(&vote).await.expect("it is durable");
    appended.await.expect("durable");
    rest.await.expect("durable");
    let expected = read(&mut log).await;
    assert_eq!(expected.len(), 10);
    assert_eq!(
        (expected[0].log_id, expected[9].log_id),
        (id(1, 5), id(2, 14))
    );

    let mut again = open(&store).await.expect("the log");
    assert_eq!(read(&mut again).await, expected, "from the file");
    let state = again.get_log_state().await.expect("it is in memory");
    assert_eq!(state.last_purged_log_id, Some(id(1, 4)));
    assert_eq!(state.last_log_id, Some(id(2, 14)));
    assert_eq!(again.read_committed().await.expect("read"), Some(id(1, 7)));
    let mut reader = again.get_log_reader().await;
    assert_eq!(reader.read_vote().await.expect("read"), Some(vote));
    let limited = reader.limited_get_log_entries(3, 9).await.expect("read");
    assert_eq!(limited, expected[..4], "what was purged is left out");
}

#[tokio::test]
async fn messages_are_limited_by_bytes_and_never_empty() {
    let (_dir, store) = store();
    let mut log = open(&store).await.expect("an empty log");
    let large = "x".repeat(400 << 10);
    let entries = (0..10).map(|n| entry(1, n, &large)).collect();
    let appended = append(&mut log, entries).await.expect("taken");
    appended.await.expect("durable");
    for mut log in [log, open(&store).await.expect("the log")] {
        let mut reader = log.get_log_reader().await;
        let read = reader.limited_get_log_entries(2, 9).await.expect("read");
        assert_eq!(read.len(), 3, "a megabyte, and what has begun before");
        assert_eq!(read[0].log_id, id(1, 2));
    }
}

#[tokio::test]
async fn reads_of_a_long_log_are_whole_whatever_is_still_in_memory() {
    let (_dir, store) = store();
    let mut log = open(&store).await.expect("an empty log");
    let mut last = None;
    for from in (0..20_000).step_by(1000) {
        let entries = (from..from + 1000).map(|n| entry(1, n, "x")).collect();
        last = Some(append(&mut log, entries).await.expect("taken"));
    }
    last.expect("some").await.expect("durable");
    let mut reader = log.get_log_reader().await;
    for range in [
        0..20_000,
        100..200,
        11_000..13_000,
        19_999..20_000,
        30_000..40_000,
    ] {
        let read = reader
            .try_get_log_entries(range.clone())
            .await
            .expect("read");
        let expected = range.clone().filter(|n| *n < 20_000);
        assert!(
            read.iter().map(|entry| entry.log_id.index()).eq(expected),
            "{range:?}"
        );
    }
}

#[tokio::test]
async fn after_a_failed_write_nothing_is_acknowledged_any_more() {
    let disk = SimDisk::new(7);
    let store = RedbStore::create_with_storage(RedbOptions::new(), disk.clone());
    let store = Arc::new(store.expect("a new store"));
    let mut log = open(&store).await.expect("an empty log");
    let good = append(&mut log, vec![entry(1, 0, "a")])
        .await
        .expect("taken");
    good.await.expect("durable");
    disk.fail_after(1);
    let bad = append(&mut log, vec![entry(1, 1, "b")])
        .await
        .expect("taken");
    bad.await.expect_err("the disk fails");
    let vote = log.save_vote(&Vote::new(2, 1)).await;
    assert!(
        vote.expect_err("it is stopped")
            .to_string()
            .contains("failed before")
    );
    assert!(append(&mut log, vec![entry(1, 2, "c")]).await.is_err());
}

/// Its disk does so much, and then no more.
struct Stalls(AtomicUsize);

impl Runtime for Stalls {
    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        TokioRuntime.sleep(span)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        TokioRuntime.spawn(task);
    }

    fn block(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let left = self.0.load(Ordering::Relaxed);
        self.0.store(left.saturating_sub(1), Ordering::Relaxed);
        async move {
            match left {
                0 => std::future::pending().await,
                _ => work(),
            }
        }
        .boxed()
    }
}

/// Openraft cannot start where an entry is committed and not there.
#[tokio::test]
async fn no_entry_is_committed_in_the_file_that_is_not_there() {
    // More than are written together.
    const ENTRIES: u64 = 5000;
    let (_dir, store) = store();
    let runtime = Arc::new(Stalls(AtomicUsize::new(2)));
    let log = RedbLog::open(Arc::clone(&store), runtime).await;
    let mut log = log.expect("an empty log");
    let mut first = None;
    for n in 0..ENTRIES {
        let appended = append(&mut log, vec![entry(1, n, "x")]).await;
        first.get_or_insert(appended.expect("taken"));
    }
    let last = Some(id(1, ENTRIES - 1));
    log.save_committed(last).await.expect("taken");
    first.expect("one").await.expect("durable");
    let stored = store.load_log(None).expect("sound");
    assert!(stored.last.is_some() && stored.last < last, "{stored:?}");
    assert!(stored.committed <= stored.last, "{stored:?}");

    // What is committed is not left out for good.
    drop(log);
    let mut log = open(&store).await.expect("the log");
    let next = stored.last.map_or(0, |last| last.index() + 1);
    let appended = append(&mut log, vec![entry(1, next, "x")]).await;
    log.save_committed(Some(id(1, next))).await.expect("taken");
    appended.expect("taken").await.expect("durable");
    let stored = store.load_log(None).expect("sound");
    assert_eq!(stored.committed, Some(id(1, next)));
}

#[test]
fn a_store_is_of_one_process_one_cluster_and_one_member() {
    let (dir, store) = store();
    let path = dir.path().join("member.redb");
    assert!(matches!(
        RedbStore::open(&path),
        Err(BackendError::Locked(_))
    ));
    store.identify("blue", 1).expect("it was nobody's");
    store.identify("blue", 1).expect("it is its");
    for (cluster, member) in [("green", 1), ("blue", 2)] {
        let foreign = store.identify(cluster, member);
        let Err(BackendError::Foreign(text)) = foreign else {
            panic!("{foreign:?}");
        };
        assert!(text.contains("member 1 of cluster \"blue\""), "{text}");
    }
}

/// Writes a row of the log as no log would, and says why the log is refused.
fn damage(table: &str, write: impl FnOnce(&redb::WriteTransaction)) -> String {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("member.redb");
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(async {
        let store = Arc::new(RedbStore::open(&path).expect("a new store"));
        let mut log = open(&store).await.expect("an empty log");
        let entries = (0..5).map(|n| entry(1, n, "x")).collect();
        let appended = append(&mut log, entries).await.expect("taken");
        appended.await.expect("durable");
        log.save_vote(&Vote::new(1, 1)).await.expect("durable");
    });
    let backend = RedbBackend::open(&path).expect("the runtime has ended");
    let written = backend.write(|transaction| {
        write(transaction);
        Ok(())
    });
    written.expect("it works");
    drop(backend);
    let store = RedbStore::open(&path).and_then(|store| store.load_log(None));
    let error = store.expect_err(table).to_string();
    assert!(
        error.contains("damaged") || error.contains("newer"),
        "{error}"
    );
    error
}

#[test]
fn damaged_rows_are_errors_that_say_what_is_wrong() {
    const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("lease_raft_log");
    const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("lease_raft_log_meta");
    let meta = |key: &'static str, value: &'static [u8]| {
        damage(key, move |transaction| {
            let mut meta = transaction.open_table(META).expect("a table");
            meta.insert(key, value).expect("it works");
        })
    };
    assert!(meta("vote", b"\xff\xff").contains("vote"));
    assert!(meta("purged", b"\xff\xff").contains("purged"));
    assert!(
        meta("committed", b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01").contains("committed")
    );
    assert!(meta("format", b"\0\0\0\0\0\0\0\x02").contains("newer"));
    assert!(meta("format", b"two").contains("no number"));
    let log = |index, row: Option<&'static [u8]>| {
        damage("log", move |transaction| {
            let mut log = transaction.open_table(LOG).expect("a table");
            match row {
                Some(row) => log.insert(index, row),
                None => log.remove(index),
            }
            .expect("it works");
        })
    };
    assert!(log(2, None).contains("4 entries from 0 to 4"));
    assert!(log(0, None).contains("entries from 1"));
    assert!(log(4, Some(b"\xff")).contains("entry 4"));
    assert!(log(4, Some(b"")).contains("no id"));
    assert!(log(4, Some(b"\x0a\x02\x08\x01")).contains("says that it is 0"));
}
