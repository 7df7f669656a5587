use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{BoxFuture, Either, select};
use lease_raft::{MemberId, OpenraftEngine, PeerAnswer, PeerError, Peers};
use madsim::time::sleep;

use crate::trace::hash;
use crate::world::World;

/// How a member asks the others: messages are late, and some are lost.
pub(crate) struct Wire {
    pub(crate) from: MemberId,
    pub(crate) world: Arc<World>,
}

impl Peers for Wire {
    fn ask(
        &self,
        member: MemberId,
        path: &'static str,
        body: Vec<u8>,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<PeerAnswer, PeerError>> {
        let (from, world) = (self.from, Arc::clone(&self.world));
        Box::pin(async move {
            let carried = Box::pin(carry(world, from, member, path, body));
            let answer = match select(carried, Box::pin(sleep(timeout))).await {
                Either::Left((answer, _)) => answer,
                Either::Right(_) => None,
            };
            answer.ok_or_else(|| PeerError {
                member,
                reason: "nothing has come back".to_owned(),
            })
        })
    }
}

async fn carry(
    world: Arc<World>,
    from: MemberId,
    to: MemberId,
    path: &'static str,
    body: Vec<u8>,
) -> Option<PeerAnswer> {
    let what = format!("{from} asks {to} {path} {:x}", hash(&body));
    travel(&world, from, to, &what).await?;
    let (tell, told) = oneshot::channel();
    let (engine, replica, node) = world.running(to)?;
    // It dies with the member.
    node.spawn(async move {
        let answer = match OpenraftEngine::is_for_engine(path) {
            true => engine.answer(from, path, &body).await,
            false => replica.answer(path, &body).await,
        };
        // Nobody may wait any more.
        let _ = tell.send(answer);
    });
    let answer = told.await.ok()?;
    let what = format!(
        "{to} answers {from} {path} {} {:x}",
        answer.status,
        hash(&answer.body)
    );
    travel(&world, to, from, &what).await?;
    Some(answer)
}

/// It ends when the message arrives, or when it is noticed that it never will.
async fn travel(world: &World, from: MemberId, to: MemberId, what: &str) -> Option<()> {
    let (delay, is_lost) = world.fate(from, to);
    if is_lost {
        world.note(&format!("lost: {what}"));
        sleep(NOTICED).await;
        return None;
    }
    sleep(delay).await;
    world.note(what);
    Some(())
}

/// As gRPC's connections notice that the other end is gone.
const NOTICED: Duration = Duration::from_secs(10);
