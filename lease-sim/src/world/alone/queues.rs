use std::collections::BTreeMap;

use lease_core::{Lessor, Timestamp, probe};
use lease_queue::{
    Entry, ExpiryQueue, LeaseExpiredNotifier, LeaseQueue, LeaseWithTime, TimingWheel,
};

use super::Host;

/// The queues that no lessor uses hold what the lessor shows.
#[derive(Default)]
pub(super) struct Queues {
    keyed: LeaseExpiredNotifier<i64>,
    heap: LeaseQueue<i64>,
    timed: TimingWheel<i64>,
    entries: BTreeMap<i64, Entry>,
    // What all must hold.
    times: BTreeMap<i64, Timestamp>,
}

impl Host {
    /// Enters into all of them what the lessor shows, and looks whether they hold it.
    pub(super) fn look_at_queues(&mut self) {
        let now_ms = self.now_ms();
        let leases = self.lessor.leases();
        let timed = leases.iter().filter_map(|lease| {
            let left_ms = lease.remaining()?.as_millis() as u64;
            let at = Timestamp::from_millis(now_ms.saturating_add(left_ms));
            Some((lease.id().get(), at))
        });
        let wrong = self.beside.queues.follow(timed.collect());
        let wrong = wrong.or_else(|| self.beside.queues.look(self.steps));
        if let Some(wrong) = wrong {
            self.object(wrong);
        }
    }
}

impl Queues {
    /// Makes them hold these. Returns what they say wrongly of what they held.
    fn follow(&mut self, times: BTreeMap<i64, Timestamp>) -> Option<String> {
        let mut wrong = None;
        for (lease, time) in &times {
            let old = self.times.get(lease).copied();
            if old == Some(*time) {
                continue;
            }
            let keyed = self.keyed.register_or_update(*lease, *time);
            let in_heap = match self.entries.get(lease) {
                Some(_) if probe::is_planted("alone-queue-not-told") => old,
                Some(entry) => self.heap.update(*entry, *time),
                None => {
                    let (key, time) = (*lease, *time);
                    let entry = self.heap.push(LeaseWithTime { key, time });
                    self.entries.insert(*lease, entry);
                    None
                }
            };
            let timed = self.timed.register_or_update(*lease, *time);
            if [keyed, in_heap, timed] != [old; 3] {
                wrong = Some(format!(
                    "lease {lease} was due at {old:?}, and the queues say {keyed:?}, {in_heap:?} and {timed:?}"
                ));
            }
        }
        let gone = self
            .times
            .iter()
            .filter(|(lease, _)| !times.contains_key(lease));
        for (lease, time) in gone {
            let keyed = [self.keyed.cancel(lease), self.timed.cancel(lease)];
            let entry = self.entries.remove(lease);
            let removed = entry.and_then(|entry| self.heap.remove(entry));
            let held = LeaseWithTime {
                key: *lease,
                time: *time,
            };
            let spent = entry.and_then(|entry| self.heap.get(entry));
            if keyed != [Some(*time); 2] || removed != Some(held) || spent.is_some() {
                wrong = Some(format!(
                    "{held:?} was taken out of the queues as {keyed:?} and {removed:?}"
                ));
            }
        }
        self.times = times;
        wrong
    }

    fn look(&mut self, steps: u64) -> Option<String> {
        self.keyed.check_invariants();
        self.heap.check_invariants();
        self.timed.check_invariants();
        let (keyed, heap, timed) = (self.keyed.len(), self.heap.len(), self.timed.len());
        let lens = [keyed, heap, timed, self.entries.len()];
        let is_empty = [
            self.keyed.is_empty(),
            self.heap.is_empty(),
            self.timed.is_empty(),
        ];
        let first = self.times.values().min().copied();
        let firsts = [self.keyed.peek(), self.heap.peek(), self.timed.peek()];
        let firsts = firsts.map(|it| it.map(|it| it.time));
        let held = self.entries.iter().find(|(lease, entry)| {
            let held = self.heap.get(**entry);
            held.map(|it| (it.key, it.time)) != self.times.get(lease).map(|at| (**lease, *at))
        });
        if lens != [self.times.len(); 4]
            || is_empty != [self.times.is_empty(); 3]
            || firsts != [first; 3]
            || held.is_some()
        {
            return Some(format!(
                "the queues hold {lens:?}, the first at {firsts:?}, and not {:?}",
                self.times
            ));
        }
        if !steps.is_multiple_of(EMPTIED_EVERY) {
            return None;
        }
        probe::mark("alone: queues beside the lessor's are emptied");
        let mut sorted: Vec<_> = self.times.values().copied().collect();
        sorted.sort_unstable();
        let (mut keyed, mut heap) = (self.keyed.clone(), self.heap.clone());
        let (mut timed, mut cleared) = (self.timed.clone(), self.timed.clone());
        let mut emptied = self.heap.clone();
        cleared.clear();
        emptied.clear();
        emptied.check_invariants();
        let left = cleared.unregister().or_else(|| emptied.pop());
        if !cleared.is_empty() || !emptied.is_empty() || left.is_some() {
            return Some(format!("a queue that is cleared has {left:?}"));
        }
        let early = first.map(before);
        let too_early = early.and_then(|at| keyed.pop_due(at).or_else(|| timed.pop_due(at)));
        let keyed = std::iter::from_fn(|| keyed.pop_due(Timestamp::MAX));
        let heap = std::iter::from_fn(|| heap.pop());
        let timed = std::iter::from_fn(|| timed.unregister());
        let is_right = |popped: Vec<LeaseWithTime<i64>>| {
            let times: Vec<_> = popped.iter().map(|it| it.time).collect();
            times == sorted
                && popped
                    .iter()
                    .all(|it| self.times.get(&it.key) == Some(&it.time))
        };
        let all_right = too_early.is_none()
            && is_right(keyed.collect())
            && is_right(heap.collect())
            && is_right(timed.collect());
        (!all_right).then(|| format!("the queues do not give back {:?} in order", self.times))
    }
}

/// How often all is taken out of a copy.
const EMPTIED_EVERY: u64 = 16;

fn before(time: Timestamp) -> Timestamp {
    let millis = time.as_nanos() / 1_000_000;
    Timestamp::from_millis(millis.saturating_sub(1))
}
