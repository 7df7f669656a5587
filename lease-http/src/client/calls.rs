use lease_core::{LeaseId, Ttl};

use super::transport::Transport;
use crate::ClientError;
use crate::messages::{BatchAnswer, Call, Keys, LeaseTimes, Renew, RenewBatch, TimeToLive};

/// Renews a lease at the primary and returns its TTL: etcd's `RenewHTTP`.
///
/// `url` is the primary's address and [`LEASE_PREFIX`](crate::LEASE_PREFIX). The answer comes when
/// the renewal is done; for a lease that has just expired it is waited for its end. To drop the
/// future ends the request; the primary may have renewed all the same.
///
/// # Errors
///
/// A [`ClientError`]; [`ClientError::asks_another`] tells whether another try is worth it.
///
/// ```
/// use lease_core::LeaseId;
/// use lease_http::{ClientError, HyperTransport, renew_http};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), lease_core::LeaseError> {
/// let transport = HyperTransport::new(Duration::from_secs(1));
/// let id = LeaseId::try_from(7)?;
/// let nobody_there = renew_http(&transport, id, "http://127.0.0.1:1/leases").await;
/// assert!(matches!(nobody_there, Err(ClientError::Unreachable(_))));
/// # Ok(())
/// # }
/// ```
pub async fn renew_http<T: Transport>(
    transport: &T,
    id: LeaseId,
    url: &str,
) -> Result<Ttl, ClientError> {
    ask(transport, Renew(id), url).await
}

/// Asks the primary how long a lease has left: etcd's `TimeToLiveHTTP`.
///
/// `url` is the primary's address and [`LEASE_INTERNAL_PREFIX`](crate::LEASE_INTERNAL_PREFIX).
///
/// # Errors
///
/// As [`renew_http`].
///
/// ```no_run
/// use lease_core::LeaseId;
/// use lease_http::messages::Keys;
/// use lease_http::{HyperTransport, time_to_live_http};
/// use std::time::Duration;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let transport = HyperTransport::new(Duration::from_secs(7));
/// let id = LeaseId::try_from(7)?;
/// let url = "http://10.0.0.7:2380/leases/internal";
/// let times = time_to_live_http(&transport, id, Keys::List, url).await?;
/// println!("{} of {} s left, {:?}", times.remaining_secs, times.granted, times.keys);
/// # Ok(())
/// # }
/// ```
pub async fn time_to_live_http<T: Transport>(
    transport: &T,
    id: LeaseId,
    keys: Keys,
    url: &str,
) -> Result<LeaseTimes, ClientError> {
    ask(transport, TimeToLive { id, keys }, url).await
}

/// Renews leases at the primary in one request, and answers for each in their order. Etcd has
/// nothing of the kind.
///
/// `url` is the primary's address and [`LEASE_BATCH_PREFIX`](crate::LEASE_BATCH_PREFIX); `ids` are
/// at most [`MAX_BATCH`](crate::messages::MAX_BATCH). A renewal that would have to wait is refused
/// with [`ClientError::MustWait`], so that it does not keep the others:
/// [`renew_http`] waits.
///
/// # Errors
///
/// [`ClientError::NoBatches`] if the member does not know them, as etcd, or one of an older
/// version; else as [`renew_http`].
///
/// ```no_run
/// use lease_core::LeaseId;
/// use lease_http::{HyperTransport, renew_batch_http};
/// use std::time::Duration;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let transport = HyperTransport::new(Duration::from_secs(7));
/// let ids = [LeaseId::try_from(7)?, LeaseId::try_from(8)?];
/// let renewed = renew_batch_http(&transport, &ids, "http://10.0.0.7:2380/leases/batch").await?;
/// assert_eq!(renewed.len(), 2);
/// # Ok(())
/// # }
/// ```
pub async fn renew_batch_http<T: Transport>(
    transport: &T,
    ids: &[LeaseId],
    url: &str,
) -> Result<BatchAnswer, ClientError> {
    ask(transport, RenewBatch(ids), url).await
}

async fn ask<T: Transport, C: Call>(
    transport: &T,
    call: C,
    url: &str,
) -> Result<C::Answer, ClientError> {
    let response = transport.post(url, call.encode()).await?;
    call.read(response.status, &response.body)
}
