//! The protocol buffer messages of etcd's leases, and their conversions to and from the types of
//! [`lease_core`].
//!
//! ```
//! use lease_core::{LeaseId, LeaseRow, Ttl};
//! use lease_pb::{Message, leasepb};
//!
//! let row = LeaseRow::new(LeaseId::try_from(7)?, Ttl::new(60)?);
//! let bytes = leasepb::Lease::from(&row).encode_to_vec();
//! assert_eq!(bytes, [0x08, 7, 0x10, 60]); // what etcd stores
//!
//! let read = leasepb::Lease::decode(&bytes[..])?;
//! assert_eq!(LeaseRow::try_from(&read)?, row);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Which messages
//!
//! [`leasepb`] has the stored form of a lease and what members ask each other; [`etcdserverpb`] has
//! the client API's lease messages, which are also the lease commands of a replicated log. Names,
//! types and numbers are etcd's, and so are the bytes: the tests hold them against bytes that etcd
//! 3.6 wrote. Two are this project's own: [`leasehttppb`], renewals in batches, and [`leaseraftpb`], the
//! log of a replicated lessor.
//!
//! Fields from number 1001 on are this project's own and carry its fences. Etcd skips them, and
//! they are absent where a host has no use for them.
//!
//! # Conversions
//!
//! From a core type to a message with `From`, and it cannot fail. From a message to a core type with
//! `TryFrom`, because a message holds any number: a [`ConvertError`] says what is out of range.
//! Nothing here panics on what came over a wire or from a disk.
//!
//! A request whose numbers the lessor itself judges, as a grant's, has no conversion: the host
//! passes them to [`lease_core::LeaseId`] and [`lease_core::LessorConfig::admit_ttl`].
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![no_std]

mod convert;

/// The package `etcdserverpb`: the lease messages of the client API and of the replicated log.
#[path = "gen/etcdserverpb.rs"]
pub mod etcdserverpb;

/// The package `leasehttppb`, which etcd does not have: renewals in batches.
#[path = "gen/leasehttppb.rs"]
pub mod leasehttppb;

/// The package `leaseraftpb`, which etcd does not have: the log of a replicated lessor.
#[path = "gen/leaseraftpb.rs"]
pub mod leaseraftpb;

/// The package `leasepb`: the stored form of a lease and what members ask each other.
#[path = "gen/leasepb.rs"]
pub mod leasepb;

pub use convert::ConvertError;
pub use prost::{DecodeError, Message};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
