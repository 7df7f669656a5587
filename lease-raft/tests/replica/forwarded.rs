//! What a member brings to a leader that is slow.

use std::time::Duration;

use futures::future::join_all;

use crate::cluster::{Cluster, Fate, until};
use crate::{LONG, id};

const GRANTS: i64 = 5;

#[tokio::test(start_paused = true)]
async fn what_waits_at_the_leader_is_not_proposed_again() {
    let cluster = Cluster::new().await;
    cluster.until_equal().await;
    let logged = cluster.log.len();
    let asked = cluster.log.state().questions;
    cluster.log.next(&[Fate::Held; GRANTS as usize]);
    let lessor = cluster.lessor(2);
    let grants = (1..=GRANTS).map(|number| lessor.grant(id(number), 60, LONG));
    let waits = async {
        // Some times as long as an answer is waited for.
        tokio::time::sleep(LONG / 2).await;
        assert_eq!(cluster.log.len(), logged);
        cluster.log.let_go();
    };
    let (granted, ()) = futures::join!(join_all(grants), waits);
    for granted in granted {
        granted.expect("free");
    }
    assert_eq!(cluster.log.len(), logged + GRANTS as usize);
    let asked = cluster.log.state().questions - asked;
    assert!(asked > GRANTS as usize, "it came again");
    assert!(
        asked <= 5 * GRANTS as usize,
        "{asked} times in {:?}",
        LONG / 2
    );
}

/// What the old leader has taken may be lost.
#[tokio::test(start_paused = true)]
async fn what_waits_at_a_leader_of_old_is_proposed_again_to_the_next_one() {
    for next in [1, 3, 2] {
        let cluster = Cluster::new().await;
        cluster.until_equal().await;
        let logged = cluster.log.len();
        cluster.log.next(&[Fate::Held]);
        let lessor = cluster.lessor(2);
        let granting = tokio::spawn(async move { lessor.grant(id(1), 60, LONG).await });
        // It comes again, and waits with the first one.
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(cluster.log.len(), logged);
        cluster.log.lead(next);
        granting.await.expect("no panic").expect("free");
        // The first entry of the term is one, too.
        assert_eq!(cluster.log.len(), logged + 2, "member {next} leads");
        cluster.log.let_go();
        until(|| cluster.lessor(2).stats().proposals_in_flight == 0).await;
    }
}
