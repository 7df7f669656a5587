//! Storage for the lessor of `lease-core`: in memory, on redb, and a suite that checks any other.
//!
//! ```
//! # #[cfg(feature = "redb")] {
//! use lease_backend::RedbBackend;
//! use lease_core::{Backend, LeaseId, LeaseRow, Table, Ttl, WriteBatch};
//!
//! let dir = tempfile::tempdir()?;
//! let path = dir.path().join("leases.redb");
//! let mut batch = WriteBatch::default();
//! batch.put_lease(LeaseRow::new(LeaseId::new(7).expect("not zero"), Ttl::new(60)?));
//! batch.put(Table::new("keys"), "lock/a", "held by lease 7");
//! RedbBackend::open(&path)?.commit(&batch)?;
//!
//! let backend = RedbBackend::open(&path)?;
//! let mut rows = Vec::new();
//! backend.load(&mut |row| rows.push(row))?;
//! assert_eq!(rows.len(), 1);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # One batch, one transaction
//!
//! A [`WriteBatch`](lease_core::WriteBatch) carries lease rows and rows of the host's. Every
//! backend applies it wholly or not at all, and durably, so that a lease and the keys that hang on
//! it never part. When to commit is not decided here: group commit and batching are the lessor's.
//!
//! # Which one
//!
//! | backend | feature | for |
//! |---|---|---|
//! | [`MemoryBackend`] | | tests, simulations, hosts whose log is the truth |
//! | [`RedbBackend`] | `redb`, on by default | everybody else |
//! | `FjallBackend` | `fjall` | large random batches on a large table, slower to open and to load |
//!
//! A host with a redb database of its own writes leases into its own transactions with
//! [`redb::apply`].
//!
//! # The bytes
//!
//! A lease row is etcd's: eight bytes of id, big-endian, and a `leasepb.Lease`. What fencing needs
//! beside that is in fields that etcd skips and that are absent where nothing was supplied, so
//! that [`MemoryBackend::dump`] is byte for byte etcd's bucket.
//!
//! # Writing another one
//!
//! With the feature `testing`, `conformance::check` runs every property that the lessor relies on
//! in one line. The module `testing` has a disk that loses power in the middle of a write, a model
//! and random batches.
//!
//! With the feature `serde`, the options of redb are read from and written to serde's formats.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

#[cfg(feature = "testing")]
pub mod conformance;
#[cfg(feature = "fjall")]
mod fjall;
mod memory;
mod packed_row;
#[cfg(feature = "redb")]
pub mod redb;
mod row;
#[cfg(feature = "testing")]
pub mod testing;

#[cfg(feature = "fjall")]
pub use self::fjall::FjallBackend;
#[cfg(feature = "redb")]
pub use self::redb::{IntegrityCheck, RedbBackend, RedbOptions, RepairMode};
pub use memory::MemoryBackend;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
