use core::fmt;
use core::num::NonZeroI64;
use core::str::FromStr;

use crate::LeaseIdError;

/// The number that stands for "no lease" on the wire and in etcd's API.
///
/// Inside Rust the absence of a lease is `Option::<LeaseId>::None`.
///
/// ```
/// use lease_core::{LeaseId, NO_LEASE};
///
/// /// A key's lease, as etcd's API has it.
/// fn to_wire(lease: Option<LeaseId>) -> i64 {
///     lease.map_or(NO_LEASE, LeaseId::get)
/// }
/// assert_eq!(to_wire(LeaseId::new(NO_LEASE)), NO_LEASE);
/// ```
pub const NO_LEASE: i64 = 0;

/// The name of a lease: any `i64` but zero, negative numbers included.
///
/// As text it is always hexadecimal and without a prefix, as etcd's tools print and take it:
/// [`Display`](fmt::Display) writes 16 digits, which [`FromStr`] reads back, and [`Debug`](fmt::Debug)
/// shows the same ones. A number is a number: [`get`](Self::get), and `TryFrom<i64>`.
///
/// `Option<LeaseId>` is as small as `LeaseId`.
///
/// ```
/// use lease_core::{LeaseId, LeaseIdError};
///
/// let id = LeaseId::try_from(0x694d5765fc71500b)?;
/// assert_eq!(id.to_string(), "694d5765fc71500b");
/// assert_eq!("694d5765fc71500b".parse(), Ok(id));
/// assert_eq!(LeaseId::try_from(0), Err(LeaseIdError::Zero));
/// # Ok::<(), LeaseIdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(NonZeroI64);

impl LeaseId {
    /// The id with this number, or `None` for [`NO_LEASE`].
    ///
    /// ```
    /// use lease_core::LeaseId;
    ///
    /// assert!(LeaseId::new(i64::MIN).is_some());
    /// assert!(LeaseId::new(0).is_none());
    /// ```
    #[must_use]
    pub const fn new(number: i64) -> Option<Self> {
        match NonZeroI64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number.
    ///
    /// ```
    /// use lease_core::LeaseId;
    ///
    /// let id = LeaseId::try_from(0x694d5765fc71500b)?;
    /// assert_eq!(id.get(), 7587817042727751691);
    /// # Ok::<(), lease_core::LeaseIdError>(())
    /// ```
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0.get()
    }
}

/// Fails with [`LeaseIdError::Zero`] for zero.
impl TryFrom<i64> for LeaseId {
    type Error = LeaseIdError;

    fn try_from(number: i64) -> Result<Self, LeaseIdError> {
        Self::new(number).ok_or(LeaseIdError::Zero)
    }
}

impl From<LeaseId> for i64 {
    fn from(id: LeaseId) -> i64 {
        id.get()
    }
}

/// In hexadecimal as etcd's tools print a lease id: `694d5765fc71500b`. A negative one is in two's
/// complement: -1 is `ffffffffffffffff`.
impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.get())
    }
}

/// The same digits as in [`Display`](fmt::Display).
impl fmt::Debug for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeaseId({self})")
    }
}

/// Reads what [`Display`](fmt::Display) writes; leading zeros may be left out, and the digits may be
/// upper case. A minus sign and the digits of what is below zero are also read: so etcd's tools print
/// a negative id, and take any.
///
/// ```
/// use lease_core::{LeaseId, LeaseIdError};
///
/// let id: LeaseId = "ffffffffffffffff".parse()?;
/// assert_eq!(id.get(), -1);
/// assert_eq!("-1".parse(), Ok(id));
/// assert_eq!("10".parse::<LeaseId>()?.get(), 16, "always hexadecimal");
/// assert_eq!("0x10".parse::<LeaseId>(), Err(LeaseIdError::NotHexadecimal));
/// # Ok::<(), LeaseIdError>(())
/// ```
impl FromStr for LeaseId {
    type Err = LeaseIdError;

    fn from_str(text: &str) -> Result<Self, LeaseIdError> {
        let (is_negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        if digits.is_empty() {
            return Err(LeaseIdError::Empty);
        }
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(LeaseIdError::NotHexadecimal);
        }
        let number = u64::from_str_radix(digits, 16).map_err(|_| LeaseIdError::OutOfRange)?;
        let number = if is_negative {
            let below_zero = 0_i64.checked_sub_unsigned(number);
            below_zero.ok_or(LeaseIdError::OutOfRange)?
        } else {
            number.cast_signed()
        };
        Self::try_from(number)
    }
}

/// Which grant of an id this is: a later grant under the same id has another incarnation.
///
/// A host with a log supplies the index of the grant's entry, at most [`Incarnation::MAX_SUPPLIED`];
/// it is persisted and equal on every member. Without one the lessor counts for itself, in a range
/// of its own, and persists nothing, so that its rows are byte for byte etcd's. What it counts starts
/// with the epoch that this lessor has begun, which is stored, so that it grows across restarts too;
/// before it has begun one, it counts under epoch 0.
///
/// ```
/// # use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
/// # use std::{sync::Arc, time::Duration};
/// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
/// lessor.promote(Duration::ZERO)?;
/// let id = LeaseId::try_from(7)?;
/// let first = lessor.grant(id, 60)?.incarnation();
/// lessor.revoke(id)?;
/// assert!(lessor.grant(id, 60)?.incarnation() > first, "the id is the same");
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(u64);

impl Incarnation {
    /// The largest number a host may supply: 2^63 - 1.
    pub const MAX_SUPPLIED: u64 = Self::COUNTED - 1;

    const COUNTED: u64 = 1 << 63;

    /// An incarnation supplied by the host, or `None` above [`Self::MAX_SUPPLIED`].
    ///
    /// ```
    /// use lease_core::Incarnation;
    ///
    /// let index = 17; // of the log entry
    /// let incarnation = Incarnation::supplied(index).expect("far below 2^63");
    /// assert_eq!(incarnation.get(), 17);
    /// assert_eq!(Incarnation::supplied(1 << 63), None);
    /// ```
    #[must_use]
    pub const fn supplied(number: u64) -> Option<Self> {
        if number <= Self::MAX_SUPPLIED {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The `n`-th grant counted by a lessor, in an epoch. It grows with the epoch up to 2^23 and,
    /// within it, with the number up to 2^40.
    pub(crate) const fn counted(epoch: Epoch, n: u64) -> Self {
        let epoch = if epoch.0 < EPOCH_MAX {
            epoch.0
        } else {
            EPOCH_MAX
        };
        Self(Self::COUNTED | epoch << 40 | n & ((1 << 40) - 1))
    }

    /// Whether no other grant has the same one, over restarts too: not if it was counted before an
    /// epoch was begun, or under one that is too large to be told from the next.
    pub(crate) const fn is_unique(self) -> bool {
        let epoch = self.counted_epoch();
        self.0 < Self::COUNTED || (0 < epoch && epoch < EPOCH_MAX)
    }

    /// The epoch and the number of a counted one.
    pub(crate) const fn counted_parts(self) -> (u64, u64) {
        (self.counted_epoch(), self.0 & ((1 << 40) - 1))
    }

    const fn counted_epoch(self) -> u64 {
        self.0 >> 40 & EPOCH_MAX
    }

    /// The number as it goes over a wire.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Incarnation, LeaseId, Lessor, NullBackend};
    /// # use std::sync::Arc;
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// let incarnation = lessor.grant(LeaseId::try_from(7)?, 60)?.incarnation();
    /// let bytes = incarnation.get().to_be_bytes();
    /// assert_eq!(Incarnation::from_wire(u64::from_be_bytes(bytes)), incarnation);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The incarnation that [`get`](Self::get) gave this number for.
    ///
    /// ```
    /// use lease_core::Incarnation;
    ///
    /// let supplied = Incarnation::supplied(17);
    /// assert_eq!(supplied, Some(Incarnation::from_wire(17)));
    /// ```
    #[must_use]
    pub const fn from_wire(number: u64) -> Self {
        Self(number)
    }

    /// The number if a host supplied it, which is when it is persisted.
    ///
    /// ```
    /// # use lease_core::{BackendLessor, Incarnation, LeaseId, Lessor, NullBackend};
    /// # use std::sync::Arc;
    /// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
    /// assert_eq!(Incarnation::from_wire(17).as_supplied(), Some(17));
    /// let counted = lessor.grant(LeaseId::try_from(7)?, 60)?.incarnation();
    /// assert_eq!(counted.as_supplied(), None);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    #[must_use]
    pub const fn as_supplied(self) -> Option<u64> {
        if self.0 <= Self::MAX_SUPPLIED {
            Some(self.0)
        } else {
            None
        }
    }
}

/// The largest epoch that a counted incarnation can name.
const EPOCH_MAX: u64 = (1 << 23) - 1;

/// A supplied one as its number, a counted one as `epoch.number`.
impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_supplied() {
            Some(number) => number.fmt(f),
            None => {
                let (epoch, number) = self.counted_parts();
                write!(f, "{epoch}.{number}")
            }
        }
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incarnation({self})")
    }
}

/// Which promotion this is: the host's term, or counted up by the lessor. Zero is before the first.
///
/// ```
/// # use lease_core::{BackendLessor, Epoch, Lessor, NullBackend};
/// # use std::{sync::Arc, time::Duration};
/// # let lessor = BackendLessor::builder(Arc::new(NullBackend)).build()?;
/// assert_eq!(lessor.epoch(), Epoch::ZERO);
/// assert_eq!(lessor.promote(Duration::ZERO)?, Epoch::new(1));
/// # Ok::<(), lease_core::LeaseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Epoch(u64);

impl Epoch {
    /// Before the first promotion.
    pub const ZERO: Self = Self(0);

    /// The last one that can begin: 2^63 - 1, which is also the last term of a host that counts them
    /// in an `i64`. It leaves room behind it, so that [`next`](Self::next) of an epoch that has begun
    /// is always later.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// The epoch with this number.
    ///
    /// ```
    /// use lease_core::Epoch;
    ///
    /// let term = 12; // of the host's log
    /// assert!(Epoch::new(term) > Epoch::ZERO);
    /// ```
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    ///
    /// ```
    /// use lease_core::Epoch;
    ///
    /// assert_eq!(Epoch::new(12).get().to_be_bytes()[7], 12);
    /// ```
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The epoch after this one; the last one stays.
    ///
    /// ```
    /// use lease_core::Epoch;
    ///
    /// assert_eq!(Epoch::new(12).next(), Epoch::new(13));
    /// assert!(Epoch::MAX.next() > Epoch::MAX);
    /// ```
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn every_number_but_zero_is_an_id_and_comes_back() {
        for number in [i64::MIN, -1, 1, i64::MAX] {
            let id = LeaseId::try_from(number).expect("not zero");
            assert_eq!(i64::from(id), number);
        }
        assert_eq!(LeaseId::new(NO_LEASE), None);
    }

    #[test]
    fn a_text_is_hexadecimal_and_comes_back() {
        for (number, text) in [
            (i64::MIN, "8000000000000000"),
            (-1, "ffffffffffffffff"),
            (16, "0000000000000010"),
            (i64::MAX, "7fffffffffffffff"),
        ] {
            let id = LeaseId::try_from(number).expect("not zero");
            assert_eq!(id.to_string(), text);
            assert_eq!(format!("{id:?}"), format!("LeaseId({text})"));
            assert_eq!(text.parse(), Ok(id));
            assert_eq!(text.to_uppercase().parse(), Ok(id));
            // As Go prints it.
            let sign = if number < 0 { "-" } else { "" };
            let signed = format!("{sign}{:x}", number.unsigned_abs());
            assert_eq!(signed.parse(), Ok(id), "{signed}");
        }
    }

    #[test]
    fn a_text_that_is_no_id_is_refused_with_the_reason() {
        for (text, error) in [
            ("", LeaseIdError::Empty),
            ("-", LeaseIdError::Empty),
            ("0", LeaseIdError::Zero),
            ("-0000", LeaseIdError::Zero),
            ("0x7", LeaseIdError::NotHexadecimal),
            ("+7", LeaseIdError::NotHexadecimal),
            ("--7", LeaseIdError::NotHexadecimal),
            (" 7", LeaseIdError::NotHexadecimal),
            ("\u{663}", LeaseIdError::NotHexadecimal),
            ("10000000000000000", LeaseIdError::OutOfRange),
            ("-8000000000000001", LeaseIdError::OutOfRange),
            // A decimal number of the usual length.
            ("7587817042727751691", LeaseIdError::OutOfRange),
        ] {
            assert_eq!(text.parse::<LeaseId>(), Err(error), "{text}");
        }
    }

    #[test]
    fn supplied_incarnations_end_where_counted_ones_begin() {
        assert_eq!(Incarnation::MAX_SUPPLIED, i64::MAX as u64);
        let last = Incarnation::supplied(Incarnation::MAX_SUPPLIED).expect("in range");
        assert_eq!(last.as_supplied(), Some(Incarnation::MAX_SUPPLIED));
        assert_eq!(last.to_string(), "9223372036854775807");
        assert_eq!(Incarnation::supplied(Incarnation::MAX_SUPPLIED + 1), None);
        let first = Incarnation::counted(Epoch::ZERO, 0);
        assert!(first > last && first.as_supplied().is_none());
        assert_eq!(Incarnation::from_wire(first.get()), first);
    }

    #[test]
    fn counted_incarnations_grow_by_epoch_and_then_by_number() {
        let in_order = [
            (0, 1, "0.1"),
            (0, (1 << 40) - 1, "0.1099511627775"),
            (1, 0, "1.0"),
            (1, 7, "1.7"),
            ((1 << 23) - 2, 7, "8388606.7"),
            ((1 << 23) - 1, 6, "8388607.6"),
            (u64::MAX, 7, "8388607.7"),
        ];
        let in_order = in_order.map(|(epoch, n, text)| {
            let incarnation = Incarnation::counted(Epoch::new(epoch), n);
            assert_eq!(incarnation.to_string(), text);
            incarnation
        });
        assert!(in_order.is_sorted());
    }

    #[test]
    fn what_another_grant_may_have_too_is_not_unique() {
        let counted = |epoch| Incarnation::counted(Epoch::new(epoch), 7);
        let unique = [1, EPOCH_MAX - 1].map(counted);
        let shared = [0, EPOCH_MAX, u64::MAX].map(counted);
        assert!(unique.iter().all(|one| one.is_unique()));
        assert!(shared.iter().all(|one| !one.is_unique()));
        assert!(Incarnation::supplied(0).is_some_and(Incarnation::is_unique));
    }

    #[test]
    fn the_last_epoch_stays() {
        assert_eq!(Epoch::ZERO.next().get(), 1);
        assert_eq!(Epoch::new(7).get(), 7);
        assert_eq!(Epoch::new(u64::MAX).next(), Epoch::new(u64::MAX));
    }
}
