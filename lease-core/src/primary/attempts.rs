use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::ceil_millis;
use crate::probe::planted;
use crate::table::record::{Phase, Place, Record};
use crate::{LeaseId, LessorConfig};

/// The leases that are handed out as expired, and how far the host has come with them.
///
/// Such a lease stays in its batch, and out of the expiry queue, until the host has had its time:
/// most are revoked before, so that to enter each of them into a queue or a table would be in vain.
#[derive(Clone, Debug)]
pub(crate) struct Attempts {
    retry_ms: u64,
    // The batches that have leases, oldest first, and some between them that have none any more.
    // Invariant: the first one has.
    batches: VecDeque<Batch>,
    first_number: u64,
    // Invariant: the host has taken exactly the batches below this number.
    taken_below: u64,
    // When to see whether it has taken more.
    look_at_ms: u64,
    // The batch that is being made.
    open: Vec<Attempt>,
    // Of the leases that are handed out and have left their batch which attempt was the last.
    outside: BTreeMap<LeaseId, u32>,
    in_batches: usize,
}

#[derive(Clone, Debug)]
struct Batch {
    // The record of a lease that is still in the batch names its place here.
    attempts: Vec<Attempt>,
    // How many are still in it.
    live: usize,
    // Where to go on once it is due.
    next: u32,
    // When its leases are due again. `None` until the host has taken it.
    due_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    id: LeaseId,
    number: u32,
}

/// How often in a retry interval to see whether the host has taken a batch. Nobody tells when it did, so
/// the interval begins with the look that finds it taken.
const LOOKS: u64 = 8;

impl Attempts {
    pub(crate) fn new(config: &LessorConfig) -> Self {
        Self {
            retry_ms: ceil_millis(config.expired_lease_retry_interval).max(1),
            batches: VecDeque::new(),
            first_number: 0,
            taken_below: 0,
            look_at_ms: 0,
            open: Vec::new(),
            outside: BTreeMap::new(),
            in_batches: 0,
        }
    }

    /// How long the host has for an attempt. Milliseconds.
    pub(crate) const fn retry_ms(&self) -> u64 {
        self.retry_ms
    }

    /// How many leases are handed out.
    pub(crate) fn len(&self) -> usize {
        self.in_batches + self.outside.len()
    }

    /// How many of them are in batches, and not in a queue.
    pub(crate) const fn in_batches(&self) -> usize {
        self.in_batches
    }

    /// Whether a scheduled lease is handed out.
    pub(crate) fn contains(&self, record: &Record) -> bool {
        record.place().is_some() || self.outside.contains_key(&record.id())
    }

    /// The number of the next attempt at a lease that is in no batch.
    pub(crate) fn next_number(&self, id: LeaseId) -> u32 {
        let last = self.outside.get(&id);
        last.map_or(0, |number| number.saturating_add(1))
    }

    /// Puts a lease that is in no queue into the batch that is being made.
    pub(crate) fn hand_out(&mut self, record: &mut Record, number: u32) {
        let id = record.id();
        if number > 0 {
            self.outside.remove(&id);
        }
        record.enter_batch(Place {
            batch: self.open_number(),
            index: self.open.len() as u32,
        });
        self.open.push(Attempt { id, number });
        self.in_batches += 1;
    }

    /// Ends the batch that is being made and returns its number.
    pub(crate) fn seal(&mut self, now_ms: u64) -> u64 {
        let number = self.open_number();
        if number == self.first_untaken() {
            self.look_at_ms = now_ms.saturating_add(self.look_ms());
        }
        let attempts = core::mem::take(&mut self.open);
        self.batches.push_back(Batch {
            live: attempts.len(),
            attempts,
            next: 0,
            due_ms: None,
        });
        number
    }

    /// The host has taken all batches below number `below`.
    pub(crate) fn take_below(&mut self, below: u64, now_ms: u64) {
        let count = below.saturating_sub(self.first_number);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let again_ms = now_ms.saturating_add(self.retry_ms);
        for batch in self.batches.iter_mut().take(count) {
            batch.due_ms.get_or_insert(again_ms);
        }
        self.taken_below = self.taken_below.max(below.min(self.open_number()));
    }

    /// When to poll again: when the next attempt at a lease that is in a batch may follow, or to see
    /// whether the host has taken more.
    pub(crate) fn next_poll_ms(&self) -> Option<u64> {
        let has_untaken = self.first_untaken() < self.open_number();
        let look_at_ms = has_untaken.then_some(self.look_at_ms);
        let look_at_ms = look_at_ms.filter(|_| !planted!("nobody-looks-what-was-taken"));
        [self.next_due_ms(), look_at_ms].into_iter().flatten().min()
    }

    /// What the host has not taken by `now_ms` is looked at later again.
    pub(crate) fn looked(&mut self, now_ms: u64) {
        if self.look_at_ms <= now_ms {
            self.look_at_ms = now_ms.saturating_add(self.look_ms());
        }
    }

    /// When the next attempt at a lease that is in a batch may follow.
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        if planted!("expired-never-retried") {
            return None;
        }
        self.batches.front()?.due_ms
    }

    /// The next lease of the first batch, which is due, and its place there, from which it may be
    /// gone. The caller has [`leave`](Self::leave) follow if it is not.
    pub(crate) fn pop(&mut self) -> Option<(LeaseId, Place)> {
        let first = self.batches.front_mut()?;
        let index = first.next;
        let attempt = first.attempts.get(index as usize)?;
        first.next += 1;
        let batch = self.first_number;
        Some((attempt.id, Place { batch, index }))
    }

    /// Takes a lease that stays handed out from its batch, for some queue of the caller's.
    pub(crate) fn leave(&mut self, record: &mut Record) {
        if let Some(place) = record.place() {
            let batch = &self.batches[self.index_of(place)];
            let attempt = batch.attempts[place.index as usize];
            self.outside.insert(record.id(), attempt.number);
            record.leave_batch();
            self.leave_place(place);
        }
    }

    /// The lease is gone, or alive again.
    pub(crate) fn forget(&mut self, record: &Record) {
        match record.place() {
            Some(place) => self.leave_place(place),
            None => _ = self.outside.remove(&record.id()),
        }
    }

    /// Checks that exactly the leases that are expiring are handed out, and are where their records
    /// say.
    ///
    /// # Panics
    ///
    /// If they are not.
    pub(crate) fn check_invariants(&self, scheduled: &[&Record]) {
        let mut handed_out = 0;
        let mut live: VecDeque<_> = self.batches.iter().map(|_| 0).collect();
        for record in scheduled {
            let id = record.id();
            let is_handed_out = self.contains(record);
            match record.phase() {
                Phase::Expiring => assert!(is_handed_out, "{id} is expiring"),
                Phase::Active => assert!(!is_handed_out, "{id} is active"),
                Phase::Revoking | Phase::Granting => {}
            }
            handed_out += usize::from(is_handed_out);
            if let Some(place) = record.place() {
                let batch = self.index_of(place);
                let attempt = self.batches[batch].attempts[place.index as usize];
                assert_eq!(attempt.id, id, "a lease is in its batch");
                assert!(place.index >= self.batches[batch].next, "{id} is not over");
                assert!(!self.outside.contains_key(&id), "{id} is in one place");
                live[batch] += 1;
            }
        }
        assert_eq!(handed_out, self.len(), "no attempt outlives its lease");
        assert!(self.batches.iter().map(|batch| batch.live).eq(live));
        assert!(self.batches.front().is_none_or(|first| first.live > 0));
        assert!(self.open.is_empty(), "a batch that is made is handed out");
    }

    fn first_untaken(&self) -> u64 {
        self.taken_below.max(self.first_number)
    }

    fn look_ms(&self) -> u64 {
        (self.retry_ms / LOOKS).max(1)
    }

    fn open_number(&self) -> u64 {
        self.first_number + self.batches.len() as u64
    }

    fn index_of(&self, place: Place) -> usize {
        (place.batch - self.first_number) as usize
    }

    fn leave_place(&mut self, place: Place) {
        let index = self.index_of(place);
        let batch = &mut self.batches[index];
        batch.live -= 1;
        if batch.live == 0 {
            batch.attempts = Vec::new();
        }
        self.in_batches -= 1;
        while self.batches.front().is_some_and(|first| first.live == 0) {
            self.batches.pop_front();
            self.first_number += 1;
        }
    }
}
