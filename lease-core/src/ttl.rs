use core::fmt;
use core::num::NonZeroU64;
use core::time::Duration;

use crate::LeaseError;

/// The longest TTL: 9,000,000,000 seconds, about 285 years, as in etcd.
pub const MAX_LEASE_TTL: i64 = 9_000_000_000;

/// A time to live in whole seconds, from 1 to [`MAX_LEASE_TTL`].
///
/// ```
/// use lease_core::{LeaseError, MAX_LEASE_TTL, Ttl};
///
/// assert_eq!(Ttl::new(60)?.as_secs(), 60);
/// assert_eq!(Ttl::new(MAX_LEASE_TTL + 1), Err(LeaseError::LeaseTtlTooLarge));
/// assert_eq!(Ttl::new(0), Err(LeaseError::LeaseTtlTooSmall));
/// # Ok::<(), LeaseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(NonZeroU64);

impl Ttl {
    /// One second.
    pub const MIN: Self = Self(NonZeroU64::MIN);
    /// [`MAX_LEASE_TTL`] seconds.
    pub const MAX: Self = Self::from_secs_unchecked(MAX_LEASE_TTL as u64);

    /// A TTL of `secs` seconds.
    ///
    /// # Errors
    ///
    /// [`LeaseError::LeaseTtlTooLarge`] above [`MAX_LEASE_TTL`] and
    /// [`LeaseError::LeaseTtlTooSmall`] below 1. A lessor's grant raises a small TTL to its
    /// minimum instead, see [`LessorConfig::admit_ttl`](crate::LessorConfig::admit_ttl).
    ///
    /// ```
    /// use lease_core::{LeaseError, Ttl};
    ///
    /// assert_eq!(Ttl::new(60)?.as_secs(), 60);
    /// assert_eq!(Ttl::new(-1), Err(LeaseError::LeaseTtlTooSmall));
    /// # Ok::<(), LeaseError>(())
    /// ```
    pub const fn new(secs: i64) -> Result<Self, LeaseError> {
        if secs > MAX_LEASE_TTL {
            Err(LeaseError::LeaseTtlTooLarge)
        } else if secs < 1 {
            Err(LeaseError::LeaseTtlTooSmall)
        } else {
            Ok(Self::from_secs_unchecked(secs as u64))
        }
    }

    /// The seconds rounded up and brought into range: what a checkpoint carries.
    pub(crate) fn from_millis_ceil(millis: u64) -> Self {
        let secs = millis.div_ceil(1000);
        Self::from_secs_unchecked(secs.clamp(1, MAX_LEASE_TTL as u64))
    }

    /// From seconds that are known to be in range.
    pub(crate) const fn from_secs_unchecked(secs: u64) -> Self {
        debug_assert!(secs >= 1 && secs <= MAX_LEASE_TTL as u64);
        match NonZeroU64::new(secs) {
            Some(secs) => Self(secs),
            None => Self::MIN,
        }
    }

    /// Seconds.
    ///
    /// ```
    /// use lease_core::Ttl;
    ///
    /// assert_eq!(Ttl::MIN.as_secs(), 1);
    /// ```
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0.get()
    }

    /// Seconds, as etcd's API has them.
    ///
    /// ```
    /// use lease_core::{MAX_LEASE_TTL, Ttl};
    ///
    /// assert_eq!(Ttl::MAX.get(), MAX_LEASE_TTL);
    /// ```
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0.get() as i64
    }

    /// Milliseconds.
    pub(crate) const fn as_millis(self) -> u64 {
        self.0.get() * 1000
    }

    /// The same span as a [`Duration`].
    ///
    /// ```
    /// use lease_core::Ttl;
    /// use std::time::Duration;
    ///
    /// assert_eq!(Ttl::new(60)?.as_duration(), Duration::from_secs(60));
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        Duration::from_secs(self.0.get())
    }
}

impl TryFrom<i64> for Ttl {
    type Error = LeaseError;

    fn try_from(secs: i64) -> Result<Self, LeaseError> {
        Self::new(secs)
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0)
    }
}

impl fmt::Debug for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ttl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_etcds() {
        for secs in [1, 2, 60, MAX_LEASE_TTL] {
            let ttl = Ttl::try_from(secs).expect("in range");
            assert_eq!((ttl.get(), ttl.as_secs()), (secs, secs as u64));
            assert_eq!(ttl.as_duration(), Duration::from_secs(secs as u64));
            assert_eq!(u128::from(ttl.as_millis()), ttl.as_duration().as_millis());
        }
        for (secs, error) in [
            (i64::MIN, LeaseError::LeaseTtlTooSmall),
            (0, LeaseError::LeaseTtlTooSmall),
            (MAX_LEASE_TTL + 1, LeaseError::LeaseTtlTooLarge),
            (i64::MAX, LeaseError::LeaseTtlTooLarge),
        ] {
            assert_eq!(Ttl::try_from(secs), Err(error));
        }
    }

    #[test]
    fn what_is_left_is_rounded_up_into_the_range() {
        let secs = [0, 1, 1_000, 1_001, u64::MAX].map(Ttl::from_millis_ceil);
        let two = Ttl::from_secs_unchecked(2);
        assert_eq!(secs, [Ttl::MIN, Ttl::MIN, Ttl::MIN, two, Ttl::MAX]);
    }
}
