//! What happens, and what should.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::process::Process;
use crate::{Anyhow, show};

const TTL: Duration = Duration::from_secs(5);
const KEPT: RangeInclusive<i64> = 1..=15;
const ABANDONED: RangeInclusive<i64> = 16..=30;

/// How much longer a lease lives after a change of the leader: the default of `ReplicaOptions`.
const EXTEND: Duration = Duration::from_secs(1);

/// What a busy machine may take.
const SLACK: Duration = Duration::from_secs(3);

/// Whether leases that should be kept alive are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Care {
    KeepsAlive,
    Careless,
}

pub(crate) async fn tell(care: Care) -> Anyhow<()> {
    let mut cluster = Cluster::start().await?;
    let granted = cluster.grant().await?;
    let killed = cluster.kill_leader().await?;
    cluster.watch(care, granted).await?;
    cluster.start_again(killed).await?;
    cluster.end().await
}

struct Cluster {
    begun: Instant,
    dir: TempDir,
    addresses: BTreeMap<u64, String>,
    members: BTreeMap<u64, Process>,
}

impl Cluster {
    async fn start() -> Anyhow<Self> {
        show(
            "Three members of a replicated lessor, each a process of its own, on this machine.\n",
        )?;
        let mut cluster = Self {
            begun: Instant::now(),
            dir: tempfile::tempdir()?,
            addresses: BTreeMap::new(),
            members: BTreeMap::new(),
        };
        let ports = free_ports()?;
        for (id, port) in (1..).zip(ports) {
            let address = format!("127.0.0.1:{port}");
            let known = cluster.addresses.get(&1).cloned();
            let started = Process::start(cluster.dir.path(), id, &address, known.as_deref());
            cluster.members.insert(id, started.await?);
            match known {
                None => cluster.say(&format!("member {id} starts a cluster at {address}"))?,
                Some(_) => cluster.say(&format!("member {id} joins it at {address}"))?,
            }
            cluster.addresses.insert(id, address);
        }
        Ok(cluster)
    }

    /// Grants leases through each of the members. Returns when the first one that is abandoned was granted.
    async fn grant(&mut self) -> Anyhow<Instant> {
        let secs = TTL.as_secs();
        let (first, last) = (*KEPT.start(), *ABANDONED.end());
        let before = Instant::now();
        let share = (last - first + 1) / 3;
        for (turn, member) in (0..).zip(self.members.values_mut()) {
            let (from, to) = (first + turn * share, first + (turn + 1) * share - 1);
            member.ask(&format!("grant {from} {to} {secs}")).await?;
        }
        self.say(&format!(
            "{} leases of {secs} s are granted: {} are kept alive, {} are abandoned",
            last - first + 1,
            KEPT.count(),
            ABANDONED.count()
        ))?;
        Ok(before)
    }

    async fn kill_leader(&mut self) -> Anyhow<u64> {
        let mut leader = 0;
        while leader == 0 {
            let member = self.members.values_mut().next().ok_or("nobody is there")?;
            leader = member.ask("leader").await?.parse()?;
        }
        let process = self.members.remove(&leader);
        process.ok_or("the leader is unknown")?.kill().await?;
        self.say(&format!("member {leader} leads, and is killed"))?;
        Ok(leader)
    }

    /// Keeps leases alive, by turns at the members that are left, and sees what becomes of the others.
    async fn watch(&mut self, care: Care, granted: Instant) -> Anyhow<()> {
        let killed = Instant::now();
        let mut led = None;
        let mut left = ABANDONED.count();
        for turn in 0.. {
            let ids: Vec<_> = self.members.keys().copied().collect();
            let id = ids[turn % ids.len()];
            let member = self.members.get_mut(&id).ok_or("it has gone")?;
            if care == Care::KeepsAlive {
                member
                    .ask(&format!("renew {} {}", KEPT.start(), KEPT.end()))
                    .await?;
            }
            let leases = parse(&member.ask("leases").await?)?;
            let leader = member.ask("leader").await?;
            let now = Instant::now();
            if led.is_none() {
                let (after, secs) = ((now - killed).as_secs_f64(), TTL.as_secs());
                self.say(&format!(
                    "member {leader} leads: an answer {after:.1} s after the death"
                ))?;
                self.say(&format!(
                    "what nobody keeps alive has its {secs} s again, and 1 s more"
                ))?;
            }
            let led = *led.get_or_insert(now);

            let kept = leases.iter().filter(|id| KEPT.contains(id)).count();
            if kept != KEPT.count() {
                return Err(format!("{kept} leases are left of those that are kept alive").into());
            }
            let abandoned = leases.iter().filter(|id| ABANDONED.contains(id)).count();
            if abandoned < left {
                left = abandoned;
                self.say(&format!(
                    "{kept} are kept alive, {abandoned} of the abandoned are left"
                ))?;
                if now - granted < TTL {
                    return Err("a lease has gone before its time".into());
                }
            }
            if left == 0 {
                break;
            }
            // It had the whole TTL again when the new leader came.
            if now > led + TTL + EXTEND + SLACK {
                return Err(format!("{left} abandoned leases are not gone in time").into());
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    async fn start_again(&mut self, killed: u64) -> Anyhow<()> {
        let address = &self.addresses[&killed];
        let started = Process::start(self.dir.path(), killed, address, None);
        let mut member = started.await?;
        let leases = parse(&member.ask("leases").await?)?;
        self.say(&format!(
            "member {killed} starts again from its file, and has {} leases",
            leases.len()
        ))?;
        self.members.insert(killed, member);
        if leases.len() != KEPT.count() {
            return Err("the one that was killed has other leases".into());
        }
        Ok(())
    }

    async fn end(self) -> Anyhow<()> {
        let begun = self.begun;
        for member in self.members.into_values() {
            member.stop().await?;
        }
        say(begun, "all have stopped")?;
        show(
            "\nEvery lease that was kept alive has survived, every abandoned one has gone in time.",
        )
    }

    fn say(&self, text: &str) -> Anyhow<()> {
        say(self.begun, text)
    }
}

fn say(begun: Instant, text: &str) -> Anyhow<()> {
    show(&format!("{:6.1} s  {text}", begun.elapsed().as_secs_f64()))
}

/// Ids in the form of `[1, 2]`.
fn parse(line: &str) -> Anyhow<Vec<i64>> {
    let ids = line.trim_matches(['[', ']']).split(", ");
    let ids = ids.filter(|id| !id.is_empty()).map(str::parse);
    Ok(ids.collect::<Result<_, _>>()?)
}

fn free_ports() -> Anyhow<Vec<u16>> {
    let listeners: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
    let port = |listener: std::io::Result<TcpListener>| Ok(listener?.local_addr()?.port());
    listeners.into_iter().map(port).collect()
}
