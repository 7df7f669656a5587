use std::hash::{BuildHasher, Hasher};

/// What tells one store from every other one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct StoreId(u128);

impl StoreId {
    /// Another one each time.
    ///
    /// The keys of std's hasher come from the system, and from the seed in a simulation, whose
    /// repetition therefore writes the same bytes.
    #[expect(
        clippy::disallowed_types,
        reason = "being another one in each process is its use here"
    )]
    pub(super) fn random() -> Self {
        let half = || std::hash::RandomState::new().build_hasher().finish();
        Self::from_halves(half(), half())
    }

    pub(super) const fn from_halves(high: u64, low: u64) -> Self {
        Self((high as u128) << 64 | low as u128)
    }

    pub(super) const fn high(self) -> u64 {
        (self.0 >> 64) as u64
    }

    pub(super) const fn low(self) -> u64 {
        self.0 as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_another_one_and_survives_its_halves() {
        let (first, second) = (StoreId::random(), StoreId::random());
        assert_ne!(first, second);
        assert_ne!(first.high(), first.low());
        assert_eq!(StoreId::from_halves(first.high(), first.low()), first);
    }
}
