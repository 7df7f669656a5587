use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use lease_core::LeaseId;
use lease_raft::{Consistency, MemberId, ReplicaError};

use crate::trace::Trace;
use crate::world::{PATIENCE, World, known_leader};

/// What every seed does: only when, and what is lost between, differs.
pub(crate) async fn tell(seed: u64) -> Trace {
    let world = World::new(seed);
    for member in 1..=3 {
        world.start(member).await;
    }
    let first = world.engine(1);
    first.bootstrap("1").await.expect("it is of no cluster");
    for member in [2, 3] {
        admit(&world, member).await;
    }
    write(&world, "at first", 1, 30).await;

    kill_the_leader(&world).await;
    bring_up_by_a_snapshot(&world).await;
    change_the_members(&world).await;
    hand_over(&world).await;

    write(&world, "at last", 1, 10).await;
    compare(&world, &[1, 2, 4]).await;
    world.trace()
}

async fn admit(world: &World, member: MemberId) {
    world
        .change(&format!("learner {member}"), async |engine| {
            engine.add_learner(member, &member.to_string()).await
        })
        .await;
    world
        .change(&format!("voter {member}"), async |engine| {
            // It may have happened at the last attempt.
            match engine.members().voters.contains(&member) {
                true => Ok(()),
                false => engine.promote(member).await,
            }
        })
        .await;
}

async fn kill_the_leader(world: &Arc<World>) {
    let leader = world.leader().await;
    let at = others(leader)[0];
    let writing = write(world, "while the leader dies", at, 20);
    let killing = async {
        let later = Duration::from_millis(world.below(30));
        madsim::time::sleep(later).await;
        world.kill(leader);
    };
    futures::join!(writing, killing);
    assert_ne!(world.leader().await, leader);
    world.start(leader).await;
    write(world, "after its return", leader, 10).await;
}

async fn bring_up_by_a_snapshot(world: &Arc<World>) {
    let leader = world.leader().await;
    let away = others(leader)[1];
    world.isolate(away);
    for _ in 0..5 {
        write(world, "while one is away", leader, 40).await;
        // What is being sent to it is not purged meanwhile.
        madsim::time::sleep(Duration::from_secs(1)).await;
    }
    world.heal();
    catch_up(world, away).await;
    let sent = format!("asks {away} /raft/snapshot");
    assert!(world.trace().has(&sent), "it was behind the purge");
}

async fn change_the_members(world: &Arc<World>) {
    world.start(4).await;
    admit(world, 4).await;
    write(world, "with a fourth", 4, 10).await;
    // A leader that removes itself may not hear of it.
    if world.leader().await == 3 {
        transfer(world, 1).await;
    }
    world
        .change("without 3", async |engine| {
            match engine.members().voters.contains(&3) {
                true => engine.remove(3).await,
                false => Ok(()),
            }
        })
        .await;
    world.kill(3);
    write(world, "without the third", 1, 10).await;
}

async fn hand_over(world: &Arc<World>) {
    let old = world.leader().await;
    let new = *[1, 2, 4]
        .iter()
        .find(|it| **it != old)
        .expect("another one");
    transfer(world, new).await;
}

/// A message that is lost has somebody else elected.
async fn transfer(world: &World, new: MemberId) {
    for _ in 0..20 {
        let old = world.leader().await;
        if old == new {
            return;
        }
        let asked = world.engine(old).transfer_leadership(new).await;
        world.note(&format!("{old} hands over to {new}: {asked:?}"));
        madsim::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("{new} never leads");
}

/// Grants, renews and proposes, all at once, until each is done.
async fn write(world: &Arc<World>, what: &str, at: MemberId, count: u64) {
    let lessor = world.replica(at).lessor();
    let since = world.now();
    let writes = (0..count).map(|number| {
        let lessor = lessor.clone();
        async move {
            let command = format!("{what} {number}").into_bytes();
            let proposed = lessor.propose(command, PATIENCE).await;
            // Its entry may have come in a snapshot.
            assert!(matches!(proposed, Ok(_) | Err(ReplicaError::Unknown)));
            let id = LeaseId::new(1 + number as i64).expect("not zero");
            // It may be there already.
            let granted = lessor.grant(id, 3600, PATIENCE).await;
            let renewed = lessor.renew(id, PATIENCE).await;
            world.note(&format!("{what} {number}: {granted:?} {renewed:?}"));
            renewed.expect("it is there");
        }
    });
    join_all(writes).await;
    assert!(
        world.now() - since < PATIENCE / 2,
        "{what}: nobody waits for a deadline"
    );
}

async fn catch_up(world: &World, member: MemberId) {
    let lessor = world.replica(member).lessor();
    lessor.catch_up(PATIENCE).await.expect("it does");
}

/// All members have the same.
async fn compare(world: &World, members: &[MemberId]) {
    for member in members {
        catch_up(world, *member).await;
    }
    let state = async |member: MemberId| {
        let lessor = world.replica(member).lessor();
        let leases = lessor
            .page(None, usize::MAX, Consistency::Local, PATIENCE)
            .await;
        let leases = leases.expect("it runs");
        // What the primary alone knows is left out.
        let leases: BTreeMap<_, _> = leases.into_iter().map(|it| (it.id(), it.ttl())).collect();
        (leases, world.commands(member))
    };
    let first = state(members[0]).await;
    assert!(first.0.len() >= 30 && first.1.len() >= 200);
    for member in &members[1..] {
        assert_eq!(state(*member).await, first, "member {member}");
        assert!(known_leader(&world.engine(*member)).is_some());
    }
}

/// The other voters of the first three.
fn others(member: MemberId) -> [MemberId; 2] {
    match member {
        1 => [2, 3],
        2 => [1, 3],
        _ => [1, 2],
    }
}
