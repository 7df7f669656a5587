use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::task::noop_waker_ref;
use lease_core::{
    AttemptOutcome, ExpiredBatch, ExpiredLease, ExpiredLeases, LeaseError, LeaseId, LeaseItem,
    Lessor, RecvError, Renewal, Revoked, probe,
};

use super::sleeper::Sleeper;
use super::watch::Gone;
use super::{Held, Host, LATE_MS, LOOK_MS};
use crate::event::OwnTime;
use crate::world::clock::Round;

/// What the lessor has delivered to a host that revokes expired leases itself.
#[derive(Default)]
pub(super) struct Deliveries {
    /// What the host has not taken, oldest first, each with the grants of its leases.
    pub(super) waiting: VecDeque<(ExpiredBatch, Vec<u64>)>,
    /// The leases that this promotion has delivered and that are still there.
    attempts: BTreeMap<i64, Attempt>,
    // Those that were revoked in this step.
    done: BTreeSet<i64>,
    // Since when nobody has taken a batch that is there, and whether somebody was told.
    lies_since: Option<OwnTime>,
    is_told: bool,
    /// How often that was told since the start.
    pub(super) told: u64,
    // A task that waits for the next batch, from one step to the other.
    receiving: Option<(Receiving, Sleeper)>,
    // When the host took one last, by the world.
    taken_at_ms: u64,
    /// Until when the host takes nothing, or one now and then.
    pub(super) lingers_until_ms: u64,
}

struct Attempt {
    number: u32,
    at: OwnTime,
    // When the next one comes, if the host has taken it.
    again: Option<OwnTime>,
    // Whether that was set at once: one that is taken later may have been put off meanwhile.
    is_exact: bool,
}

type Receiving = Pin<Box<dyn Future<Output = Result<ExpiredBatch, RecvError>> + Send>>;

/// How often a host takes one batch that takes few.
const SLOW_MS: u64 = 4_000;

/// How long a batch may lie until somebody is told.
const PATIENCE_MS: u64 = 10_000;

impl Deliveries {
    /// The promotion that has delivered them is over.
    pub(super) fn end_promotion(&mut self) {
        self.attempts.clear();
    }

    pub(super) fn forget(&mut self, lease: i64) {
        self.attempts.remove(&lease);
    }

    /// The state that has delivered them is replaced, and what waits is dropped.
    pub(super) fn drop_all(&mut self) {
        self.waiting.clear();
        self.attempts.clear();
        self.lies_since = None;
        self.receiving = None;
    }

    pub(super) fn has(&self, lease: i64) -> bool {
        self.attempts.contains_key(&lease)
    }

    /// Whether the host has revoked the lease in this step.
    pub(super) fn is_done(&self, lease: i64) -> bool {
        self.done.contains(&lease)
    }
}

impl Host {
    /// Of what is gone it is told with all items, or with none.
    pub(super) fn look_at_gone(&mut self, gone: &[Gone], has_items: bool) {
        for Gone { lease, items } in gone {
            let held = self.held.get(lease);
            let must = held.map(|held| if has_items { held.items.len() } else { 0 });
            let has_them = |held: &Held| held.items == *items || !has_items && items.is_empty();
            if !held.is_some_and(has_them) {
                let count = items.len();
                self.object(format!(
                    "lease {lease} has expired with {count} items of {must:?}"
                ));
            }
            let mut items = items.iter();
            if let Some(item) = items.find(|item| self.lessor.get_lease(item.as_bytes()).is_some())
            {
                self.object(format!("item {item} outlives its lease {lease}"));
            }
        }
    }

    /// The host takes nothing for a while.
    pub(super) fn linger(&mut self, for_ms: u64) {
        if self.alone.delivers {
            self.deliveries.lingers_until_ms = self.now_ms() + 3 * for_ms;
        }
    }

    /// The lessor says that leases have expired. They must be due, and this must be their turn.
    pub(super) fn delivered(&mut self, batch: ExpiredBatch, items: &[BTreeSet<LeaseItem>]) {
        let now = self.between();
        let most = self.parameters.expired_batch;
        if batch.leases.len() > most as usize || Some(batch.epoch) != self.lessor.primary_epoch() {
            return self.object(format!("a batch of at most {most} is {batch:?}"));
        }
        let by_expiry = |lease: &ExpiredLease| (Reverse(lease.lag), lease.id);
        if !batch.leases.is_sorted_by_key(by_expiry) {
            self.object(format!("not in the order in which they expired: {batch:?}"));
        }
        let mut grants = Vec::new();
        self.counts.expired += batch.leases.len() as u64;
        for (at, expired) in batch.leases.iter().enumerate() {
            let lease = expired.id.get();
            let attempt = self.deliveries.attempts.get(&lease);
            let number = attempt.map_or(0, |attempt| attempt.number + 1);
            let again = attempt.map(|attempt| attempt.again);
            let is_again =
                again.is_none_or(|again| again.is_some_and(|at| at.from_ms <= now.to_ms));
            let Some(held) = self.held.get(&lease) else {
                return self.object(format!("lease {lease} has expired and is not there"));
            };
            let is_due = held.until.from_ms <= now.to_ms;
            let must = Some(&held.items).filter(|_| self.watch.wants().items);
            if !is_due || items.get(at) != must {
                let text = format!("lease {lease} has expired at {now:?} with {items:?}: {held:?}");
                return self.object(text);
            }
            grants.push(held.grant);
            let due = match attempt {
                None => Some(held.until).filter(|_| expired.attempt == 0),
                Some(attempt) => attempt.again.filter(|_| attempt.is_exact),
            };
            let lag_ms = expired.lag.as_millis() as u64;
            if due.is_some_and(|due| !since(due, now).contains(&lag_ms)) {
                let text = format!("at {now:?} what is due at {due:?} is {expired:?}");
                return self.object(text);
            }
            if self.alone.delivers && (number != expired.attempt || !is_again) {
                let text =
                    format!("attempt {number} of lease {lease}, after {again:?}, is {expired:?}");
                return self.object(text);
            }
            if self.alone.delivers {
                if number > 0 {
                    probe::mark("alone: a lease is delivered again");
                }
                let attempt = Attempt {
                    number,
                    at: now,
                    again: None,
                    is_exact: false,
                };
                self.deliveries.attempts.insert(lease, attempt);
            }
        }
        if self.alone.delivers {
            let it = &mut self.deliveries;
            if it.waiting.is_empty() {
                (it.lies_since, it.is_told) = (Some(now), false);
            }
            it.waiting.push_back((batch, grants));
            let (waiting, most) = (it.waiting.len(), self.parameters.expired_capacity);
            if waiting > most {
                self.object(format!(
                    "{waiting} batches wait for the host, and not {most}"
                ));
            }
        }
    }

    /// The host takes what is there, and revokes it, or fails to.
    pub(super) fn take_expired(&mut self) {
        let expired = self.lessor.expired_leases();
        let (is, must) = (expired.len(), self.deliveries.waiting.len());
        if is != must || expired.is_empty() != (must == 0) {
            self.object(format!("{is} batches wait for the host, and not {must}"));
        }
        let now_ms = self.now_ms();
        let is_slow = now_ms < self.deliveries.lingers_until_ms;
        let takes_some = (self.parameters.hash_seed / 3).is_multiple_of(2);
        if is_slow && !(takes_some && self.deliveries.taken_at_ms + SLOW_MS <= now_ms) {
            probe::mark("alone: a host does not take expired leases");
            return;
        }
        self.deliveries.taken_at_ms = now_ms;
        loop {
            let taken = match (self.steps / 8) % 2 {
                0 => take(&expired, self.steps),
                _ => self.receive(&expired),
            };
            let must = self.deliveries.waiting.pop_front();
            if taken.as_ref() != must.as_ref().map(|(batch, _)| batch) {
                return self.object(format!("the host takes {taken:?}, and not {must:?}"));
            }
            let Some((batch, grants)) = must else { break };
            self.taken(&batch, &grants);
            // Now and then one at a time: what comes next may be of another promotion.
            if is_slow || self.steps.is_multiple_of(3) {
                break;
            }
        }
    }

    /// A task that has waited for a batch since an earlier step.
    fn receive(&mut self, expired: &ExpiredLeases) -> Option<ExpiredBatch> {
        let new = || {
            let expired = expired.clone();
            let receiving: Receiving = Box::pin(async move { expired.recv_async().await });
            (receiving, Sleeper::default())
        };
        let (receiving, sleeper) = self.deliveries.receiving.get_or_insert_with(new);
        let (polled, overslept) = sleeper.poll(receiving.as_mut());
        if polled.is_ready() {
            self.deliveries.receiving = None;
        }
        if overslept {
            self.object(format!(
                "who waits for what expires is not woken for {polled:?}"
            ));
        }
        match polled {
            Poll::Ready(received) => received.ok(),
            Poll::Pending => None,
        }
    }

    fn taken(&mut self, batch: &ExpiredBatch, grants: &[u64]) {
        let now = self.between();
        let it = &mut self.deliveries;
        it.lies_since = Some(now).filter(|_| !it.waiting.is_empty());
        it.is_told = false;
        let is_of_now = Some(batch.epoch) == self.lessor.primary_epoch();
        let is_of_epoch = batch.epoch == self.lessor.epoch();
        let retry_ms = self.parameters.retry_interval_ms;
        let is_failed = (self.steps / 4) % 5 == 1;
        let is_lost = (self.steps / 4).is_multiple_of(5);
        for lease in batch.leases.iter().filter(|_| is_of_now) {
            let earlier = now.plus(if is_failed { retry_ms / 4 } else { retry_ms });
            if let Some(attempt) = it.attempts.get_mut(&lease.id.get()) {
                attempt.again = Some(earlier);
                attempt.is_exact = attempt.at == now;
            }
        }
        if is_failed || is_lost {
            let outcome = match is_failed {
                true => AttemptOutcome::Failed,
                false => AttemptOutcome::Unknown,
            };
            for revocation in batch.revocations() {
                let fence = revocation.fence.expect("it is an expiry");
                self.lessor.handle_attempt(revocation.id, fence, outcome);
            }
            return;
        }
        let answers = self.lessor.revoke_expired(batch);
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) => vec![Err(error); batch.leases.len()],
        };
        if answers.len() != batch.leases.len() {
            self.object(format!("{batch:?} is answered {answers:?}"));
        }
        for ((expired, grant), answer) in batch.leases.iter().zip(grants).zip(answers) {
            let lease = expired.id.get();
            let held = self.held.get(&lease);
            let is_same = held.is_some_and(|held| held.grant == *grant);
            let want = held.is_none().then_some(LeaseError::LeaseNotFound);
            if !self.expect("a revoke of what has expired", &answer, want) {
                continue;
            }
            // Until the next promotion nobody can have renewed it.
            let must = match is_same && is_of_epoch {
                true => Revoked::Done,
                false => Revoked::Stale,
            };
            match must {
                Revoked::Stale => {
                    probe::mark("alone: what has expired before is taken too late");
                    self.counts.stale_revokes += u64::from(answer == Ok(must));
                }
                _ => {
                    if !is_of_now {
                        probe::mark("alone: what has expired is revoked before the next promotion");
                    }
                    self.deliveries.done.insert(lease);
                }
            }
            if answer != Ok(must) {
                self.object(format!("lease {lease} is revoked too late: {answer:?}"));
            }
        }
    }

    /// The host goes on to take what is there while the lessor is no primary, now and then.
    pub(super) fn take_while_demoted(&mut self) {
        if !self.office.is_primary() && (self.steps / 4).is_multiple_of(2) {
            self.deliveries.lingers_until_ms = self.now_ms();
        }
    }

    /// What the host was told to have revoked is gone.
    pub(super) fn look_at_done(&mut self) {
        let done = std::mem::take(&mut self.deliveries.done);
        if let Some(lease) = done.iter().find(|lease| self.held.contains_key(lease)) {
            self.object(format!("lease {lease} is revoked and there"));
        }
    }

    /// A renewal of what is delivered is refused, and waits for the end of the lease if it may.
    pub(super) fn renew_expiring(&mut self, lease: i64) {
        probe::mark("alone: a lease that is delivered is to be renewed");
        let id = LeaseId::new(lease).expect("it was granted");
        let tried = self.lessor.try_renew(id);
        let many = self.lessor.renew_many(&[id, id]);
        if tried != Ok(Renewal::Expiring) || many != [Ok(Renewal::Expiring), Ok(Renewal::Expiring)]
        {
            self.object(format!(
                "expired, lease {lease} is renewed: {tried:?}, {many:?}"
            ));
        }
        let waited = self.lessor.renew_timeout(id, Duration::ZERO);
        let want = LeaseError::DeadlineExceeded;
        self.expect("a renewal without time", &waited, Some(want));
        let grant = self.held.get(&lease).map_or(0, |held| held.grant);
        let lessor = std::sync::Arc::clone(&self.lessor);
        let renewal = Box::pin(async move { lessor.renew_async(id).await });
        let sleeper = Sleeper::default();
        self.renewals.push((grant, lease, renewal, sleeper));
    }

    /// A renewal that waits ends with its lease, and not before.
    pub(super) fn look_at_renewals(&mut self) {
        for (grant, lease, mut renewal, mut sleeper) in std::mem::take(&mut self.renewals) {
            let is_there = |held: &Held| held.grant == grant;
            let is_there = self.held.get(&lease).is_some_and(is_there);
            let must = match is_there {
                true => Poll::Pending,
                false => Poll::Ready(Err(LeaseError::LeaseNotFound)),
            };
            let (polled, overslept) = sleeper.poll(renewal.as_mut());
            if polled != must || overslept {
                self.object(format!(
                    "a renewal that waits for lease {lease}: {polled:?}, not woken: {overslept}"
                ));
            } else if is_there {
                self.renewals.push((grant, lease, renewal, sleeper));
            } else {
                probe::mark("alone: a renewal waits for the end of its lease");
            }
        }
    }

    /// Without a promotion no renewal waits.
    pub(super) fn end_renewals(&mut self) {
        for (_, lease, mut renewal, mut sleeper) in std::mem::take(&mut self.renewals) {
            let (polled, overslept) = sleeper.poll(renewal.as_mut());
            if polled != Poll::Ready(Err(LeaseError::NotPrimary)) || overslept {
                self.object(format!(
                    "without a primary a renewal of lease {lease} has {polled:?}, not woken: {overslept}"
                ));
            }
        }
    }

    /// Somebody was told that nobody takes a batch.
    pub(super) fn told_not_taken(&mut self) {
        probe::mark("alone: a batch lies too long");
        let now = self.between();
        let it = &mut self.deliveries;
        let is_right = it.lies_since.is_some_and(|since| {
            since.from_ms + PATIENCE_MS <= now.to_ms && !it.waiting.is_empty() && !it.is_told
        });
        (it.is_told, it.told) = (true, it.told + 1);
        if !is_right {
            self.object("it is told that nobody takes what has expired");
        }
    }

    /// What lies too long is told, and what was not revoked comes again.
    pub(super) fn look_at_deliveries(&mut self) {
        let now = self.clock.own_time(Round::Down);
        let it = &self.deliveries;
        let slack_ms = LATE_MS + LOOK_MS;
        let since = it
            .lies_since
            .filter(|_| !it.is_told && self.office.is_primary());
        if let Some(since) = since
            && now.from_ms > since.to_ms + PATIENCE_MS + slack_ms
        {
            return self.object(format!("a batch lies since {since:?}, and nobody was told"));
        }
        let is_late = |attempt: &Attempt| {
            let again = attempt.again;
            again.is_some_and(|again| now.from_ms > again.to_ms + slack_ms)
        };
        let mut attempts = it.attempts.iter();
        let late = attempts.find(|(_, attempt)| is_late(attempt));
        if let Some((lease, attempt)) = late.filter(|_| self.is_punctual()) {
            let text = format!("lease {lease} is not delivered after {:?}", attempt.again);
            self.object(text);
        }
    }
}

/// How many milliseconds have passed since then, however the time is counted.
fn since(then: OwnTime, now: OwnTime) -> RangeInclusive<u64> {
    now.from_ms.saturating_sub(then.to_ms)..=now.to_ms.saturating_sub(then.from_ms)
}

/// The ways to take a batch.
fn take(expired: &ExpiredLeases, steps: u64) -> Option<ExpiredBatch> {
    let mut cx = Context::from_waker(noop_waker_ref());
    let or_empty = |polled| match polled {
        Poll::Ready(received) => received,
        Poll::Pending => Err(RecvError::Empty),
    };
    let received = match steps % 5 {
        0 => return expired.try_iter().next(),
        1 => expired.recv_timeout(Duration::ZERO),
        2 => or_empty(expired.poll_recv(&mut cx)),
        3 => or_empty(pin!(expired.recv_async()).poll(&mut cx)),
        _ => expired.try_recv(),
    };
    received.ok()
}
