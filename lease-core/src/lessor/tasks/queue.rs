use std::collections::VecDeque;

/// What tasks have given, in order, and nobody has begun.
///
/// While a store hangs tasks may come, wait, give up and come again: what nobody waits for any more is taken
/// out whenever there is twice as much as the last time.
pub(super) struct Queue<T> {
    all: VecDeque<T>,
    swept: usize,
}

/// Something that a task waits for.
pub(super) trait Awaitable {
    /// Whether nobody waits for it any more.
    fn is_given_up(&self) -> bool;
}

/// So few are never swept.
const FEW: usize = if cfg!(shuttle) { 2 } else { 1024 };

impl<T: Awaitable> Queue<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Gives back the room of many that are gone.
    fn shrink(&mut self) {
        if self.all.is_empty() {
            self.all.shrink_to(FEW);
            self.swept = 0;
        }
    }

    /// Adds one. Returns those that nobody waits for, to be dropped without a lock.
    #[must_use]
    pub(super) fn push(&mut self, one: T) -> Vec<T> {
        let mut given_up = Vec::new();
        if self.all.len() >= 2 * self.swept.max(FEW) {
            for one in std::mem::take(&mut self.all) {
                if one.is_given_up() {
                    given_up.push(one);
                } else {
                    self.all.push_back(one);
                }
            }
            self.swept = self.all.len();
        }
        self.all.push_back(one);
        given_up
    }

    /// Puts them before all others.
    pub(super) fn push_before(&mut self, some: Vec<T>) {
        for one in some.into_iter().rev() {
            self.all.push_front(one);
        }
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let first = self.all.pop_front();
        self.shrink();
        first
    }

    /// Takes the first ones.
    pub(super) fn take(&mut self, most: usize) -> Vec<T> {
        let len = self.all.len().min(most);
        let some = self.all.drain(..len).collect();
        self.shrink();
        some
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            all: VecDeque::new(),
            swept: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Number(usize);

    impl Awaitable for Number {
        fn is_given_up(&self) -> bool {
            !self.0.is_multiple_of(100)
        }
    }

    #[test]
    fn what_nobody_waits_for_takes_no_room() {
        let mut queue = Queue::default();
        let mut dropped = 0;
        for number in 0..1_000_000 {
            dropped += queue.push(Number(number)).len();
        }
        let left: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(dropped + left.len(), 1_000_000);
        assert!(left.len() <= 20_000, "{} are left", left.len());
        let awaited: Vec<_> = left.iter().filter(|one| !one.is_given_up()).collect();
        assert_eq!(awaited.len(), 10_000, "none is lost");
        assert!(
            left.is_sorted_by_key(|one| one.0),
            "they stay in their order"
        );
    }
}
