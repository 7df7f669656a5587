//! A second kind of world: one lessor that stands alone, with a disk and clients and no log. It makes
//! commands of its own, revokes what has expired, checkpoints by itself, and stores its items.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lease_backend::testing::SimDisk;
use lease_backend::{MemoryBackend, RedbBackend};
use lease_core::{
    Backend, BackendLessor, CheckpointMode, Driver, Durability, ExpiryMode, ItemMode, LeaseError,
    LeaseId, LeaseItem, Lessor, LessorConfig, probe,
};
use madsim::time::{TimeHandle, sleep};

use super::clock::{Round, SimClock};
use crate::Options;
use crate::event::{Event, OwnTime};
use crate::plan::{Action, Alone, Parameters, Plan};
use crate::recorder::{Recorder, Report};

/// What must be there, as the obvious program has it.
#[derive(Clone, Debug)]
struct Held {
    ttl_ms: u64,
    until: OwnTime,
    keys: BTreeSet<u8>,
}

struct Host {
    parameters: Parameters,
    alone: Alone,
    time: TimeHandle,
    clock: SimClock,
    disk: SimDisk,
    memory: Arc<MemoryBackend>,
    lessor: BackendLessor,
    held: BTreeMap<i64, Held>,
    recorder: Recorder,
    // Until when something is wrong with the disk, or expiry is suspended.
    disturbed_until_ms: u64,
    suspended_until_ms: Option<u64>,
    steps: u64,
}

/// How late a lease may be revoked.
const LATE_MS: u64 = 50;

/// What a fault of the disk may hold up.
const DISTURBED_MS: u64 = 10_000;

/// How often the clients look while nothing else happens.
const LOOK_MS: u64 = 500;

/// Runs a plan to its end.
pub(super) async fn run(plan: Plan, alone: Alone, options: Options) -> Report {
    let mut host = Host::new(&plan, alone, options);
    let mut actions = plan.actions.iter().peekable();
    let bound_ms =
        plan.parameters.faulty_ms + 2 * 1000 * plan.parameters.longest_ttl.unsigned_abs();
    let end_ms = bound_ms + 60_000;
    while !host.recorder.has_objected() && host.now_ms() < end_ms {
        let now_ms = host.now_ms();
        while let Some(timed) = actions.next_if(|timed| timed.at_ms <= now_ms) {
            host.act(timed.action);
        }
        if now_ms >= plan.parameters.faulty_ms {
            host.heal(&plan);
            if host.held.is_empty() {
                break;
            }
        }
        host.step().await;
        let is_ahead = |at_ms: &u64| *at_ms > now_ms;
        let heal_ms = Some(plan.parameters.faulty_ms).filter(is_ahead);
        let next_ms = actions.peek().map(|timed| timed.at_ms).or(heal_ms);
        host.sleep(next_ms.unwrap_or(u64::MAX)).await;
    }
    host.end(plan.seed)
}

impl Host {
    fn new(plan: &Plan, alone: Alone, options: Options) -> Self {
        let parameters = plan.parameters.clone();
        let clock = SimClock::new(0, &parameters);
        let disk = SimDisk::new(plan.noise);
        let memory = Arc::new(MemoryBackend::new());
        let lessor = start(&parameters, alone, &clock, &disk, &memory);
        let mut host = Self {
            recorder: Recorder::new(&parameters, options.trace),
            lessor: lessor.expect("a new disk is sound"),
            parameters,
            alone,
            time: TimeHandle::current(),
            clock,
            disk,
            memory,
            held: BTreeMap::new(),
            disturbed_until_ms: 0,
            suspended_until_ms: None,
            steps: 0,
        };
        host.promote();
        host
    }

    fn now_ms(&self) -> u64 {
        self.time.elapsed().as_millis() as u64
    }

    fn object(&mut self, message: impl Into<String>) {
        let (at_ms, message) = (self.now_ms(), message.into());
        self.recorder.hear(at_ms, Event::Wrong { message });
    }

    /// Objects to an answer that is not the expected one, unless the disk has failed.
    fn expect<T: std::fmt::Debug>(
        &mut self,
        what: &str,
        got: &Result<T, LeaseError>,
        good: bool,
    ) -> bool {
        let is_disturbed = self.now_ms() < self.disturbed_until_ms;
        match got {
            Ok(_) if good => return true,
            Err(LeaseError::Backend(_)) if is_disturbed => {}
            Err(_) if !good => {}
            got => self.object(format!("{what} was answered {got:?}")),
        }
        false
    }

    fn until(&self, left_ms: u64) -> OwnTime {
        let lag_ms = self.parameters.clock_lag_ms;
        self.clock.own_time(Round::Up).plus(left_ms + lag_ms)
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Grant { lease, ttl } | Action::Hold { lease, ttl, .. } => {
                self.grant(lease, ttl);
            }
            Action::Renew { lease } => self.renew(lease),
            Action::Revoke { lease } => self.revoke(lease),
            Action::Put { key, lease } => self.put(key, lease),
            Action::TimeToLive { .. } => self.list(),
            Action::ClockBack { by_ms, .. } => {
                self.clock.set_back(Duration::from_millis(by_ms));
                self.disturb(by_ms);
            }
            Action::Suspend { for_ms, .. } => {
                self.lessor.suspend_expiry();
                self.suspended_until_ms = Some(self.now_ms() + for_ms);
            }
            // Memory that outlives its lessor is not lost with the power.
            Action::Crash { .. } if !self.alone.in_memory => self.restart(false),
            Action::Stop { .. } | Action::Crash { .. } => {
                self.lessor.stop();
                self.restart(true);
            }
            Action::DiskError {
                after_operations, ..
            } if !self.alone.in_memory => {
                // When it fails nobody knows.
                self.disturbed_until_ms = u64::MAX;
                self.disk.fail_after(after_operations);
            }
            _ => {}
        }
    }

    fn grant(&mut self, lease: i64, ttl: i64) {
        let id = LeaseId::new(lease).expect("the plan is sound");
        let is_full = self.alone.max_leases > 0 && self.held.len() >= self.alone.max_leases;
        let is_legal = ttl <= lease_core::MAX_LEASE_TTL;
        let good = is_legal && !is_full && !self.held.contains_key(&lease);
        let granted = self.lessor.grant(id, ttl);
        if self.expect("a grant", &granted, good) {
            let ttl_ms = ttl.max(self.parameters.min_ttl[0]).unsigned_abs() * 1000;
            let held = Held {
                ttl_ms,
                until: self.until(ttl_ms),
                keys: BTreeSet::new(),
            };
            self.held.insert(lease, held);
        }
    }

    /// One by one or many at once.
    fn renew(&mut self, lease: i64) {
        let now = self.clock.own_time(Round::Down);
        let id = LeaseId::new(lease).expect("the plan is sound");
        let is_alive = |held: &Held| held.until.from_ms > now.to_ms;
        match self.held.get(&lease) {
            Some(held) if !is_alive(held) => return,
            None => {
                let renewed = self.lessor.try_renew(id);
                self.expect("a renewal of no lease", &renewed, false);
                return;
            }
            Some(_) => {}
        }
        if self.steps.is_multiple_of(2) {
            probe::mark("alone: many leases are renewed at once");
            let alive = self.held.iter().filter(|(_, held)| is_alive(held));
            let ids: Vec<_> = alive
                .filter_map(|(lease, _)| LeaseId::new(*lease))
                .collect();
            for (id, answer) in ids.iter().zip(self.lessor.renew_many(&ids)) {
                if let Ok(lease_core::Renewal::Renewed(_)) = answer {
                    self.renewed(id.get());
                } else if !matches!(answer, Ok(lease_core::Renewal::Reset(_))) {
                    self.object(format!("a renewal of lease {id} was answered {answer:?}"));
                }
            }
        } else {
            probe::mark("alone: a renewal waits for its reset, if it needs one");
            let renewed = self.lessor.renew(id);
            if self.expect("a renewal", &renewed, true) {
                self.renewed(lease);
            }
        }
    }

    fn renewed(&mut self, lease: i64) {
        let now = self.clock.own_time(Round::Up);
        let lag_ms = self.parameters.clock_lag_ms;
        if let Some(held) = self.held.get_mut(&lease) {
            held.until = held.until.max(now.plus(held.ttl_ms + lag_ms));
        }
    }

    fn revoke(&mut self, lease: i64) {
        let id = LeaseId::new(lease).expect("the plan is sound");
        let revoked = self.lessor.revoke(id);
        let good = self.held.contains_key(&lease);
        if self.expect("a revoke", &revoked, good) {
            self.held.remove(&lease);
        }
    }

    fn put(&mut self, key: u8, lease: Option<i64>) {
        let item = [LeaseItem::new([key])];
        let owner = self.held.iter().find(|(_, held)| held.keys.contains(&key));
        let owner = owner.map(|(lease, _)| *lease);
        let Some(lease) = lease.or(owner) else {
            return;
        };
        let id = LeaseId::new(lease).expect("the plan is sound");
        let is_detach = owner == Some(lease);
        let done = if is_detach {
            self.lessor.detach(id, &item)
        } else {
            self.lessor.attach(id, &item)
        };
        let good = self.held.contains_key(&lease);
        if self.expect("an attach or a detach", &done, good) {
            for held in self.held.values_mut() {
                held.keys.remove(&key);
            }
            if !is_detach && let Some(held) = self.held.get_mut(&lease) {
                held.keys.insert(key);
            }
        }
    }

    /// Walks all leases page by page: each once.
    fn list(&mut self) {
        probe::mark("alone: leases are listed page by page");
        let limit = 1 + self.steps as usize % 3;
        let mut seen = BTreeSet::new();
        let mut after = None;
        loop {
            let page = self.lessor.page(after, limit);
            let Some(last) = page.last() else { break };
            after = Some(last.id());
            for lease in &page {
                let is_new = seen.insert(lease.id().get());
                if !is_new || page.len() > limit {
                    return self.object(format!("a page of {limit} has {page:?}"));
                }
            }
        }
        let is_there = |lease: &i64| self.held.contains_key(lease);
        if seen.len() != self.held.len() || !seen.iter().all(is_there) {
            self.object(format!("the pages have the leases {seen:?}"));
        }
    }

    /// The disk works again.
    fn mend(&mut self) {
        self.disk.heal();
        let mended_ms = self.now_ms() + DISTURBED_MS;
        self.disturbed_until_ms = self.disturbed_until_ms.min(mended_ms);
    }

    fn disturb(&mut self, for_ms: u64) {
        self.disturbed_until_ms = self.disturbed_until_ms.max(self.now_ms() + for_ms);
    }

    /// Starts again from the disk.
    fn restart(&mut self, in_order: bool) {
        if !self.alone.in_memory {
            self.disk = self.disk.restart();
        }
        self.clock.forget_readings();
        let Self {
            parameters,
            alone,
            clock,
            disk,
            memory,
            ..
        } = self;
        match start(parameters, *alone, clock, disk, memory) {
            Ok(lessor) => self.lessor = lessor,
            Err(error) => return self.object(format!("a sound disk is not read: {error}")),
        }
        self.suspended_until_ms = None;
        probe::mark("alone: a lessor starts again");
        let is_exact = in_order || self.parameters.durable;
        let rows = self.lessor.rows();
        let found: BTreeSet<_> = rows.iter().map(|row| row.id.get()).collect();
        // What was due may have gone, and writes that were held back may be lost.
        let is_same = found.iter().all(|lease| self.held.contains_key(lease))
            && self.held.keys().all(|lease| found.contains(lease));
        if is_exact && !is_same && self.now_ms() >= self.disturbed_until_ms {
            self.object(format!(
                "leases {:?} came back as {found:?}",
                self.held.keys()
            ));
        }
        self.promote();
        let before = std::mem::take(&mut self.held);
        for row in rows {
            let keys = self
                .lessor
                .lookup(row.id)
                .map(|lease| keys_of(&lease))
                .unwrap_or_default();
            let known = before.get(&row.id.get());
            if is_exact && known.is_some_and(|held| held.keys != keys) {
                self.object(format!("lease {} came back with the keys {keys:?}", row.id));
            }
            if row.remaining.is_some() && !self.alone.stores_checkpoints {
                self.object(format!("a checkpoint of lease {} was stored", row.id));
            }
            let left_ms = row.remaining.unwrap_or(row.ttl).as_secs() * 1000;
            let held = Held {
                ttl_ms: row.ttl.as_secs() * 1000,
                until: self.until(left_ms),
                keys,
            };
            self.held.insert(row.id.get(), held);
        }
    }

    fn promote(&mut self) {
        let promoted = self.lessor.promote(Duration::ZERO);
        self.expect("a promotion", &promoted, true);
    }

    fn heal(&mut self, plan: &Plan) {
        if self.disturbed_until_ms == u64::MAX {
            self.mend();
        }
        self.suspended_until_ms = self.suspended_until_ms.map(|_| 0);
        for lease in super::long_leases(plan) {
            if self.held.contains_key(&lease) {
                self.revoke(lease);
            }
        }
    }

    async fn step(&mut self) {
        self.steps += 1;
        if self
            .suspended_until_ms
            .is_some_and(|until_ms| until_ms <= self.now_ms())
        {
            self.suspended_until_ms = None;
            self.lessor.resume_expiry();
        }
        self.lessor.tick();
        self.lessor.check_invariants();
        self.compare();
    }

    /// The lessor shows what must be there, with exactly the time that it has, and what is over is gone.
    fn compare(&mut self) {
        let now = self.clock.own_time(Round::Down);
        let leases = self.lessor.leases();
        let found: BTreeMap<_, _> = leases
            .iter()
            .map(|lease| (lease.id().get(), lease))
            .collect();
        let mut wrong = None;
        self.held.retain(|lease, held| {
            let is_there = found.contains_key(lease);
            if !is_there && held.until.from_ms > now.to_ms {
                wrong = Some(format!(
                    "lease {lease} is gone at {} ms of {:?}",
                    now.to_ms, held.until
                ));
            }
            if !is_there {
                probe::mark("alone: a lease is revoked by the lessor");
            }
            is_there
        });
        for (lease, found) in &found {
            let Some(held) = self.held.get(lease) else {
                wrong = Some(format!("lease {lease} is there and must not be"));
                continue;
            };
            let left_ms = found
                .remaining()
                .map_or(u64::MAX, |left| left.as_millis() as u64);
            let least_ms = held.until.from_ms.saturating_sub(now.to_ms);
            let most_ms = held.until.to_ms.saturating_sub(now.from_ms);
            if left_ms < least_ms || most_ms < left_ms {
                wrong = Some(format!(
                    "lease {lease} has {left_ms} ms, and must have {least_ms}"
                ));
            }
            let late_ms = now.from_ms.saturating_sub(held.until.to_ms);
            let is_throttled = self.parameters.revoke_rate_per_sec > 0;
            let is_calm =
                self.now_ms() >= self.disturbed_until_ms && self.suspended_until_ms.is_none();
            if is_calm && !is_throttled && late_ms > LATE_MS + LOOK_MS {
                wrong = Some(format!(
                    "lease {lease} is over since {late_ms} ms and not revoked"
                ));
            }
        }
        if let Some(wrong) = wrong {
            self.object(wrong);
        }
    }

    /// Sleeps until something is due, or the plan goes on.
    async fn sleep(&mut self, until_ms: u64) {
        let now_ms = self.now_ms();
        let mut span = Duration::from_millis(until_ms.saturating_sub(now_ms).min(LOOK_MS));
        if let Some(due) = self.lessor.next_wakeup() {
            span = span.min(self.clock.time_until(due));
        }
        sleep(span.max(Duration::from_millis(1))).await;
    }

    fn end(mut self, seed: u64) -> Report {
        if !self.recorder.has_objected() && !self.held.is_empty() {
            let left: Vec<_> = self.held.keys().copied().collect();
            self.object(format!("at the end leases {left:?} are still there"));
        }
        self.lessor.stop();
        let virtual_ms = self.now_ms();
        let mut report = self.recorder.close(seed, virtual_ms);
        let marks = probe::take_marks().into_iter();
        report.sometimes = marks.map(|(mark, n)| (mark.to_owned(), n)).collect();
        report
    }
}

fn keys_of(lease: &lease_core::Lease) -> BTreeSet<u8> {
    let keys = lease.keys().iter();
    keys.filter_map(|key| key.as_bytes().first().copied())
        .collect()
}

fn start(
    parameters: &Parameters,
    alone: Alone,
    clock: &SimClock,
    disk: &SimDisk,
    memory: &Arc<MemoryBackend>,
) -> Result<BackendLessor, LeaseError> {
    let backend: Arc<dyn Backend> = if alone.in_memory {
        Arc::clone(memory) as _
    } else {
        let redb = RedbBackend::create_with_storage(disk.clone());
        Arc::new(redb.map_err(LeaseError::Backend)?)
    };
    let config = LessorConfig {
        min_ttl: lease_core::Ttl::new(parameters.min_ttl[0]).expect("the plan is sound"),
        checkpoint_interval: Duration::from_millis(parameters.checkpoint_interval_ms),
        checkpoint_persist: alone.stores_checkpoints,
        revoke_rate_per_sec: NonZeroU32::new(parameters.revoke_rate_per_sec),
        max_leases: Some(alone.max_leases)
            .filter(|most| *most > 0 && !probe::is_planted("alone-without-a-limit")),
        hash_seed: Some(parameters.hash_seed),
        ..LessorConfig::default()
    };
    let durability = if parameters.durable {
        Durability::EveryCommand
    } else {
        Durability::Batched {
            interval: Duration::from_millis(parameters.commit_interval_ms),
            max_writes: std::num::NonZeroUsize::new(50).expect("not zero"),
        }
    };
    BackendLessor::builder(backend)
        .config(config)
        .clock(Arc::new(clock.clone()))
        .driver(Driver::Manual)
        .expiry(ExpiryMode::AutoRevoke)
        .checkpoints(CheckpointMode::Local)
        .items(ItemMode::Stored)
        .durability(durability)
        .build()
}
