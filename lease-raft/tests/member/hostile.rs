//! What strangers and members of other versions send.

use std::time::Duration;

use lease_pb::Message;
use lease_pb::leaseraftpb::{self as pb, snapshot_part::Part};
use lease_raft::Peers;
use lease_raft::grpc::GrpcPeers;

use crate::cluster::{Cluster, PATIENCE, id};

const STRANGER: u64 = 99;

fn header(to: u64) -> Option<pb::RaftHeader> {
    Some(pb::RaftHeader {
        cluster: "blue".to_owned(),
        from: STRANGER,
        to,
    })
}

/// What member 1 answers to a stranger.
async fn answered(cluster: &mut Cluster, path: &'static str, body: impl Message) -> (u16, String) {
    let peers = GrpcPeers::new("blue", STRANGER, None);
    peers.set_address(1, cluster.address(1));
    let answer = peers.ask(1, path, body.encode_to_vec(), PATIENCE).await;
    let answer = answer.expect("it answers");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    (answer.status, text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_term_of_all_is_nobodys() {
    let mut cluster = Cluster::of(1).await;
    let granted = cluster.lessor(1).grant(id(1), 60, PATIENCE).await;
    granted.expect("it leads");
    let vote = |term, transfer| pb::VoteRequest {
        header: header(1),
        vote: Some(pb::RaftVote {
            term,
            member: STRANGER,
            committed: false,
        }),
        last: Some(pb::RaftLogId {
            term: term - 1,
            index: 1 << 40,
        }),
        transfer,
    };
    for term in [u64::MAX, u64::MAX - 1, 1 << 40] {
        let (status, text) = answered(&mut cluster, "/raft/vote", vote(term, true)).await;
        assert!(
            status == 400 && text.contains("the term"),
            "{status} {text}"
        );
    }
    for is_asked in [false, true] {
        let (status, text) = answered(&mut cluster, "/raft/vote", vote(50, is_asked)).await;
        assert!(
            status == 403 && text.contains("no voter"),
            "{status} {text}"
        );
    }
    assert!(cluster.lessor(1).stats().term < 50);
    cluster.join(2).await;
    let (status, _) = answered(&mut cluster, "/raft/vote", vote(50, true)).await;
    assert_eq!(status, 403);
    // It could lag, and not know of a voter.
    let (status, _) = answered(&mut cluster, "/raft/vote", vote(50, false)).await;
    assert_eq!(status, 200);
    let granted = cluster.lessor(1).grant(id(2), 60, PATIENCE).await;
    granted.expect("somebody leads");
    cluster.stop_all().await;
}

/// Nobody else can lead where there is only one to decide.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_does_not_lead_a_cluster_of_one() {
    let mut cluster = Cluster::of(1).await;
    let granted = cluster.lessor(1).grant(id(1), 60, PATIENCE).await;
    granted.expect("it leads");
    let led = cluster.lessor(1).stats();
    let vote = Some(pb::RaftVote {
        term: 50,
        member: STRANGER,
        committed: true,
    });
    let append = pb::AppendRequest {
        header: header(1),
        vote,
        ..pb::AppendRequest::default()
    };
    let membership = pb::RaftMembership {
        voters: vec![pb::RaftVoters {
            members: vec![STRANGER],
        }],
        nodes: vec![pb::RaftNode {
            member: STRANGER,
            address: "nowhere:1".to_owned(),
        }],
    };
    let at = |term, index| Some(pb::RaftLogId { term, index });
    let snapshot = pb::ChunkRequest {
        header: header(1),
        vote,
        meta: Some(pb::SnapshotMeta {
            last: at(49, 1000),
            membership: Some(pb::RaftStoredMembership {
                id: at(48, 999),
                membership: Some(membership),
            }),
            len: 2,
            checksum: 0,
        }),
        transfer: 1,
        offset: 0,
        data: vec![0],
    };
    let appended = answered(&mut cluster, "/raft/append", append).await;
    let sent = answered(&mut cluster, "/raft/snapshot", snapshot).await;
    for (status, text) in [appended, sent] {
        assert!(
            status == 403 && text.contains("no voter") && text.contains("decides alone"),
            "{status} {text}"
        );
    }
    let granted = cluster.lessor(1).grant(id(2), 60, PATIENCE).await;
    granted.expect("it leads");
    let now = cluster.lessor(1).stats();
    assert_eq!((now.term, now.leader), (led.term, led.leader));
    cluster.stop_all().await;
}

/// A part of a snapshot, with its length and its checksum.
fn part(part: Part) -> Vec<u8> {
    let bytes = pb::SnapshotPart { part: Some(part) }.encode_to_vec();
    let (len, sum) = (bytes.len() as u32, crc32fast::hash(&bytes));
    [&len.to_be_bytes()[..], &sum.to_be_bytes(), &bytes].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_cannot_be_installed_is_refused() {
    let mut cluster = Cluster::of(2).await;
    let granted = cluster.lessor(1).grant(id(1), 60, PATIENCE).await;
    granted.expect("it leads");
    let begin = |format, cluster: &str, index| {
        part(Part::Header(pb::SnapshotHeader {
            format,
            cluster: cluster.to_owned(),
            index,
        }))
    };
    let snapshots = [
        (b"no snapshot".to_vec(), "cut off"),
        (begin(1, "blue", 1001), "cut off"),
        (begin(2, "blue", 1001), "its format is 2"),
        (begin(1, "green", 1001), "green"),
        (
            [begin(1, "blue", 1001), part(Part::End(3))].concat(),
            "0 rows of 3",
        ),
        (
            [begin(1, "blue", 7), part(Part::End(0))].concat(),
            "of entry 7",
        ),
    ];
    for (data, expected) in snapshots {
        let membership = pb::RaftMembership {
            voters: vec![pb::RaftVoters { members: vec![1] }],
            nodes: vec![pb::RaftNode {
                member: 1,
                address: cluster.address(1),
            }],
        };
        let request = pb::ChunkRequest {
            header: header(1),
            vote: Some(pb::RaftVote {
                term: 9,
                member: STRANGER,
                committed: true,
            }),
            meta: Some(pb::SnapshotMeta {
                last: Some(pb::RaftLogId {
                    term: 8,
                    index: 1000,
                }),
                membership: Some(pb::RaftStoredMembership {
                    id: Some(pb::RaftLogId { term: 1, index: 0 }),
                    membership: Some(membership),
                }),
                len: data.len() as u64,
                checksum: crc32fast::hash(&data),
            }),
            transfer: 1,
            offset: 0,
            data,
        };
        let (status, text) = answered(&mut cluster, "/raft/snapshot", request).await;
        assert!(status == 400 && text.contains(expected), "{status} {text}");
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(cluster.member(1).failure(), None);
    assert_eq!(cluster.leases(1).await, [1]);
    cluster.stop_all().await;
}
