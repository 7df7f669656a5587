//! Three members of a replicated lessor, each a process of its own, in one terminal.
//!
//! It grants leases, kills the leader, and shows that every lease that is kept alive survives and that every
//! abandoned one goes in time. It takes about ten seconds, cleans up behind itself, and fails if anything is
//! not as it should be: `cargo run -p lease-raft --example cluster`. With `-- careless` it keeps nothing alive,
//! which it has to find.
#![expect(clippy::print_stdout, reason = "an example talks")]

mod member;
mod process;
mod story;

use std::error::Error;
use std::process::ExitCode;
use story::Care;

type Anyhow<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let told = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => story::tell(Care::KeepsAlive).await,
        ["careless"] => story::tell(Care::Careless).await,
        ["help" | "-h" | "--help"] => {
            println!("{HELP}");
            Ok(())
        }
        // What the story starts: this program again, as a member.
        ["member", dir, id, address, ref known @ ..] => {
            member::run(dir, id, address, known.first().copied()).await
        }
        _ => Err("it takes no arguments, or `careless`, or `--help`".into()),
    };
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

const HELP: &str = "\
Starts three members of a replicated lessor, grants leases, kills the leader, and shows that every lease that is
kept alive survives and that every abandoned one goes in time. It takes about ten seconds.

cargo run -p lease-raft --example cluster
cargo run -p lease-raft --example cluster -- careless    keeps nothing alive, which it has to find";
