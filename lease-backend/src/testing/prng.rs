/// A small random source: the same seed gives the same numbers, on every machine and for ever.
///
/// It is SplitMix64, of Steele, Lea and Flood, "Fast splittable pseudorandom number generators".
///
/// ```
/// use lease_backend::testing::Prng;
///
/// assert_eq!(Prng::new(7).next_u64(), Prng::new(7).next_u64());
/// assert!(Prng::new(7).below(10) < 10);
/// ```
#[derive(Clone, Debug)]
pub struct Prng {
    state: u64,
}

impl Prng {
    /// The source with this seed.
    ///
    /// ```
    /// use lease_backend::testing::Prng;
    ///
    /// assert_eq!(Prng::new(7).next_u64(), Prng::new(7).next_u64());
    /// assert_ne!(Prng::new(7).next_u64(), Prng::new(8).next_u64());
    /// ```
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Any number.
    ///
    /// ```
    /// use lease_backend::testing::Prng;
    ///
    /// let mut random = Prng::new(0);
    /// assert_eq!(random.next_u64(), 0xe220_a839_7b1d_cdaf);
    /// assert_ne!(random.next_u64(), 0xe220_a839_7b1d_cdaf);
    /// ```
    pub const fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; the bias of the remainder does not matter to tests.
    ///
    /// # Panics
    ///
    /// If `bound` is zero.
    ///
    /// ```
    /// use lease_backend::testing::Prng;
    ///
    /// let mut random = Prng::new(7);
    /// assert!((0..100).all(|_| random.below(6) < 6));
    /// ```
    pub const fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "there is no number below zero");
        self.next_u64() % bound
    }

    /// True once in `n` times.
    ///
    /// # Panics
    ///
    /// If `n` is zero.
    ///
    /// ```
    /// use lease_backend::testing::Prng;
    ///
    /// let mut random = Prng::new(7);
    /// let hits = (0..1_000).filter(|_| random.one_in(10)).count();
    /// assert!((50..150).contains(&hits));
    /// ```
    pub const fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of `choices`.
    ///
    /// # Panics
    ///
    /// If there are none.
    ///
    /// ```
    /// use lease_backend::testing::Prng;
    ///
    /// let mut random = Prng::new(7);
    /// assert!(["heads", "tails"].contains(random.pick(&["heads", "tails"])));
    /// ```
    pub const fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}
