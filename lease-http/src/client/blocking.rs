//! The client for threads: the same calls, which block until the answer is there.
//!
//! ```
//! use lease_core::{LeaseId, Ttl};
//! use lease_http::blocking::{Transport, renew_http};
//! use lease_http::messages::Reply;
//! use lease_http::{ClientError, Response};
//!
//! /// Answers by itself.
//! struct Loopback;
//!
//! impl Transport for Loopback {
//!     fn post(&self, _url: &str, _body: Vec<u8>) -> Result<Response, ClientError> {
//!         let reply = Reply::renewed(LeaseId::new(7).expect("not zero"), Ttl::MIN);
//!         let (status, body) = (reply.status(), reply.into_body());
//!         Ok(Response { status, body })
//!     }
//! }
//!
//! let id = LeaseId::try_from(7)?;
//! assert_eq!(renew_http(&Loopback, id, "http://primary/leases")?, Ttl::MIN);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use lease_core::{LeaseId, Ttl};

#[cfg(feature = "ureq")]
pub use super::ureq::UreqTransport;
use crate::messages::{BatchAnswer, Call, Keys, LeaseTimes, Renew, RenewBatch, TimeToLive};
use crate::{ClientError, Response};

/// Carries requests to other members, for threads. It keeps what
/// [the async one](crate::Transport) promises.
pub trait Transport {
    /// Posts a request.
    ///
    /// # Errors
    ///
    /// [`ClientError::Unreachable`], [`ClientError::TooLarge`] and [`ClientError::BadUrl`].
    fn post(&self, url: &str, body: Vec<u8>) -> Result<Response, ClientError>;
}

/// As [`renew_http`](crate::renew_http), blocking.
///
/// # Errors
///
/// As [`renew_http`](crate::renew_http).
pub fn renew_http<T: Transport>(transport: &T, id: LeaseId, url: &str) -> Result<Ttl, ClientError> {
    ask(transport, Renew(id), url)
}

/// As [`time_to_live_http`](crate::time_to_live_http), blocking.
///
/// # Errors
///
/// As [`renew_http`](crate::renew_http).
///
/// ```no_run
/// # #[cfg(feature = "ureq")]
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use lease_core::LeaseId;
/// use lease_http::blocking::{UreqTransport, time_to_live_http};
/// use lease_http::messages::Keys;
/// use std::time::Duration;
///
/// let transport = UreqTransport::new(Duration::from_secs(7));
/// let url = "http://10.0.0.7:2380/leases/internal";
/// let times = time_to_live_http(&transport, LeaseId::try_from(7)?, Keys::Omit, url)?;
/// assert!(!times.is_expired());
/// # Ok(())
/// # }
/// ```
pub fn time_to_live_http<T: Transport>(
    transport: &T,
    id: LeaseId,
    keys: Keys,
    url: &str,
) -> Result<LeaseTimes, ClientError> {
    ask(transport, TimeToLive { id, keys }, url)
}

/// As [`renew_batch_http`](crate::renew_batch_http), blocking.
///
/// # Errors
///
/// As [`renew_batch_http`](crate::renew_batch_http).
///
/// ```no_run
/// # #[cfg(feature = "ureq")]
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use lease_core::LeaseId;
/// use lease_http::blocking::{UreqTransport, renew_batch_http};
/// use std::time::Duration;
///
/// let transport = UreqTransport::new(Duration::from_secs(7));
/// let ids = [LeaseId::try_from(7)?, LeaseId::try_from(8)?];
/// let renewed = renew_batch_http(&transport, &ids, "http://10.0.0.7:2380/leases/batch")?;
/// assert_eq!(renewed.len(), 2);
/// # Ok(())
/// # }
/// ```
pub fn renew_batch_http<T: Transport>(
    transport: &T,
    ids: &[LeaseId],
    url: &str,
) -> Result<BatchAnswer, ClientError> {
    ask(transport, RenewBatch(ids), url)
}

fn ask<T: Transport, C: Call>(transport: &T, call: C, url: &str) -> Result<C::Answer, ClientError> {
    let response = transport.post(url, call.encode())?;
    call.read(response.status, &response.body)
}
