use crate::Timestamp;

/// A key and the time at which it is due.
///
/// The order is by time, then by key: a total order, so that two queues with the same content
/// agree on what comes first, ties included.
///
/// # Examples
///
/// ```
/// use lease_queue::{LeaseWithTime, Timestamp};
///
/// let early = LeaseWithTime { key: 9, time: Timestamp::from_secs(1) };
/// let late = LeaseWithTime { key: 1, time: Timestamp::from_secs(2) };
/// let tied = LeaseWithTime { key: 2, time: Timestamp::from_secs(2) };
/// assert!(early < late && late < tied);
/// ```
// Invariant: `time` is declared first, because the derived order compares fields in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LeaseWithTime<K> {
    /// When the key is due.
    pub time: Timestamp,
    /// Whose time this is.
    pub key: K,
}
