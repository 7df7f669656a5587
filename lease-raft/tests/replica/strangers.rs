//! Entries that no member makes.

use lease_core::LeaseItem;
use lease_pb::Message;
use lease_pb::etcdserverpb::LeaseGrantRequest;
use lease_pb::leaseraftpb::{self as pb, Entry, ProposeRequest, entry::Request};
use lease_raft::{ReplicaError, ReplicatedLessor};

use crate::cluster::{Cluster, Fate, until};
use crate::{LONG, id};

/// The session of member 2.
const SESSION: u64 = 102;

/// A call, and that it has come to nothing that it knows.
async fn call(lessor: ReplicatedLessor, number: usize) -> Option<ReplicaError> {
    let items = vec![LeaseItem::from("a")];
    match number {
        0 => lessor.propose(vec![7], LONG).await.err(),
        1 => lessor.grant(id(1), 60, LONG).await.err(),
        2 => lessor.revoke(id(1), LONG).await.err(),
        3 => lessor.attach(id(1), items, LONG).await.err(),
        _ => lessor.detach(id(1), items, LONG).await.err(),
    }
}

#[tokio::test(start_paused = true)]
async fn who_takes_the_name_of_a_proposal_panics_nobody() {
    let cluster = Cluster::new().await;
    let requests = [
        Request::Host(vec![1]),
        Request::Grant(LeaseGrantRequest { id: 9, ttl: 60 }),
        Request::Lead(pb::Leadership { member: 3, term: 1 }),
    ];
    let mut name = 0;
    for number in 0..5 {
        for request in &requests {
            let is_its_own = matches!(
                (number, request),
                (0, Request::Host(_)) | (1, Request::Grant(_))
            );
            if is_its_own {
                continue;
            }
            name += 1;
            cluster.log.next(&[Fate::Lost]);
            let lessor = cluster.lessor(2);
            let called = tokio::spawn(call(lessor.clone(), number));
            until(|| lessor.stats().proposals == name).await;
            let forged = Entry {
                session: SESSION,
                number: name,
                applied: cluster.members[1].applied(),
                request: Some(request.clone()),
                ..Entry::default()
            };
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            let entry = forged.encode_to_vec();
            let body = ProposeRequest { entry }.encode_to_vec();
            let answer = cluster.members[0].answer("/raft/propose", &body).await;
            assert_eq!(answer.status, 200);
            let told = called.await.expect("no panic");
            assert_eq!(told, Some(ReplicaError::Unknown), "{number} {request:?}");
            cluster.until_primary(1).await;
        }
    }
}
