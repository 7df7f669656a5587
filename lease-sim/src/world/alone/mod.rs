//! A second kind of world: one lessor that stands alone, with a disk and clients and no log. It makes
//! commands of its own, revokes what has expired, checkpoints by itself, and stores its items.

mod applied;
mod beside;
mod buckets;
mod calls;
mod checkpointer;
mod clients;
mod counts;
mod deleter;
mod deliveries;
mod drawn;
mod expiries;
mod facade;
mod faults;
mod forms;
mod ids;
mod ledger;
mod machine;
mod many;
mod messages;
mod metrics;
mod office;
mod plain;
mod polled;
mod queues;
mod resets;
mod rows;
mod sleeper;
mod start;
mod stores;
mod strange;
mod stream;
mod tickets;
mod wakeups;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use lease_backend::MemoryBackend;
use lease_backend::testing::SimDisk;
use lease_core::{
    BackendLessor, Lease, LeaseError, LeaseItem, Lessor, Timestamp, Ttl, Wait, probe,
};
use madsim::time::{TimeHandle, sleep};

use self::beside::Beside;
use self::checkpointer::Pusher;
use self::counts::Counts;
use self::deleter::HELD_ON_MS;
use self::deliveries::Deliveries;
use self::faults::Exit;
use self::ids::Drawn;
use self::ledger::{Ledger, Undone};
use self::office::Office;
use self::polled::Polled;
use self::resets::Resetting;
use self::rows::Rows;
use self::sleeper::Sleeper;
use self::start::{Ports, start};
use self::strange::Strange;
use self::watch::{Gone, Told, Watch};
use super::clock::{Round, SimClock};
use crate::Options;
use crate::event::{Event, OwnTime};
use crate::plan::{Action, Alone, Parameters, Plan};
use crate::recorder::{Recorder, Report};

/// What must be there, as the obvious program has it.
#[derive(Clone, Debug)]
struct Held {
    // Which grant it is.
    grant: u64,
    ttl_ms: u64,
    until: OwnTime,
    // By the lessor's own clock, since when it was neither renewed nor counted anew.
    since_ms: u64,
    items: BTreeSet<LeaseItem>,
}

/// A client that keeps a lease alive.
struct Holder {
    lease: i64,
    every_ms: u64,
    next_ms: u64,
    // How many renewals.
    left: u32,
}

/// A renewal that waits, with the grant that it is for, and the lease.
type Renewal = (
    u64,
    i64,
    Pin<Box<dyn Future<Output = Result<Ttl, LeaseError>> + Send>>,
    Sleeper,
);

struct Host {
    parameters: Parameters,
    alone: Alone,
    time: TimeHandle,
    clock: SimClock,
    disk: SimDisk,
    memory: Arc<MemoryBackend>,
    backend: Arc<Ledger>,
    lessor: Arc<BackendLessor>,
    counts: Counts,
    watch: Arc<Watch>,
    // What the observer has to be told.
    owed: Vec<Told>,
    holders: Vec<Holder>,
    // Each with the grant that it is for, and the lease.
    waits: Vec<(u64, i64, Wait)>,
    renewals: Vec<Renewal>,
    // How often it was told that a checkpoint was refused.
    told_refused: u64,
    // What waits for the reset of a checkpoint.
    resetting: Vec<Resetting>,
    pusher: Arc<Pusher>,
    polled: Polled,
    office: Office,
    deliveries: Deliveries,
    drawn: Drawn,
    grants: u64,
    rows: Rows,
    undone: Undone,
    beside: Beside,
    // When the lessor wanted to be driven again, when that was last done.
    told: Option<Timestamp>,
    strange: Strange,
    held: BTreeMap<i64, Held>,
    recorder: Recorder,
    // Until when something is wrong with the disk, or expiry is suspended.
    disturbed_until_ms: u64,
    suspended_until_ms: Option<u64>,
    // By the lessor's own clock.
    suspended_at_ms: u64,
    full_until_ms: Option<u64>,
    // The operation of the disk that fails.
    fails_at: Option<u64>,
    steps: u64,
}

/// How late a lease may be revoked.
const LATE_MS: u64 = 50;

/// In this time some lease must go, once all is well and their time is up.
const STUCK_MS: u64 = 60_000;

/// What a fault of the disk may hold up.
const DISTURBED_MS: u64 = 10_000;

/// How often the clients look while nothing else happens.
const LOOK_MS: u64 = 500;

/// In so many steps all is looked at that there is.
const ALL_STEPS: u64 = 1_000;

/// In each how many-th step it is after these.
const SELDOM: u64 = 8;

/// Runs a plan to its end.
pub(super) async fn run(plan: Plan, alone: Alone, options: Options) -> Report {
    let mut host = Host::new(&plan, alone, options);
    let mut actions = plan.actions.iter().peekable();
    let bound_ms =
        plan.parameters.faulty_ms + 2 * 1000 * plan.parameters.longest_ttl.unsigned_abs();
    // What bursts have left on a disk that was full goes no faster than the rate of revokes, for which each attempt
    // counts: but something goes.
    let mut end_ms = bound_ms + STUCK_MS;
    let mut least = usize::MAX;
    while !host.recorder.has_objected() && host.now_ms() < end_ms {
        let now_ms = host.now_ms();
        while let Some(timed) = actions.next_if(|timed| timed.at_ms <= now_ms) {
            host.act(timed.action);
        }
        if now_ms >= plan.parameters.faulty_ms {
            host.heal(&plan);
            if host.held.len() < least {
                least = host.held.len();
                end_ms = end_ms.max(now_ms + STUCK_MS);
            }
            if least == 0 {
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
        let watch = Arc::new(Watch::new(alone.tells_items, parameters.hash_seed));
        let pusher = Arc::new(Pusher::new(alone.loses_checkpoints));
        let rows = Rows::new((parameters.hash_seed / 5).is_multiple_of(2));
        let started = start(
            &parameters,
            alone,
            &clock,
            &disk,
            &memory,
            Ports {
                watch: &watch,
                pusher: &pusher,
                deleter: &rows.deleter,
            },
            false,
        );
        let (backend, lessor) = started.expect("a new disk is sound");
        let mut host = Self {
            recorder: Recorder::new(&parameters, options.trace),
            backend,
            lessor,
            counts: Counts::default(),
            watch,
            owed: Vec::new(),
            holders: Vec::new(),
            waits: Vec::new(),
            renewals: Vec::new(),
            told_refused: 0,
            resetting: Vec::new(),
            pusher,
            polled: Polled::default(),
            office: Office::default(),
            deliveries: Deliveries::default(),
            drawn: Drawn::default(),
            grants: 0,
            rows,
            undone: Undone::default(),
            beside: Beside::new(parameters.hash_seed, &clock),
            told: None,
            strange: Strange::default(),
            parameters,
            alone,
            time: TimeHandle::current(),
            clock,
            disk,
            memory,
            held: BTreeMap::new(),
            disturbed_until_ms: 0,
            suspended_until_ms: None,
            suspended_at_ms: 0,
            full_until_ms: None,
            fails_at: None,
            steps: 0,
        };
        host.drawn = host.drawn_anew();
        host.take_office();
        drop(host.watch.take(&[]));
        host.count_anew();
        host
    }

    /// The lessor's clock, at most.
    fn own_ms(&self) -> u64 {
        self.clock.own_time(Round::Up).to_ms
    }

    fn now_ms(&self) -> u64 {
        self.time.elapsed().as_millis() as u64
    }

    fn object(&mut self, message: impl Into<String>) {
        let (at_ms, message) = (self.now_ms(), message.into());
        self.recorder.hear(at_ms, Event::Wrong { message });
    }

    /// Objects to an answer that is not the one that is wanted, unless the disk has failed. Returns
    /// whether all went well.
    fn expect<T: std::fmt::Debug>(
        &mut self,
        what: &str,
        got: &Result<T, LeaseError>,
        want: Option<LeaseError>,
    ) -> bool {
        let is_disturbed = self.now_ms() < self.disturbed_until_ms;
        match (got, want) {
            (Ok(_), None) => return true,
            (Err(LeaseError::Backend(_) | LeaseError::Checkpointer(_)), _) if is_disturbed => {}
            (Err(LeaseError::Checkpointer(_)), _) if self.pusher.take_refused_resets() > 0 => {}
            (Err(got), Some(want)) if *got == want => {}
            (got, want) => {
                self.object(format!("{what} was answered {got:?}, and not {want:?}"));
            }
        }
        false
    }

    fn until(&self, left_ms: u64) -> OwnTime {
        let lag_ms = self.parameters.clock_lag_ms;
        self.clock.own_time(Round::Up).plus(left_ms + lag_ms)
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Grant { lease, ttl } => _ = self.grant(lease, ttl),
            Action::Hold {
                lease,
                ttl,
                every_ms,
                times,
            } => self.hold(lease, ttl, every_ms, times),
            Action::Renew { lease } => self.renew(lease),
            Action::Revoke { lease } => self.revoke(lease),
            Action::Put { key, lease } => self.put(key, lease),
            Action::PutMany { lease, count } => self.put_many(lease, count),
            Action::TimeToLive { lease } => self.ask(lease),
            Action::Elect { .. } | Action::Transfer { .. } => self.step_down(),
            Action::Snapshot { .. } => self.recover(),
            Action::ClockBack { by_ms, .. } => {
                self.clock.set_back(Duration::from_millis(by_ms));
                self.disturb(by_ms);
            }
            Action::Suspend { for_ms, .. } => self.suspend(for_ms),
            Action::Linger { for_ms, .. } => self.linger(for_ms),
            // Memory that outlives its lessor is not lost with the power.
            Action::Crash { .. } if !self.alone.in_memory => self.restart(Exit::PowerLost),
            Action::Stop { .. } | Action::Crash { .. } => {
                self.stop();
                self.restart(Exit::InOrder);
            }
            _ if self.alone.in_memory => {}
            Action::DiskError {
                after_operations, ..
            } => self.fail_disk(after_operations),
            Action::PowerCut {
                after_operations, ..
            } => self.cut_power(after_operations),
            Action::DiskFull { for_ms, .. } => self.fill_disk(for_ms),
            _ => {}
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
            self.disturb(LATE_MS + LOOK_MS);
        }
        self.look_at_office();
        self.look_at_disk();
        self.renew_held();
        self.look_at_undone();
        self.drive();
        self.look_at_resetting();
        self.bring_late_checkpoints();
        // Most worlds are at their end before.
        let looks_at_all = self.steps <= ALL_STEPS || self.steps.is_multiple_of(SELDOM);
        if looks_at_all {
            self.lessor.check_invariants();
        }
        self.settle();
        if self.alone.delivers {
            self.take_expired();
            self.settle();
            self.look_at_done();
            self.look_at_deliveries();
        }
        self.poll_checkpoints();
        self.look_at_oversight();
        self.look_at_waits();
        self.look_at_renewals();
        self.look_at_counts();
        self.look_at_deleter();
        if looks_at_all {
            self.look_at_forms();
            self.look_at_queues();
        }
        self.look_at_metrics();
        self.look_beside();
        self.note_undone();
        let done = (self.now_ms(), self.work(), self.disk.operations());
        self.recorder.fold(done);
    }

    /// Compares what the lessor has told and shows with what must be.
    fn settle(&mut self) {
        let told = self.hear();
        self.compare(&told);
    }

    /// What the observer and each stream were told is so, and is all that has happened: of what is gone they have
    /// all items, if they want them. Returns what has gone.
    fn hear(&mut self) -> BTreeSet<i64> {
        let heard = self.watch.take(&std::mem::take(&mut self.owed));
        if let Some((told, must)) = heard.otherwise {
            self.object(format!("the observer was told {told:?}, and not {must:?}"));
        }
        if let Some((streamed, must)) = heard.streamed {
            self.object(format!(
                "a stream of events has {streamed:?}, and not {must:?}"
            ));
        }
        if let Some(both) = self.watch.miscounted() {
            self.object(format!(
                "of what happens a stream has told or missed {both:?}"
            ));
        }
        self.told_refused = 0;
        heard.notices.into_iter().for_each(|it| self.note(it));
        let refused = self.pusher.take_refused();
        if self.told_refused != refused && self.now_ms() >= self.disturbed_until_ms {
            let told = self.told_refused;
            self.object(format!(
                "{refused} checkpoints were refused, and {told} of them told"
            ));
        }
        let leases_of = |gone: &[Gone]| gone.iter().map(|one| one.lease).collect::<Vec<_>>();
        let told = leases_of(&heard.gone);
        self.look_at_gone(&heard.gone, self.watch.wants().items);
        for (gone, has_items) in &heard.gone_of_streams {
            self.look_at_gone(gone, *has_items);
            if leases_of(gone) != told {
                let streamed = leases_of(gone);
                self.object(format!("{told:?} have expired, in a stream {streamed:?}"));
            }
        }
        told.into_iter().collect()
    }

    /// The lessor shows what must be there, with exactly the time that it has, and what is over is gone.
    fn compare(&mut self, told: &BTreeSet<i64>) {
        let now = self.clock.own_time(Round::Down);
        let leases = self.lessor.leases();
        let found: BTreeMap<_, _> = leases
            .iter()
            .map(|lease| (lease.id().get(), lease))
            .collect();
        let (mut wrong, mut gone) = (None, 0);
        // Those whose time is up are in the order in which it was.
        let in_order = |lease: &Lease| {
            let left = lease.remaining();
            let id = (left != Some(Duration::ZERO)).then(|| lease.id());
            (left.is_none(), left, id)
        };
        if !leases.is_sorted_by_key(in_order) {
            wrong = Some(format!("the leases are listed in the order {leases:?}"));
        }
        let mut gone_items = BTreeSet::new();
        let suspended_at_ms = self.suspended_until_ms.map(|_| self.suspended_at_ms);
        let is_primary = self.office.is_primary();
        self.held.retain(|lease, held| {
            let is_there = found.contains_key(lease);
            if !is_there && !told.contains(lease) {
                wrong = Some(format!(
                    "lease {lease} is gone, and the observer was not told"
                ));
            }
            // What the last promotion has delivered is over, however it is counted now.
            let is_over = !is_primary && self.deliveries.is_done(*lease);
            let is_suspect = !is_there && !is_over;
            if is_suspect && suspended_at_ms.is_some_and(|at_ms| at_ms < held.until.from_ms) {
                wrong = Some(format!("lease {lease} expires while nothing may expire"));
            }
            if is_suspect && held.until.from_ms > now.to_ms {
                wrong = Some(format!(
                    "lease {lease} is gone at {} ms of {:?}",
                    now.to_ms, held.until
                ));
            }
            if is_suspect && !is_primary {
                wrong = Some(format!("lease {lease} expires without a primary"));
            }
            if !is_there {
                probe::mark("alone: a lease is revoked by the lessor");
                self.deliveries.forget(*lease);
                gone_items.append(&mut held.items);
                gone += 1;
            }
            is_there
        });
        self.counts.revoked += gone;
        self.gone_with(&gone_items);
        for (lease, found) in &found {
            let Some(held) = self.held.get(lease) else {
                wrong = Some(format!("lease {lease} is there and must not be"));
                continue;
            };
            let left_ms = found.remaining().map(|left| left.as_millis() as u64);
            let is_right = found.ttl().as_secs() * 1000 == held.ttl_ms;
            if !is_right || !self.may_have(held, left_ms) {
                wrong = Some(format!("lease {lease} has {left_ms:?} ms of {held:?}"));
            }
            if let Some(text) = self.overdue_checkpoint(held, found, now.from_ms) {
                wrong = Some(text);
            }
            let late_ms = now.from_ms.saturating_sub(held.until.to_ms);
            let is_on_its_way = self.deliveries.has(*lease);
            let is_held_on = self.rows.held_on.contains(&held.grant);
            let most_ms = LATE_MS + LOOK_MS + u64::from(is_held_on) * HELD_ON_MS;
            if self.is_punctual() && !is_on_its_way && late_ms > most_ms {
                wrong = Some(format!(
                    "lease {lease} is over since {late_ms} ms and not revoked"
                ));
            }
        }
        if let Some(wrong) = wrong {
            self.object(wrong);
        }
    }

    /// A lease that nobody has renewed for two intervals and that lives for another one has a checkpoint.
    fn overdue_checkpoint(&self, held: &Held, lease: &Lease, now_ms: u64) -> Option<String> {
        let interval_ms = self.parameters.checkpoint_interval_ms;
        let is_old = now_ms.saturating_sub(held.since_ms) > 2 * interval_ms + LOOK_MS;
        let is_long = held.until.from_ms.saturating_sub(now_ms) > interval_ms;
        let is_due = is_old
            && is_long
            && self.is_calm()
            && !self.alone.may_lose_checkpoints()
            && lease.checkpointed_remaining().is_none();
        is_due.then(|| {
            format!(
                "lease {} has no checkpoint at {now_ms} ms: {held:?}",
                lease.id()
            )
        })
    }

    /// Whether nothing holds the lessor up.
    fn is_calm(&self) -> bool {
        let now_ms = self.now_ms();
        let is_taking = now_ms >= self.deliveries.lingers_until_ms + LATE_MS + LOOK_MS
            || self.deliveries.lingers_until_ms == 0;
        let is_whole = now_ms >= self.disturbed_until_ms && self.suspended_until_ms.is_none();
        is_whole && is_taking && self.office.is_primary()
    }

    /// Whether what is due is done at once.
    fn is_punctual(&self) -> bool {
        self.is_calm() && self.parameters.revoke_rate_per_sec == 0
    }

    /// What the lessor takes for the time, however it counts it.
    fn between(&self) -> OwnTime {
        OwnTime {
            from_ms: self.clock.own_time(Round::Down).from_ms,
            to_ms: self.clock.own_time(Round::Up).to_ms,
        }
    }

    /// Whether a lease may have so much time left. Without a primary it is not counted.
    fn may_have(&self, held: &Held, left_ms: Option<u64>) -> bool {
        if !self.office.is_primary() {
            return left_ms.is_none();
        }
        let now = self.clock.own_time(Round::Down);
        let least_ms = held.until.from_ms.saturating_sub(now.to_ms);
        let most_ms = held.until.to_ms.saturating_sub(now.from_ms);
        left_ms.is_some_and(|left_ms| (least_ms..=most_ms).contains(&left_ms))
    }

    /// Sleeps until something is due, or the plan goes on.
    async fn sleep(&mut self, until_ms: u64) {
        let now_ms = self.now_ms();
        let renewals = self.holders.iter().map(|holder| holder.next_ms);
        let until_ms = until_ms.min(self.next_poll_ms());
        let until_ms = renewals.chain(self.full_until_ms).fold(until_ms, u64::min);
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
