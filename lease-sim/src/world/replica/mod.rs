//! A member: the production replica of lease-raft, over the hostile log. What it asks of its host is made
//! of what the world has.

mod calls;
mod engine;
mod events;
mod feed;
mod judge;
mod machine;
mod meanwhile;
mod openraft;
mod options;
mod ports;
mod report;
mod store;
mod waits;
mod watcher;

use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc;
use lease_backend::RedbOptions;
use lease_core::{LeaseError, LeaseEvents, probe};
use lease_raft::probe::Inside;
use lease_raft::{MemberId, OpenraftEngine, Parts, RedbStore, Replica, Store};
use madsim::time::sleep;
use rand::RngExt;

use self::engine::LogEngine;
use self::feed::Feed;
use self::machine::Keys;
use self::meanwhile::Meanwhile;
use self::ports::{Of, WorldPeers, WorldRuntime};
use self::store::WorldStore;
use self::waits::Waiting;
use self::watcher::Watcher;
use super::member::{Letter, Member};
use super::{World, lock};
use crate::event::Exit;
use crate::plan::{End, Engine};
use crate::wire::{HttpAnswer, Message};

/// A member as its parts see it.
pub(super) struct Around {
    pub(super) world: Arc<World>,
    pub(super) node: usize,
    session: u64,
    /// The lessor, when it has been built.
    inside: OnceLock<Inside>,
    // How often the lessor was driven, and what has changed.
    ticks: AtomicU64,
    changes: AtomicU64,
    // Until when it was last held up.
    held_up_ms: AtomicU64,
    // Whether the lessor had no room for expired leases since the checkers looked.
    is_full: AtomicBool,
    is_suspended: AtomicBool,
    is_stopping: AtomicBool,
    meanwhile: Meanwhile,
    waits: Mutex<Vec<Waiting>>,
}

/// A running member.
pub(super) struct Host {
    around: Arc<Around>,
    replica: Replica,
    store: Arc<dyn Store>,
    engine: Arc<LogEngine>,
    openraft: OnceLock<OpenraftEngine>,
    peers: Arc<WorldPeers>,
    feed: Mutex<Feed>,
    events: Mutex<LeaseEvents>,
    seen: Mutex<report::Seen>,
}

/// How long a member waits after its disk has failed.
const RETRY_AFTER_MS: u64 = 100;

/// How many events may wait; they are received after each entry.
const EVENTS: usize = 64;

/// A member's name in lease-raft, where they count from 1.
const fn member_id(node: usize) -> MemberId {
    node as MemberId + 1
}

const fn node_of(member: MemberId) -> usize {
    member as usize - 1
}

/// A member from its start to its end.
pub(super) async fn run(world: Arc<World>, node: usize) {
    let (mailbox, mut letters) = mpsc::unbounded();
    let host = loop {
        match Host::start(&world, node).await {
            Ok(host) => break host,
            Err(_) => {
                probe::mark("raft: a start finds a bad disk");
                if world.members[node].has_no_power() {
                    return world.lose_power(node);
                }
                sleep(Duration::from_millis(RETRY_AFTER_MS)).await;
            }
        }
    };
    world.members[node].open_mailbox(mailbox);
    if host.openraft.get().is_none() {
        let nudged = host.open_feed();
        madsim::task::spawn(Arc::clone(&host).apply_all(nudged));
    }
    madsim::task::spawn(Arc::clone(&host).look_again());
    let engine = host.engine();
    let replica = host.replica.clone();
    madsim::task::spawn(async move { replica.run(engine).await });
    loop {
        if world.has_objected() {
            // What a broken member does next proves nothing.
            return pending().await;
        }
        let Some(letter) = letters.next().await else {
            return;
        };
        host.around.note_change();
        if let Letter::Stop(down_for) = letter {
            return host.stop(down_for).await;
        }
        host.read(letter);
        host.end_if_broken();
    }
}

impl Around {
    fn member(&self) -> &Member {
        &self.world.members[self.node]
    }

    fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    fn note_held_up(&self, for_how_long: Duration) {
        let until_ms = self.world.now_ms() + for_how_long.as_millis() as u64;
        self.held_up_ms.fetch_max(until_ms, Ordering::Relaxed);
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    fn send(&self, to: End, message: &Message) {
        self.world.send(End::Node(self.node), to, message);
    }

    /// Waits as long as a slow disk takes.
    async fn wait_for_disk(&self) {
        let slow_by = lock(&self.member().status).slow_by;
        if slow_by > Duration::ZERO {
            self.note_held_up(slow_by);
            sleep(slow_by).await;
        }
    }
}

impl Host {
    async fn start(world: &Arc<World>, node: usize) -> Result<Arc<Self>, LeaseError> {
        let disk = lock(&world.members[node].disk).clone();
        world.members[node].clock.forget_readings();
        let options = world.options(node);
        let around = Arc::new(Around {
            world: Arc::clone(world),
            node,
            session: lock(&world.noise).random_range(1..=u64::MAX),
            inside: OnceLock::new(),
            ticks: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            held_up_ms: AtomicU64::new(world.now_ms()),
            is_full: AtomicBool::new(false),
            is_suspended: AtomicBool::new(options.suspend_expiry),
            is_stopping: AtomicBool::new(false),
            meanwhile: Meanwhile::default(),
            waits: Mutex::default(),
        });
        let redb = RedbStore::create_with_storage(RedbOptions::new(), disk);
        let redb = Arc::new(redb.map_err(LeaseError::Backend)?);
        let store = Arc::new(WorldStore::new(Arc::clone(&redb), &around));
        let peers = Arc::new(WorldPeers::new(&around));
        let replica = Replica::open(Parts {
            member: member_id(node),
            store: store.clone(),
            peers: peers.clone(),
            runtime: Arc::new(WorldRuntime {
                around: Arc::clone(&around),
                of: Of::Replica,
            }),
            machine: Arc::new(Keys(Arc::clone(&around))),
            clock: Arc::new(world.members[node].clock.clone()),
            observer: Some(Arc::new(Watcher(Arc::downgrade(&around)))),
            session: around.session,
            options,
        })?;
        // Nothing else sets it.
        let _ = around.inside.set(replica.inside());
        let host = Arc::new(Self {
            engine: Arc::new(LogEngine::new(&around)),
            openraft: OnceLock::new(),
            around,
            events: Mutex::new(replica.lessor().events(EVENTS)),
            replica,
            store,
            peers,
            feed: Mutex::default(),
            seen: Mutex::default(),
        });
        host.recovered(true).map_err(LeaseError::Backend)?;
        if host.replica.applied() > 0 {
            probe::mark("raft: a member recovers from its disk");
        }
        if world.parameters.engine == Engine::Raft {
            host.start_openraft(redb).await?;
        }
        Ok(host)
    }

    fn world(&self) -> &Arc<World> {
        &self.around.world
    }

    fn read(self: &Arc<Self>, letter: Letter) {
        match letter {
            Letter::Message(End::Log, message) => self.log_says(message),
            Letter::Message(End::Clients, Message::Ask { call, ask }) => {
                madsim::task::spawn(Arc::clone(self).serve(call, ask));
            }
            Letter::Message(_, Message::State { bytes }) => self.install(&bytes),
            Letter::Message(
                End::Node(from),
                Message::HttpRequest {
                    call, path, body, ..
                },
            ) => {
                let host = Arc::clone(self);
                madsim::task::spawn(async move {
                    let answer = host.answer(from, &path, &body).await;
                    let answer = HttpAnswer {
                        status: answer.status,
                        body: answer.body,
                    };
                    let answer = Message::HttpAnswer { call, answer };
                    host.around.send(End::Node(from), &answer);
                });
            }
            Letter::Message(End::Node(_), Message::HttpAnswer { call, answer }) => {
                self.peers.hear(call, answer);
            }
            Letter::Message(from, message) => unreachable!("{from:?} sent {message:?}"),
            Letter::Lead(term) => self.engine.leads(term),
            Letter::StepDown => self.engine.step_down(),
            Letter::SendSnapshot(to) => self.send_snapshot(to),
            Letter::Change => drop(madsim::task::spawn(Arc::clone(self).change_members())),
            Letter::HandOver(to) => drop(madsim::task::spawn(Arc::clone(self).hand_over(to))),
            Letter::SuspendExpiry(suspend) => self.suspend(suspend),
            Letter::Stop(_) => {}
        }
    }

    fn suspend(&self, suspend: bool) {
        self.around.is_suspended.store(suspend, Ordering::Relaxed);
        let lessor = self.replica.lessor();
        if suspend {
            probe::mark("raft: expiry is suspended");
            lessor.suspend_expiry();
        } else {
            lessor.resume_expiry();
        }
        // The checkers must see it, though nothing else changes.
        lock(&self.seen).forget();
        self.look();
    }

    fn log_says(&self, message: Message) {
        self.engine.note_heard();
        match message {
            Message::Entries {
                first,
                entries,
                length,
                term,
                leader,
            } => {
                self.engine.hear_of(term, leader);
                self.receive(first, entries, length);
            }
            Message::Confirmed {
                call,
                leads,
                length,
            } => self.engine.confirmed(call, leads, length),
            Message::Proposed { proposal, .. } => self.engine.decided(proposal, true),
            Message::Rejected { proposal } => self.engine.decided(proposal, false),
            message => unreachable!("the log does not send {message:?}"),
        }
    }

    /// A member without power, or one that cannot go on, starts anew.
    fn end_if_broken(&self) {
        let failure = self.replica.failure();
        let is_broken = failure.is_some() || self.has_engine_failed();
        if is_broken {
            probe::mark("raft: a member cannot go on");
        }
        let node = self.around.node;
        if is_broken || self.around.member().has_no_power() {
            self.world().lose_power(node);
        }
    }

    /// Stops in order: first the engine, then the replica, twice.
    async fn stop(self: Arc<Self>, down_for: Duration) {
        let is_bad = lock(&self.around.member().status).has_bad_disk;
        self.close_feed();
        self.engine.end();
        if let Some(engine) = self.openraft.get() {
            engine.shutdown().await;
        }
        sleep(Duration::from_millis(1)).await;
        self.around.is_stopping.store(true, Ordering::Relaxed);
        let stopped = self.replica.stop().is_ok() && self.replica.stop().is_ok();
        self.lessor(|lessor| self.around.tell_waits(lessor, false));
        let how = if is_bad || !stopped {
            Exit::PowerLost
        } else {
            Exit::Stopped
        };
        let (world, node) = (Arc::clone(self.world()), self.around.node);
        drop(self);
        world.end_process(node, down_for, how);
    }
}
