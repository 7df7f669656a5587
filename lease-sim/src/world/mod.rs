//! The simulated world. Nothing of the lessor is written again here: members run the production
//! code, the world only makes its surroundings.

mod client;
mod log;
mod node;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::channel::mpsc::UnboundedSender;
use lease_backend::testing::SimDisk;
use lease_core::{Clock, LeaseId, Timestamp};
use madsim::runtime::{Handle, NodeHandle};
use madsim::time::{TimeHandle, sleep};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use self::log::Log;
use self::node::Message;
use crate::court::{Court, Report};
use crate::judges::Event;
use crate::plan::{Action, Parameters, Plan};

/// Runs a plan to its end, in the madsim runtime of the caller.
pub(crate) async fn run(plan: Plan) -> Report {
    let world = Arc::new(World::new(&plan));
    let handle = Handle::current();
    let nodes: Vec<_> = (0..plan.parameters.nodes)
        .map(|node| {
            let world = Arc::clone(&world);
            let builder = handle.create_node().name(format!("node-{node}"));
            builder
                .init(move || node::run(Arc::clone(&world), node))
                .build()
        })
        .collect();
    for timed in &plan.actions {
        sleep(Duration::from_millis(
            timed.at_ms.saturating_sub(world.now_ms()),
        ))
        .await;
        world.act(&handle, &nodes, &timed.action);
    }
    sleep(world.settling_time()).await;
    world.end()
}

/// What all of the world shares.
pub(crate) struct World {
    seed: u64,
    parameters: Parameters,
    time: TimeHandle,
    outside: NodeHandle,
    members: Vec<Member>,
    log: Mutex<Log>,
    court: Mutex<Court>,
    // The last index that any member has applied.
    first_applied: AtomicU64,
    // Delays and losses; apart from what madsim draws, so that a change of the code does not change
    // the noise.
    noise: Mutex<ChaCha8Rng>,
}

/// What the world knows of a member.
struct Member {
    disk: Mutex<SimDisk>,
    mailbox: Mutex<Option<UnboundedSender<Message>>>,
    is_up: AtomicBool,
    is_isolated: AtomicBool,
    // The term that it leads, as far as it knows.
    leads: Mutex<Option<u64>>,
    // What is left of its leases at the end.
    leases: Mutex<(u64, Vec<LeaseId>)>,
}

/// How long the healed world gets to revoke what nobody keeps alive.
const LONGEST_TTL: Duration = Duration::from_secs(20);
const SLACK: Duration = Duration::from_secs(25);

impl World {
    fn new(plan: &Plan) -> Self {
        let outside = Handle::current().create_node().name("outside").build();
        let members = (0..plan.parameters.nodes as u64).map(|node| Member {
            disk: Mutex::new(SimDisk::new(plan.seed ^ node)),
            mailbox: Mutex::default(),
            is_up: AtomicBool::new(true),
            is_isolated: AtomicBool::new(false),
            leads: Mutex::default(),
            leases: Mutex::default(),
        });
        Self {
            seed: plan.seed,
            parameters: plan.parameters.clone(),
            time: TimeHandle::current(),
            outside,
            members: members.collect(),
            log: Mutex::default(),
            court: Mutex::default(),
            first_applied: AtomicU64::new(0),
            noise: Mutex::new(ChaCha8Rng::seed_from_u64(!plan.seed)),
        }
    }

    fn act(self: &Arc<Self>, handle: &Handle, nodes: &[NodeHandle], action: &Action) {
        match *action {
            Action::Elect { node } => self.elect(node),
            Action::Crash { node } => {
                let member = &self.members[node];
                if member.is_up.swap(false, Ordering::Relaxed) {
                    self.sometimes("a member crashes");
                    let mut disk = lock(&member.disk);
                    let survives = disk.restart();
                    *disk = survives;
                    drop(disk);
                    *lock(&member.mailbox) = None;
                    *lock(&member.leads) = None;
                    handle.kill(nodes[node].id());
                }
            }
            Action::Restart { node } => {
                if !self.members[node].is_up.swap(true, Ordering::Relaxed) {
                    handle.restart(nodes[node].id());
                }
            }
            Action::Isolate { node } => {
                self.members[node]
                    .is_isolated
                    .store(true, Ordering::Relaxed);
            }
            Action::Rejoin { node } => {
                self.members[node]
                    .is_isolated
                    .store(false, Ordering::Relaxed);
                self.announce(node);
            }
            _ => self.client(action),
        }
    }

    /// Hears an event now.
    fn hear(&self, event: &Event) {
        lock(&self.court).hear(self.now_ms(), event);
    }

    fn sometimes(&self, what: &'static str) {
        lock(&self.court).sometimes(what);
    }

    fn now_ms(&self) -> u64 {
        self.time.elapsed().as_millis() as u64
    }

    /// Whether the part with faults is over.
    fn is_healed(&self) -> bool {
        self.now_ms() >= self.parameters.faulty_ms
    }

    /// Whether something that happens to so many in a thousand happens now.
    fn happens(&self, per_mille: u32) -> bool {
        !self.is_healed() && lock(&self.noise).random_range(0..1000) < per_mille
    }

    fn span(&self, from_ms: u64, to_ms: u64) -> Duration {
        Duration::from_millis(lock(&self.noise).random_range(from_ms..=to_ms))
    }

    /// Carries a message between a member and whatever it talks to; answers whether it arrived.
    async fn travel(&self, node: usize) -> bool {
        let (fastest, slowest) = self.parameters.latency_ms;
        let is_cut = || self.members[node].is_isolated.load(Ordering::Relaxed);
        let left = !is_cut();
        sleep(self.span(fastest, slowest)).await;
        left && !is_cut()
    }

    fn settling_time(&self) -> Duration {
        LONGEST_TTL + self.parameters.extend() + SLACK
    }

    fn end(&self) -> Report {
        let length = lock(&self.log).len();
        let mut left = Vec::new();
        let mut behind = Vec::new();
        for (node, member) in self.members.iter().enumerate() {
            let (applied, leases) = &*lock(&member.leases);
            left.extend(leases.iter().map(|id| (node, *id)));
            if *applied < length {
                behind.push(node);
            }
        }
        self.hear(&Event::Ended { left, behind });
        let court = std::mem::take(&mut *lock(&self.court));
        court.close(self.seed, self.now_ms())
    }
}

/// The virtual time as a lessor's clock.
struct SimClock(TimeHandle);

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.elapsed().as_nanos() as u64)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
