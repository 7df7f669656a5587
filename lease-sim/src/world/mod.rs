//! The simulated world. Nothing of the lessor is written again here: members run the production
//! code, the world only makes its surroundings.

mod alone;
mod client;
mod clock;
mod faults;
mod log;
mod member;
mod net;
mod replica;
mod shown;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::select;
use futures::pin_mut;
use lease_core::{LeaseRow, Ttl, probe};
use madsim::runtime::{Handle, NodeHandle};
use madsim::time::{TimeHandle, sleep};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use self::client::Clients;
use self::clock::Round;
use self::log::Log;
use self::member::{Member, Part};
use self::net::Network;
use crate::Options;
use crate::event::{Event, Glance, Name};
use crate::plan::{Action, Engine, Parameters, Plan};
use crate::recorder::{Recorder, Report};

/// Runs a plan to its end, in the madsim runtime of the caller.
pub(crate) async fn run(plan: Plan, options: Options) -> Report {
    // What an earlier world of this thread has left.
    drop(probe::take_marks());
    if let Some(alone) = plan.parameters.alone {
        return alone::run(plan, alone, options).await;
    }
    let (object, objection) = oneshot::channel();
    let world = Arc::new(World::new(&plan, options, object));
    world.start_members();
    world.elect(0);
    world.supervise_leader();
    let whole = {
        let world = Arc::clone(&world);
        async move {
            for timed in &plan.actions {
                world.sleep_until(timed.at_ms).await;
                world.act(timed.action);
            }
            world.sleep_until(plan.parameters.faulty_ms).await;
            world.heal();
            world.settle().await;
        }
    };
    pin_mut!(whole);
    // The first objection ends the run: what comes after it proves nothing.
    select(whole, objection).await;
    let report = world.end();
    world.end_all();
    report
}

/// What all of the world shares.
pub(crate) struct World {
    seed: u64,
    parameters: Parameters,
    time: TimeHandle,
    runtime: Handle,
    // Runs what belongs to no member, and so is never killed.
    outside: NodeHandle,
    members: Vec<Member>,
    log: Mutex<Log>,
    network: Mutex<Network>,
    clients: Mutex<Clients>,
    recorder: Mutex<Recorder>,
    // Ends the run.
    object: Mutex<Option<oneshot::Sender<()>>>,
    // The last index that any member has applied.
    first_applied: AtomicU64,
    is_healed: AtomicBool,
    // What each member is to be in a cluster of openraft.
    parts: Mutex<Vec<Part>>,
    // Which of them are not yet what they are to be, as the leader has found last.
    unchanged: Mutex<Vec<usize>>,
    // Whether a leader has found that all of them are, and that nothing can take it back.
    is_settled: AtomicBool,
    // Leases that the plan asks for and nobody waits for the end of.
    long_leases: Vec<i64>,
    // What is not of the network; apart from what madsim draws.
    noise: Mutex<ChaCha8Rng>,
}

/// How long the healed world gets beyond the longest TTL and what throttles expiries.
const SLACK: Duration = Duration::from_secs(40);

/// How often the end is looked for.
const GLANCE: Duration = Duration::from_millis(500);

impl World {
    fn new(plan: &Plan, options: Options, object: oneshot::Sender<()>) -> Self {
        let runtime = Handle::current();
        let nodes = 0..plan.parameters.nodes;
        Self {
            seed: plan.seed,
            parameters: plan.parameters.clone(),
            time: TimeHandle::current(),
            outside: runtime.create_node().name("outside").build(),
            runtime,
            members: nodes.map(|node| Member::new(plan, node)).collect(),
            log: Mutex::new(Log::new(match plan.parameters.remembered {
                0 => u64::MAX,
                remembered => remembered,
            })),
            network: Mutex::new(Network::new(plan.noise)),
            clients: Mutex::default(),
            recorder: Mutex::new(Recorder::new(&plan.parameters, options.trace)),
            object: Mutex::new(Some(object)),
            first_applied: AtomicU64::new(0),
            is_healed: AtomicBool::new(false),
            parts: Mutex::new(first_parts(&plan.parameters)),
            unchanged: Mutex::default(),
            is_settled: AtomicBool::new(false),
            long_leases: long_leases(plan),
            noise: Mutex::new(ChaCha8Rng::seed_from_u64(!plan.noise)),
        }
    }

    /// Hears an event now.
    fn hear(&self, event: Event) {
        lock(&self.recorder).hear(self.now_ms(), event);
        self.end_if_objected();
    }

    /// Lets the checkers look at a member.
    fn look(&self, glance: &Glance) {
        lock(&self.recorder).look(self.now_ms(), glance);
        self.end_if_objected();
    }

    fn end_if_objected(&self) {
        if self.has_objected()
            && let Some(object) = lock(&self.object).take()
        {
            // A run that has just ended by itself is not listening.
            let _ = object.send(());
        }
    }

    fn has_objected(&self) -> bool {
        lock(&self.recorder).has_objected()
    }

    /// Tells the checkers that a primary counts a lease for its TTL from now, and maybe longer.
    fn hear_counted(&self, node: usize, name: Name, left: Ttl, more: Duration) {
        let now = self.members[node].clock.own_time(Round::Up);
        let more_ms = more.as_millis() as u64 + self.parameters.clock_lag_ms;
        let until = now.plus(left.as_secs() * 1000 + more_ms);
        self.hear(Event::Counted { node, name, until });
    }

    /// Tells the checkers how long each lease lasts after a promotion.
    fn hear_all_counted(&self, node: usize, rows: &[LeaseRow]) {
        for row in rows {
            if let Some(incarnation) = row.incarnation {
                let name = Name::new(row.id, incarnation);
                let left = row.remaining.unwrap_or(row.ttl);
                self.hear_counted(node, name, left, self.parameters.extend());
            }
        }
    }

    /// Tells the checkers of a renewal.
    fn hear_renewed(&self, node: usize, epoch: u64, name: Name, ttl: Ttl) {
        self.hear_counted(node, name, ttl, Duration::ZERO);
        self.hear(Event::Renewed { node, epoch, name });
    }

    fn now_ms(&self) -> u64 {
        self.time.elapsed().as_millis() as u64
    }

    async fn sleep_until(&self, at_ms: u64) {
        sleep(Duration::from_millis(at_ms.saturating_sub(self.now_ms()))).await;
    }

    /// Whether the part with faults is over.
    fn is_healed(&self) -> bool {
        self.is_healed.load(Ordering::Relaxed)
    }

    /// How long the part with faults goes on, if it does.
    fn until_healed(&self) -> Option<Duration> {
        let left_ms = self.parameters.faulty_ms.saturating_sub(self.now_ms());
        (!self.is_healed()).then_some(Duration::from_millis(left_ms))
    }

    /// Whether something that happens to so many in a thousand happens now.
    fn happens(&self, per_mille: u32) -> bool {
        !self.is_healed() && lock(&self.noise).random_range(0..1000) < per_mille
    }

    /// Whether a proposal of checkpoints is lost, which may be at any time.
    fn loses_checkpoints(&self) -> bool {
        let per_mille = self.parameters.lost_checkpoints_per_mille;
        per_mille > 0 && lock(&self.noise).random_range(0..1000) < per_mille
    }

    fn span(&self, from_ms: u64, to_ms: u64) -> Duration {
        Duration::from_millis(lock(&self.noise).random_range(from_ms..=to_ms))
    }

    /// Does something later, whatever happens to the members meanwhile.
    fn later(self: &Arc<Self>, span: Duration, what: impl FnOnce(&Arc<Self>) + Send + 'static) {
        let world = Arc::clone(self);
        self.outside.spawn(async move {
            sleep(span).await;
            what(&world);
        });
    }

    /// Waits until everything that is owed has happened, but not for ever.
    async fn settle(self: &Arc<Self>) {
        let longest = Duration::from_secs(self.parameters.longest_ttl.unsigned_abs());
        let leases = self.members.iter().map(Member::lease_count).max();
        let throttled = (leases.unwrap_or(0) as u64 * 1000)
            .checked_div(u64::from(self.parameters.revoke_rate_per_sec));
        let bound = longest * 2
            + self.parameters.extend()
            + Duration::from_millis(throttled.unwrap_or(0))
            + SLACK;
        let held_until_ms = self.held_until_ms();
        let end_ms = held_until_ms + bound.as_millis() as u64;
        while self.now_ms() < end_ms && !(self.now_ms() >= held_until_ms && self.is_quiet()) {
            if self.now_ms() >= held_until_ms {
                self.revoke_long_leases();
            }
            sleep(GLANCE).await;
        }
    }

    /// Has clients revoke what would be there for years.
    fn revoke_long_leases(self: &Arc<Self>) {
        for lease in &self.long_leases {
            let has = |member: &Member| lock(&member.leases).contains(lease);
            if self.members.iter().take(self.parameters.core).any(has) {
                self.client(Action::Revoke { lease: *lease });
            }
        }
    }

    fn is_quiet(&self) -> bool {
        let (left, behind) = self.owed();
        left.is_empty() && behind.is_empty()
    }

    /// The leases that the healed members still have, and which of these members lag behind.
    fn owed(&self) -> (Vec<(usize, i64)>, Vec<usize>) {
        let length = lock(&self.log).len();
        let mut left = Vec::new();
        let mut behind = Vec::new();
        let core = self.members.iter().take(self.parameters.core);
        let parts = lock(&self.parts).clone();
        let belongs = |node: &usize| matches!(parts[*node], Part::Learner | Part::Voter);
        for (node, member) in core.enumerate().filter(|(node, _)| belongs(node)) {
            let leases = lock(&member.leases);
            left.extend(leases.iter().map(|lease| (node, *lease)));
            if member.applied() < length {
                behind.push(node);
            }
        }
        behind.extend(self.astray(&parts));
        (left, behind)
    }

    /// Which members are not what they are to be: one that has gone is no primary.
    fn astray(&self, parts: &[Part]) -> Vec<usize> {
        let nodes = parts.iter().enumerate();
        let gone = nodes.filter(|(_, part)| **part == Part::Gone);
        let leading = gone.filter(|(node, _)| self.members[*node].primary_epoch().is_some());
        let mut astray = lock(&self.unchanged).clone();
        astray.extend(leading.map(|(node, _)| node));
        astray
    }

    fn end(&self) -> Report {
        if !self.has_objected() {
            let (left, behind) = self.owed();
            self.hear(Event::Over { left, behind });
        }
        let recorder = Recorder::new(&self.parameters, false);
        let recorder = std::mem::replace(&mut *lock(&self.recorder), recorder);
        let is_traced = recorder.is_traced();
        let mut report = recorder.close(self.seed, self.now_ms());
        let marks = probe::take_marks().into_iter();
        report.sometimes = marks.map(|(mark, n)| (mark.to_owned(), n)).collect();
        if is_traced {
            report.members = self.members.iter().map(Member::describe).collect();
        }
        report
    }
}

/// Without openraft all belong to the cluster from the beginning on.
fn first_parts(parameters: &Parameters) -> Vec<Part> {
    let voters = match parameters.engine {
        Engine::Raft => parameters.raft.voters,
        Engine::Log => parameters.nodes,
    };
    let part = |node| match node < voters {
        true => Part::Voter,
        false => Part::None,
    };
    (0..parameters.nodes).map(part).collect()
}

/// The leases for which the plan asks a TTL beyond its longest one.
fn long_leases(plan: &Plan) -> Vec<i64> {
    let asked = plan
        .actions
        .iter()
        .filter_map(|timed| timed.action.asks_for());
    let long = asked.filter(|(_, ttl)| *ttl > plan.parameters.longest_ttl);
    long.map(|(lease, _)| lease).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
