//! Deterministic queues that answer which key is due next.
//!
//! ```
//! use lease_queue::{ExpiryQueue, LeaseExpiredNotifier, Timestamp};
//!
//! let mut queue = LeaseExpiredNotifier::new();
//! queue.register_or_update("database", Timestamp::from_secs(30));
//! queue.register_or_update("worker", Timestamp::from_secs(10));
//! queue.register_or_update("worker", Timestamp::from_secs(40));
//!
//! assert_eq!(queue.pop_due(Timestamp::from_secs(29)), None);
//! let due = queue.pop_due(Timestamp::from_secs(30)).map(|lease| lease.key);
//! assert_eq!(due, Some("database"));
//! ```
//!
//! # Time comes in
//!
//! Nothing here reads a clock. A [`Timestamp`] counts nanoseconds from an origin that the driver
//! chooses, and every question about what is due carries its own `now`. The crate is `no_std`, has
//! no randomness, and its answers are a function of the calls made: hashing has a fixed seed and no
//! answer depends on the order of a hash table.
//!
//! # One order, three answers
//!
//! [`ExpiryQueue`] is a set of keys, each with one time, ordered by `(time, key)`.
//! [`LeaseExpiredNotifier`] keeps it in an indexed heap ([`LeaseQueue`] and a hash index),
//! [`TimingWheel`] in a hierarchical wheel. Both give the same answers to the same calls, to the
//! nanosecond, for every time a `u64` can hold; they differ in speed alone. The heap is the simple
//! one to trust; the wheel costs the same for ten keys and for ten million.
//!
//! # A wheel inside the owner's records
//!
//! [`BucketWheel`] is the part for owners of millions of keys that already have a table of records.
//! It holds no time, only keys: the owner keeps the time and a 30-bit [`Position`] in its own
//! record. A time that moves later costs the wheel nothing: the owner stores it, and puts the key
//! back when its old place comes up. Every step is bounded, so that the owner can stop at any
//! moment and go on later.
//!
//! # Features
//!
//! - `serde`: `Serialize` and `Deserialize` for [`Timestamp`] and [`LeaseWithTime`].
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![no_std]

extern crate alloc;

mod expiry_queue;
mod index;
mod lease_queue;
mod lease_with_time;
mod notifier;
mod timestamp;
mod timing_wheel;
mod wheel;

pub use crate::{
    expiry_queue::ExpiryQueue,
    lease_queue::{Entry, LeaseQueue},
    lease_with_time::LeaseWithTime,
    notifier::LeaseExpiredNotifier,
    timestamp::Timestamp,
    timing_wheel::TimingWheel,
    wheel::{BucketWheel, DueSlot, Popped, Position, Removed, RetiredWheel},
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
