use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use lease_core::{LeaseId, Ttl};
use lease_http::blocking::{self, UreqTransport};
use lease_http::messages::{Keys, LeaseTimes};
use lease_http::{
    ClientError, HyperTransport, LEASE_INTERNAL_PREFIX, LEASE_PREFIX, renew_http, time_to_live_http,
};
use tokio::task::{JoinSet, spawn_blocking};

use super::situations::Question;
use crate::peer::Peer;
use crate::trace::hex_all;

/// Who asks.
#[derive(Clone, Debug)]
pub(super) enum Client {
    /// etcd's functions.
    Etcd,
    /// Ours for tasks.
    Hyper(HyperTransport),
    /// Ours for threads.
    Ureq(UreqTransport),
}

impl Client {
    pub(super) fn all() -> [Self; 3] {
        let timeout = Duration::from_secs(20);
        [
            Self::Etcd,
            Self::Hyper(HyperTransport::new(timeout)),
            Self::Ureq(UreqTransport::new(timeout)),
        ]
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Etcd => "etcd's",
            Self::Hyper(_) => "ours, async",
            Self::Ureq(_) => "ours, blocking",
        }
    }

    /// Asks the member at `url`, and returns what the caller is told.
    ///
    /// # Errors
    ///
    /// If etcd's half has ended.
    pub(super) async fn ask(
        &self,
        etcd: &mut Peer,
        url: &str,
        question: Question,
    ) -> Result<String> {
        if let Self::Etcd = self {
            return etcd.ask(&question.line(url));
        }
        Ok(match question {
            Question::Renew(id) => self.renew(id, url.to_owned()).await,
            Question::RenewMany(id, count) => self.renew_many(id, count, url).await?,
            Question::TimeToLive(id) => self.time_to_live(id, url.to_owned()).await,
            // There is nothing of ours in it.
            Question::Post(_) => etcd.ask(&question.line(url))?,
        })
    }

    async fn renew(&self, id: i64, url: String) -> String {
        let url = url + LEASE_PREFIX;
        let id = LeaseId::new(id).expect("no situation asks for lease 0");
        let renewed = match self.clone() {
            Self::Hyper(hyper) => renew_http(&hyper, id, &url).await,
            Self::Ureq(ureq) => on_thread(move || blocking::renew_http(&ureq, id, &url)).await,
            Self::Etcd => unreachable!("etcd's half asks itself"),
        };
        let text = |ttl: Ttl| format!("ttl={}", ttl.get());
        renewed.map_or_else(|error| kind_of(&error), text)
    }

    async fn renew_many(&self, id: i64, count: usize, url: &str) -> Result<String> {
        let mut renewals = JoinSet::new();
        for _ in 0..count {
            let (client, url) = (self.clone(), url.to_owned());
            renewals.spawn(async move { client.renew(id, url).await });
        }
        let mut answers = BTreeMap::new();
        while let Some(answer) = renewals.join_next().await {
            *answers.entry(answer?).or_insert(0) += 1;
        }
        let lines = answers
            .iter()
            .map(|(answer, count)| format!("{count}: {answer}"));
        Ok(lines.collect::<Vec<_>>().join("; "))
    }

    async fn time_to_live(&self, id: i64, url: String) -> String {
        let url = url + LEASE_INTERNAL_PREFIX;
        let id = LeaseId::new(id).expect("no situation asks for lease 0");
        let times = match self.clone() {
            Self::Hyper(hyper) => time_to_live_http(&hyper, id, Keys::List, &url).await,
            Self::Ureq(ureq) => {
                on_thread(move || blocking::time_to_live_http(&ureq, id, Keys::List, &url)).await
            }
            Self::Etcd => unreachable!("etcd's half asks itself"),
        };
        times.map_or_else(|error| kind_of(&error), |times| text(&times))
    }
}

async fn on_thread<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    spawn_blocking(work).await.expect("no panic")
}

fn text(times: &LeaseTimes) -> String {
    let mut keys: Vec<_> = times.keys.iter().map(|key| key.as_bytes()).collect();
    keys.sort_unstable();
    format!(
        "id={} left={} granted={} keys={}",
        times.id.get(),
        times.remaining_secs,
        times.granted.get(),
        hex_all(&keys, ",")
    )
}

fn kind_of(error: &ClientError) -> String {
    match error {
        ClientError::NotFound => "not found".to_owned(),
        ClientError::NotCaughtUp => "not caught up".to_owned(),
        ClientError::Demoted => "demoted".to_owned(),
        ClientError::TooLarge => "too large".to_owned(),
        // What stands in the way is of use, not only that something does.
        ClientError::Unreachable(cause) => format!("{error}: {cause}"),
        other => other.to_string(),
    }
}
