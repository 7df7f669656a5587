//! A program of somebody else's, which `cargo xtask package` builds with the packages of this
//! project: it uses what each feature of the facade brings.

use lease::http::{HyperTransport, handler};
use lease::metrics::{FacadeMetrics, TracingObserver};
use lease::prelude::*;
use std::error::Error;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    metrics::counter!("starts").increment(1);
    tracing::info!("started");
    let observers: Vec<Arc<dyn lease::Observer>> =
        vec![Arc::new(FacadeMetrics::new()), Arc::new(TracingObserver)];
    let lessor = BackendLessor::builder(Arc::new(RedbBackend::open("leases.redb")?))
        .expiry(ExpiryMode::AutoRevoke)
        .observer(Arc::new(observers))
        .build()?;
    lessor.promote(Duration::ZERO)?;
    let id = lessor.grant_new(Duration::from_secs(60))?.id();
    lessor.attach(id, &["services/web/1".into()])?;
    let _router = handler(Arc::new(lessor), || ready(Ok(()))).router::<()>();
    let _transport = HyperTransport::new(Duration::from_secs(7));
    Ok(())
}
