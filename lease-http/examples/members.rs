//! Two members of a cluster: the primary serves, and the other one renews the leases of its clients
//! there, from tasks and from a thread.
//!
//! Run it with `cargo run -p lease-http --features ureq --example members`.
#![expect(clippy::print_stdout, reason = "an example talks")]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use lease_core::{BackendLessor, BoxError, ExpiryMode, LeaseError, LeaseId, Lessor, NullBackend};
use lease_http::blocking::{self, UreqTransport};
use lease_http::messages::Keys;
use lease_http::{
    ClientError, Coalescer, CoalescerOptions, HyperTransport, LEASE_INTERNAL_PREFIX, LEASE_PREFIX,
    handler, time_to_live_http,
};
use tokio::net::TcpSocket;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};

/// Waits until this member has applied what is committed. A host with a log compares two indexes of
/// it; this one is behind as long as it has no permit.
async fn wait_applied(applied: Arc<Semaphore>) -> Result<(), LeaseError> {
    let permit = applied.acquire().await;
    permit.map(drop).map_err(|_| LeaseError::Stopped)
}

/// Starts the primary beside a path of the host's own, and returns its address.
async fn serve(lessor: &Arc<BackendLessor>, applied: &Arc<Semaphore>) -> Result<String, BoxError> {
    let applied = Arc::clone(applied);
    let leases = handler(Arc::clone(lessor), move || {
        wait_applied(Arc::clone(&applied))
    });
    let router = Router::new()
        .route("/version", get(|| async { "1" }))
        .merge(leases.router());
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    // Many members may connect at once, and `TcpListener::bind` lets only 128 wait.
    let listener = socket.listen(4096)?;
    let address = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async { axum::serve(listener, router).await });
    Ok(address)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let lessor = BackendLessor::builder(Arc::new(NullBackend))
        .expiry(ExpiryMode::AutoRevoke)
        .build()?;
    let lessor = Arc::new(lessor);
    lessor.promote(Duration::ZERO)?;
    for number in 1..=100 {
        lessor.grant(LeaseId::try_from(number)?, 60)?;
    }
    let first = LeaseId::try_from(1)?;
    lessor.attach(first, &["services/web/1".into()])?;
    let applied = Arc::new(Semaphore::new(1));
    let primary = serve(&lessor, &applied).await?;

    let transport = HyperTransport::new(Duration::from_secs(7));
    let options = CoalescerOptions::default();
    let renewals = Coalescer::new(transport.clone(), primary.clone(), options);
    let mut clients = JoinSet::new();
    for number in 1..=100 {
        let (renewals, id) = (renewals.clone(), LeaseId::try_from(number)?);
        clients.spawn(async move { renewals.renew(id).await });
    }
    let renewed: Result<Vec<_>, _> = clients.join_all().await.into_iter().collect();
    println!("renewed {} leases in one request", renewed?.len());

    let url = format!("{primary}{LEASE_INTERNAL_PREFIX}");
    let times = time_to_live_http(&transport, first, Keys::List, &url).await?;
    let (left, granted) = (times.remaining_secs, times.granted);
    println!(
        "lease {first}: {left} s of {granted} left, {:?}",
        times.keys
    );

    let url = format!("{primary}{LEASE_PREFIX}");
    let renew = move || {
        let transport = UreqTransport::new(Duration::from_secs(7));
        blocking::renew_http(&transport, first, &url)
    };
    println!(
        "renewed lease 1 from a thread for {}",
        spawn_blocking(renew).await??
    );

    let unknown = renewals.renew(LeaseId::try_from(404)?).await;
    assert_eq!(unknown, Err(ClientError::NotFound));
    let lags = applied.acquire().await?;
    let behind = renewals.renew(first).await;
    assert_eq!(behind, Err(ClientError::NotCaughtUp));
    drop(lags);
    lessor.demote();
    let demoted = renewals.renew(first).await;
    assert_eq!(demoted, Err(ClientError::Demoted));
    for error in [unknown, behind, demoted]
        .into_iter()
        .filter_map(Result::err)
    {
        let then = if error.asks_another() {
            "ask another member"
        } else {
            "give up"
        };
        println!("{error}: {then}");
    }
    Ok(())
}
