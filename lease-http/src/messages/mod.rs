//! What goes over the wire, as values: no socket, no clock, no task.
//!
//! The asking side makes a [`Call`], sends [`Call::encode`] to [`Call::PATH`], and gives status and
//! body of the answer to [`Call::read`]. The answering side makes a [`Request`] of what came, and a
//! [`Reply`] of what the lessor said. The handler and the client of this crate do this over HTTP; a
//! simulation does it over a network of its own.
//!
//! ```
//! use lease_core::{LeaseError, LeaseId, Ttl};
//! use lease_http::ClientError;
//! use lease_http::messages::{Call, Kind, Renew, Reply, Request};
//!
//! let id = LeaseId::try_from(7)?;
//! let call = Renew(id);
//! assert_eq!(Request::decode(Renew::PATH, &call.encode())?, Request::Renew(Some(id)));
//!
//! let reply = Reply::renewed(id, Ttl::new(60)?);
//! assert_eq!(call.read(reply.status(), reply.body())?.as_secs(), 60);
//!
//! let refused = Reply::refused(Kind::Renew, &LeaseError::LeaseNotFound);
//! let error = call.read(refused.status(), refused.body());
//! assert_eq!(error, Err(ClientError::NotFound));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod call;
mod path;
mod reply;
mod request;
mod time_to_live;
mod timeouts;

pub use call::{BatchAnswer, Call, Keys, Kind, Renew, RenewBatch, TimeToLive};
pub use reply::{Outcome, Reply};
pub use request::{Request, check_lease, check_method};
pub use time_to_live::LeaseTimes;
pub use timeouts::Timeouts;

/// Where renewals are served: `/leases`, as in etcd.
///
/// ```
/// use lease_http::LEASE_PREFIX;
///
/// let member = "http://10.0.0.7:2380";
/// assert_eq!(format!("{member}{LEASE_PREFIX}"), "http://10.0.0.7:2380/leases");
/// ```
pub const LEASE_PREFIX: &str = "/leases";

/// Where a lease's time to live is told: `/leases/internal`, as in etcd.
pub const LEASE_INTERNAL_PREFIX: &str = "/leases/internal";

/// Where renewals are served in batches: `/leases/batch`. Etcd does not have it.
pub const LEASE_BATCH_PREFIX: &str = "/leases/batch";

/// The largest body of a request: 65,536 bytes, as in etcd from v3.6.14 on.
pub const MAX_REQUEST_LEN: usize = 64 << 10;

/// The largest body of an answer: 104,857,600 bytes, as in etcd from v3.6.14 on. A lease's keys have
/// to fit in.
pub const MAX_RESPONSE_LEN: usize = 100 << 20;

/// The largest number of leases in a batch: 8,000, which is what a request has room for.
pub const MAX_BATCH: usize = 8_000;

/// The content type of requests and of good answers, as in etcd. Nobody looks at that of a request.
pub const CONTENT_TYPE: &str = "application/protobuf";
