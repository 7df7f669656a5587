use std::collections::{BTreeMap, VecDeque};
use std::task::{Context, Waker};

use crate::probe::planted;

/// The tasks of the host's that sleep until something changes.
#[derive(Default)]
pub(super) struct Sleepers {
    // Of futures that have a place of their own.
    wakers: BTreeMap<u64, Waker>,
    next: u64,
    // Of others, the oldest first.
    anyone: VecDeque<Waker>,
}

/// A waker on its way to the sleepers, or of one who need not be noted: it is cloned and dropped
/// without the lock, because that is the host's code.
pub(super) struct Caller(Option<Waker>);

/// How many tasks may be noted of which nobody says when they go.
const MANY: usize = 256;

impl Caller {
    pub(super) fn of(cx: &Context<'_>) -> Self {
        Self(Some(cx.waker().clone()))
    }
}

impl Sleepers {
    /// Notes that the task of a future is to be woken, in its place, which it gets the first time.
    pub(super) fn note(&mut self, place: &mut Option<u64>, caller: &mut Caller) {
        let key = *place.get_or_insert_with(|| self.new_key());
        if planted!("alone-the-first-who-asks-is-woken") && self.wakers.contains_key(&key) {
            return;
        }
        if let Some(waker) = caller.0.take() {
            caller.0 = self.wakers.insert(key, waker);
        }
    }

    /// Notes that a task is to be woken that may be noted already: one that asks again and again must
    /// not be noted as often. Nobody says when it goes; so when there are many, the one that was noted
    /// first is returned, to be woken: if it is still there it asks again.
    pub(super) fn note_anyone(&mut self, caller: &mut Caller) -> Option<Waker> {
        let waker = caller.0.take()?;
        if self.anyone.iter().any(|known| known.will_wake(&waker)) {
            caller.0 = Some(waker);
            return None;
        }
        self.anyone.push_back(waker);
        if self.anyone.len() > MANY {
            self.anyone.pop_front()
        } else {
            None
        }
    }

    /// A future is gone. Returns its waker, to be dropped without the lock.
    pub(super) fn leave(&mut self, place: u64) -> Option<Waker> {
        self.wakers.remove(&place)
    }

    /// Everybody who sleeps, to be woken.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Waker> + use<> {
        let wakers = std::mem::take(&mut self.wakers).into_values();
        wakers.chain(std::mem::take(&mut self.anyone))
    }

    const fn new_key(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}
