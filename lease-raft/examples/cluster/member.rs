//! A member, which does what it reads from its input, a line each, and prints what comes of it.

use std::time::Duration;

use futures::future::try_join_all;
use lease_core::LeaseId;
use lease_raft::{Consistency, Member, MemberOptions};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

use crate::{Anyhow, show};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Starts member `id`, or has it join the cluster of member 1 at `known`, and runs it until its input ends.
pub(crate) async fn run(dir: &str, id: &str, address: &str, known: Option<&str>) -> Anyhow<()> {
    let options = MemberOptions::new(dir, "example", id.parse()?, address);
    let member = match known {
        None => Member::start(options).await?,
        Some(known) => Member::join(options, &[(1, known)], TIMEOUT).await?,
    };
    show("ready")?;
    let mut lines = BufReader::new(stdin()).lines();
    // The input ends when who has started it does: nothing is left over.
    while let Some(line) = lines.next_line().await? {
        match obey(&member, &line).await {
            Ok(answer) => show(&answer)?,
            Err(error) => show(&format!("failed: {error}"))?,
        }
    }
    Ok(member.stop().await?)
}

async fn obey(member: &Member, line: &str) -> Anyhow<String> {
    let lessor = member.lessor();
    let words: Vec<_> = line.split(' ').collect();
    Ok(match words[..] {
        ["grant", first, last, ttl] => {
            let (ids, ttl) = (ids(first, last)?, ttl.parse::<i64>()?);
            // All at once: they share a commit.
            try_join_all(ids.iter().map(|id| lessor.grant(*id, ttl, TIMEOUT))).await?;
            "granted".to_owned()
        }
        ["renew", first, last] => {
            let renewed = lessor.renew_many(&ids(first, last)?, TIMEOUT).await;
            for renewed in renewed {
                renewed?;
            }
            "renewed".to_owned()
        }
        ["leases"] => {
            let page = lessor.page(None, 1000, Consistency::Linearizable, TIMEOUT);
            let ids: Vec<_> = page.await?.iter().map(|lease| lease.id().get()).collect();
            format!("{ids:?}")
        }
        ["leader"] => lessor.leader().unwrap_or_default().to_string(),
        _ => return Err(format!("it does not know {line:?}").into()),
    })
}

fn ids(first: &str, last: &str) -> Anyhow<Vec<LeaseId>> {
    let numbers = first.parse::<i64>()?..=last.parse()?;
    Ok(numbers.map(LeaseId::try_from).collect::<Result<_, _>>()?)
}
