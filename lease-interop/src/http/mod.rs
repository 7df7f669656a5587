mod clients;
mod members;
mod situations;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use lease_http::messages::MAX_RESPONSE_LEN;

use crate::peer::Peer;
use clients::Client;
use situations::{Question, SITUATIONS, Situation};

/// Let etcd's and our clients of leasehttp ask etcd's and our members.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// etcd's half.
    #[arg(long)]
    peer: PathBuf,
}

/// # Errors
///
/// If a half cannot be run as such.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut etcd = Peer::start(&args.peer, "http")?;
    let mut tally = Tally::default();
    runtime.block_on(async {
        for is_server_ours in [true, false] {
            for client in Client::all() {
                for situation in SITUATIONS {
                    ask(&mut etcd, &client, is_server_ours, situation, &mut tally).await?;
                }
            }
        }
        ask_for_too_much(&mut etcd, &mut tally).await
    })?;
    println!("{} exchanges as expected, {} not", tally.good, tally.bad);
    Ok(if tally.bad == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[derive(Default)]
struct Tally {
    good: usize,
    bad: usize,
}

impl Tally {
    fn count(&mut self, is_good: bool, whose: [&str; 2], about: &str, answer: &str) {
        if is_good {
            self.good += 1;
        } else {
            self.bad += 1;
            let [server, client] = whose;
            println!("member {server}, client {client}: {about}: {answer}");
        }
    }
}

async fn ask(
    etcd: &mut Peer,
    client: &Client,
    is_server_ours: bool,
    situation: &Situation,
    tally: &mut Tally,
) -> Result<()> {
    let state = situation.state;
    let (server, url) = if is_server_ours {
        ("ours", members::start(state).await?)
    } else {
        ("etcd's", etcd.ask(&format!("member {}", state.name()))?)
    };
    let answer = client.ask(etcd, &url, situation.question).await?;
    let is_good = situation.expected.is(&answer, is_server_ours);
    tally.count(is_good, [server, client.name()], situation.about, &answer);
    Ok(())
}

/// An answer above the limit, which v3.6.10 of etcd's client does not have.
async fn ask_for_too_much(etcd: &mut Peer, tally: &mut Tally) -> Result<()> {
    let url = etcd.ask(&format!("large {}", MAX_RESPONSE_LEN + 1))?;
    for client in Client::all() {
        if !matches!(client, Client::Etcd) {
            let answer = client.ask(etcd, &url, Question::Renew(1)).await?;
            let whose = ["etcd's", client.name()];
            tally.count(
                answer == "too large",
                whose,
                "an answer above the limit",
                &answer,
            );
        }
    }
    Ok(())
}
