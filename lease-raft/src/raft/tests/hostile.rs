use std::fmt::Debug;
use std::time::Duration;

use lease_backend::testing::Prng;
use lease_pb::Message;
use lease_pb::leaseraftpb as pb;

use super::network::{Cluster, eventually};
use crate::OpenraftEngine;
use crate::raft::network::PATHS;

fn header(cluster: &str, from: u64, to: u64) -> Option<pb::RaftHeader> {
    Some(pb::RaftHeader {
        cluster: cluster.to_owned(),
        from,
        to,
    })
}

fn vote(term: u64, member: u64, committed: bool) -> Option<pb::RaftVote> {
    Some(pb::RaftVote {
        term,
        member,
        committed,
    })
}

fn id(term: u64, index: u64) -> Option<pb::RaftLogId> {
    Some(pb::RaftLogId { term, index })
}

async fn refused(
    engine: &OpenraftEngine,
    path: &str,
    message: impl Message + Debug,
) -> (u16, String) {
    let answer = engine.answer(2, path, &message.encode_to_vec()).await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert_ne!(answer.status, 200, "{path} took {message:?}");
    (answer.status, text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_for_somebody_else_is_refused() {
    let cluster = alone().await;
    let engine = cluster.engine(1);
    let cases = [
        (None, "whose"),
        (header("green", 2, 1), "green"),
        (header("blue", 2, 3), "member 3"),
        (header("blue", 7, 1), "says that it is 7"),
    ];
    for (header, expected) in cases {
        let request = pb::VoteRequest {
            header: header.clone(),
            vote: vote(9, 2, false),
            ..pb::VoteRequest::default()
        };
        for path in ["/raft/vote", "/raft/prevote"] {
            let (status, text) = refused(&engine, path, request.clone()).await;
            assert!(status == 403 && text.contains(expected), "{status} {text}");
        }
        let request = pb::AppendRequest {
            header: header.clone(),
            vote: vote(9, 2, true),
            ..pb::AppendRequest::default()
        };
        assert_eq!(refused(&engine, "/raft/append", request).await.0, 403);
        let request = pb::ChunkRequest {
            header,
            ..pb::ChunkRequest::default()
        };
        assert_eq!(refused(&engine, "/raft/snapshot", request).await.0, 403);
    }
    cluster.propose("it still works").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_that_no_leader_sends_are_refused() {
    let cluster = alone().await;
    let engine = cluster.engine(1);
    let entry = |term, index| pb::RaftEntry {
        id: id(term, index),
        payload: None,
    };
    let good = pb::AppendRequest {
        header: header("blue", 2, 1),
        vote: vote(9, 2, true),
        previous: id(1, 5),
        entries: vec![entry(2, 6), entry(2, 7)],
        committed: None,
    };
    let member = |voters: Vec<u64>, nodes: Vec<u64>| {
        let node = |member| pb::RaftNode {
            member,
            address: String::new(),
        };
        pb::RaftEntry {
            id: id(2, 8),
            payload: Some(pb::raft_entry::Payload::Membership(pb::RaftMembership {
                voters: vec![pb::RaftVoters { members: voters }],
                nodes: nodes.into_iter().map(node).collect(),
            })),
        }
    };
    let strange: [&dyn Fn(&mut pb::AppendRequest); 9] = [
        &|request| request.vote = None,
        &|request| request.vote = vote(9, 2, false),
        &|request| request.vote = vote(9, 3, true),
        &|request| request.previous = None,
        &|request| request.entries[1] = entry(2, 9),
        &|request| request.entries[1] = entry(1, 7),
        &|request| request.entries[1] = entry(10, 7),
        &|request| request.entries[0].id = None,
        &|request| request.previous = id(1, u64::MAX),
    ];
    for (case, make) in strange.iter().enumerate() {
        let mut request = good.clone();
        make(&mut request);
        let (status, text) = refused(&engine, "/raft/append", request).await;
        assert_eq!(status, 400, "case {case}: {text}");
    }
    for entry in [member(vec![1, 2], vec![1]), member(vec![], vec![1])] {
        let mut request = good.clone();
        request.entries.push(entry);
        assert_eq!(refused(&engine, "/raft/append", request).await.0, 400);
    }
    cluster.propose("it still works").await;
}

/// openraft takes entries before what is committed for those that are there, and what is committed for what is to be
/// applied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_that_contradict_what_is_committed_are_refused() {
    let cluster = alone().await;
    for n in 0..5 {
        cluster.propose(&format!("{n}")).await;
    }
    let engine = cluster.engine(1);
    let entry = |term, index| pb::RaftEntry {
        id: id(term, index),
        payload: None,
    };
    let cases = [
        // Of a later term, where something is committed and before.
        (id(8, 6), vec![], None),
        (id(8, 2), vec![], None),
        (id(1, 2), vec![entry(8, 3)], None),
        (None, vec![], id(8, 3)),
        // Of an earlier one behind it.
        (id(1, 6), vec![entry(1, 7)], id(0, 9)),
        // One of them cannot be.
        (id(1, 6), vec![entry(3, 7)], id(2, 9)),
        (id(1, 6), vec![entry(3, 7)], id(4, 7)),
    ];
    for (previous, entries, committed) in cases {
        let request = pb::AppendRequest {
            header: header("blue", 2, 1),
            vote: vote(9, 2, true),
            previous,
            entries,
            committed,
        };
        let (status, text) = refused(&engine, "/raft/append", request).await;
        assert!(
            status == 400 && text.contains("committed"),
            "{status} {text}"
        );
    }
    assert_eq!(engine.failure(), None);
    cluster.propose("it still works").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_is_damaged_cut_or_impossible_is_refused() {
    let cluster = of_two().await;
    for n in 0..20 {
        cluster.propose(&format!("{n}")).await;
    }
    let engine = cluster.engine(1);
    let data = b"no snapshot".to_vec();
    let good = pb::ChunkRequest {
        header: header("blue", 2, 1),
        vote: vote(9, 2, true),
        meta: Some(pb::SnapshotMeta {
            last: id(8, 1000),
            membership: Some(pb::RaftStoredMembership {
                id: id(1, 0),
                membership: Some(pb::RaftMembership::default()),
            }),
            len: data.len() as u64,
            checksum: 7,
        }),
        transfer: 1,
        offset: 0,
        data,
    };
    let strange: [(u16, &str, Make<'_>); 8] = [
        (400, "checksum", &|_| ()),
        (409, "beyond", &|request| request.data.push(1)),
        (409, "no chunk before", &|request| {
            request.offset = 2;
            request.data.truncate(1);
        }),
        (409, "beyond", &|request| request.offset = u64::MAX),
        (400, "vote", &|request| request.vote = None),
        (400, "claim", &|request| request.vote = vote(9, 2, false)),
        // Where something else is committed, and of a term that has not begun.
        (400, "cannot be", &|request| {
            request.meta.as_mut().expect("it has one").last = id(8, 2);
        }),
        (400, "cannot be", &|request| {
            request.meta.as_mut().expect("it has one").last = id(10, 1000);
        }),
    ];
    for (status, expected, make) in strange {
        let mut request = good.clone();
        make(&mut request);
        let found = refused(&engine, "/raft/snapshot", request).await;
        assert!(found.0 == status && found.1.contains(expected), "{found:?}");
    }
    cluster.propose("it still works").await;
}

/// It is no stranger: it leads until the last entry is committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_leaves_the_last_member_alone_is_heard() {
    let mut cluster = Cluster::new();
    cluster.start(1).await;
    let engine = cluster.engine(1);
    let alone = pb::RaftMembership {
        voters: vec![pb::RaftVoters { members: vec![1] }],
        nodes: vec![pb::RaftNode {
            member: 1,
            address: "one".to_owned(),
        }],
    };
    let heard = async |term, entries, committed| {
        let request = pb::AppendRequest {
            header: header("blue", 2, 1),
            vote: vote(term, 2, true),
            previous: None,
            entries,
            committed,
        };
        let body = request.encode_to_vec();
        engine.answer(2, "/raft/append", &body).await.status
    };
    let entry = pb::RaftEntry {
        id: id(9, 0),
        payload: Some(pb::raft_entry::Payload::Membership(alone)),
    };
    assert_eq!(heard(9, vec![entry], None).await, 200, "it knows nobody");
    eventually("it knows itself", || engine.members().voters.len() == 1).await;
    assert_eq!(heard(9, vec![], id(9, 0)).await, 200);
    assert_eq!(heard(99, vec![], None).await, 403, "a later term");
    cluster.propose("it leads").await;
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_of_which_no_more_comes_does_not_stay_on_the_disk() {
    let mut cluster = Cluster::new();
    cluster.start(1).await;
    let engine = cluster.engine(1);
    let chunk = async |transfer, offset| {
        let request = pb::ChunkRequest {
            header: header("blue", 2, 1),
            vote: vote(9, 2, true),
            meta: Some(pb::SnapshotMeta {
                last: id(8, 1000),
                membership: Some(pb::RaftStoredMembership {
                    id: id(1, 0),
                    membership: Some(pb::RaftMembership::default()),
                }),
                len: 3,
                checksum: 7,
            }),
            transfer,
            offset,
            data: vec![7],
        };
        let body = request.encode_to_vec();
        let answer = engine.answer(2, "/raft/snapshot", &body).await;
        assert_eq!(
            answer.status,
            200,
            "{:?}",
            String::from_utf8_lossy(&answer.body)
        );
    };
    let secs = |secs| tokio::time::sleep(Duration::from_secs(secs));
    for transfer in [1, 2] {
        chunk(transfer, 0).await;
        secs(50).await;
        chunk(transfer, 1).await;
        secs(50).await;
        assert_eq!(cluster.spooled(), 1, "the next one may come");
    }
    secs(200).await;
    assert_eq!(cluster.spooled(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noise_is_refused_and_nothing_panics() {
    let cluster = alone().await;
    let engine = cluster.engine(1);
    let mut prng = Prng::new(1);
    for round in 0..2000 {
        let len = prng.below(40) as usize;
        let mut body: Vec<u8> = (0..len).map(|_| prng.below(256) as u8).collect();
        if round % 2 == 0 {
            // Noise behind an honest header.
            let mut message = pb::VoteRequest {
                header: header("blue", 2, 1),
                ..pb::VoteRequest::default()
            }
            .encode_to_vec();
            message.append(&mut body);
            body = message;
        }
        for path in PATHS {
            let answer = engine.answer(2, path, &body).await;
            assert_ne!(answer.status, 200, "{path} {body:?}");
        }
    }
    assert_eq!(engine.answer(2, "/raft/else", b"").await.status, 404);
    assert_eq!(engine.failure(), None);
    cluster.propose("it still works").await;
}

/// Makes a good chunk a bad one.
type Make<'m> = &'m dyn Fn(&mut pb::ChunkRequest);

/// Member 2 decides, so that it could lead.
async fn of_two() -> Cluster {
    let mut cluster = alone().await;
    cluster.start(2).await;
    cluster.admit(2).await;
    cluster
}

async fn alone() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.start(1).await;
    cluster.engine(1).bootstrap("one").await.expect("a new one");
    cluster.leader().await;
    cluster
}
