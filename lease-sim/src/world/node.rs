use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::{NonZeroU32, NonZeroUsize};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::Receiver;
use futures::channel::{mpsc, oneshot};
use futures::future::{Either, select};
use futures::{FutureExt, StreamExt, pin_mut};
use lease_backend::RedbBackend;
use lease_core::{
    Answer, Backend, BackendLessor, CheckpointBatch, CheckpointMode, Driver, Durability,
    ExpiredBatch, Incarnation, LeaseError, LeaseId, Lessor, LessorConfig, ProposalOutcome, Renewal,
    Revocation, Revoked, Table, TableDeleter, Timestamp, WriteBatch,
};
use madsim::task::spawn;
use madsim::time::sleep;

use super::client::{Ask, Reply};
use super::log::Outcome;
use super::{SimClock, World, lock};
use crate::judges::Event;
use crate::wire::{Entry, Request};

/// What a member finds in its mailbox.
pub(crate) enum Message {
    /// The log has this length.
    LogGrew(u64),
    /// A client asks.
    Client(Ask, oneshot::Sender<Reply>),
    /// A client's renewal goes on after its reset.
    RenewAgain(LeaseId, oneshot::Sender<Reply>),
    /// Proposed checkpoints have come into the log, or may still do so.
    Checkpoints(CheckpointBatch, Outcome),
}

/// A member: the production lessor, and around it what a host with a log has.
struct Host {
    world: Arc<World>,
    node: usize,
    lessor: BackendLessor,
    backend: Arc<RedbBackend>,
    expired: Receiver<ExpiredBatch>,
    mailbox: mpsc::UnboundedSender<Message>,
    applied: u64,
    // The clients that wait for a proposal to be applied here.
    waiting: BTreeMap<u64, oneshot::Sender<Reply>>,
}

/// A member from its start to its crash.
pub(super) async fn run(world: Arc<World>, node: usize) {
    let (mailbox, mut messages) = mpsc::unbounded();
    *lock(&world.members[node].mailbox) = Some(mailbox.clone());
    let mut host = Host::start(Arc::clone(&world), node, mailbox);
    world.announce(node);
    loop {
        let wakeup = host.tick();
        let sleeping = sleep(host.time_until(wakeup)).fuse();
        let next = messages.next();
        pin_mut!(sleeping, next);
        match select(next, sleeping).await {
            Either::Left((Some(message), _)) => host.handle(message),
            Either::Left((None, _)) => return,
            Either::Right(_) => {}
        }
    }
}

fn meta() -> Table {
    Table::new("meta")
}

fn keys() -> Table {
    Table::new("keys")
}

const APPLIED: &[u8] = b"applied";

impl Host {
    fn start(world: Arc<World>, node: usize, mailbox: mpsc::UnboundedSender<Message>) -> Self {
        let disk = lock(&world.members[node].disk).clone();
        let backend = RedbBackend::create_with_storage(disk).expect("the disk is sound");
        let backend = Arc::new(backend);
        let parameters = &world.parameters;
        let durability = if parameters.durable {
            Durability::EveryCommand
        } else {
            Durability::Batched {
                interval: Duration::from_millis(100),
                max_writes: NonZeroUsize::new(50).expect("not zero"),
            }
        };
        let lessor = BackendLessor::builder(backend.clone())
            .config(LessorConfig {
                checkpoint_interval: parameters.checkpoint_interval(),
                revoke_rate_per_sec: NonZeroU32::new(parameters.revoke_rate_per_sec),
                ..LessorConfig::default()
            })
            .clock(Arc::new(SimClock(world.time.clone())))
            .driver(Driver::Manual)
            .checkpoints(CheckpointMode::Polled)
            .durability(durability)
            .range_deleter(Arc::new(TableDeleter::new(keys())))
            .build()
            .expect("the disk is sound");
        let mut host = Self {
            expired: lessor.expired_leases(),
            applied: 0,
            waiting: BTreeMap::new(),
            lessor,
            backend,
            mailbox,
            world,
            node,
        };
        host.recover();
        host
    }

    /// Reads the index of the last applied entry, and attaches the keys again.
    fn recover(&mut self) {
        let applied = self.backend.get(&meta(), APPLIED).expect("sound");
        self.applied = applied.map_or(0, |bytes| number(&bytes));
        let mut attached = Vec::new();
        let attach = &mut |key: &[u8], value: &[u8]| {
            attached.extend(LeaseId::new(number(value) as i64).map(|id| (id, key.to_vec())));
        };
        self.backend.scan(&keys(), attach).expect("sound");
        for (id, key) in attached {
            let is_there = self.lessor.attach(id, &[key.into()]);
            is_there.expect("a key's lease is stored with it");
        }
        if self.applied > 0 {
            self.world.sometimes("a member recovers from its disk");
        }
        self.report();
    }

    /// Does what is due, and what the lessor asks for.
    fn tick(&mut self) -> Option<Timestamp> {
        let wakeup = self.lessor.tick();
        while let Ok(batch) = self.expired.try_recv() {
            for lease in &batch.leases {
                self.world.hear(&Event::HandedOut {
                    epoch: batch.epoch,
                    name: (lease.id, lease.incarnation),
                });
                if lease.attempt > 0 {
                    self.world.sometimes("a lease is handed out again");
                }
            }
            let revocations = batch.revocations().collect();
            drop(self.world.propose(self.node, Request::Revoke(revocations)));
        }
        while let Some(batch) = self.lessor.poll_checkpoints() {
            self.propose_checkpoints(batch);
        }
        self.check();
        wakeup
    }

    /// A millisecond at least, so that a wake-up in the past cannot stop the world.
    fn time_until(&self, wakeup: Option<Timestamp>) -> Duration {
        let now = self.world.time.elapsed();
        let due = wakeup.map_or(Duration::MAX, |at| Duration::from_nanos(at.as_nanos()));
        let span = due.saturating_sub(now);
        span.clamp(Duration::from_millis(1), Duration::from_secs(60))
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::LogGrew(length) => self.apply_up_to(length),
            Message::Client(Ask::Renew { id }, answer) | Message::RenewAgain(id, answer) => {
                self.renew(id, answer);
            }
            Message::Client(ask, answer) => self.propose_for_client(ask, answer),
            Message::Checkpoints(batch, outcome) => {
                let outcome = match outcome {
                    // It is in the log; that it is applied here is seen when it is.
                    Outcome::Committed(index) if index <= self.applied => ProposalOutcome::Applied,
                    _ => ProposalOutcome::Unknown,
                };
                self.lessor.handle_checkpoints(&batch, outcome);
            }
        }
    }

    fn propose_for_client(&mut self, ask: Ask, answer: oneshot::Sender<Reply>) {
        if self.lessor.primary_epoch().is_none() {
            let _ = answer.send(Reply::NotPrimary);
            return;
        }
        let request = match ask {
            Ask::Grant { id, ttl } => Request::Grant { id, ttl },
            Ask::Revoke { id } => Request::Revoke(vec![Revocation::by_user(id)]),
            Ask::Put { key, lease } => Request::Put { key, lease },
            Ask::Renew { .. } => unreachable!("renewals are not logged"),
        };
        let (proposal, _) = self.world.propose(self.node, request);
        self.waiting.insert(proposal, answer);
    }

    fn propose_checkpoints(&self, batch: CheckpointBatch) {
        self.world.sometimes("a lease is checkpointed");
        let request = Request::Checkpoint(batch.records.clone());
        let (_, outcome) = self.world.propose(self.node, request);
        let mailbox = self.mailbox.clone();
        spawn(async move {
            let outcome = outcome.await.unwrap_or(Outcome::Unknown);
            let _ = mailbox.unbounded_send(Message::Checkpoints(batch, outcome));
        });
    }

    /// Renews a lease; the client hears of it when the leadership is confirmed.
    fn renew(&self, id: LeaseId, answer: oneshot::Sender<Reply>) {
        let Some(epoch) = self.lessor.primary_epoch() else {
            let _ = answer.send(Reply::NotPrimary);
            return;
        };
        match self.lessor.try_renew(id) {
            Ok(Renewal::Renewed(ttl)) => {
                let lease = self.lessor.lookup(id).expect("it was renewed");
                let incarnation = lease.incarnation();
                self.world.hear(&Event::Renewed {
                    epoch,
                    name: (id, incarnation),
                });
                let (world, node) = (Arc::clone(&self.world), self.node);
                spawn(async move {
                    if world.confirm(node, epoch).await {
                        let _ = answer.send(Reply::Alive { incarnation, ttl });
                    } else {
                        world.sometimes("a renewal is not confirmed");
                    }
                });
            }
            Ok(Renewal::Reset(checkpoint)) => {
                self.world.sometimes("a renewal resets a checkpoint");
                let request = Request::Checkpoint(vec![checkpoint]);
                let (_, outcome) = self.world.propose(self.node, request);
                let mailbox = self.mailbox.clone();
                spawn(async move {
                    if let Ok(Outcome::Committed(_)) = outcome.await {
                        sleep(Duration::from_millis(50)).await;
                        let _ = mailbox.unbounded_send(Message::RenewAgain(id, answer));
                    }
                });
            }
            Ok(_) => {
                self.world.sometimes("a renewal comes too late");
                let _ = answer.send(Reply::Refused);
            }
            Err(LeaseError::NotPrimary) => drop(answer.send(Reply::NotPrimary)),
            Err(_) => drop(answer.send(Reply::Refused)),
        }
    }

    fn apply_up_to(&mut self, length: u64) {
        while self.applied < length {
            let bytes = lock(&self.world.log).get(self.applied + 1);
            let entry = Entry::decode(&bytes.expect("announced entries are there"));
            self.apply(&entry);
        }
    }

    fn apply(&mut self, entry: &Entry) {
        let index = self.applied + 1;
        let mut writes = WriteBatch::default();
        writes.put(meta(), APPLIED, index.to_be_bytes());
        let incarnations: Vec<_> = match &entry.request {
            Request::Revoke(revocations) => revocations
                .iter()
                .map(|one| self.lessor.lookup(one.id).map(|lease| lease.incarnation()))
                .collect(),
            _ => Vec::new(),
        };
        let reply = match entry.command(index) {
            Some(command) => {
                let answer = self
                    .lessor
                    .apply(&command, writes)
                    .expect("the disk is sound");
                self.tell(index, entry, &answer, &incarnations)
            }
            None => self.put(&entry.request, writes),
        };
        self.applied = index;
        if let Request::BeginEpoch { epoch, node } = &entry.request {
            let leads = *lock(&self.world.members[self.node].leads) == Some(epoch.get());
            if *node == self.node && leads {
                let extend = self.world.parameters.extend();
                if self.lessor.promote_to(*epoch, extend) {
                    self.world.hear(&Event::Promoted {
                        node: self.node,
                        epoch: *epoch,
                    });
                }
            } else {
                self.lessor
                    .demote_from(lease_core::Epoch::new(epoch.get() - 1));
            }
        }
        if let Some(answer) = self.waiting.remove(&entry.proposal) {
            let _ = answer.send(reply);
        }
        self.report();
    }

    fn put(&mut self, request: &Request, mut writes: WriteBatch) -> Reply {
        let Request::Put { key, lease } = request else {
            unreachable!("only puts are the host's own");
        };
        let item = [lease_core::LeaseItem::new([*key])];
        let attached = match lease {
            Some(id) => self.lessor.attach(*id, &item),
            None => match self.lessor.get_lease(&[*key]) {
                Some(owner) => self.lessor.detach(owner, &item),
                None => Ok(()),
            },
        };
        if attached.is_ok() {
            let value = lease.map_or(0, LeaseId::get);
            writes.put(keys(), [*key], value.to_be_bytes());
        }
        self.lessor.write(writes).expect("the disk is sound");
        attached.map_or(Reply::Refused, |()| Reply::Done)
    }

    /// Tells the judges what an entry did, if this member is the first to apply it.
    fn tell(
        &self,
        index: u64,
        entry: &Entry,
        answer: &Answer,
        incarnations: &[Option<Incarnation>],
    ) -> Reply {
        let is_first = self.world.is_first_to_apply(index);
        let tell = |event: Event| {
            if is_first {
                self.world.hear(&event);
            }
        };
        match (&entry.request, answer) {
            (Request::Grant { id, ttl }, Answer::Granted(Ok(incarnation))) => {
                tell(Event::Granted {
                    name: (*id, *incarnation),
                });
                return Reply::Alive {
                    incarnation: *incarnation,
                    ttl: *ttl,
                };
            }
            (Request::Revoke(revocations), Answer::Revoked(answers)) => {
                for ((revocation, answer), incarnation) in
                    revocations.iter().zip(answers).zip(incarnations)
                {
                    match (answer, incarnation) {
                        (Ok(Revoked::Done), Some(incarnation)) => tell(Event::Revoked {
                            name: (revocation.id, *incarnation),
                            by: revocation.fence.map(|fence| fence.epoch),
                        }),
                        (Ok(Revoked::Stale), _) => self.world.sometimes("an expiry is stale"),
                        _ => {}
                    }
                }
            }
            (_, Answer::Epoch(epoch)) => tell(Event::Began { epoch: *epoch }),
            (_, Answer::Checkpointed(meant)) if meant.contains(&false) => {
                self.world.sometimes("a checkpoint is stale");
            }
            (_, Answer::Granted(Err(_))) => return Reply::Refused,
            _ => {}
        }
        Reply::Done
    }

    /// The state of this member, for the judges.
    fn report(&self) {
        let mut hasher = DefaultHasher::new();
        let rows = self.lessor.rows();
        for row in &rows {
            row.hash(&mut hasher);
            let lease = self.lessor.lookup(row.id).expect("it has a row");
            lease.keys().hash(&mut hasher);
        }
        if self.applied > 0 {
            self.world.hear(&Event::Applied {
                node: self.node,
                index: self.applied,
                digest: hasher.finish(),
            });
        }
        let ids = rows.iter().map(|row| row.id).collect();
        *lock(&self.world.members[self.node].leases) = (self.applied, ids);
    }

    fn check(&self) {
        let check = || self.lessor.check_invariants();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(check)) {
            let message = panic
                .downcast_ref::<String>()
                .cloned()
                .unwrap_or_else(|| "an invariant does not hold".into());
            let node = self.node;
            self.world.hear(&Event::Broken { node, message });
        }
    }
}

impl World {
    fn is_first_to_apply(&self, index: u64) -> bool {
        self.first_applied.fetch_max(index, Ordering::Relaxed) < index
    }
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().expect("eight bytes"))
}
