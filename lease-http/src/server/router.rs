use std::future::Future;

use axum::Router;
use lease_core::LeaseError;

use super::Handler;
use crate::messages::{LEASE_BATCH_PREFIX, LEASE_INTERNAL_PREFIX, LEASE_PREFIX};

impl<W, F> Handler<W>
where
    W: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), LeaseError>> + Send + 'static,
{
    /// A router with the handler's paths alone, which a host merges into its own.
    ///
    /// ```
    /// use lease_core::{BackendLessor, NullBackend};
    /// use lease_http::handler;
    /// use std::{future::ready, sync::Arc};
    ///
    /// let lessor = Arc::new(BackendLessor::builder(Arc::new(NullBackend)).build()?);
    /// let leases = handler(lessor, || ready(Ok(()))).router();
    /// let all: axum::Router = axum::Router::new().merge(leases);
    /// # Ok::<(), lease_core::LeaseError>(())
    /// ```
    pub fn router<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        [LEASE_PREFIX, LEASE_INTERNAL_PREFIX, LEASE_BATCH_PREFIX]
            .into_iter()
            .fold(Router::new(), |router, path| {
                router.route_service(path, self.clone())
            })
    }
}
