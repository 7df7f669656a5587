use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::future::try_join_all;
use lease_bench::shuffled_ids;
use lease_core::LeaseId;
use lease_raft::{ReplicaError, ReplicatedLessor};

use crate::members::{TIMEOUT, grant_all, start};

/// Leases that are renewed.
const RENEWED: usize = 10_000;

/// Leases in one call of `renew_many`.
const BATCH: usize = 1_000;

/// Leases that expire.
const EXPIRING: i64 = 20_000;

const EXPIRING_TTL: i64 = 3;

/// Measures a cluster of so many members, through its leader and, if there is one, a follower.
///
/// # Errors
///
/// If a member does not start, or a command fails.
pub(crate) async fn run(dir: &Path, count: u64, callers: usize, span: Duration) -> Result<()> {
    let dir = dir.join(format!("of-{count}"));
    let members = start(&dir, count).await?;
    let leader = members[0].lessor().clone();
    measure(&format!("{count} members"), &leader, callers, span).await?;
    if let Some(follower) = members.get(1) {
        let name = format!("{count} members, through a follower");
        measure(&name, follower.lessor(), callers, span).await?;
    }
    expire(&format!("{count} members"), &leader).await?;
    for member in members {
        member.stop().await?;
    }
    Ok(())
}

async fn measure(
    name: &str,
    lessor: &ReplicatedLessor,
    callers: usize,
    span: Duration,
) -> Result<()> {
    // Each id once, so that a grant is never refused; the revokes are of the same ones.
    let first = 1 << 40;
    let next = Arc::new(AtomicUsize::new(0));
    let grants = rate(callers, span, || {
        let id = id_of(first, next.fetch_add(1, Ordering::Relaxed));
        async move { lessor.grant(id, 3600, TIMEOUT).await.map(drop) }
    });
    report(name, "grants", callers, grants.await?);

    let granted = next.load(Ordering::Relaxed);
    let revoked = AtomicUsize::new(0);
    let start = Instant::now();
    let revokes = (0..callers).map(|_| async {
        loop {
            let at = revoked.fetch_add(1, Ordering::Relaxed);
            if at >= granted {
                return Ok::<_, ReplicaError>(());
            }
            lessor.revoke(id_of(first, at), TIMEOUT).await?;
        }
    });
    try_join_all(revokes).await?;
    let per_second = granted as f64 / start.elapsed().as_secs_f64();
    report(name, "revokes", callers, per_second);

    let ids = shuffled_ids(RENEWED);
    grant_all(lessor, &ids, 3600).await?;
    let next = AtomicUsize::new(0);
    let renewals = rate(callers, span, || {
        let id = ids[next.fetch_add(1, Ordering::Relaxed) % ids.len()];
        async move { lessor.renew(id, TIMEOUT).await.map(drop) }
    });
    report(name, "renewals", callers, renewals.await?);

    let batches = rate(1, span, || {
        let at = next.fetch_add(BATCH, Ordering::Relaxed) % ids.len();
        let batch = &ids[at / BATCH * BATCH..][..BATCH];
        async move {
            let renewed = lessor.renew_many(batch, TIMEOUT).await;
            renewed.into_iter().try_for_each(|one| one.map(drop))
        }
    });
    let per_second = batches.await? * BATCH as f64;
    report(name, "renewals, a thousand in a call", 1, per_second);
    for id in &ids {
        // They are in nobody's way, but the next measurement grants them again.
        lessor.revoke(*id, TIMEOUT).await?;
    }
    Ok(())
}

/// How many leases that expire together are gone a second.
async fn expire(name: &str, lessor: &ReplicatedLessor) -> Result<()> {
    let ids: Vec<_> = (1..=EXPIRING).filter_map(LeaseId::new).collect();
    // What has expired before all are there is not counted.
    grant_all(lessor, &ids, EXPIRING_TTL).await?;
    let (start, at_start) = (Instant::now(), lessor.stats().lessor);
    let left = at_start.leases;
    let (mut begin, mut gone) = (None, at_start.revoked);
    while lessor.stats().lessor.leases > 0 {
        let revoked = lessor.stats().lessor.revoked;
        if begin.is_none() && revoked > gone {
            (begin, gone) = (Some(Instant::now()), revoked);
        }
        anyhow::ensure!(start.elapsed() < TIMEOUT, "{left} leases do not expire");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let begin = begin.context("nothing has expired")?;
    let count = lessor.stats().lessor.revoked - gone;
    report(
        name,
        "expiries",
        0,
        count as f64 / begin.elapsed().as_secs_f64(),
    );
    Ok(())
}

/// How often a second it is done, by callers who each do it again and again.
async fn rate<F>(callers: usize, span: Duration, call: impl Fn() -> F) -> Result<f64, ReplicaError>
where
    F: Future<Output = Result<(), ReplicaError>>,
{
    let done = AtomicU64::new(0);
    let start = Instant::now();
    let calling = (0..callers).map(|_| async {
        while start.elapsed() < span {
            call().await?;
            done.fetch_add(1, Ordering::Relaxed);
        }
        Ok::<_, ReplicaError>(())
    });
    try_join_all(calling).await?;
    Ok(done.into_inner() as f64 / start.elapsed().as_secs_f64())
}

fn id_of(first: i64, at: usize) -> LeaseId {
    LeaseId::new(first + at as i64).expect("not zero")
}

fn report(name: &str, what: &str, callers: usize, per_second: f64) {
    let callers = match callers {
        0 => String::new(),
        1 => ", one caller".to_owned(),
        callers => format!(", {callers} callers"),
    };
    println!("{name}: {per_second:.0} {what} a second{callers}");
}
