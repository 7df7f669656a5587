use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lease_bench::shuffled_ids;
use lease_core::LeaseId;
use lease_raft::{Member, ReplicaError};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::members::{TIMEOUT, free_addresses, grant_all, join, options};

/// Kills the leader of three members that have so many leases, and prints how long each step takes.
///
/// # Errors
///
/// If a member does not start, or nobody takes over.
pub(crate) async fn run(dir: &Path, leases: usize) -> Result<()> {
    std::fs::create_dir_all(dir)?;
    let addresses = free_addresses(3)?;
    let mut leader = spawn(dir, &addresses[0]).await?;
    let mut others = Vec::new();
    for (member, address) in (2..).zip(&addresses[1..]) {
        others.push(join(dir, member, address, &addresses[0]).await?);
    }
    let ids = shuffled_ids(leases);
    grant_all(others[0].lessor(), &ids, 3600).await?;
    for member in &others {
        // One that lags behind would take the time for that.
        member.lessor().catch_up(TIMEOUT).await?;
    }
    let leads = others.iter().all(|it| it.lessor().leader() == Some(1));
    ensure!(leads, "the first member does not lead");

    leader.kill().await?;
    let killed = Instant::now();
    let watched = watch(&others, leases, killed);
    let renewed = renew(&others[0], ids[0], killed);
    let (steps, renewed) = tokio::try_join!(watched, renewed)?;
    println!(
        "{leases} leases: elected after {:.0?}, the primary {:.1?} later; a lease was renewed {:.1?} after the \
         election, and all were scheduled {:.1?} after the promotion",
        steps.elected,
        steps.primary.saturating_sub(steps.elected),
        renewed.saturating_sub(steps.elected),
        steps.scheduled.saturating_sub(steps.primary),
    );
    for member in others {
        member.stop().await?;
    }
    std::fs::remove_dir_all(dir)?;
    Ok(())
}

/// Runs the member that is killed.
///
/// # Errors
///
/// If it does not start.
pub(crate) async fn serve(dir: &Path, address: &str) -> Result<()> {
    let _member = Member::start(options(dir, 1, address)).await?;
    println!("ready");
    // Until it is killed, or whoever has started it is gone.
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}

async fn spawn(dir: &Path, address: &str) -> Result<Child> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("member")
        .arg(dir)
        .arg(address)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = child.stdout.take().context("it has an output")?;
    let mut lines = BufReader::new(output).lines();
    let ready = timeout(TIMEOUT, lines.next_line()).await??;
    ready.context("the member has not started")?;
    Ok(child)
}

/// What happens, each counted from the kill.
struct Steps {
    /// A member knows that it leads.
    elected: Duration,
    /// It is the primary.
    primary: Duration,
    /// It knows when each lease expires.
    scheduled: Duration,
}

async fn watch(others: &[Member], leases: usize, killed: Instant) -> Result<Steps> {
    let by = |is_so: fn(&Member, usize) -> bool| async move {
        while !others.iter().any(|member| is_so(member, leases)) {
            ensure!(killed.elapsed() < TIMEOUT, "nobody takes over");
            sleep(Duration::from_micros(200)).await;
        }
        Ok(killed.elapsed())
    };
    Ok(Steps {
        elected: by(|member, _| member.lessor().is_leader()).await?,
        primary: by(|member, _| member.lessor().is_primary()).await?,
        scheduled: by(|member, leases| {
            let stats = member.lessor().stats();
            stats.epoch.is_some() && stats.lessor.expiry_entries >= leases
        })
        .await?,
    })
}

/// Renews a lease as soon as somebody does.
async fn renew(member: &Member, id: LeaseId, killed: Instant) -> Result<Duration> {
    while member.lessor().leader() == Some(1) {
        sleep(Duration::from_micros(200)).await;
    }
    loop {
        match member.lessor().renew(id, Duration::from_millis(100)).await {
            Ok(_) => return Ok(killed.elapsed()),
            Err(ReplicaError::DeadlineExceeded | ReplicaError::Unknown) => {}
            Err(error) => return Err(error.into()),
        }
        ensure!(killed.elapsed() < TIMEOUT, "nobody renews");
    }
}
