use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

use lease_core::{
    AttemptOutcome, Command, Epoch, ExpiredBatch, ExpiryFence, Grant, LeaseId, LessorConfig,
    LessorCore, Promotion, ProposalOutcome, Renewal, Revocation, Timestamp, Ttl, WriteBatch, probe,
};

use super::Host;
use super::clients::id_of;
use super::drawn::Drawn;

/// A state machine by itself that may have few batches of expired leases on their way, with a time of its own.
pub(super) struct Expiries {
    core: LessorCore,
    now: Timestamp,
    held: BTreeMap<LeaseId, Held>,
    /// What was delivered, oldest first, and whether the host has taken it.
    batches: VecDeque<(ExpiredBatch, bool)>,
    /// The number of the last batch of all.
    last: u64,
    /// What an earlier promotion has delivered last, which the host may still take.
    earlier: Option<ExpiredBatch>,
    /// The last grants that have expired, of which the host may still say that it has failed to revoke them.
    expired: VecDeque<(LeaseId, ExpiryFence)>,
    /// When checkpoints came, in the last second.
    checkpoints: VecDeque<u64>,
    drawn: Drawn,
}

/// What is known of a lease.
#[derive(Clone, Copy, Debug)]
struct Held {
    ttl: Ttl,
    due_ms: u64,
    delivered: Option<Delivered>,
}

/// How a lease was delivered last.
#[derive(Clone, Copy, Debug)]
struct Delivered {
    batch: u64,
    attempt: u32,
    /// When it is to be delivered again; nobody knows before its batch is taken.
    again_ms: Option<u64>,
    /// Whether that has failed, so that the batch does not wait for it.
    has_failed: bool,
}

impl Held {
    /// When it is to be delivered, as far as that is known.
    fn next_ms(&self) -> Option<u64> {
        match self.delivered {
            None => Some(self.due_ms),
            Some(delivered) => delivered.again_ms,
        }
    }

    fn is_due(&self, now_ms: u64) -> bool {
        self.next_ms().is_some_and(|at_ms| at_ms <= now_ms)
    }

    /// Whether it was delivered in this batch and not since.
    fn is_in(&self, batch: u64) -> bool {
        self.delivered
            .is_some_and(|delivered| delivered.batch == batch)
    }
}

const NANOS_PER_MS: u64 = 1_000_000;
const LEASES: u64 = 8;
const BATCHES: usize = 2;
const FORMER: usize = 20;
const RETRY_MS: u64 = 1_000;
const CHECKPOINT_MS: u64 = 400;
const CHECKPOINTS: usize = 2;

/// How often it is looked at, and what happens each time.
const LOOKED_AT_EVERY: u64 = 8;
const ACTIONS: usize = 6;

/// After so many calls all that is due has come: a call looks at one lease at least.
const CALLS: usize = 100;

/// The same of the parts of a table, of which a call counts one at least.
const SLICES: usize = 1_000;

impl Host {
    /// Some leases of the machine beside the lessor expire.
    pub(super) fn look_at_expiries(&mut self) {
        if !self.steps.is_multiple_of(LOOKED_AT_EVERY) {
            return;
        }
        let knobs = probe::knobs();
        probe::set_knobs(probe::Knobs {
            batches: BATCHES,
            ..knobs
        });
        let wrong = self.beside.expiries.go();
        probe::set_knobs(knobs);
        if let Some(wrong) = wrong {
            self.object(wrong);
        }
    }
}

impl Expiries {
    pub(super) fn new(seed: u64) -> Self {
        let config = LessorConfig {
            hash_seed: Some(seed),
            revoke_rate_per_sec: None,
            max_expired_batch_size: NonZeroU32::new(2).expect("not zero"),
            expired_lease_retry_interval: Duration::from_millis(RETRY_MS),
            checkpoint_interval: Duration::from_millis(CHECKPOINT_MS),
            checkpoint_rate_per_sec: NonZeroU32::new(CHECKPOINTS as u32),
            ..LessorConfig::default()
        };
        let mut core = LessorCore::new(config);
        drop(core.promote(Timestamp::ZERO, Epoch::new(1), Duration::ZERO));
        while core.next_wakeup().is_some() {
            core.handle_timeout(Timestamp::ZERO);
        }
        Self {
            core,
            now: Timestamp::ZERO,
            held: BTreeMap::new(),
            batches: VecDeque::new(),
            last: 0,
            earlier: None,
            expired: VecDeque::new(),
            checkpoints: VecDeque::new(),
            drawn: Drawn(seed),
        }
    }

    /// Some clients and the host do something, and what is due is delivered. Returns what was wrong.
    fn go(&mut self) -> Option<String> {
        for _ in 0..ACTIONS {
            let id = id_of(1 + self.drawn.below(LEASES).cast_signed());
            match self.drawn.below(8) {
                0 => self.revoke(id),
                1 => {
                    if let Some(wrong) = self.renew(id) {
                        return Some(wrong);
                    }
                }
                2 => self.take(),
                3 => self.fail(id),
                4 => {
                    self.take_earlier();
                    self.fail_former();
                }
                5 => {
                    if let Some(wrong) = self.promote() {
                        return Some(wrong);
                    }
                }
                _ => self.grant(id),
            }
            // Not always a whole millisecond, and seldom the next part of the same one.
            let past_us = [0, 300, 700][self.drawn.below(3) as usize];
            let past_ms = self.drawn.below(8).min(1) * self.drawn.below(700);
            let past = Duration::from_micros(past_ms * 1_000 + past_us);
            self.now = self.now.saturating_add(past);
            let wrong = self.poll().or_else(|| self.poll_checkpoints());
            if wrong.is_some() {
                return wrong;
            }
        }
        self.core.check_invariants();
        None
    }

    /// The millisecond that has begun: what is due then is due.
    const fn floor_ms(&self) -> u64 {
        self.now.as_nanos() / NANOS_PER_MS
    }

    /// The one from which on it is counted how long something lasts.
    const fn ceil_ms(&self) -> u64 {
        self.now.as_nanos().div_ceil(NANOS_PER_MS)
    }

    fn execute(&mut self, command: &Command) {
        self.core
            .execute(self.now, command, &mut WriteBatch::default());
    }

    fn grant(&mut self, id: LeaseId) {
        let ttl = Ttl::new(1 + self.drawn.below(4).cast_signed()).expect("in range");
        if !self.held.contains_key(&id) {
            self.execute(&Grant::new(id, ttl).into());
            let held = Held {
                ttl,
                due_ms: self.ceil_ms() + ttl.as_secs() * 1_000,
                delivered: None,
            };
            self.held.insert(id, held);
        }
    }

    fn revoke(&mut self, id: LeaseId) {
        self.execute(&Command::Revoke(vec![Revocation::by_user(id)]));
        self.held.remove(&id);
    }

    fn renew(&mut self, id: LeaseId) -> Option<String> {
        let (floor_ms, ceil_ms) = (self.floor_ms(), self.ceil_ms());
        let held = self.held.get_mut(&id)?;
        // Also one that is due, and that no batch has room for.
        let must = match held.delivered.is_some() || held.is_due(floor_ms) {
            true => Renewal::Expiring,
            false => {
                held.due_ms = ceil_ms + held.ttl.as_secs() * 1_000;
                Renewal::Renewed(held.ttl)
            }
        };
        let renewed = match self.drawn.below(2) {
            0 => self.core.renew(self.now, id),
            _ => self.core.renew_many(self.now, &[id]).remove(0),
        };
        let is_wrong = renewed.as_ref() != Ok(&must);
        is_wrong.then(|| format!("lease {id} is renewed: {renewed:?}, and not {must:?}"))
    }

    /// The lessor is promoted again, seldom. All leases are counted anew, and nothing is delivered.
    fn promote(&mut self) -> Option<String> {
        if self.drawn.below(8) > 0 {
            return None;
        }
        let next = self.core.primary_epoch().map_or(Epoch::new(1), Epoch::next);
        let promotion = self.core.promote(self.now, next, Duration::ZERO);
        // Until all are counted it is to be driven at once.
        for _ in 0..SLICES {
            if self.core.next_expiry() == Some(Timestamp::ZERO) {
                self.core.handle_timeout(self.now);
            }
        }
        let ceil_ms = self.ceil_ms();
        for held in self.held.values_mut() {
            held.due_ms = ceil_ms + held.ttl.as_secs() * 1_000;
            held.delivered = None;
        }
        self.earlier = self.batches.pop_back().map(|(batch, _)| batch);
        self.batches.clear();
        self.checkpoints.clear();
        let is_changed = matches!(promotion, Promotion::Changed(_));
        (!is_changed).then(|| format!("the promotion to {next:?} is {promotion:?}"))
    }

    /// The host takes what an earlier promotion has delivered, and fails: that says nothing of this one.
    fn take_earlier(&mut self) {
        if let Some(batch) = &self.earlier {
            probe::mark("alone: a batch of an earlier promotion is taken late");
            self.core.handle_taken(self.now, batch);
            for revocation in batch.revocations() {
                let fence = revocation.fence.expect("it is an expiry");
                let outcome = AttemptOutcome::Failed;
                self.core
                    .handle_attempt(self.now, revocation.id, fence, outcome);
            }
        }
    }

    /// The host says of a grant that is no more that it has failed to revoke it: that says nothing of another one.
    fn fail_former(&mut self) {
        let is_former = |(id, fence): &&(LeaseId, ExpiryFence)| {
            let found = self.core.lookup(self.now, *id);
            found.is_none_or(|lease| lease.incarnation() != fence.incarnation)
        };
        if let Some((id, fence)) = self.expired.iter().find(is_former).copied() {
            let outcome = AttemptOutcome::Failed;
            self.core.handle_attempt(self.now, id, fence, outcome);
        }
    }

    /// The host takes the first batch that it has not taken.
    fn take(&mut self) {
        let now = self.now;
        let again_ms = self.floor_ms() + RETRY_MS;
        let Some((batch, is_taken)) = self.batches.iter_mut().find(|(_, is_taken)| !is_taken)
        else {
            return;
        };
        *is_taken = true;
        self.core.handle_taken(now, batch);
        let number = batch.number;
        let held = self.held.values_mut().filter(|held| held.is_in(number));
        for delivered in held.filter_map(|held| held.delivered.as_mut()) {
            delivered.again_ms = Some(again_ms);
        }
    }

    /// The host says that its last attempt at a lease has failed.
    fn fail(&mut self, id: LeaseId) {
        let (now, soon_ms) = (self.now, self.ceil_ms() + RETRY_MS / 4);
        let held = self.held.get_mut(&id);
        let Some(delivered) = held.and_then(|held| held.delivered.as_mut()) else {
            return;
        };
        let mut batches = self.batches.iter().map(|(batch, _)| batch);
        let batch = batches.find(|batch| batch.number == delivered.batch);
        let batch = batch.expect("a batch stays as long as a lease of it");
        let mut revocations = batch.revocations();
        let revocation = revocations.find(|one| one.id == id).expect("it is of it");
        let fence = revocation.fence.expect("it is an expiry");
        if !delivered.has_failed && delivered.again_ms.is_some_and(|at_ms| soon_ms < at_ms) {
            (delivered.again_ms, delivered.has_failed) = (Some(soon_ms), true);
        }
        let outcome = AttemptOutcome::Failed;
        self.core.handle_attempt(now, id, fence, outcome);
    }

    /// What is due is delivered, unless too many batches are on their way.
    fn poll(&mut self) -> Option<String> {
        let now = self.now;
        // A call does a bounded number of steps.
        for _ in 0..CALLS {
            match self.core.poll_expired(now) {
                Some(batch) => {
                    if let Some(wrong) = self.delivered(batch) {
                        return Some(wrong);
                    }
                }
                None if self.core.next_expiry().is_some_and(|at| at <= now) => {}
                None => return self.wrong_rest(),
            }
        }
        let held = &self.held;
        Some(format!(
            "at {now:?} something is due, and does not come: {held:?}"
        ))
    }

    /// No more come within a second than may. All of them fail, so that no renewal needs a reset.
    fn poll_checkpoints(&mut self) -> Option<String> {
        let (now, now_ms) = (self.now, self.floor_ms());
        for _ in 0..CALLS {
            let Some(batch) = self.core.poll_checkpoints(now) else {
                let next = self.core.next_checkpoint();
                if next.is_some_and(|at| at <= now) {
                    continue;
                }
                let both = [self.core.next_expiry(), next];
                let told = self.core.next_wakeup();
                let is_first = told == both.into_iter().flatten().min();
                return (!is_first).then(|| format!("{told:?} is not the first of {both:?}"));
            };
            self.core
                .handle_checkpoints(now, &batch, ProposalOutcome::Failed);
            self.checkpoints
                .extend(batch.records.iter().map(|_| now_ms));
            self.checkpoints.retain(|at_ms| now_ms < at_ms + 1_000);
            if self.checkpoints.len() > CHECKPOINTS {
                return Some(format!("checkpoints come at {:?} ms", self.checkpoints));
            }
            if self.checkpoints.len() == CHECKPOINTS {
                probe::mark("alone: as many checkpoints come as may");
            }
        }
        Some(format!("at {now:?} checkpoints are due, and do not come"))
    }

    fn delivered(&mut self, batch: ExpiredBatch) -> Option<String> {
        let now_ms = self.floor_ms();
        if self.on_their_way() >= BATCHES {
            return Some(format!("{batch:?} is one more than {BATCHES} batches"));
        }
        for revocation in batch.revocations() {
            let fence = revocation.fence.expect("it is an expiry");
            self.expired.push_back((revocation.id, fence));
        }
        self.expired
            .drain(..self.expired.len().saturating_sub(FORMER));
        for expired in &batch.leases {
            let held = self.held.get_mut(&expired.id);
            let is_its_time = held.as_ref().is_some_and(|held| {
                let number = held.delivered.map_or(0, |delivered| delivered.attempt + 1);
                number == expired.attempt && held.is_due(now_ms)
            });
            let Some(held) = held.filter(|_| is_its_time) else {
                let held = self.held.get(&expired.id);
                return Some(format!(
                    "at {now_ms} ms {expired:?} is delivered of {held:?}"
                ));
            };
            held.delivered = Some(Delivered {
                batch: batch.number,
                attempt: expired.attempt,
                again_ms: None,
                has_failed: false,
            });
        }
        self.last = batch.number;
        self.batches.push_back((batch, false));
        None
    }

    /// What is due and was not delivered has no room, and is said to be due when there is some.
    fn wrong_rest(&mut self) -> Option<String> {
        let now_ms = self.floor_ms();
        let held = &self.held;
        self.batches
            .retain(|(batch, _)| held.values().any(|held| held.is_in(batch.number)));
        let is_full = self.on_their_way() >= BATCHES;
        if let Some((id, held)) = held.iter().find(|(_, held)| held.is_due(now_ms)) {
            if !is_full {
                return Some(format!(
                    "at {now_ms} ms lease {id} is not delivered: {held:?}"
                ));
            }
            probe::mark("alone: no batch has room");
        }
        let may_come = |held: &&Held| match held.delivered {
            None => !is_full,
            Some(delivered) => !is_full || !delivered.has_failed && !held.is_due(now_ms),
        };
        let next_ms = held
            .values()
            .filter(may_come)
            .filter_map(Held::next_ms)
            .min();
        let next = next_ms.map(Timestamp::from_millis);
        let told = self.core.next_expiry();
        let is_told = next.is_none_or(|next| told.is_some_and(|told| told <= next));
        (!is_told).then(|| format!("at {next:?} something is due, and is said to be at {told:?}"))
    }

    /// How many batches are on their way, from the first that waits for a lease to the last.
    fn on_their_way(&self) -> usize {
        let waits = |delivered: &Delivered| {
            let again_ms = delivered.again_ms.unwrap_or(u64::MAX);
            !delivered.has_failed && again_ms > self.floor_ms()
        };
        let delivered = self.held.values().filter_map(|held| held.delivered);
        let first = delivered.filter(waits).map(|it| it.batch).min();
        first.map_or(0, |first| (self.last - first + 1) as usize)
    }
}
