//! openraft as the engine of a member.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use lease_core::{BackendError, LeaseError, probe};
use lease_raft::probe::Witness;
use lease_raft::{
    ApplyError, Engine, InstallError, Leadership, MembershipError, OpenraftEngine, OpenraftOptions,
    ProposeError, RedbStore, Role, Unconfirmed,
};
use madsim::time::sleep;

use super::engine::{Fate, told_late};
use super::ports::{Of, WorldRuntime};
use super::{Around, Host, lock, member_id};
use crate::plan::{Engine as Kind, Parameters};
use crate::wire::Entry;
use crate::world::World;
use crate::world::member::{Letter, Part};

/// How often the members are looked at whether they are as they are wanted.
const CHANGE_EVERY: Duration = Duration::from_millis(300);

/// How long a proposal that the world loses is waited for.
const LOST_AFTER: Duration = Duration::from_millis(2_500);

/// Openraft as a replica has it, with what the checkers want to know.
pub(super) struct RaftEngine {
    around: Arc<Around>,
    engine: OpenraftEngine,
}

impl Engine for RaftEngine {
    fn leadership(&self) -> BoxStream<'static, Leadership> {
        told_late(Arc::clone(&self.around), self.engine.leadership())
    }

    fn propose(&self, bytes: Vec<u8>) -> BoxFuture<'static, Result<(), ProposeError>> {
        let (around, engine) = (Arc::clone(&self.around), self.engine.clone());
        Box::pin(async move {
            let entry = Entry::decode(&bytes);
            around.world.number_attempt(&entry);
            around.note_expiry(&entry);
            match around.note_checkpoints(&entry) {
                Fate::Sent => {}
                Fate::Lost => {
                    sleep(LOST_AFTER).await;
                    return Err(ProposeError::Unknown);
                }
                Fate::Late(by) => {
                    madsim::task::spawn(async move {
                        sleep(by).await;
                        // Nobody waits for it.
                        let _ = engine.propose(bytes).await;
                    });
                    sleep(LOST_AFTER).await;
                    return Err(ProposeError::Unknown);
                }
            }
            let proposed = engine.propose(bytes).await;
            match proposed {
                Ok(()) => {}
                Err(ProposeError::NotLeader) => {
                    probe::mark("raft: a proposal is refused");
                    around.note_refused(&entry);
                }
                Err(_) => probe::mark("raft: the outcome of a proposal is not known"),
            }
            proposed
        })
    }

    fn confirm(&self) -> BoxFuture<'static, Result<u64, Unconfirmed>> {
        let engine = self.engine.clone();
        Box::pin(async move {
            let confirmed = engine.confirm().await;
            if confirmed.is_err() {
                probe::mark("raft: the leadership is not confirmed");
            }
            confirmed
        })
    }
}

/// Looks on for the checkers.
struct Onlooker(Weak<Host>);

impl Witness for Onlooker {
    fn committed(&self, index: u64, entry: Option<&[u8]>) {
        let Some(host) = self.0.upgrade() else { return };
        if let Err(message) = host.world().learn(index, entry) {
            host.object(message);
        }
    }

    fn applied(&self, index: u64, applied: &Result<(), ApplyError>) {
        let Some(host) = self.0.upgrade() else { return };
        match applied {
            Ok(()) => host.applied(index),
            Err(ApplyError::Lease(_) | ApplyError::Failed(_)) => host.not_applied(),
            Err(error) => host.object(format!("entry {index}: {error}")),
        }
    }

    fn installed(&self, before: u64, installed: &Result<bool, InstallError>) {
        if let Some(host) = self.0.upgrade() {
            host.has_installed(before, installed);
        }
    }
}

impl Host {
    /// Starts openraft on the member's store; the first member makes the cluster.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    pub(super) async fn start_openraft(
        self: &Arc<Self>,
        store: Arc<RedbStore>,
    ) -> Result<(), LeaseError> {
        let node = self.around.node;
        let witness: Arc<dyn Witness> = Arc::new(Onlooker(Arc::downgrade(self)));
        let engine = OpenraftEngine::start_witnessed(
            ("world", member_id(node)),
            store,
            (self.replica.clone(), witness),
            self.peers.clone(),
            Arc::new(WorldRuntime {
                around: Arc::clone(&self.around),
                of: Of::Openraft,
            }),
            options(&self.world().parameters),
        );
        let engine = engine.await.map_err(|error| {
            probe::mark("raft: openraft does not start");
            LeaseError::Backend(BackendError::Damaged(error.to_string()))
        })?;
        if node == 0 {
            // Once it was made it says so.
            let _ = engine.bootstrap("node 0").await;
        }
        // Nothing else sets it.
        let _ = self.openraft.set(engine);
        Ok(())
    }

    pub(super) fn engine(&self) -> Arc<dyn Engine> {
        match self.openraft.get() {
            None => self.engine.clone(),
            Some(engine) => Arc::new(RaftEngine {
                around: Arc::clone(&self.around),
                engine: engine.clone(),
            }),
        }
    }

    /// Whether openraft has ended by itself: a disk has failed.
    pub(super) fn has_engine_failed(&self) -> bool {
        let engine = self.openraft.get();
        engine.is_some_and(|engine| engine.failure().is_some())
    }

    /// Changes one of the members that is not as it is wanted.
    pub(super) async fn change_members(self: Arc<Self>) {
        let Some(engine) = self.openraft.get() else {
            return;
        };
        if engine.status().role != Role::Leader {
            return;
        }
        let parts = lock(&self.world().parts).clone();
        let members = engine.members();
        let is_voter = |node: usize| members.voters.contains(&member_id(node));
        let is_learner = |node: usize| members.learners.contains(&member_id(node));
        let of = |part: Part| {
            let nodes = parts.iter().enumerate();
            nodes
                .filter(move |(_, it)| **it == part)
                .map(|(node, _)| node)
        };
        let missing = of(Part::Learner).filter(|node| !is_voter(*node) && !is_learner(*node));
        let missing = missing.chain(of(Part::Voter).filter(|node| !is_voter(*node)));
        let staying = of(Part::Gone).filter(|node| is_voter(*node) || is_learner(*node));
        let unchanged: Vec<_> = missing.chain(staying).collect();
        if unchanged.is_empty() && engine.is_settled() {
            self.world().is_settled.store(true, Relaxed);
        }
        *lock(&self.world().unchanged) = unchanged;
        let strange = of(Part::Learner).chain(of(Part::Voter));
        let mut strange = strange.filter(|node| !is_voter(*node) && !is_learner(*node));
        let mut rising = of(Part::Voter).filter(|node| is_learner(*node));
        let mut leaving = of(Part::Gone).filter(|node| is_voter(*node) || is_learner(*node));
        let (rises, leaves) = (rising.next(), leaving.next());
        let changed = if let Some(node) = strange.next() {
            let address = format!("node {node}");
            engine.add_learner(member_id(node), &address).await
        } else if let (Some(new), Some(old)) = (rises, leaves.filter(|node| is_voter(*node))) {
            probe::mark("raft: a member is replaced");
            engine.replace(member_id(old), member_id(new)).await
        } else if let Some(node) = rises {
            engine.promote(member_id(node)).await
        } else if let Some(node) = leaves {
            probe::mark("raft: a member is removed");
            engine.remove(member_id(node)).await
        } else {
            Ok(())
        };
        match changed {
            Ok(()) | Err(MembershipError::Lagging { .. } | MembershipError::InProgress) => {}
            Err(_) => probe::mark("raft: a change of the members has no certain end"),
        }
    }

    pub(super) async fn hand_over(self: Arc<Self>, node: usize) {
        if let Some(engine) = self.openraft.get()
            && self.around.node != node
            && engine.transfer_leadership(member_id(node)).await.is_ok()
        {
            probe::mark("raft: a leader hands over");
        }
    }

    /// Answers what another member's openraft asks.
    pub(super) async fn answer(
        &self,
        from: usize,
        path: &str,
        body: &[u8],
    ) -> lease_raft::PeerAnswer {
        match self.openraft.get() {
            Some(engine) if OpenraftEngine::is_for_engine(path) => {
                engine.answer(member_id(from), path, body).await
            }
            _ => self.replica.answer(path, body).await,
        }
    }
}

impl World {
    /// Wants a member to be something else in the cluster. One that has gone never comes back, and two are
    /// to decide at least.
    pub(in crate::world) fn want(&self, node: usize, part: Part) {
        let mut parts = lock(&self.parts);
        let others = parts.iter().enumerate();
        let others = others.filter(|(other, it)| *other != node && **it == Part::Voter);
        let may = match (parts[node], part) {
            (Part::Gone, _) | (Part::Voter, Part::Learner) => false,
            (Part::None, Part::Gone) => false,
            (_, Part::Gone) => others.count() >= 2,
            _ => true,
        };
        if may {
            self.set_part(&mut parts, node, part);
        }
    }

    fn set_part(&self, parts: &mut [Part], node: usize, part: Part) {
        parts[node] = part;
        lock(&self.unchanged).push(node);
        self.is_settled.store(false, Relaxed);
    }

    /// Gives a member up for ever, unless a majority of the voters could then be away: two have to be left, and
    /// all members be what they are to be.
    pub(in crate::world) fn give_up(&self, node: usize) -> bool {
        let mut parts = lock(&self.parts);
        let voters = parts.iter().filter(|it| **it == Part::Voter).count();
        let may = match parts[node] {
            Part::None | Part::Gone => false,
            Part::Learner => true,
            Part::Voter => voters >= 3,
        };
        let may = may && self.is_settled.load(Relaxed);
        if may {
            probe::mark("raft: a member is given up");
            self.set_part(&mut parts, node, Part::Gone);
        }
        may
    }

    /// Whether a member is one of the cluster, as far as is known, and is to be one.
    pub(super) fn is_member(&self, node: usize) -> bool {
        let part = lock(&self.parts)[node];
        matches!(part, Part::Learner | Part::Voter) && !lock(&self.unchanged).contains(&node)
    }

    pub(in crate::world) fn post_all(&self, letter: impl Fn() -> Letter) {
        for member in &self.members {
            member.post(letter());
        }
    }

    /// Has whoever leads change the members, again and again.
    pub(in crate::world) fn supervise_members(self: &Arc<Self>) {
        let world = Arc::clone(self);
        self.outside.spawn(async move {
            loop {
                world.post_all(|| Letter::Change);
                sleep(CHANGE_EVERY).await;
            }
        });
    }
}

fn options(parameters: &Parameters) -> OpenraftOptions {
    debug_assert_eq!(parameters.engine, Kind::Raft);
    let slowest = parameters.latency_ms.1;
    let ms = Duration::from_millis;
    OpenraftOptions::new()
        .heartbeat(ms(100 + 2 * slowest))
        .election_timeout(ms(400 + 6 * slowest), ms(600 + 6 * slowest))
        .snapshot_after(parameters.raft.snapshot_after)
        .keep_entries(parameters.raft.keep_entries)
        .chunk_bytes(parameters.raft.chunk_bytes)
}
