use core::{fmt, time::Duration};

/// A moment: nanoseconds from an origin that the driver chooses, 0 to `u64::MAX`.
///
/// The range is 584 years. Arithmetic saturates at both ends, so no time-to-live can overflow it.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use lease_queue::Timestamp;
///
/// let granted = Timestamp::from_secs(5);
/// let expiry = granted.saturating_add(Duration::from_millis(2_500));
/// assert_eq!(expiry, Timestamp::from_millis(7_500));
/// assert_eq!(expiry.saturating_duration_since(granted), Duration::from_millis(2_500));
/// assert_eq!(expiry.to_string(), "7.500000000s");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The origin.
    pub const ZERO: Self = Self(0);

    /// The last moment, 584 years after the origin; sums saturate to it.
    pub const MAX: Self = Self(u64::MAX);

    /// The moment `nanos` nanoseconds after the origin.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::Timestamp;
    ///
    /// assert_eq!(Timestamp::from_nanos(1_500_000_000).to_string(), "1.500000000s");
    /// ```
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The moment `millis` milliseconds after the origin, or [`MAX`](Self::MAX) if it lies beyond.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::Timestamp;
    ///
    /// assert_eq!(Timestamp::from_millis(1_500).as_nanos(), 1_500_000_000);
    /// ```
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(NANOS_PER_MILLI))
    }

    /// The moment `secs` seconds after the origin, or [`MAX`](Self::MAX) if it lies beyond.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::Timestamp;
    ///
    /// assert_eq!(Timestamp::from_secs(3), Timestamp::from_millis(3_000));
    /// assert_eq!(Timestamp::from_secs(u64::MAX), Timestamp::MAX);
    /// ```
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(NANOS_PER_SEC))
    }

    /// Nanoseconds since the origin.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::Timestamp;
    ///
    /// assert_eq!(Timestamp::from_secs(3).as_nanos(), 3_000_000_000);
    /// ```
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The moment `duration` later, or [`MAX`](Self::MAX) if it lies beyond.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::Timestamp;
    /// use std::time::Duration;
    ///
    /// let expiry = Timestamp::from_secs(5).saturating_add(Duration::from_secs(60));
    /// assert_eq!(expiry, Timestamp::from_secs(65));
    /// assert_eq!(expiry.saturating_add(Duration::MAX), Timestamp::MAX);
    /// ```
    #[must_use]
    pub const fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(saturating_nanos(duration)))
    }

    /// The moment `duration` earlier, or [`ZERO`](Self::ZERO) if it lies before the origin.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::Timestamp;
    /// use std::time::Duration;
    ///
    /// let early = Timestamp::from_secs(5).saturating_sub(Duration::from_secs(2));
    /// assert_eq!(early, Timestamp::from_secs(3));
    /// assert_eq!(early.saturating_sub(Duration::from_secs(4)), Timestamp::ZERO);
    /// ```
    #[must_use]
    pub const fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(saturating_nanos(duration)))
    }

    /// The time that passed from `earlier` to `self`, or zero if `earlier` is the later one.
    ///
    /// # Examples
    ///
    /// ```
    /// use lease_queue::Timestamp;
    /// use std::time::Duration;
    ///
    /// let (now, due) = (Timestamp::from_secs(5), Timestamp::from_secs(7));
    /// assert_eq!(due.saturating_duration_since(now), Duration::from_secs(2));
    /// assert_eq!(now.saturating_duration_since(due), Duration::ZERO, "it is overdue");
    /// ```
    #[must_use]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (secs, nanos) = (self.0 / NANOS_PER_SEC, self.0 % NANOS_PER_SEC);
        write!(f, "{secs}.{nanos:09}s")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({self})")
    }
}

/// Where people read it as a [`Duration`] since the origin, because nanoseconds soon are more than the
/// 2^53 that a browser keeps apart; else as nanoseconds.
#[cfg(feature = "serde")]
impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            Duration::from_nanos(self.0).serialize(to)
        } else {
            to.serialize_u64(self.0)
        }
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if !from.is_human_readable() {
            return u64::deserialize(from).map(Self);
        }
        let since_origin = Duration::deserialize(from)?;
        let nanos = u64::try_from(since_origin.as_nanos());
        let late = |_| serde::de::Error::custom("a time more than 584 years from the origin");
        nanos.map(Self).map_err(late)
    }
}

const fn saturating_nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 {
        u64::MAX
    } else {
        nanos as u64
    }
}

const NANOS_PER_MILLI: u64 = 1_000_000;
const NANOS_PER_SEC: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn units_agree() {
        assert_eq!(Timestamp::from_secs(3), Timestamp::from_millis(3_000));
        assert_eq!(
            Timestamp::from_millis(1),
            Timestamp::from_nanos(NANOS_PER_MILLI)
        );
        assert_eq!(Timestamp::default(), Timestamp::ZERO);
    }

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let second = Duration::from_secs(1);
        assert_eq!(Timestamp::MAX.saturating_add(second), Timestamp::MAX);
        assert_eq!(
            Timestamp::ZERO.saturating_add(Duration::MAX),
            Timestamp::MAX
        );
        let longer_than_all_time = Duration::from_secs(u64::MAX / NANOS_PER_SEC + 1);
        assert_eq!(
            Timestamp::ZERO.saturating_add(longer_than_all_time),
            Timestamp::MAX
        );
        assert_eq!(Timestamp::ZERO.saturating_sub(second), Timestamp::ZERO);
        assert_eq!(
            Timestamp::MAX.saturating_sub(Duration::MAX),
            Timestamp::ZERO
        );
        assert_eq!(
            Timestamp::ZERO.saturating_duration_since(Timestamp::MAX),
            Duration::ZERO
        );
        assert_eq!(Timestamp::from_secs(u64::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::from_millis(u64::MAX), Timestamp::MAX);
    }

    #[cfg(feature = "serde")]
    #[test]
    fn it_is_a_duration_for_people_and_a_number_for_machines() {
        use serde_test::{Configure, Token, assert_de_tokens_error, assert_tokens};

        let at = Timestamp::from_nanos(1_500_000_001);
        let duration = |secs, nanos| {
            [
                Token::Struct {
                    name: "Duration",
                    len: 2,
                },
                Token::Str("secs"),
                Token::U64(secs),
                Token::Str("nanos"),
                Token::U32(nanos),
                Token::StructEnd,
            ]
        };
        assert_tokens(&at.readable(), &duration(1, 500_000_001));
        assert_tokens(&at.compact(), &[Token::U64(1_500_000_001)]);
        assert_de_tokens_error::<serde_test::Readable<Timestamp>>(
            &duration(u64::MAX, 0),
            "a time more than 584 years from the origin",
        );
    }

    #[test]
    fn texts_are_seconds() {
        assert_eq!(format!("{}", Timestamp::from_nanos(1)), "0.000000001s");
        assert_eq!(
            format!("{:?}", Timestamp::from_millis(1_500)),
            "Timestamp(1.500000000s)"
        );
    }
}
