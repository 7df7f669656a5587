use core::fmt;
use core::num::NonZeroU64;
use core::time::Duration;

use crate::LeaseError;

/// The longest TTL: 9,000,000,000 seconds, about 285 years, as in etcd.
pub const MAX_LEASE_TTL: i64 = 9_000_000_000;

/// A time to live in whole seconds, from 1 to [`MAX_LEASE_TTL`].
///
/// A [`Duration`] is rounded up to a whole second: a lease is never shorter than what was asked for.
/// Where a lease is granted no `Ttl` is needed, see [`RequestedTtl`].
///
/// ```
/// use lease_core::{LeaseError, MAX_LEASE_TTL, Ttl};
/// use std::time::Duration;
///
/// assert_eq!(Ttl::new(60)?.as_secs(), 60);
/// assert_eq!(Ttl::try_from(Duration::from_millis(1_500))?.as_secs(), 2);
/// assert_eq!(Ttl::new(MAX_LEASE_TTL + 1), Err(LeaseError::LeaseTtlTooLarge));
/// assert_eq!(Ttl::try_from(Duration::ZERO), Err(LeaseError::LeaseTtlTooSmall));
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

/// Rounded up to a whole second.
impl TryFrom<Duration> for Ttl {
    type Error = LeaseError;

    fn try_from(ttl: Duration) -> Result<Self, LeaseError> {
        Self::new(RequestedTtl::from(ttl).as_secs())
    }
}

impl From<Ttl> for Duration {
    fn from(ttl: Ttl) -> Self {
        ttl.as_duration()
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

/// The TTL that somebody asks for: seconds in an `i64` as in etcd's API, a [`Duration`], or a [`Ttl`].
///
/// What grants a lease takes any of the three as it is. Each of them can be asked for, and the lessor
/// brings it into range: below its minimum, zero and negative numbers included, it is raised to that,
/// above [`MAX_LEASE_TTL`] it is refused with [`LeaseError::LeaseTtlTooLarge`]. A duration is rounded
/// up to a whole second.
///
/// Seconds in a `u64` are a duration: `Duration::from_secs(secs)`. They are not taken as they are, because
/// with two types of integers the compiler could not tell which one the `60` of `grant_new(60)` is.
///
/// ```
/// use lease_core::{BackendLessor, LeaseError, LeaseId, NullBackend, RequestedTtl, Ttl};
/// use std::{sync::Arc, time::Duration};
///
/// let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
/// let id = |number| LeaseId::try_from(number);
/// assert_eq!(lessor.grant(id(1)?, 60)?.ttl(), Ttl::new(60)?);
/// assert_eq!(lessor.grant(id(2)?, Duration::from_millis(59_001))?.ttl(), Ttl::new(60)?);
/// assert_eq!(lessor.grant(id(3)?, Ttl::MAX)?.ttl(), Ttl::MAX);
/// let secs = 60_u64;
/// assert_eq!(lessor.grant(id(4)?, Duration::from_secs(secs))?.ttl(), Ttl::new(60)?);
/// let too_large = lessor.grant(id(5)?, Duration::MAX);
/// assert_eq!(too_large, Err(LeaseError::LeaseTtlTooLarge));
/// # Ok::<(), LeaseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RequestedTtl(i64);

impl RequestedTtl {
    /// Seconds: what was asked for, in range or not.
    ///
    /// ```
    /// use lease_core::RequestedTtl;
    /// use std::time::Duration;
    ///
    /// assert_eq!(RequestedTtl::from(-1).as_secs(), -1);
    /// assert_eq!(RequestedTtl::from(Duration::from_nanos(1)).as_secs(), 1);
    /// assert_eq!(RequestedTtl::from(Duration::MAX).as_secs(), i64::MAX);
    /// ```
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.0
    }
}

/// Seconds.
impl From<i64> for RequestedTtl {
    fn from(secs: i64) -> Self {
        Self(secs)
    }
}

/// Rounded up to a whole second; what is more than an `i64` holds is the largest one.
impl From<Duration> for RequestedTtl {
    fn from(ttl: Duration) -> Self {
        let begun = u64::from(ttl.subsec_nanos() > 0);
        let secs = ttl.as_secs().saturating_add(begun);
        Self(i64::try_from(secs).unwrap_or(i64::MAX))
    }
}

impl From<Ttl> for RequestedTtl {
    fn from(ttl: Ttl) -> Self {
        Self(ttl.get())
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
    fn a_duration_is_rounded_up_to_a_whole_second() {
        let nano = Duration::from_nanos(1);
        for (ttl, secs) in [
            (nano, 1),
            (Duration::from_secs(1), 1),
            (Duration::from_secs(1) + nano, 2),
            (Ttl::MAX.into(), MAX_LEASE_TTL),
        ] {
            assert_eq!(Ttl::try_from(ttl).map(Ttl::get), Ok(secs));
        }
        let small = Ttl::try_from(Duration::ZERO);
        assert_eq!(small, Err(LeaseError::LeaseTtlTooSmall));
        let most = Ttl::MAX.as_duration();
        for large in [most + nano, Duration::from_secs(u64::MAX), Duration::MAX] {
            assert_eq!(Ttl::try_from(large), Err(LeaseError::LeaseTtlTooLarge));
        }
    }

    #[test]
    fn what_is_left_is_rounded_up_into_the_range() {
        let secs = [0, 1, 1_000, 1_001, u64::MAX].map(Ttl::from_millis_ceil);
        let two = Ttl::from_secs_unchecked(2);
        assert_eq!(secs, [Ttl::MIN, Ttl::MIN, Ttl::MIN, two, Ttl::MAX]);
    }
}
