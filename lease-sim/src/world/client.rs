use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use lease_core::{LeaseId, probe};
use madsim::time::{sleep, timeout};
use rand::RngExt;

use super::{World, lock};
use crate::event::{Event, Name};
use crate::plan::{Action, End};
use crate::wire::{Ask, Message, Reply};

/// The clients: who waits for which answer, and whom they take for the leader.
#[derive(Default)]
pub(super) struct Clients {
    calls: u64,
    waiting: BTreeMap<u64, oneshot::Sender<Reply>>,
    // Each group of clients finds out by itself.
    believed_leader: BTreeMap<i64, usize>,
}

/// How long holders go on in the healed world, beyond what a promotion takes.
const HELD_MS: u64 = 6_000;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

/// How many groups of clients there are.
const GROUPS: i64 = 3;

impl World {
    /// Starts what a client does.
    pub(super) fn client(self: &Arc<Self>, action: Action) {
        let world = Arc::clone(self);
        self.outside.spawn(async move {
            match action {
                Action::Grant { lease, ttl } => {
                    let id = lease_id(lease);
                    world.ask_for_lease(id, Ask::Grant { id, ttl }).await;
                }
                Action::Hold {
                    lease,
                    ttl,
                    every_ms,
                    times,
                } => world.hold(lease_id(lease), ttl, every_ms, times).await,
                Action::Renew { lease } => {
                    let id = lease_id(lease);
                    world.ask_for_lease(id, Ask::Renew { id }).await;
                }
                Action::Revoke { lease } => {
                    let id = lease_id(lease);
                    world.ask(lease, Ask::Revoke { id }).await;
                }
                Action::Put { key, lease } => {
                    let lease = lease.map(lease_id);
                    world.ask(i64::from(key), Ask::Put { key, lease }).await;
                }
                Action::TimeToLive { lease } => {
                    let id = lease_id(lease);
                    world.ask(lease, Ask::TimeToLive { id }).await;
                }
                Action::GrantNew { ttl } => drop(world.ask(ttl, Ask::GrantNew { ttl }).await),
                Action::RenewMany { lease, count } => {
                    let id = lease_id(lease);
                    world.ask_for_lease(id, Ask::RenewMany { id, count }).await;
                }
                Action::Look { lease, how } => {
                    let id = lease_id(lease);
                    world.ask(lease, Ask::Look { id, how }).await;
                }
                _ => unreachable!("{action:?} is not for clients"),
            }
        });
    }

    async fn hold(self: &Arc<Self>, id: LeaseId, ttl: i64, every_ms: u64, times: u32) {
        self.ask_for_lease(id, Ask::Grant { id, ttl }).await;
        for _ in 0..times {
            sleep(Duration::from_millis(every_ms)).await;
            if self.now_ms() >= self.held_until_ms() {
                return;
            }
            if self.is_healed() {
                probe::mark("world: a holder goes on in the healed world");
            }
            self.ask_for_lease(id, Ask::Renew { id }).await;
        }
    }

    /// When the last holder goes away, so that what is owed can happen.
    pub(super) fn held_until_ms(&self) -> u64 {
        self.parameters.faulty_ms + self.parameters.promotion_lag_ms + HELD_MS
    }

    async fn ask_for_lease(self: &Arc<Self>, id: LeaseId, ask: Ask) {
        if let Some((asked_ms, Reply::Alive { incarnation, ttl })) = self.ask(id.get(), ask).await {
            self.hear(Event::Acknowledged {
                name: Name::new(id, incarnation),
                asked_ms,
                ttl_ms: ttl.as_secs() * 1000,
            });
        }
    }

    /// Asks the member that is taken for the leader, or just any one, then others. Returns the answer, and when the member that gave it was asked.
    async fn ask(self: &Arc<Self>, about: i64, ask: Ask) -> Option<(u64, Reply)> {
        let group = about.rem_euclid(GROUPS);
        let nodes = self.members.len();
        let believed = lock(&self.clients).believed_leader.get(&group).copied();
        let any = self.any_member();
        let first = any.or(believed).unwrap_or(0);
        for turn in 0..nodes {
            let node = (first + turn) % nodes;
            let asked_ms = self.now_ms();
            let answer = timeout(ANSWER_TIMEOUT, self.ask_member(node, ask)).await;
            match answer {
                Ok(Some(Reply::NotPrimary)) => {}
                Ok(Some(reply)) => {
                    if any.is_none() {
                        lock(&self.clients).believed_leader.insert(group, node);
                    }
                    return Some((asked_ms, reply));
                }
                // Whether it was done nobody knows.
                Ok(None) | Err(_) => {
                    probe::mark("world: a client gets no answer");
                    if any.is_none() {
                        let next = (node + 1) % nodes;
                        lock(&self.clients).believed_leader.insert(group, next);
                    }
                    return None;
                }
            }
        }
        None
    }

    /// The member that a client asks without a thought for who leads, if it does so: a replica goes to the
    /// leader by itself.
    fn any_member(&self) -> Option<usize> {
        let node = || lock(&self.noise).random_range(0..self.members.len());
        self.happens(500).then(node)
    }

    async fn ask_member(self: &Arc<Self>, node: usize, ask: Ask) -> Option<Reply> {
        let (answer, reply) = oneshot::channel();
        let call = self.number_call();
        lock(&self.clients).waiting.insert(call, answer);
        let message = Message::Ask { call, ask };
        self.send(End::Clients, End::Node(node), &message);
        reply.await.ok()
    }

    /// A number for a question, of a client or of a member.
    pub(super) fn number_call(&self) -> u64 {
        let mut clients = lock(&self.clients);
        clients.calls += 1;
        clients.calls
    }

    /// Brings an answer to the client that waits for it, if it still does.
    pub(super) fn client_hears(&self, message: Message) {
        let Message::Reply { call, reply } = message else {
            unreachable!("members do not send {message:?} to clients");
        };
        let waiting = lock(&self.clients).waiting.remove(&call);
        if let Some(waiting) = waiting {
            // A client that has given up is gone.
            let _ = waiting.send(reply);
        }
    }
}

fn lease_id(number: i64) -> LeaseId {
    LeaseId::new(number).expect("plans have legal ids")
}
