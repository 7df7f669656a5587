//! etcd's `leasehttp`: how the members of a cluster renew leases at the primary and ask it how long
//! they have left.
//!
//! ```
//! use lease_core::{BackendLessor, LeaseId, Lessor, NullBackend};
//! use lease_http::{HyperTransport, LEASE_PREFIX, handler, renew_http};
//! use std::{future::ready, sync::Arc, time::Duration};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let lessor = Arc::new(BackendLessor::builder(Arc::new(NullBackend)).build()?);
//! lessor.promote(Duration::ZERO)?;
//! let id = LeaseId::try_from(7)?;
//! lessor.grant(id, 60)?;
//!
//! // The primary serves; without a log there is nothing to catch up with.
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let url = format!("http://{}{LEASE_PREFIX}", listener.local_addr()?);
//! let router = handler(lessor, || ready(Ok(()))).router();
//! tokio::spawn(async { axum::serve(listener, router).await });
//!
//! // Another member renews.
//! let transport = HyperTransport::new(Duration::from_secs(7));
//! assert_eq!(renew_http(&transport, id, &url).await?.as_secs(), 60);
//! # Ok(())
//! # }
//! ```
//!
//! # The handler
//!
//! [`handler`] makes a tower service, and an axum router, of a lessor. It answers as etcd's does:
//! paths, statuses, texts and limits are held against recorded exchanges with etcd v3.6.10, and its
//! client and etcd's handler understand this crate as well. A host serves it as it serves its other
//! paths; [`serve()`] is the fastest way, and [`serve_until`] ends when the host does.
//!
//! A primary hears from many members at once. `TcpListener::bind` has a queue of 128 connections, and
//! beyond it the system cuts them: the client is told [`Unreachable`](ClientError::Unreachable), with
//! "connection reset". Listen with a longer queue, as etcd does: `TcpSocket::listen(4096)`.
//!
//! # The client
//!
//! [`renew_http`] and [`time_to_live_http`] ask over a [`Transport`]; [`HyperTransport`] is one for
//! async callers, and [`blocking`] has the same for threads, with `UreqTransport` (feature `ureq`). What
//! went wrong is a [`ClientError`], which tells whether another member is worth asking.
//!
//! # Batches
//!
//! Beyond etcd, many leases are renewed in one request: [`renew_batch_http`]. [`Coalescer`] does it
//! for callers that know nothing of each other, and asks one by one where a member knows no batches.
//!
//! # Features
//!
//! - `axum`, `coalesce`, `hyper`, `serve` (default): the handler as a router, [`Coalescer`],
//!   [`HyperTransport`], [`serve()`] and [`serve_until`].
//! - `server`: the handler as a tower service alone. `client`: the calls alone, over a transport of
//!   the host's. `ureq`: the transport for threads.
//! - `metrics`: the handler's counters for the facade of that name. `tracing`: a span for each
//!   request.
//! - `serde`: [`Timeouts`], [`LeaseTimes`](messages::LeaseTimes) and
//!   [`CoalescerOptions`] in the formats of serde.
//!
//! Without any of them there are the [`messages`], which do no I/O: a simulation sends them over its
//! own network.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

#[cfg(any(feature = "hyper", feature = "serve"))]
mod bell;
#[cfg(feature = "client")]
mod client;
mod error;
pub mod messages;
#[cfg(feature = "server")]
mod server;

#[cfg(feature = "coalesce")]
pub use client::coalesce::{Coalescer, CoalescerOptions};
#[cfg(feature = "hyper")]
pub use client::hyper::HyperTransport;
#[cfg(feature = "client")]
pub use client::{
    blocking,
    calls::{renew_batch_http, renew_http, time_to_live_http},
    transport::{Response, Transport},
};
pub use error::ClientError;
pub use messages::{LEASE_BATCH_PREFIX, LEASE_INTERNAL_PREFIX, LEASE_PREFIX, Timeouts};
#[cfg(feature = "metrics")]
pub use server::metrics::HandlerMetrics;
#[cfg(feature = "serve")]
pub use server::serve::{serve, serve_until};
#[cfg(feature = "server")]
pub use server::{Handler, handler};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
