//! Time-limited leases over arbitrary resources, with the semantics of etcd's `server/v3/lease`.
//!
//! ```
//! use lease::prelude::*;
//! use std::{error::Error, sync::Arc, time::Duration};
//!
//! # #[cfg(not(feature = "redb"))]
//! # fn main() {}
//! # #[cfg(feature = "redb")]
//! fn main() -> Result<(), Box<dyn Error>> {
//!     let path = "leases.redb";
//! #   let dir = tempfile::tempdir()?;
//! #   let path = dir.path().join(path);
//!     // Opens the file, or makes it; revokes what has expired by itself.
//!     let lessor = BackendLessor::standalone(Arc::new(RedbBackend::open(path)?))?;
//!
//!     let id = lessor.grant_new(Duration::from_secs(60))?.id(); // durable when it returns
//!     lessor.attach(id, &["services/web/1".into()])?; // so is this: a restart finds it
//!     assert_eq!(lessor.get_lease(b"services/web/1"), Some(id));
//!     assert_eq!(lessor.renew(id)?.as_secs(), 60); // 60 more seconds
//!     Ok(())
//! }
//! ```
//!
//! This crate has no code of its own: it is `lease-core` with what belongs around it.
//!
//! | here | crate | what |
//! |---|---|---|
//! | [`lease`](crate) itself | `lease-core` | the lessor: [`BackendLessor`], or [`LessorCore`] without threads and storage |
//! | [`backend`] | `lease-backend` | storage; the backends themselves are here too |
//! | `http` | `lease-http` | etcd's `leasehttp`: members renew leases at the primary |
//! | [`pb`] | `lease-pb` | the protocol buffer messages of etcd's leases |
//! | [`queue`] | `lease-queue` | the expiry queues alone |
//! | `raft` | `lease-raft` | a lessor that is replicated by openraft |
//!
//! The [`prelude`] has the names that a program with a lessor of its own needs.
//!
//! # Features
//!
//! - `redb` (default): [`RedbBackend`]. `fjall`: `FjallBackend`.
//! - `async`: `AsyncLessor`, the handle for tasks, which never blocks an executor's thread, and streams. It
//!   works on any runtime and brings none; `tokio` is the same under the name by which many look for it.
//! - `http`: the module `http`, with the handler as an axum router, what serves it, and a client for
//!   tasks. A program that wants less of it, or the client for threads, depends on `lease-http` beside
//!   this crate.
//! - `raft`: the module `raft`, a lessor that is replicated by openraft, with its log in redb and gRPC
//!   between its members.
//! - `tracing` (default): a lessor warns of what its host seems to have forgotten (to promote it, or to take
//!   expired leases), and of work in the background that fails. Also an observer for all else.
//! - `metrics`, `prometheus-client`: observers that feed the crates of these names. They are in the module
//!   `metrics`.
//! - `serde`: what is public can be read from and written to serde's formats, see the features of
//!   `lease-core`.
//! - `testing`: fakes for tests of code that uses a lessor, and the conformance suite for backends.
//!
//! A host without `std` depends on `lease-core` alone.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

pub mod prelude;

#[doc(no_inline)]
pub use lease_backend as backend;
#[cfg(feature = "fjall")]
pub use lease_backend::FjallBackend;
pub use lease_backend::MemoryBackend;
#[cfg(feature = "redb")]
pub use lease_backend::{IntegrityCheck, RedbBackend, RedbOptions, RepairMode};
#[doc(inline)]
pub use lease_core::*;
#[cfg(feature = "http")]
#[doc(no_inline)]
pub use lease_http as http;
#[doc(no_inline)]
pub use lease_pb as pb;
#[doc(no_inline)]
pub use lease_queue as queue;
#[cfg(feature = "raft")]
#[doc(no_inline)]
pub use lease_raft as raft;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
