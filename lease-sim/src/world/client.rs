use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use lease_core::{Incarnation, LeaseId, Ttl};
use madsim::time::{sleep, timeout};

use super::node::Message;
use super::{World, lock};
use crate::judges::Event;
use crate::plan::Action;

/// What a client asks of a member.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    Grant { id: LeaseId, ttl: Ttl },
    Renew { id: LeaseId },
    Revoke { id: LeaseId },
    Put { key: u8, lease: Option<LeaseId> },
}

/// What a member answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    /// The lease has its whole TTL.
    Alive { incarnation: Incarnation, ttl: Ttl },
    /// It is done.
    Done,
    /// It was refused.
    Refused,
    /// Ask another member.
    NotPrimary,
}

const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

impl World {
    /// Starts what a client does.
    pub(super) fn client(self: &Arc<Self>, action: &Action) {
        let world = Arc::clone(self);
        let action = action.clone();
        self.outside.spawn(async move {
            match action {
                Action::Grant { lease, ttl } => {
                    let id = lease_id(lease);
                    let ttl = Ttl::new(ttl).expect("plans have legal TTLs");
                    world.ask_for_lease(id, Ask::Grant { id, ttl }).await;
                }
                Action::KeepAlive {
                    lease,
                    every_ms,
                    times,
                } => world.keep_alive(lease_id(lease), every_ms, times).await,
                Action::Revoke { lease } => {
                    let id = lease_id(lease);
                    world.ask(Ask::Revoke { id }).await;
                }
                Action::Put { key, lease } => {
                    let lease = lease.map(lease_id);
                    world.ask(Ask::Put { key, lease }).await;
                }
                _ => unreachable!("faults are not for clients"),
            }
        });
    }

    async fn keep_alive(self: &Arc<Self>, id: LeaseId, every_ms: u64, times: u32) {
        for _ in 0..times {
            if self.is_healed() {
                return;
            }
            self.ask_for_lease(id, Ask::Renew { id }).await;
            sleep(Duration::from_millis(every_ms)).await;
        }
    }

    async fn ask_for_lease(self: &Arc<Self>, id: LeaseId, ask: Ask) {
        let asked_ms = self.now_ms();
        if let Some(Reply::Alive { incarnation, ttl }) = self.ask(ask).await {
            self.hear(&Event::Acknowledged {
                name: (id, incarnation),
                asked_ms,
                ttl_ms: ttl.as_secs() * 1000,
            });
        }
    }

    /// Asks the member that is thought to lead, then others.
    async fn ask(self: &Arc<Self>, ask: Ask) -> Option<Reply> {
        let first = lock(&self.log).leader();
        for turn in 0..self.members.len() {
            let node = (first + turn) % self.members.len();
            match timeout(ANSWER_TIMEOUT, self.ask_member(node, ask)).await {
                Ok(Some(Reply::NotPrimary)) | Ok(None) => {}
                Ok(answer) => return answer,
                // Whether it was done nobody knows.
                Err(_) => return None,
            }
        }
        None
    }

    async fn ask_member(self: &Arc<Self>, node: usize, ask: Ask) -> Option<Reply> {
        if !self.travel(node).await {
            return None;
        }
        let (answer, reply) = oneshot::channel();
        let message = Message::Client(ask, answer);
        let mailbox = lock(&self.members[node].mailbox).clone()?;
        mailbox.unbounded_send(message).ok()?;
        let reply = reply.await.ok()?;
        if self.travel(node).await {
            Some(reply)
        } else {
            sleep(ANSWER_TIMEOUT).await;
            None
        }
    }
}

fn lease_id(number: i64) -> LeaseId {
    LeaseId::new(number).expect("plans have legal ids")
}
