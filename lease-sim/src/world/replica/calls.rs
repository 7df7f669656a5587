//! What clients ask a member, as calls of its `ReplicatedLessor`.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use futures::{FutureExt, pin_mut};
use lease_core::{LeaseId, LeaseItem, probe};
use lease_http::messages::Keys as Items;
use lease_raft::{Consistency, Granted, ReplicaError, ReplicatedLessor};
use madsim::time::sleep;
use rand::RngExt;

use super::judge::Call;
use super::report::DIRECT;
use super::{Host, lock};
use crate::event::Event;
use crate::plan::{End, Look};
use crate::wire::{Ask, Message, Reply, put_command};

/// How long calls may take.
const TIMEOUTS_MS: [u64; 4] = [300, 1_000, 3_000, 3_000];

/// How often an item is detached from a lease that does not have it.
const STRANGE_PER_MILLE: u32 = 150;

/// What a call that changes something has come to.
pub(super) type Changed = Result<(), ReplicaError>;

impl Host {
    /// Makes a client's call, and answers the client, unless the call is dropped half-way.
    pub(super) async fn serve(self: Arc<Self>, number: u64, ask: Ask) {
        let world = self.world();
        let timeout_ms = TIMEOUTS_MS[lock(&world.noise).random_range(0..TIMEOUTS_MS.len())];
        let (node, wait, asked_ms) = (self.around.node, number, world.now_ms());
        world.hear(Event::WaitBegan {
            node,
            wait,
            until_ms: asked_ms + timeout_ms,
        });
        let reply = {
            let makes = Box::pin(self.make(ask, Duration::from_millis(timeout_ms)));
            let dropper = self.until_dropped(timeout_ms).fuse();
            pin_mut!(dropper);
            match select(makes, dropper).await {
                Either::Left((reply, _)) => Some(reply),
                Either::Right(_) => {
                    probe::mark("raft: a call is dropped half-way");
                    None
                }
            }
        };
        world.hear(Event::WaitEnded { node, wait });
        // Who is no member yet, or no more, knows nobody who leads.
        let failed = matches!(reply, Some(None | Some(Reply::NotPrimary)));
        if failed && world.is_member(node) {
            world.hear(Event::CallFailed {
                node,
                asked_ms,
                timeout_ms,
            });
        }
        if let Some(Some(reply)) = reply {
            let reply = Message::Reply {
                call: number,
                reply,
            };
            self.around.send(End::Clients, &reply);
        }
    }

    /// Ends when the client gives up by itself, if it does.
    async fn until_dropped(&self, timeout_ms: u64) {
        let world = self.world();
        if !world.happens(world.parameters.dropped_per_mille) {
            return futures::future::pending().await;
        }
        sleep(world.span(0, timeout_ms)).await;
    }

    /// The answer for the client; none if nobody knows what has come of it.
    async fn make(&self, ask: Ask, timeout: Duration) -> Option<Reply> {
        let lessor = self.replica.lessor();
        match ask {
            Ask::Grant { id, ttl } => {
                let call = self.begin();
                let granted = call.first(lessor.grant(id, ttl, timeout)).await;
                self.judge_grant(call, &granted)
            }
            Ask::GrantNew { ttl } => {
                let call = self.begin();
                let granted = call.first(lessor.grant_new(ttl, timeout)).await;
                self.judge_grant_new(call, &granted)
            }
            Ask::Revoke { id } => {
                let call = self.begin();
                let revoked = call.first(lessor.revoke(id, timeout)).await;
                self.judge_revoke(call, id, &revoked)
            }
            Ask::Put { key, lease } if key < DIRECT => {
                let call = self.begin();
                let command = put_command(key, lease);
                let answer = call.first(lessor.propose(command, timeout)).await;
                self.judge_put(call, lease, &answer)
            }
            Ask::Put { key, lease } => self.attach_or_detach(&lessor, key, lease, timeout).await,
            Ask::Renew { id } => {
                let call = self.begin();
                let renewed = lessor.renew(id, timeout).await;
                self.judge_renewal(&call, id, &renewed)
            }
            Ask::RenewMany { id, count } => {
                let next = |turn| LeaseId::new(id.get().saturating_add(turn));
                let ids: Vec<_> = (0..i64::from(count)).filter_map(next).collect();
                let call = self.begin();
                let renewed = lessor.renew_many(&ids, timeout).await;
                probe::mark("raft: leases are renewed in one call");
                let replies: Vec<_> = ids
                    .iter()
                    .zip(&renewed)
                    .map(|(id, renewed)| self.judge_renewal(&call, *id, renewed))
                    .collect();
                replies.into_iter().next().flatten()
            }
            Ask::TimeToLive { id } => self.look_at(&lessor, id, Look::TimeToLive, timeout).await,
            Ask::Look { id, how } => self.look_at(&lessor, id, how, timeout).await,
        }
    }

    async fn attach_or_detach(
        &self,
        lessor: &ReplicatedLessor,
        key: u8,
        lease: Option<LeaseId>,
        timeout: Duration,
    ) -> Option<Reply> {
        let items = vec![LeaseItem::new([key])];
        if let Some(id) = lease {
            let call = self.begin();
            let attached = call.first(lessor.attach(id, items, timeout)).await;
            return self.judge_change(call, id, &attached);
        }
        let call = self.begin();
        let owner = lessor.get_lease(&[key], Consistency::Local, timeout).await;
        self.judge_owner(&call, key, true, &owner);
        let owner = owner.ok().flatten()?;
        let id = self.lease_to_detach_from(owner);
        let call = self.begin();
        let detached = call.first(lessor.detach(id, items, timeout)).await;
        self.judge_change(call, id, &detached)
    }

    /// Sometimes another lease than the one that has the item.
    fn lease_to_detach_from(&self, owner: LeaseId) -> LeaseId {
        if !self.world().happens(STRANGE_PER_MILLE) {
            return owner;
        }
        let rows = self.around.with_lessor(|lessor| lessor.rows());
        let mut others = rows.iter().flatten().filter(|row| row.id != owner);
        others.next().map_or(owner, |other| {
            probe::mark("raft: an item is detached from a lease that does not have it");
            other.id
        })
    }

    async fn look_at(
        &self,
        lessor: &ReplicatedLessor,
        id: LeaseId,
        how: Look,
        timeout: Duration,
    ) -> Option<Reply> {
        let call = self.begin();
        let key = id.get().rem_euclid(6) as u8;
        let limit = if id.get() > 0 { PAGE } else { usize::MAX };
        let (linear, local) = (Consistency::Linearizable, Consistency::Local);
        match how {
            Look::TimeToLive | Look::Keys => {
                let keys = match how {
                    Look::Keys => Items::List,
                    _ => Items::Omit,
                };
                let times = lessor.time_to_live(id, keys, timeout).await;
                self.judge_time_to_live(&call, id, how, &times)
            }
            Look::Lookup => {
                let lease = lessor.lookup(id, linear, timeout).await;
                self.judge_lookup(&call, id, false, &lease)
            }
            Look::LookupLocal => {
                let lease = lessor.lookup(id, local, timeout).await;
                self.judge_lookup(&call, id, true, &lease)
            }
            Look::Page => {
                let page = lessor.page(None, limit, linear, timeout).await;
                self.judge_page(&call, limit, false, &page)
            }
            Look::PageLocal => {
                let page = lessor.page(None, limit, local, timeout).await;
                self.judge_page(&call, limit, true, &page)
            }
            Look::Owner => {
                let owner = lessor.get_lease(&[key], linear, timeout).await;
                self.judge_owner(&call, key, false, &owner)
            }
            Look::OwnerLocal => {
                let owner = lessor.get_lease(&[key], local, timeout).await;
                self.judge_owner(&call, key, true, &owner)
            }
            Look::CatchUp => {
                let caught_up = lessor.catch_up(timeout).await;
                self.judge_catch_up(&call, &caught_up)
            }
        }
    }

    fn begin(&self) -> Call {
        let question = lock(&self.world().log).history.ask();
        Call::new(question, self.around.session, self.replica.lessor())
    }
}

/// How many leases are listed, if not all.
const PAGE: usize = 3;

/// What a grant has come to.
pub(super) type Grant = Result<Granted, ReplicaError>;
