//! A member of a cluster of three.
//!
//! The first one: `cargo run -p lease --features raft --example three_machines -- 1 127.0.0.1:7351`. The others, in
//! terminals of their own: `-- 2 127.0.0.1:7352 1=127.0.0.1:7351`, and so on.
#![expect(clippy::print_stdout, reason = "an example talks")]

// ANCHOR: program
use std::error::Error;
use std::fs::read;
use std::path::Path;
use std::time::Duration;

use lease::raft::grpc::Tls;
use lease::raft::{Consistency, Member, MemberOptions};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

/// Longer than an election takes.
const TIMEOUT: Duration = Duration::from_secs(10);

type Anyhow<T> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() {
    if let Err(error) = run().await {
        println!("error: {error}");
        std::process::exit(1);
    }
}

/// Runs a member until its input ends.
async fn run() -> Anyhow<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [id, address, others @ ..] = &args[..] else {
        return Err("say the id and the address of this member, and ID=ADDRESS of others".into());
    };
    let mut known = Vec::new();
    for other in others {
        let (id, address) = other.split_once('=').ok_or("not ID=ADDRESS")?;
        known.push((id.parse()?, address));
    }
    let mut options = MemberOptions::new(format!("member-{id}"), "blue", id.parse()?, address);
    if Path::new("tls").exists() {
        options = options.tls(certificates(id)?);
    }
    let member = match &known[..] {
        // Once, on one machine: it begins the cluster.
        [] => Member::start(options).await?,
        // On the others, and whenever a member is started again.
        known => Member::join(options, known, TIMEOUT).await?,
    };
    println!("member {id} is ready");

    let mut lines = BufReader::new(stdin()).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) => match obey(&member, &line).await {
                    Ok(answer) => println!("{answer}"),
                    Err(error) => println!("error: {error}"),
                },
                None => break,
            },
            // By itself: it was removed, or its disk is full.
            () = member.ended() => {
                println!("member {id} has ended: {}", member.failure().unwrap_or_default());
                // To return would wait for another line, which tokio reads in a thread.
                std::process::exit(1);
            }
        }
    }
    member.stop().await?; // if it leads, another one does before it ends
    Ok(())
}

/// Any member may be asked, whoever leads.
async fn obey(member: &Member, line: &str) -> Anyhow<String> {
    let lessor = member.lessor();
    let words: Vec<_> = line.split(' ').collect();
    Ok(match words[..] {
        ["grant", id, secs] => {
            let secs: i64 = secs.parse()?;
            let granted = lessor.grant(id.parse()?, secs, TIMEOUT).await?;
            format!("lease {} lives for {}", granted.id, granted.ttl)
        }
        ["renew", id] => {
            let ttl = lessor.renew(id.parse()?, TIMEOUT).await?;
            format!("{ttl} more")
        }
        ["list"] => {
            let page = lessor.page(None, 100, Consistency::Linearizable, TIMEOUT);
            let ids: Vec<_> = page.await?.iter().map(|it| it.id().to_string()).collect();
            format!("leases: {}", ids.join(", "))
        }
        ["members"] => format!("they decide: {:?}", member.members().voters),
        ["remove", id] => {
            member.remove(id.parse()?, TIMEOUT).await?;
            format!("member {id} is removed")
        }
        _ => return Err("type grant ID SECONDS, renew ID, list, members or remove ID".into()),
    })
}

/// From files: the authority of the cluster, and what it has signed for this member.
fn certificates(id: &str) -> Anyhow<Tls> {
    let file = |name: String| read(Path::new("tls").join(name));
    let (authority, certificate) = (file("ca.pem".to_owned())?, file(format!("{id}.pem"))?);
    Ok(Tls::new(authority, certificate, file(format!("{id}.key"))?))
}
// ANCHOR_END: program
