//! A member: the production lessor, and around it what a host with a log has.

mod apply;
mod expiry;
mod forward;
mod handler;
mod meanwhile;
mod ports;
mod question;
mod renew;
mod report;
mod roles;
mod serve;
mod snapshot;
mod spoil;

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::{self, UnboundedReceiver};
use futures::future::{Either, pending, select};
use futures::{FutureExt, StreamExt, pin_mut};
use lease_backend::RedbBackend;
use lease_core::{
    Backend, BackendLessor, CheckpointBatch, CheckpointMode, Driver, Durability, Epoch,
    ExpiredBatch, ExpiredLeases, Incarnation, LeaseError, LeaseId, Lessor, LessorConfig,
    LessorStats, Table, Timestamp, Ttl, probe,
};
use madsim::time::sleep;

use self::forward::Forward;
use self::handler::Serving;
use self::meanwhile::Watcher;
use self::ports::{Deleter, Store, Surroundings};
use self::renew::{Asker, Waiting};
use super::member::{Letter, Member};
use super::{World, lock};
use crate::event::{Event, Exit};
use crate::plan::End;
use crate::wire::{Ask, Message, Request};

/// A running member.
struct Host {
    world: Arc<World>,
    node: usize,
    lessor: Arc<BackendLessor>,
    around: Arc<Surroundings>,
    backend: Arc<Store>,
    expired: ExpiredLeases,
    applied: u64,
    // Entries that have come before their turn.
    inbox: BTreeMap<u64, Vec<u8>>,
    fetch_at_ms: u64,
    // After a failure of the disk.
    retry_at_ms: u64,
    failures: u32,
    pending: BTreeMap<u64, Pending>,
    // Renewals whose answer waits until the leadership is confirmed.
    unconfirmed: BTreeMap<u64, (Incarnation, Ttl)>,
    waits: Vec<Waiting>,
    wait_count: u64,
    // The newest term that it has heard of, and who leads it.
    leader: Option<(u64, usize)>,
    // What it asks the primary for its clients, and what other members ask it.
    forwards: Vec<Forward>,
    serving: BTreeMap<u64, Serving>,
    // When the lessor was to be driven next, as far as it has said so.
    wakeup: Option<Timestamp>,
    // When the next tick was to be.
    planned_ms: u64,
    // How often the lessor was driven, and what has changed.
    ticks: u64,
    changes: u64,
    is_suspended: bool,
    // What the checkers saw last, and when they look again at the latest.
    seen: Option<(u64, Option<Epoch>, LessorStats)>,
    look_again_ms: u64,
}

/// What a member waits for.
enum News {
    /// A letter; none is the end of the mailbox.
    Letter(Option<Letter>),
    /// The lessor wants to be driven earlier than it has said.
    WakeupMoved,
    /// It is time.
    Time,
}

/// What a proposal was made for.
enum Pending {
    Client { call: u64, ask: Ask },
    Reset { asker: Asker, id: LeaseId },
    Expired(ExpiredBatch),
    Checkpoints(CheckpointBatch),
}

/// How often a member asks the log whether there is more.
const FETCH_EVERY_MS: u64 = 1_500;

/// How long a member waits after its disk has failed.
const RETRY_AFTER_MS: u64 = 100;

/// After so many failures in a row a member starts anew.
const MOST_FAILURES: u32 = 40;

/// A tick that is later than this was held up.
const PUNCTUAL_MS: u64 = 50;

fn meta() -> Table {
    Table::new("meta")
}

pub(super) fn keys() -> Table {
    Table::new("keys")
}

const APPLIED: &[u8] = b"applied";

/// A member from its start to its end.
pub(super) async fn run(world: Arc<World>, node: usize) {
    let (mailbox, mut letters) = mpsc::unbounded();
    let mut host = loop {
        match Host::start(Arc::clone(&world), node) {
            Ok(host) => break host,
            Err(_) => {
                probe::mark("host: a start finds a bad disk");
                if world.members[node].has_no_power() {
                    return world.lose_power(node);
                }
                sleep(Duration::from_millis(RETRY_AFTER_MS)).await;
            }
        }
    };
    world.members[node].open_mailbox(mailbox);
    host.fetch();
    loop {
        if world.has_objected() {
            // What a broken member does next proves nothing.
            return pending().await;
        }
        host.apply_ready().await;
        host.poll();
        if world.members[node].has_no_power() || host.failures > MOST_FAILURES {
            return world.lose_power(node);
        }
        match host.wait_for_news(&mut letters).await {
            News::Letter(Some(Letter::Stop(down_for))) => return host.stop(down_for),
            News::Letter(Some(letter)) => host.read(letter),
            News::Letter(None) => return,
            News::WakeupMoved => {
                probe::mark("host: a wake-up moves");
                host.drive();
            }
            News::Time => {}
        }
    }
}

impl Host {
    fn start(world: Arc<World>, node: usize) -> Result<Self, LeaseError> {
        let disk = lock(&world.members[node].disk).clone();
        let redb = RedbBackend::create_with_storage(disk).map_err(LeaseError::Backend)?;
        let around = Surroundings::new(&world, node);
        let backend = Arc::new(Store::new(redb, &around));
        world.members[node].clock.forget_readings();
        let is_suspended = lock(&world.members[node].status).suspends > 0;
        let mut builder = BackendLessor::builder(backend.clone())
            .config(world.config(node))
            .clock(Arc::new(world.members[node].clock.clone()))
            .driver(Driver::Manual)
            .checkpoints(CheckpointMode::Polled)
            .durability(world.durability())
            .expired_capacity(world.parameters.expired_capacity)
            .range_deleter(Arc::new(Deleter::new(&around)));
        if world.parameters.meanwhile_per_mille > 0 {
            builder = builder.observer(Arc::new(Watcher(Arc::clone(&around))));
        }
        if is_suspended {
            builder = builder.suspend_expiry();
        }
        let lessor = Arc::new(builder.build()?);
        around.set_lessor(&lessor);
        let mut host = Self {
            expired: lessor.expired_leases(),
            wakeup: lessor.next_wakeup(),
            lessor,
            around,
            backend,
            applied: 0,
            inbox: BTreeMap::new(),
            fetch_at_ms: 0,
            retry_at_ms: 0,
            failures: 0,
            pending: BTreeMap::new(),
            unconfirmed: BTreeMap::new(),
            waits: Vec::new(),
            wait_count: 0,
            leader: None,
            forwards: Vec::new(),
            serving: BTreeMap::new(),
            planned_ms: world.now_ms(),
            ticks: 0,
            changes: 0,
            is_suspended,
            seen: None,
            look_again_ms: 0,
            world,
            node,
        };
        host.recover(true).map_err(LeaseError::Backend)?;
        if host.applied > 0 {
            probe::mark("host: a member recovers from its disk");
        }
        Ok(host)
    }

    fn member(&self) -> &Member {
        &self.world.members[self.node]
    }

    fn is_lingering(&self) -> bool {
        lock(&self.member().status).lingers > 0
    }

    fn read(&mut self, letter: Letter) {
        self.changes += 1;
        match letter {
            Letter::Message(End::Log, message) => self.log_says(message),
            Letter::Message(_, Message::Ask { call, ask, forward }) => {
                self.serve(call, ask, forward);
            }
            Letter::Message(_, Message::Snapshot(snapshot)) => self.install(&snapshot),
            Letter::Message(End::Node(from), message) => self.member_says(from, message),
            Letter::Message(from, message) => unreachable!("{from:?} sent {message:?}"),
            Letter::Promote(epoch) => self.promote(epoch),
            Letter::DemoteLate(epoch) => self.demote_late(epoch),
            Letter::StepDown => self.step_down(),
            Letter::SendSnapshot(to) => self.send_snapshot(to),
            Letter::SuspendExpiry(suspend) => self.suspend(suspend),
            Letter::Stop(_) | Letter::Wake | Letter::Change | Letter::HandOver(_) => {}
        }
    }

    fn member_says(&mut self, node: usize, message: Message) {
        match message {
            Message::HttpRequest { call, path, body } => {
                self.hear_request(node, call, &path, &body);
            }
            Message::HttpAnswer { call, answer } => self.hear_answer(node, call, &answer),
            message => unreachable!("members do not send {message:?} to each other"),
        }
    }

    fn log_says(&mut self, message: Message) {
        match message {
            Message::Entries {
                first,
                entries,
                length,
                term,
                leader,
            } => self.receive(first, entries, length, (term, leader)),
            Message::Confirmed {
                call,
                leads,
                length,
            } => self.confirmed(call, leads, length),
            // What is in the log is dealt with when it is applied.
            Message::Proposed { .. } => {}
            Message::Rejected { proposal } => self.rejected(proposal),
            message => unreachable!("the log does not send {message:?}"),
        }
    }

    fn suspend(&mut self, suspend: bool) {
        self.is_suspended = suspend;
        // The checkers must see it, though nothing else changes and nothing wakes the host meanwhile.
        self.seen = None;
        if suspend {
            probe::mark("host: expiry is suspended");
            self.lessor.suspend_expiry();
        } else {
            self.lessor.resume_expiry();
        }
    }

    fn send(&self, to: End, message: &Message) {
        self.world.send(End::Node(self.node), to, message);
    }

    fn propose(&mut self, request: Request, pending: Pending) {
        let proposal = self.world.number_proposal();
        let entry = crate::wire::Entry {
            proposal,
            request,
            stamp: None,
        };
        let entry = entry.encode();
        self.pending.insert(proposal, pending);
        self.send(End::Log, &Message::Propose { proposal, entry });
    }

    /// The log will never take a proposal in.
    fn rejected(&mut self, proposal: u64) {
        match self.pending.remove(&proposal) {
            Some(Pending::Client { call, .. }) => self.reply_not_primary(call),
            Some(Pending::Reset { asker, .. }) => {
                self.renewed(asker, Err(LeaseError::NotPrimary));
            }
            Some(Pending::Expired(batch)) => self.attempt_failed(&batch),
            Some(Pending::Checkpoints(batch)) => self.checkpoints_failed(&batch),
            None => {}
        }
    }

    /// Everything that a member does by itself.
    fn poll(&mut self) {
        if self.world.now_ms() >= self.fetch_at_ms {
            self.fetch();
        }
        self.tick();
        self.poll_waits();
        self.poll_serving();
        self.poll_forwards();
        self.look();
    }

    /// Waits for a letter, for the time, or for the lessor to say that it wants to be driven earlier
    /// than it has said before: a host that looks at nothing else.
    async fn wait_for_news(&mut self, letters: &mut UnboundedReceiver<Letter>) -> News {
        let sleeping = sleep(self.time_to_sleep()).fuse();
        let next = letters.next();
        let moved = self.lessor.wakeup_moved();
        pin_mut!(sleeping, next, moved);
        match select(moved, select(next, sleeping)).await {
            Either::Left(_) => News::WakeupMoved,
            Either::Right((Either::Left((letter, _)), _)) => News::Letter(letter),
            Either::Right((Either::Right(_), _)) => News::Time,
        }
    }

    fn time_to_sleep(&mut self) -> Duration {
        let now_ms = self.world.now_ms();
        let mut at_ms = self.fetch_at_ms;
        if self.retry_at_ms > now_ms {
            at_ms = at_ms.min(self.retry_at_ms);
        }
        let waits = self.waits.iter().map(|wait| wait.until_ms);
        let serving = self.serving.values().map(|serving| serving.until_ms);
        let forwards = self.forwards.iter().map(Forward::next_ms);
        at_ms = waits.chain(serving).chain(forwards).fold(at_ms, u64::min);
        let mut span = Duration::from_millis(at_ms.saturating_sub(now_ms));
        // A host that polls for checkpoints looks for itself when the next one is due.
        let due = [self.wakeup, self.lessor.next_checkpoint()];
        for due in due.into_iter().flatten() {
            span = span.min(self.member().clock.time_until(due));
        }
        // A wake-up in the past must not stop the world.
        let span = span.max(Duration::from_millis(1));
        self.planned_ms = now_ms + span.as_millis() as u64 + 1;
        span
    }

    /// Stops in order, twice.
    fn stop(self, down_for: Duration) {
        let is_bad = lock(&self.member().status).has_bad_disk;
        self.around.note_stop();
        self.lessor.stop();
        self.lessor.stop();
        if !self.waits.is_empty() {
            probe::mark("host: a stop ends a wait");
        }
        self.tell_waits(false);
        let how = if is_bad {
            Exit::PowerLost
        } else {
            Exit::Stopped
        };
        let (world, node) = (Arc::clone(&self.world), self.node);
        drop(self);
        world.end_process(node, down_for, how);
    }
}

impl World {
    pub(super) fn config(&self, node: usize) -> LessorConfig {
        let parameters = &self.parameters;
        let mut config = LessorConfig {
            min_ttl: Ttl::new(parameters.min_ttl[node]).expect("the plan is sound"),
            checkpoint_interval: Duration::from_millis(parameters.checkpoint_interval_ms),
            revoke_rate_per_sec: NonZeroU32::new(parameters.revoke_rate_per_sec),
            expired_lease_retry_interval: Duration::from_millis(parameters.retry_interval_ms),
            max_expired_batch_size: NonZeroU32::new(parameters.expired_batch)
                .expect("the plan is sound"),
            hash_seed: Some(parameters.hash_seed),
            ..LessorConfig::default()
        };
        spoil::spoil(&mut config);
        config
    }

    fn durability(&self) -> Durability {
        let mut interval = Duration::from_millis(self.parameters.commit_interval_ms);
        if probe::is_planted("writes-wait-longer") {
            interval *= 3;
        }
        if self.parameters.durable {
            Durability::EveryCommand
        } else {
            Durability::Batched {
                interval,
                max_writes: NonZeroUsize::new(50).expect("not zero"),
            }
        }
    }

    pub(super) fn lose_power(self: &Arc<Self>, node: usize) {
        let down_for = lock(&self.members[node].status).down_for;
        self.crash(node, down_for.max(Duration::from_millis(100)));
    }
}

impl Member {
    pub(super) fn has_no_power(&self) -> bool {
        !lock(&self.disk).is_powered()
    }
}

/// Reads what a backend holds beside the leases.
pub(super) fn read_keys(backend: &dyn Backend) -> Result<Vec<(u8, i64)>, lease_core::BackendError> {
    let mut found = Vec::new();
    backend.scan(&keys(), &mut |key, value| {
        if let (&[key], Ok(value)) = (key, value.try_into()) {
            found.push((key, i64::from_be_bytes(value)));
        }
    })?;
    Ok(found)
}

fn hear(host: &Host, event: Event) {
    host.world.hear(event);
}
