//! A lessor that is replicated by a consensus engine: openraft by default, any other by a small trait.
//!
//! ```no_run
//! # #[cfg(not(all(feature = "grpc", feature = "openraft")))]
//! # fn main() {}
//! # #[cfg(all(feature = "grpc", feature = "openraft"))]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use lease_raft::{Member, MemberOptions};
//! use std::time::Duration;
//!
//! let timeout = Duration::from_secs(10);
//! // A cluster of one, in a directory. `Member::join` makes it one of three.
//! let options = MemberOptions::new("/var/lib/leases", "blue", 1, "10.0.0.1:7351");
//! let member = Member::start(options).await?;
//!
//! let granted = member.lessor().grant_new(60, timeout).await?; // durable, on a majority
//! member.lessor().renew(granted.id, timeout).await?; // 60 more seconds, whoever leads
//! member.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # A member
//!
//! With the features `grpc` and `openraft`, both on by default, a `Member` is all of it on tokio: one file in a
//! directory, openraft, and gRPC to the others. One starts, others join it; whenever one is started again it joins,
//! and goes on from its file. Any member may be asked for leases, and for changes of the members: it goes to the leader
//! by itself. Whoever builds on something else than tokio and gRPC puts the parts together himself:
//!
//! # The replica
//!
//! A [`Replica`] is a member: a lessor, and what a host with a log does around it. It applies committed
//! entries, each in one transaction with its index; it begins an epoch by the first entry of a term and is
//! the primary when that is applied; it has a quorum confirm that it leads before a renewal is
//! acknowledged, once for all that wait; it has revoked what has expired; it takes and installs snapshots.
//! Callers have a [`ReplicatedLessor`] at whatever member, which goes to the leader by itself.
//!
//! What it needs of its host are four small traits: an [`Engine`] that replicates entries, a [`Store`] that
//! keeps the state, [`Peers`] through which members ask each other, and a [`Runtime`] in which it runs. A
//! host with state of its own brings a [`StateMachine`], whose rows change in the transactions of the
//! leases that they belong to.
//!
//! # openraft
//!
//! With the feature `openraft`, `OpenraftEngine` is the engine and `RedbStore` the store: one file for each
//! member. With the feature `grpc`, the module of this name has the `Peers`.
//!
//! # An unknown outcome
//!
//! A call ends by its timeout. [`ReplicaError::Unknown`] says that what was asked for may have happened, or
//! may still happen; every other error says that it has not and will not. A renewal, which may be repeated any
//! number of times, ends with [`ReplicaError::DeadlineExceeded`] also if it may have happened. Attempts that
//! the lessor repeats by itself happen once.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod engine;
mod entry;
mod error;
#[cfg(feature = "grpc")]
pub mod grpc;
mod lessor;
mod machine;
#[cfg(madsim)]
mod madsim_runtime;
#[cfg(all(feature = "grpc", feature = "openraft"))]
mod member;
mod peers;
#[cfg(madsim)]
#[doc(hidden)]
pub mod probe;
#[cfg(not(madsim))]
mod probe;
#[cfg(feature = "openraft")]
mod raft;
#[cfg(feature = "openraft")]
mod redb_store;
mod replica;
mod runtime;
mod store;
#[cfg(feature = "openraft")]
mod tokio_runtime;
#[cfg(feature = "openraft")]
mod watch;

pub use engine::{Engine, Leadership, MemberId, ProposeError, Unconfirmed};
pub use error::ReplicaError;
#[doc(no_inline)]
pub use lease_http::messages::{Keys, LeaseTimes};
pub use lessor::{Consistency, Granted, ReplicatedLessor};
pub use machine::{Decided, Leases, NoMachine, StateMachine};
#[cfg(madsim)]
pub use madsim_runtime::MadsimRuntime;
#[cfg(all(feature = "grpc", feature = "metrics", feature = "openraft"))]
pub use member::MemberMetrics;
#[cfg(all(feature = "grpc", feature = "openraft"))]
pub use member::{JoinAs, Member, MemberOptions, MemberStatus, StartError, StopError};
pub use peers::{PeerAnswer, PeerError, Peers};
#[cfg(feature = "openraft")]
pub use raft::{
    EngineError, EngineStatus, Members, MembershipError, OpenraftEngine, OpenraftOptions, Role,
};
#[cfg(feature = "openraft")]
pub use redb_store::RedbStore;
pub use replica::{
    ApplyError, Committed, InstallError, Parts, Replica, ReplicaOptions, ReplicaStats, Snapshot,
};
pub use runtime::Runtime;
pub use store::{Fill, Store, View, VisitRow};
#[cfg(feature = "openraft")]
pub use tokio_runtime::TokioRuntime;

#[cfg(all(doctest, feature = "grpc", feature = "openraft"))]
#[doc = include_str!("../README.md")]
struct Readme;
