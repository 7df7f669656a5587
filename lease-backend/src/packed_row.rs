use lease_core::{Incarnation, LeaseId, LeaseRow, Ttl};

/// A lease row without its id in 24 bytes; as it is in Rust it takes 56.
#[derive(Clone, Copy)]
pub(crate) struct PackedRow {
    incarnation: u64,
    ttl_low: u32,
    remaining_low: u32,
    checkpoint_generation: u32,
    /// The bits of the TTLs from the 32nd on, and whether there is an incarnation.
    highs: u32,
}

const REMAINING_SHIFT: u32 = 8;
const HAS_INCARNATION: u32 = 1 << 16;

impl PackedRow {
    pub(crate) fn pack(row: &LeaseRow) -> Self {
        let ttl = row.ttl.as_secs();
        let remaining = row.remaining.map_or(0, Ttl::as_secs);
        let flag = row.incarnation.map_or(0, |_| HAS_INCARNATION);
        Self {
            incarnation: row.incarnation.map_or(0, Incarnation::get),
            ttl_low: ttl as u32,
            remaining_low: remaining as u32,
            checkpoint_generation: row.checkpoint_generation,
            highs: high_bits(ttl) | high_bits(remaining) << REMAINING_SHIFT | flag,
        }
    }

    pub(crate) fn unpack(self, id: LeaseId) -> LeaseRow {
        let has_incarnation = self.highs & HAS_INCARNATION != 0;
        LeaseRow {
            id,
            ttl: ttl(self.ttl_low, self.highs).expect("a packed row has a TTL"),
            remaining: ttl(self.remaining_low, self.highs >> REMAINING_SHIFT),
            incarnation: has_incarnation.then(|| Incarnation::from_wire(self.incarnation)),
            checkpoint_generation: self.checkpoint_generation,
        }
    }
}

/// The 33rd and 34th bit, which is all that a TTL has.
const fn high_bits(secs: u64) -> u32 {
    (secs >> 32) as u32
}

/// `None` for zero, which stands for an absent TTL.
fn ttl(low: u32, highs: u32) -> Option<Ttl> {
    let secs = i64::from(highs & 0xff) << 32 | i64::from(low);
    (secs != 0).then(|| Ttl::new(secs).expect("it was a TTL when it was packed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_survives_at_its_limits() {
        let id = LeaseId::new(-1).expect("not zero");
        for ttl in [Ttl::MIN, Ttl::MAX] {
            for remaining in [None, Some(Ttl::MIN), Some(Ttl::MAX)] {
                for incarnation in [None, Some(0), Some(1), Some(u64::MAX)] {
                    for checkpoint_generation in [0, 1, u32::MAX] {
                        let row = LeaseRow {
                            id,
                            ttl,
                            remaining,
                            incarnation: incarnation.map(Incarnation::from_wire),
                            checkpoint_generation,
                        };
                        assert_eq!(PackedRow::pack(&row).unpack(id), row);
                    }
                }
            }
        }
    }

    #[test]
    fn it_is_small() {
        assert_eq!(size_of::<PackedRow>(), 24);
    }
}
