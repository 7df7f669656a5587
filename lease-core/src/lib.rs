//! A deterministic lessor: time-limited leases over arbitrary resources, with the semantics of
//! etcd's `server/v3/lease`.
//!
//! ```
//! use lease_core::{BackendLessor, Lessor, NullBackend};
//! use std::{sync::Arc, time::Duration};
//!
//! let lessor = BackendLessor::standalone(Arc::new(NullBackend))?;
//! let id = lessor.grant_new(Duration::from_secs(60))?.id();
//! lessor.attach(id, &["services/web/1".into()])?;
//! assert_eq!(lessor.get_lease(b"services/web/1"), Some(id));
//! assert_eq!(lessor.renew(id)?.as_secs(), 60);
//! # Ok::<(), lease_core::LeaseError>(())
//! ```
//!
//! # A state machine and a handle
//!
//! [`LessorCore`] is the lessor without a clock, a thread, a lock or a log: it is given the time and
//! a command and returns an answer. It needs no `std`. [`BackendLessor`] (feature `std`, on by
//! default) is what most people embed: the state machine behind a lock and over a [`Backend`], driven
//! by threads that sleep until something is due, or by hand.
//!
//! # One member or many
//!
//! Alone ([`BackendLessor::standalone`]), a lessor promotes itself ([`Lessor::promote`]), revokes
//! expired leases by itself ([`ExpiryMode::AutoRevoke`]), stores attached items ([`ItemMode::Stored`])
//! and applies its own checkpoints. Behind a consensus log every member
//! applies the same commands with [`BackendLessor::apply`]; the leader's is promoted
//! ([`BackendLessor::promote_to`]), and what it wants, revocations of
//! [expired leases](Lessor::expired_leases) and [checkpoints](Checkpointer), goes through the log.
//!
//! # Never early, never twice
//!
//! A lease that was acknowledged with a TTL does not expire before it has passed. A lease that is
//! delivered as expired cannot be renewed any more, and names its grant ([`Incarnation`]) and the
//! promotion that saw it expire ([`Epoch`]), so that a late or stale revoke is a no-op.
//!
//! # Features
//!
//! - `std` (default): the handle. Without it the crate is `no_std`: it needs `alloc` and a target whose
//!   atomics compare and swap pointers, such as thumbv7em or riscv32imac. Atomics of 64 bits, which
//!   these lack, are taken from the crate portable-atomic there; with `std` the target has to have them.
//! - `async`: `AsyncLessor`, the handle for tasks of any async runtime, and streams of expired leases and of
//!   events.
//! - `serde`: `Serialize` and `Deserialize` for ids, TTLs, leases, rows, commands, answers, errors, events,
//!   batches, counters and settings, also without `std`. In formats that people read, such as JSON, an id
//!   is a string of hexadecimal digits as everywhere, and an incarnation a string too: they are numbers
//!   beyond 2^53, which a browser would round. An item is a string, with `\\` for a backslash and `\xff`
//!   for a byte that is no UTF-8. TTLs are seconds, epochs and counters numbers. What is read is checked:
//!   no id is 0 and no TTL out of range. An error of a type of the host's comes back as its text.
//! - `testing`: fakes for tests of code that uses a lessor.
//! - `prometheus-client`, `metrics`, `tracing`: observers that feed the crates of these names, in
//!   the module `metrics`. With `tracing` a lessor also warns, without an observer, of what its host seems
//!   to have forgotten, and of work in the background that fails.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod batch;
mod checkpoint;
#[cfg(feature = "std")]
mod clock;
mod config;
mod error;
mod expired;
#[cfg(feature = "serde")]
mod formats;
mod id;
mod item;
mod lease;
mod lease_ids;
#[cfg(feature = "std")]
mod lessor;
#[cfg(feature = "std")]
mod lessor_trait;
mod machine;
#[cfg(any(
    feature = "metrics",
    feature = "prometheus-client",
    feature = "tracing"
))]
pub mod metrics;
mod null_backend;
#[cfg(feature = "std")]
mod observer;
mod ports;
mod primary;
#[cfg(all(madsim, feature = "std"))]
pub mod probe;
#[cfg(not(all(madsim, feature = "std")))]
mod probe;
mod row;
#[cfg(all(test, shuttle, feature = "std"))]
mod schedules;
#[cfg(feature = "std")]
mod sync;
mod table;
#[cfg(feature = "testing")]
pub mod testing;
mod ttl;

pub use batch::{HostWrite, LeaseWrite, Table, WriteBatch};
pub use checkpoint::{Checkpoint, CheckpointBatch, CheckpointFence};
pub use config::LessorConfig;
pub use error::{BackendError, BoxError, HostError, LeaseError, LeaseIdError};
pub use expired::{ExpiredBatch, ExpiredLease, ExpiryFence, Revocation, Revoked};
pub use id::{Epoch, Incarnation, LeaseId, NO_LEASE};
pub use item::LeaseItem;
pub use lease::{Lease, TimeToLive};
pub use lease_ids::LeaseIds;
pub use lease_queue::Timestamp;
pub use machine::ticket::{Ticket, TicketOutcome};
pub use machine::{
    Answer, AttemptOutcome, Busy, Command, Decision, Grant, LessorCore, LessorStats, Promotion,
    ProposalOutcome, Recovery, Renewal, Replaced, Retired,
};
pub use null_backend::NullBackend;
pub use ports::backend::Backend;
pub use ports::checkpointer::Checkpointer;
pub use ports::range_deleter::{Deleted, RangeDeleter, TableDeleter, TxnDelete};
pub use row::{LeaseRow, RowFault, StrangeRow};
pub use ttl::{MAX_LEASE_TTL, RequestedTtl, Ttl};
#[cfg(feature = "std")]
pub use {
    clock::{Clock, ManualClock, SystemClock},
    lessor::{
        BackendLessor, BackendLessorBuilder, CheckpointMode, Driver, Durability, ExpiredLeases,
        ExpiryMode, ItemMode, Lookup, RecvError, Wait,
    },
    lessor_trait::Lessor,
    observer::{LessorEvent, Observer, Oversight, RevokeReason},
};

#[cfg(feature = "async")]
pub use lessor::{AsyncLessor, ExpiredStream, LeaseEvent, LeaseEvents};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
