use std::sync::Arc;

use lease_backend::RedbOptions;
use lease_backend::testing::{Prng, SimDisk};
use lease_core::{Backend, Epoch, Table, WriteBatch};
use lease_pb::Message;

use super::log::{append, entry};
use super::network::Cluster;
use crate::TokioRuntime;
use crate::raft::codec;
use crate::raft::config::{Entry, LogId, Vote, position};
use crate::raft::log::RedbLog;
use crate::redb_store::{LogChange, RedbStore, read_entries};
use openraft::storage::RaftLogStorage;

/// What was acknowledged before the power went.
#[derive(Default)]
struct Acknowledged {
    /// All entries that were appended and not truncated.
    entries: Vec<Entry>,
    /// Up to which they are durable.
    durable: usize,
    vote: Option<Vote>,
    purged: Option<LogId>,
    epoch: u64,
}

#[test]
fn a_power_cut_keeps_every_acknowledged_entry_and_vote() {
    let (mut cuts, mut kept) = (0, 0);
    for seed in 0..150 {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.expect("a runtime");
        let disk = SimDisk::new(seed);
        let mut known = Acknowledged::default();
        runtime.block_on(live(&disk, seed, &mut known));
        drop(runtime);
        cuts += usize::from(!disk.is_powered());
        kept += known.durable;
        check(&disk.restart(), &known, seed);
    }
    assert!(cuts > 100 && kept > 1000, "{cuts} cuts, {kept} entries");
}

/// Works on a disk until its power goes.
async fn live(disk: &SimDisk, seed: u64, known: &mut Acknowledged) {
    let store = RedbStore::create_with_storage(RedbOptions::new(), disk.clone());
    let store = Arc::new(store.expect("it has power"));
    let log = RedbLog::open(Arc::clone(&store), Arc::new(TokioRuntime)).await;
    let mut log = log.expect("an empty log");
    let mut prng = Prng::new(seed);
    disk.cut_power_after(20 + prng.below(400));
    let mut term = 1;
    for step in 1..200 {
        let next = known
            .entries
            .last()
            .map_or(0, |last| last.log_id.index() + 1);
        match prng.below(10) {
            0 => {
                term += 1;
                let vote = Vote::new(term, seed);
                if log.save_vote(&vote).await.is_err() {
                    return;
                }
                known.vote = Some(vote);
            }
            // What is acknowledged is not truncated in this test: an honest engine may.
            1 if known.durable > 3 => {
                let upto = known.entries[known.durable - 2].log_id;
                if log.purge(upto).await.is_err() {
                    return;
                }
                known.purged = Some(upto);
            }
            2 => {
                let mut batch = WriteBatch::default();
                batch.put_epoch(Epoch::new(step));
                if store.commit(&batch).is_err() {
                    return;
                }
                known.epoch = step;
            }
            _ => {
                let count = 1 + prng.below(5);
                let new: Vec<_> = (next..next + count).map(|n| entry(term, n, "x")).collect();
                let Ok(flushed) = append(&mut log, new.clone()).await else {
                    return;
                };
                known.entries.extend(new);
                if prng.below(2) == 0 {
                    if flushed.await.is_err() {
                        return;
                    }
                    known.durable = known.entries.len();
                }
            }
        }
    }
}

fn check(disk: &SimDisk, known: &Acknowledged, seed: u64) {
    let store = RedbStore::create_with_storage(RedbOptions::new(), disk.clone());
    let store = store.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let log = store
        .load_log(None)
        .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    assert!(log.vote >= known.vote, "seed {seed}: {log:?}");
    assert!(log.purged <= known.purged, "seed {seed}: {log:?}");
    let first = log.purged.map_or(0, |purged| purged.index() + 1);
    let end = log.last.map_or(0, |last| last.index() + 1);
    assert!(end as usize >= known.durable, "seed {seed}: {log:?}");
    let view = store.view_log().expect("it has power");
    let found = read_entries(&view, first..end, usize::MAX).expect("no hole");
    assert_eq!(
        found,
        known.entries[first as usize..end as usize],
        "seed {seed}"
    );
    let epoch = store.load(&mut |_| {}).expect("it has power");
    assert!(epoch.get() >= known.epoch, "seed {seed}");
}

/// An entry is applied before it is durable in the log, and the state may be durable first. If the power goes then,
/// the file has a state of one leader, and entries of the one before in its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_is_durable_before_its_log_is_gone_on_with() {
    let mut cluster = Cluster::new();
    cluster.start(1).await;
    cluster.engine(1).bootstrap("one").await.expect("a new one");
    for n in 0..10 {
        cluster.propose(&n.to_string()).await;
    }
    cluster.agreed().await;
    cluster.stop(1).await;
    {
        let store = cluster.open(1);
        let stored = store.load_log(None).expect("sound");
        let last = stored.last.expect("some");
        // What member 2 has written in a later term, in the place of the last three but one.
        let term = last.committed_leader_id().term + 1;
        let applied = LogId::new_term_index(term, last.index() - 2);
        let vote = LogChange::Vote(Vote::new_committed(term, 2));
        store.write_log(&[vote], None).expect("a disk");
        let mut batch = WriteBatch::default();
        let row = codec::log_id(&applied).encode_to_vec();
        batch.put(Table::new("lease_raft_openraft"), "applied", row);
        let position = position(applied.index()).to_be_bytes();
        batch.put(Table::new("tally_meta"), "applied", position);
        store.commit(&batch).expect("a disk");
    }
    cluster.start(1).await;
    cluster.propose("after").await;
    let agreed = cluster.agreed().await;
    assert_eq!(agreed.last().map(String::as_str), Some("after"));
    cluster.stop(1).await;
    let stored = cluster.open(1).load_log(None).expect("sound");
    assert!(stored.purged.is_some(), "{stored:?}");
}
