use alloc::collections::VecDeque;

use foldhash::fast::FixedState;

use crate::LeaseId;
use crate::table::record::{Phase, Record};
use crate::table::shards::{Shards, Spot, hash_id};

/// The leases that are handed out as expired, and how far the host has come with them.
#[derive(Clone, Debug)]
pub(crate) struct Attempts {
    // Invariant: exactly the leases that are expiring, or that were when their revoke began.
    of: Shards<Attempt>,
    seed: FixedState,
    // When the host took each of the latest batches, oldest first; the last is number
    // `next_batch - 1`.
    taken: VecDeque<Option<u64>>,
    next_batch: u64,
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    id: LeaseId,
    // `GIVEN_UP` when the attempt is known to have failed.
    batch: u64,
    number: u32,
}

/// No batch gets this number.
const GIVEN_UP: u64 = u64::MAX;

/// Whether an expiring lease may be handed out again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Retry {
    /// Yes, as this attempt.
    Now(u32),
    /// Its last attempt is still under way until this millisecond.
    NotBefore(u64),
}

impl Attempts {
    pub(crate) fn new(hash_seed: u64) -> Self {
        Self {
            of: Shards::new(),
            seed: FixedState::with_seed(hash_seed),
            taken: VecDeque::new(),
            next_batch: 0,
        }
    }

    /// Whether the lease is handed out.
    pub(crate) fn contains(&self, id: LeaseId) -> bool {
        self.get(id).is_some()
    }

    pub(crate) const fn len(&self) -> usize {
        self.of.len()
    }

    /// Notes that the lease goes out in the batch that is being made.
    pub(crate) fn hand_out(&mut self, id: LeaseId, number: u32) {
        let batch = self.next_batch;
        let attempt = Attempt { id, batch, number };
        let spot = self.spot(id);
        if number > 0
            && let Some(last) = self.of.find_mut(spot, |attempt| attempt.id == id)
        {
            *last = attempt;
        } else {
            let seed = &self.seed;
            self.of
                .insert(spot, attempt, |attempt| hash_id(seed, attempt.id));
        }
    }

    /// Ends the batch that is being made and returns its number.
    pub(crate) fn seal(&mut self) -> u64 {
        self.taken.push_back(None);
        self.next_batch += 1;
        self.next_batch - 1
    }

    /// The host has taken all batches below number `below`.
    pub(crate) fn take_below(&mut self, below: u64, now_ms: u64, retry_ms: u64) {
        let first = self.next_batch - self.taken.len() as u64;
        let count = usize::try_from(below.saturating_sub(first)).unwrap_or(usize::MAX);
        for taken in self.taken.iter_mut().take(count) {
            taken.get_or_insert(now_ms);
        }
        while let Some(Some(taken)) = self.taken.front()
            && taken.saturating_add(retry_ms) <= now_ms
        {
            self.taken.pop_front();
        }
    }

    /// Whether the next attempt may follow, `retry_ms` after the host took the last.
    pub(crate) fn retry(&self, id: LeaseId, now_ms: u64, retry_ms: u64) -> Retry {
        let Some(attempt) = self.get(id) else {
            return Retry::Now(0);
        };
        let first = self.next_batch - self.taken.len() as u64;
        let behind = attempt.batch.checked_sub(first);
        let taken = behind
            .and_then(|behind| usize::try_from(behind).ok())
            .and_then(|behind| self.taken.get(behind));
        match taken {
            Some(None) => Retry::NotBefore(now_ms.saturating_add(retry_ms)),
            Some(Some(taken)) if taken.saturating_add(retry_ms) > now_ms => {
                Retry::NotBefore(taken.saturating_add(retry_ms))
            }
            _ => Retry::Now(attempt.number.saturating_add(1)),
        }
    }

    /// Ends an attempt that is known to have failed, so that the next one need not wait. Answers
    /// whether there was one.
    pub(crate) fn give_up(&mut self, id: LeaseId) -> bool {
        let spot = self.spot(id);
        let attempt = self.of.find_mut(spot, |attempt| attempt.id == id);
        attempt.map(|attempt| attempt.batch = GIVEN_UP).is_some()
    }

    pub(crate) fn forget(&mut self, id: LeaseId) {
        if !self.of.is_empty() {
            let (spot, seed) = (self.spot(id), &self.seed);
            let hash_of = |attempt: &Attempt| hash_id(seed, attempt.id);
            self.of.remove(spot, |attempt| attempt.id == id, hash_of);
        }
    }

    /// Checks that exactly the leases that are expiring are handed out.
    ///
    /// # Panics
    ///
    /// If they are not.
    pub(crate) fn check_invariants(&self, scheduled: &[&Record]) {
        let mut handed_out = 0;
        for record in scheduled {
            let is_handed_out = self.contains(record.id());
            match record.phase() {
                Phase::Expiring => assert!(is_handed_out, "{} is expiring", record.id()),
                Phase::Active => assert!(!is_handed_out, "{} is active", record.id()),
                Phase::Revoking | Phase::Granting => {}
            }
            handed_out += usize::from(is_handed_out);
        }
        assert_eq!(handed_out, self.of.len(), "no attempt outlives its lease");
    }
    fn get(&self, id: LeaseId) -> Option<&Attempt> {
        if self.of.is_empty() {
            return None;
        }
        self.of.find(self.spot(id), |attempt| attempt.id == id)
    }

    fn spot(&self, id: LeaseId) -> Spot {
        Spot::of(hash_id(&self.seed, id))
    }
}
