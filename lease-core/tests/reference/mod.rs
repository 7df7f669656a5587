//! The lessor as the obvious program: everything in one sorted map, every question answered by
//! looking at every lease. What the real one must be observably equal to.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use lease_core::{
    Answer, Checkpoint, CheckpointFence, Command, Epoch, ExpiredBatch, ExpiryFence, Incarnation,
    LeaseError, LeaseId, LeaseItem, LeaseRow, LessorConfig, Renewal, Revocation, Revoked, Ttl,
};

#[derive(Clone, Debug)]
pub(crate) struct Reference {
    config: LessorConfig,
    pub(crate) now_ms: u64,
    pub(crate) leases: BTreeMap<LeaseId, RefLease>,
    pub(crate) epoch: Epoch,
    settled_epoch: Epoch,
    pub(crate) primary: Option<Epoch>,
    pub(crate) suspended: bool,
    revoke_permits: Vec<u64>,
    checkpoint_permits: Vec<u64>,
    // For each batch of this promotion when the host took it.
    batches: Vec<Option<u64>>,
}

#[derive(Clone, Debug)]
pub(crate) struct RefLease {
    pub(crate) ttl: Ttl,
    pub(crate) incarnation: Incarnation,
    pub(crate) remaining: Option<Ttl>,
    pub(crate) generation: u32,
    pub(crate) items: BTreeSet<LeaseItem>,
    // The rest means something on a primary only.
    pub(crate) deadline_ms: u64,
    // When it was due, if the revoke rate has put it off.
    throttled_ms: Option<u64>,
    expiring: Option<Attempt>,
    // The batch of the last checkpoint that may still be applied, and whether there is an earlier one.
    open_checkpoint: Option<(u64, bool)>,
    checkpoint_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    number: u32,
    next: Next,
}

/// When the next attempt follows.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// A retry interval after the host took this batch, in the order in which it went into it.
    AfterBatch(u64, usize),
    At(u64),
}

/// id, incarnation, attempt, lag in milliseconds
pub(crate) type Delivered = (LeaseId, Incarnation, u32, u64);

impl Reference {
    pub(crate) fn new(config: LessorConfig) -> Self {
        Self {
            config,
            now_ms: 0,
            leases: BTreeMap::new(),
            epoch: Epoch::ZERO,
            settled_epoch: Epoch::ZERO,
            primary: None,
            suspended: false,
            revoke_permits: Vec::new(),
            checkpoint_permits: Vec::new(),
            batches: Vec::new(),
        }
    }

    pub(crate) fn grant(
        &mut self,
        id: LeaseId,
        ttl: Ttl,
        incarnation: Incarnation,
    ) -> Result<(), LeaseError> {
        let is_new = !self.leases.contains_key(&id);
        if is_new
            && self
                .config
                .max_leases
                .is_some_and(|max| self.leases.len() >= max)
        {
            return Err(LeaseError::TooManyLeases);
        }
        if !is_new {
            return Err(LeaseError::LeaseExists);
        }
        let mut lease = RefLease::new(ttl, incarnation);
        if self.primary.is_some() {
            lease.start(self.now_ms + ttl.as_secs() * 1000, self.interval_ms());
        }
        self.leases.insert(id, lease);
        Ok(())
    }

    pub(crate) fn revoke(&mut self, revocation: &Revocation) -> Result<Revoked, LeaseError> {
        let lease = self.lease(revocation.id)?;
        if !self.admits(lease, revocation.fence) {
            return Ok(Revoked::Stale);
        }
        self.leases.remove(&revocation.id);
        Ok(Revoked::Done)
    }

    pub(crate) fn admits(&self, lease: &RefLease, fence: Option<ExpiryFence>) -> bool {
        fence
            .is_none_or(|fence| fence.incarnation == lease.incarnation && fence.epoch >= self.epoch)
    }

    pub(crate) fn renew(&mut self, id: LeaseId) -> Result<Renewal, LeaseError> {
        let Some(epoch) = self.primary else {
            return Err(LeaseError::NotPrimary);
        };
        let now_ms = self.now_ms;
        let has_permit =
            self.permit(&self.revoke_permits, self.config.revoke_rate_per_sec) <= now_ms;
        let suspended = self.suspended;
        let lease = self.leases.get_mut(&id).ok_or(LeaseError::LeaseNotFound)?;
        let waits = lease.throttled_ms.is_some();
        let is_overdue = lease.deadline_ms <= now_ms && !suspended && has_permit && !waits;
        if lease.expiring.is_some() || is_overdue {
            return Ok(Renewal::Expiring);
        }
        if lease.remaining.is_some() || lease.open_checkpoint.is_some() {
            return Ok(Renewal::Reset(Checkpoint {
                id,
                remaining: None,
                fence: Some(CheckpointFence {
                    incarnation: lease.incarnation,
                    epoch,
                    generation: lease.generation,
                }),
            }));
        }
        lease.throttled_ms = None;
        lease.deadline_ms = lease.deadline_ms.max(now_ms + lease.ttl.as_secs() * 1000);
        Ok(Renewal::Renewed(lease.ttl))
    }

    pub(crate) fn attach(&mut self, id: LeaseId, items: &[LeaseItem]) -> Result<(), LeaseError> {
        let mut after = self.lease(id)?.items.clone();
        after.extend(items.iter().cloned());
        let max = self.config.max_items_per_lease;
        if max.is_some_and(|max| after.len() > max) {
            return Err(LeaseError::TooManyItems);
        }
        for lease in self.leases.values_mut() {
            lease.items.retain(|item| !items.contains(item));
        }
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.items = after;
        }
        Ok(())
    }

    pub(crate) fn detach(&mut self, id: LeaseId, items: &[LeaseItem]) -> Result<(), LeaseError> {
        self.lease(id)?;
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.items.retain(|item| !items.contains(item));
        }
        Ok(())
    }

    pub(crate) fn get_lease(&self, item: &LeaseItem) -> Option<LeaseId> {
        let owner = |lease: &RefLease| lease.items.contains(item);
        self.leases
            .iter()
            .find_map(|(id, lease)| owner(lease).then_some(*id))
    }

    pub(crate) fn promote(&mut self, epoch: Epoch, extend_ms: u64) -> bool {
        if epoch <= self.settled_epoch || epoch < self.epoch {
            return false;
        }
        self.settled_epoch = epoch;
        self.primary = Some(epoch);
        self.revoke_permits.clear();
        self.checkpoint_permits.clear();
        self.batches.clear();
        let (now_ms, interval_ms) = (self.now_ms, self.interval_ms());
        for lease in self.leases.values_mut() {
            let left = lease.remaining.unwrap_or(lease.ttl);
            lease.start(now_ms + extend_ms + left.as_secs() * 1000, interval_ms);
        }
        true
    }

    pub(crate) fn demote(&mut self, epoch: Epoch) -> bool {
        self.settled_epoch = self.settled_epoch.max(epoch);
        let is_running = self.primary.is_some_and(|running| running <= epoch);
        if is_running {
            self.primary = None;
        }
        is_running
    }

    pub(crate) fn begin_epoch(&mut self, epoch: Epoch) {
        self.epoch = self.epoch.max(epoch);
    }

    /// Everything that is due, in batches.
    pub(crate) fn poll_expired(&mut self) -> Vec<Vec<Delivered>> {
        if self.primary.is_none() || self.suspended {
            return Vec::new();
        }
        let mut batches = Vec::new();
        let mut batch = Vec::new();
        while let Some(id) = self.next_due() {
            if let Some((attempt, lag_ms)) = self.decide(id, batch.len()) {
                batch.push((id, self.leases[&id].incarnation, attempt, lag_ms));
                if batch.len() == self.config.max_expired_batch_size.get() as usize {
                    self.batches.push(None);
                    batches.push(std::mem::take(&mut batch));
                }
            }
        }
        if !batch.is_empty() {
            self.batches.push(None);
            batches.push(batch);
        }
        for batch in &mut batches {
            batch.sort_by_key(|(id, _, _, lag_ms)| (Reverse(*lag_ms), *id));
        }
        batches
    }

    /// How many leases are throttled.
    pub(crate) fn backlog(&self) -> usize {
        let waits = |lease: &&RefLease| lease.throttled_ms.is_some();
        let waiting = self.leases.values().filter(waits).count();
        self.primary.map_or(0, |_| waiting)
    }

    pub(crate) fn taken(&mut self, batch: &ExpiredBatch) {
        if self.primary == Some(batch.epoch) {
            for batch in self.batches.iter_mut().take(batch.number as usize + 1) {
                batch.get_or_insert(self.now_ms);
            }
        }
    }

    pub(crate) fn attempt_failed(&mut self, id: LeaseId, fence: ExpiryFence) {
        let (now_ms, retry_ms) = (self.now_ms, self.retry_ms());
        let Some(lease) = self.leases.get_mut(&id) else {
            return;
        };
        if self.primary == Some(fence.epoch)
            && lease.incarnation == fence.incarnation
            && lease.throttled_ms.is_none()
            && let Some(attempt) = &mut lease.expiring
            && let Next::AfterBatch(batch, _) = attempt.next
            && let Some(taken_ms) = self.batches[batch as usize]
            && now_ms + retry_ms / 4 < taken_ms + retry_ms
        {
            attempt.next = Next::At(now_ms + retry_ms / 4);
        }
    }

    /// Answers whether the checkpoint meant anything.
    pub(crate) fn checkpoint(&mut self, checkpoint: &Checkpoint) -> bool {
        let next_ms = self.now_ms + self.interval_ms();
        let Ok(lease) = self.lease(checkpoint.id) else {
            return false;
        };
        let is_valid = checkpoint.fence.is_none_or(|fence| {
            fence.epoch >= self.epoch
                && fence.incarnation == lease.incarnation
                && fence.generation == lease.generation
        });
        if is_valid && let Some(lease) = self.leases.get_mut(&checkpoint.id) {
            lease.remaining = checkpoint.remaining.map(|left| left.min(lease.ttl));
            if checkpoint.remaining.is_none() {
                lease.generation = lease.generation.wrapping_add(1);
                lease.open_checkpoint = None;
            }
            if let Some(at_ms) = &mut lease.checkpoint_ms {
                *at_ms = next_ms;
            }
        }
        is_valid
    }

    /// Everything that is due, in batches.
    pub(crate) fn poll_checkpoints(&mut self, mut number: u64) -> Vec<Vec<Checkpoint>> {
        let mut batches = Vec::new();
        let mut batch = Vec::new();
        if self.primary.is_none() {
            return batches;
        }
        while let Some(id) = self.next_checkpoint_due() {
            if let Some(checkpoint) = self.propose(id, number) {
                batch.push(checkpoint);
                if batch.len() == self.config.max_checkpoint_batch_size.get() as usize {
                    number += 1;
                    batches.push(std::mem::take(&mut batch));
                }
            }
        }
        if !batch.is_empty() {
            batches.push(batch);
        }
        batches
    }

    /// None of a batch's records will be applied, or all have been.
    pub(crate) fn checkpoints_over(&mut self, number: u64, records: &[Checkpoint], failed: bool) {
        let again_ms = self.now_ms + self.interval_ms() / 2;
        let primary = self.primary;
        for checkpoint in records {
            let is_ours = checkpoint.fence.map(|fence| fence.epoch) == primary;
            if let Some(lease) = self.leases.get_mut(&checkpoint.id)
                && is_ours
                && let Some((open, has_earlier)) = lease.open_checkpoint
                && open == number
            {
                lease.open_checkpoint = has_earlier.then_some((open, true));
                if failed {
                    lease.checkpoint_ms = Some(again_ms);
                }
            }
        }
    }

    pub(crate) fn remaining_ms(&self, id: LeaseId) -> Option<u64> {
        let lease = &self.leases[&id];
        self.primary?;
        Some(if lease.expiring.is_some() {
            0
        } else {
            lease.deadline_ms.saturating_sub(self.now_ms)
        })
    }

    pub(crate) fn rows(&self) -> Vec<LeaseRow> {
        let row = |(id, lease): (&LeaseId, &RefLease)| LeaseRow {
            id: *id,
            ttl: lease.ttl,
            remaining: lease.remaining,
            incarnation: lease
                .incarnation
                .as_supplied()
                .and_then(Incarnation::supplied),
            checkpoint_generation: lease.generation,
        };
        self.leases.iter().map(row).collect()
    }

    pub(crate) fn recover(&mut self) {
        self.primary = None;
        for lease in self.leases.values_mut() {
            let mut fresh = RefLease::new(lease.ttl, lease.incarnation);
            fresh.remaining = lease.remaining;
            fresh.generation = lease.generation;
            *lease = fresh;
        }
    }

    fn lease(&self, id: LeaseId) -> Result<&RefLease, LeaseError> {
        self.leases.get(&id).ok_or(LeaseError::LeaseNotFound)
    }

    /// Executes a command. The incarnation of a grant is that of `answer`.
    pub(crate) fn execute(&mut self, command: &Command, answer: &Answer) -> Answer {
        match command {
            Command::Grant(grant) => {
                let Answer::Granted(granted) = answer else {
                    panic!("{answer:?} to a grant");
                };
                let incarnation = granted.clone().unwrap_or(Incarnation::from_wire(0));
                let granted = self.grant(grant.id, grant.ttl, incarnation);
                Answer::Granted(granted.map(|()| incarnation))
            }
            Command::Revoke(revocations) => {
                Answer::Revoked(revocations.iter().map(|one| self.revoke(one)).collect())
            }
            Command::Attach { id, items } => Answer::Attached(self.attach(*id, items)),
            Command::Detach { id, items } => Answer::Detached(self.detach(*id, items)),
            Command::Checkpoint(checkpoints) => {
                let meant = checkpoints.iter().map(|one| self.checkpoint(one));
                Answer::Checkpointed(meant.collect())
            }
            Command::BeginEpoch(epoch) => {
                self.begin_epoch(*epoch);
                Answer::Epoch(Ok(self.epoch))
            }
            other => panic!("{other:?} is new"),
        }
    }

    /// The lease to decide over next: those that are throttled come first.
    fn next_due(&self) -> Option<LeaseId> {
        let has_permit =
            self.permit(&self.revoke_permits, self.config.revoke_rate_per_sec) <= self.now_ms;
        self.leases
            .iter()
            .filter(|(_, lease)| lease.throttled_ms.is_none() || has_permit)
            .map(|(id, lease)| {
                (
                    lease.throttled_ms.is_none(),
                    self.event_ms(lease),
                    lease,
                    *id,
                )
            })
            .filter(|(_, at_ms, ..)| *at_ms <= self.now_ms)
            .min_by_key(|(is_new, at_ms, lease, id)| (*is_new, *at_ms, lease.place(), *id))
            .map(|(.., id)| id)
    }

    /// The number of the attempt and how late it is, if the lease is delivered now.
    fn decide(&mut self, id: LeaseId, index: usize) -> Option<(u32, u64)> {
        let now_ms = self.now_ms;
        let permit_ms = self.permit(&self.revoke_permits, self.config.revoke_rate_per_sec);
        let batch = self.batches.len() as u64;
        let event_ms = self.event_ms(&self.leases[&id]);
        let lease = self.leases.get_mut(&id)?;
        if permit_ms > now_ms {
            lease.throttled_ms = Some(event_ms);
            return None;
        }
        self.revoke_permits.push(permit_ms);
        let due_ms = lease.throttled_ms.take();
        let lag_ms = now_ms - due_ms.unwrap_or(event_ms);
        let number = lease.expiring.map_or(0, |attempt| attempt.number + 1);
        let next = Next::AfterBatch(batch, index);
        lease.expiring = Some(Attempt { number, next });
        Some((number, lag_ms))
    }

    fn next_checkpoint_due(&self) -> Option<LeaseId> {
        self.leases
            .iter()
            .filter_map(|(id, lease)| Some((lease.checkpoint_ms?, *id)))
            .filter(|(at_ms, _)| *at_ms <= self.now_ms)
            .min()
            .map(|(_, id)| id)
    }

    fn propose(&mut self, id: LeaseId, number: u64) -> Option<Checkpoint> {
        let (now_ms, interval_ms) = (self.now_ms, self.interval_ms());
        let permit_ms = self.permit(
            &self.checkpoint_permits,
            self.config.checkpoint_rate_per_sec,
        );
        let epoch = self.primary?;
        let lease = self.leases.get_mut(&id)?;
        let left = lease.remaining.unwrap_or(lease.ttl);
        let counted_from_ms = lease.deadline_ms.saturating_sub(left.as_secs() * 1000);
        let left_ms = lease.deadline_ms.saturating_sub(now_ms);
        let is_quiet = lease.expiring.is_some();
        let next_ms = if is_quiet {
            now_ms + interval_ms
        } else if now_ms < counted_from_ms + interval_ms {
            counted_from_ms + interval_ms
        } else if left_ms == 0 || left_ms.div_ceil(1000) >= left.as_secs() {
            now_ms + interval_ms
        } else if permit_ms > now_ms {
            permit_ms
        } else {
            self.checkpoint_permits.push(permit_ms);
            lease.checkpoint_ms = Some(now_ms + interval_ms);
            lease.open_checkpoint = Some((number, lease.open_checkpoint.is_some()));
            return Some(Checkpoint {
                id,
                remaining: Ttl::new(left_ms.div_ceil(1000) as i64).ok(),
                fence: Some(CheckpointFence {
                    incarnation: lease.incarnation,
                    epoch,
                    generation: lease.generation,
                }),
            });
        };
        lease.checkpoint_ms = Some(next_ms);
        None
    }

    /// The earliest millisecond, not before the last permit, whose second has room for one more.
    fn permit(&self, permits: &[u64], rate: Option<std::num::NonZeroU32>) -> u64 {
        let Some(rate) = rate else {
            return self.now_ms;
        };
        let first = permits.last().copied().unwrap_or(0).max(self.now_ms);
        let in_second = |at: u64| permits.iter().filter(|permit| **permit + 1000 > at).count();
        (first..)
            .find(|at| in_second(*at) < rate.get() as usize)
            .expect("a second later there is room")
    }

    /// When the lease is due, or the next attempt at it.
    fn event_ms(&self, lease: &RefLease) -> u64 {
        match lease.expiring.map(|attempt| attempt.next) {
            None => lease.deadline_ms,
            Some(Next::At(at_ms)) => at_ms,
            Some(Next::AfterBatch(batch, _)) => {
                // The batch that is being made is not among them yet.
                let taken_ms = self.batches.get(batch as usize).copied().flatten();
                taken_ms.map_or(u64::MAX, |taken_ms| taken_ms + self.retry_ms())
            }
        }
    }

    fn retry_ms(&self) -> u64 {
        self.config.expired_lease_retry_interval.as_millis() as u64
    }

    fn interval_ms(&self) -> u64 {
        self.config.checkpoint_interval.as_millis() as u64
    }
}

impl RefLease {
    fn new(ttl: Ttl, incarnation: Incarnation) -> Self {
        Self {
            ttl,
            incarnation,
            remaining: None,
            generation: 0,
            items: BTreeSet::new(),
            deadline_ms: 0,
            throttled_ms: None,
            expiring: None,
            open_checkpoint: None,
            checkpoint_ms: None,
        }
    }

    fn start(&mut self, deadline_ms: u64, interval_ms: u64) {
        self.deadline_ms = deadline_ms;
        self.throttled_ms = None;
        self.expiring = None;
        self.open_checkpoint = None;
        let ttl_ms = self.ttl.as_secs() * 1000;
        self.checkpoint_ms = (ttl_ms > interval_ms).then(|| {
            deadline_ms
                .saturating_sub(ttl_ms)
                .saturating_add(interval_ms)
        });
    }

    /// Which of two that are due at the same time and are not throttled comes first: whoever is
    /// in the older batch, before those who are in none.
    fn place(&self) -> (u64, usize) {
        match self.expiring.map(|attempt| attempt.next) {
            Some(Next::AfterBatch(batch, index)) if self.throttled_ms.is_none() => (batch, index),
            _ => (u64::MAX, 0),
        }
    }
}
