/// Numbers that a world draws beside those of its plan.
pub(super) struct Drawn(pub(super) u64);

impl Drawn {
    /// One of a linear congruential generator, of which the highest bits are the best.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
