//! A member, which does what it reads from its input, a line each, and prints what comes of it.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use lease_core::{LeaseError, LeaseId, LeaseItem, LessorConfig, Ttl};
use lease_raft::{
    Consistency, Member, MemberOptions, OpenraftOptions, ReplicaError, ReplicaOptions,
    ReplicatedLessor,
};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::time::sleep;

use crate::settings::{CALL_TIMEOUT, EXTEND, HEARTBEAT, MAX_ELECTION, MIN_ELECTION, RENEW_TIMEOUT};
use crate::settings::{JOIN_TIMEOUT, KEEP_INTERVAL, Planted, RETRY_INTERVAL};

/// What a member is asked.
type Answer = Result<String, ReplicaError>;

struct Obedient {
    lessor: ReplicatedLessor,
    planted: Option<Planted>,
}

/// Runs a member until its input ends, which it does when whoever has started it does.
pub(crate) fn run(args: &[String]) -> ExitCode {
    end_with_the_parent();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let run = async { runs(args).await };
    match runtime
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(run))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// A member that is paused does not see that its input ends: the system kills it.
fn end_with_the_parent() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, set_parent_process_death_signal};
        set_parent_process_death_signal(Some(Signal::KILL)).expect("Linux has it");
    }
}

async fn runs(args: &[String]) -> Result<(), String> {
    let [dir, id, address, known, planted] = args else {
        return Err("it does not know its arguments".to_owned());
    };
    let id: u64 = id.parse().map_err(|_| "it has no name")?;
    let options = options(dir, id, address);
    let started = match &**known {
        "-" => Member::start(options).await,
        known => Member::join(options, &[(1, known)], JOIN_TIMEOUT).await,
    };
    let member = started.map_err(|error| error.to_string())?;
    let obedient = Arc::new(Obedient {
        lessor: member.lessor().clone(),
        planted: Planted::named(planted),
    });
    say("0 ready");
    let mut lines = BufReader::new(stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let obedient = Arc::clone(&obedient);
        tokio::spawn(async move {
            let (tag, command) = line.split_once(' ').unwrap_or((&line, ""));
            let answer = match obedient.obey(command).await {
                Ok(answer) => answer,
                Err(ReplicaError::Lease(LeaseError::LeaseNotFound)) => "gone".to_owned(),
                Err(ReplicaError::Unknown) => "unknown".to_owned(),
                Err(error) => format!("no {error}"),
            };
            say(&format!("{tag} {answer}"));
        });
        if let Some(failure) = member.failure() {
            return Err(format!("the member has stopped by itself: {failure}"));
        }
    }
    // Nobody waits for an orderly end.
    Ok(())
}

fn options(dir: &str, id: u64, address: &str) -> MemberOptions {
    let config = LessorConfig {
        min_ttl: Ttl::MIN,
        expired_lease_retry_interval: RETRY_INTERVAL,
        ..LessorConfig::default()
    };
    MemberOptions::new(dir, "chaos", id, address)
        .openraft(
            OpenraftOptions::new()
                .heartbeat(HEARTBEAT)
                .election_timeout(MIN_ELECTION, MAX_ELECTION)
                // So that members that were away get snapshots.
                .snapshot_after(500)
                .keep_entries(50),
        )
        .replica(ReplicaOptions {
            config,
            extend: EXTEND,
            ..ReplicaOptions::default()
        })
}

impl Obedient {
    async fn obey(&self, command: &str) -> Answer {
        let lessor = &self.lessor;
        let mut words = command.split(' ');
        let name = words.next().unwrap_or_default();
        let numbers: Vec<i64> = words.filter_map(|word| word.parse().ok()).collect();
        match (name, &numbers[..]) {
            ("grant", [id, ttl]) => self.grant(lease(*id), *ttl).await,
            ("revoke", [id]) => self.revoke(lease(*id)).await,
            ("attach", [id, key]) => {
                let attached = lessor.attach(lease(*id), vec![item(*key)], CALL_TIMEOUT);
                attached.await.map(|()| "ok".to_owned())
            }
            ("detach", [id, key]) => {
                let detached = lessor.detach(lease(*id), vec![item(*key)], CALL_TIMEOUT);
                detached.await.map(|()| "ok".to_owned())
            }
            ("renew", ids) => Ok(self.renew(ids).await),
            ("dump", []) => self.dump(Consistency::Linearizable).await,
            ("local", []) => self.dump(Consistency::Local).await,
            ("status", []) => {
                let stats = lessor.stats();
                let epoch = stats.epoch.map_or(0, lease_core::Epoch::get);
                let leader = stats.leader.unwrap_or(0);
                Ok(format!(
                    "ok {} {epoch} {leader} {}",
                    stats.term, stats.applied
                ))
            }
            _ => Ok(format!("no {command:?} is no command")),
        }
    }

    async fn grant(&self, id: LeaseId, ttl: i64) -> Answer {
        let lessor = self.lessor.clone();
        let grant = async move { lessor.grant(id, ttl, CALL_TIMEOUT).await };
        match self.planted {
            Some(Planted::EarlyGrant) => drop(tokio::spawn(grant)),
            Some(Planted::HoldsOn) => {
                grant.await?;
                let lessor = self.lessor.clone();
                tokio::spawn(async move {
                    loop {
                        sleep(KEEP_INTERVAL).await;
                        // It tries again in any case.
                        let _ = lessor.renew(id, RENEW_TIMEOUT).await;
                    }
                });
            }
            _ => drop(grant.await?),
        }
        Ok("ok".to_owned())
    }

    async fn revoke(&self, id: LeaseId) -> Answer {
        self.lessor.revoke(id, CALL_TIMEOUT).await?;
        if self.planted == Some(Planted::GrantsAgain) {
            let lessor = self.lessor.clone();
            tokio::spawn(async move { lessor.grant(id, 60, CALL_TIMEOUT).await });
        }
        Ok("ok".to_owned())
    }

    /// A letter for each of the leases: renewed, gone, or neither is known.
    async fn renew(&self, ids: &[i64]) -> String {
        let ids: Vec<_> = ids.iter().copied().map(lease).collect();
        let mut letters = "ok ".to_owned();
        if self.planted == Some(Planted::OwnTable) && ids.len() > 1 {
            for id in ids {
                let found = self
                    .lessor
                    .lookup(id, Consistency::Local, RENEW_TIMEOUT)
                    .await;
                letters.push(if let Ok(Some(_)) = found { 'r' } else { '?' });
            }
            return letters;
        }
        let renewed = match ids[..] {
            [id] => vec![self.lessor.renew(id, RENEW_TIMEOUT).await],
            _ => self.lessor.renew_many(&ids, RENEW_TIMEOUT).await,
        };
        for renewed in renewed {
            letters.push(match renewed {
                Ok(_) => 'r',
                Err(ReplicaError::Lease(LeaseError::LeaseNotFound)) => 'g',
                Err(_) => '?',
            });
        }
        letters
    }

    /// The leases, with the applied index before and after they were read.
    async fn dump(&self, consistency: Consistency) -> Answer {
        let consistency = match self.planted {
            Some(Planted::OldReads) => Consistency::Local,
            _ => consistency,
        };
        let lessor = &self.lessor;
        let before = lessor.stats().applied;
        let page = lessor
            .page(None, usize::MAX, consistency, CALL_TIMEOUT)
            .await?;
        let mut leases = String::new();
        for lease in page {
            let keys = lease
                .keys()
                .iter()
                .map(|key| String::from_utf8_lossy(key.as_bytes()));
            let keys: Vec<_> = keys.collect();
            let (id, ttl) = (lease.id().get(), lease.ttl().as_secs());
            leases.push_str(&format!(" {id},{ttl},{}", keys.join("+")));
        }
        let is_local = consistency == Consistency::Local;
        if self.planted == Some(Planted::Differs) && is_local && !lessor.is_leader() {
            leases.truncate(leases.rfind(' ').unwrap_or(0));
        }
        Ok(format!("ok {before} {}{leases}", lessor.stats().applied))
    }
}

fn lease(id: i64) -> LeaseId {
    LeaseId::try_from(id).expect("ids are positive")
}

fn item(key: i64) -> LeaseItem {
    LeaseItem::from(&*key.to_string())
}

/// One write for each line, so that a kill cuts none.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever does not read has gone, and so does the member.
    let _ = out.write_all(format!("{line}\n").as_bytes());
    let _ = out.flush();
}
