use alloc::collections::{BTreeMap, VecDeque};

use crate::LeaseId;
use crate::table::record::{Phase, Record};

/// The leases that are handed out as expired, and how far the host has come with them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempts {
    // Invariant: exactly the leases that are expiring, or that were when their revoke began.
    of: BTreeMap<LeaseId, Attempt>,
    // When the host took each of the latest batches, oldest first; the last is number
    // `next_batch - 1`.
    taken: VecDeque<Option<u64>>,
    next_batch: u64,
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    // `None` when the attempt is known to have failed.
    batch: Option<u64>,
    number: u32,
}

/// Whether an expiring lease may be handed out again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Retry {
    /// Yes, as this attempt.
    Now(u32),
    /// Its last attempt is still under way until this millisecond.
    NotBefore(u64),
}

impl Attempts {
    /// Whether the lease is handed out.
    pub(crate) fn contains(&self, id: LeaseId) -> bool {
        self.of.contains_key(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.of.len()
    }

    /// Notes that the lease goes out in the batch that is being made.
    pub(crate) fn hand_out(&mut self, id: LeaseId, number: u32) {
        let batch = Some(self.next_batch);
        self.of.insert(id, Attempt { batch, number });
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
        let Some(attempt) = self.of.get(&id) else {
            return Retry::Now(0);
        };
        let first = self.next_batch - self.taken.len() as u64;
        let taken = attempt
            .batch
            .and_then(|batch| usize::try_from(batch.checked_sub(first)?).ok())
            .and_then(|back| self.taken.get(back));
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
        let attempt = self.of.get_mut(&id);
        attempt.map(|attempt| attempt.batch = None).is_some()
    }

    pub(crate) fn forget(&mut self, id: LeaseId) {
        if !self.of.is_empty() {
            self.of.remove(&id);
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
}
