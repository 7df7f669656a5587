//! A deterministic lessor: time-limited leases over arbitrary resources, with the semantics of
//! etcd's `server/v3/lease`.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod batch;
mod checkpoint;
#[cfg(feature = "std")]
mod clock;
mod config;
mod error;
mod expired;
mod id;
mod item;
mod lease;
#[cfg(feature = "std")]
mod lessor;
#[cfg(feature = "std")]
mod lessor_trait;
mod machine;
mod null_backend;
#[cfg(feature = "std")]
mod observer;
mod ports;
mod primary;
mod row;
mod table;
#[cfg(feature = "testing")]
pub mod testing;
mod ttl;

pub use batch::{HostWrite, LeaseWrite, Table, WriteBatch};
pub use checkpoint::{Checkpoint, CheckpointBatch, CheckpointFence};
pub use config::LessorConfig;
pub use error::{BackendError, BoxError, HostError, LeaseError};
pub use expired::{ExpiredBatch, ExpiredLease, ExpiryFence, Revocation, Revoked};
pub use id::{Epoch, Incarnation, LeaseId, NO_LEASE};
pub use item::LeaseItem;
pub use lease::Lease;
pub use lease_queue::Timestamp;
pub use machine::ticket::{Ticket, TicketOutcome};
pub use machine::{
    Answer, AttemptOutcome, BegunCheckpoint, Command, Grant, LessorCore, LessorStats, Listing,
    Promotion, ProposalOutcome, Recovery, Renewal, Replaced, Retired, Revoking,
};
pub use null_backend::NullBackend;
pub use ports::backend::Backend;
pub use ports::checkpointer::Checkpointer;
pub use ports::range_deleter::{Deleted, RangeDeleter, TableDeleter, TxnDelete};
pub use row::LeaseRow;
pub use ttl::{MAX_LEASE_TTL, Ttl};
#[cfg(feature = "std")]
pub use {
    clock::{Clock, ManualClock, SystemClock},
    lessor::{BackendLessor, BackendLessorBuilder, CheckpointMode, Driver, Durability, ExpiryMode},
    lessor_trait::Lessor,
    observer::{Observer, RevokeReason},
};
