use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::stream::{self, StreamExt};
use lease_core::{LeaseId, LessorConfig, Ttl};
use lease_raft::{Member, MemberOptions, ReplicaError, ReplicaOptions, ReplicatedLessor};

/// A call that takes longer has failed.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// The options of a member: the defaults, but that the revoke of what has expired has no rate.
pub(crate) fn options(dir: &Path, member: u64, address: &str) -> MemberOptions {
    let config = LessorConfig {
        min_ttl: Ttl::MIN,
        revoke_rate_per_sec: None,
        ..LessorConfig::default()
    };
    MemberOptions::new(dir.join(member.to_string()), "bench", member, address).replica(
        ReplicaOptions {
            config,
            ..ReplicaOptions::default()
        },
    )
}

/// Addresses on loopback that nobody listens at.
///
/// # Errors
///
/// If there is none.
pub(crate) fn free_addresses(count: u64) -> Result<Vec<String>> {
    let listeners: Result<Vec<_>, _> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect();
    let addresses = listeners?.into_iter().map(|it| it.local_addr());
    let addresses: Result<Vec<_>, _> = addresses.collect();
    Ok(addresses?.iter().map(ToString::to_string).collect())
}

/// Starts a cluster whose first member leads.
///
/// # Errors
///
/// If a member does not start or is not admitted.
pub(crate) async fn start(dir: &Path, count: u64) -> Result<Vec<Member>> {
    let addresses = free_addresses(count)?;
    let first = addresses.first().context("a cluster has a member")?;
    let mut members = vec![Member::start(options(dir, 1, first)).await?];
    for (member, address) in (2..).zip(&addresses[1..]) {
        members.push(join(dir, member, address, first).await?);
    }
    Ok(members)
}

/// Has a member join the cluster of the first one.
///
/// # Errors
///
/// If it does not start or is not admitted.
pub(crate) async fn join(dir: &Path, member: u64, address: &str, first: &str) -> Result<Member> {
    let options = options(dir, member, address);
    Ok(Member::join(options, &[(1, first)], TIMEOUT).await?)
}

/// Grants leases, many at a time.
///
/// # Errors
///
/// If one is refused or not known to be granted.
pub(crate) async fn grant_all(
    lessor: &ReplicatedLessor,
    ids: &[LeaseId],
    ttl: i64,
) -> Result<(), ReplicaError> {
    let grants = stream::iter(ids).map(|id| lessor.grant(*id, ttl, TIMEOUT));
    let mut grants = grants.buffer_unordered(AT_A_TIME);
    while let Some(granted) = grants.next().await {
        granted?;
    }
    Ok(())
}

const AT_A_TIME: usize = 4096;
