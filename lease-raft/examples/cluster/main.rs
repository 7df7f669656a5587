//! Three members of a replicated lessor, each a process of its own, in one terminal.
//!
//! It grants leases, kills the leader, and shows that every lease that is kept alive survives and that every
//! abandoned one goes in time. It takes about ten seconds, cleans up behind itself, and fails if anything is
//! not as it should be: `cargo run -p lease-raft --example cluster`. With `-- careless` it keeps nothing alive,
//! which it has to find.

mod member;
mod process;
mod story;

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use story::Care;

type Anyhow<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let told = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => story::tell(Care::KeepsAlive).await,
        ["careless"] => story::tell(Care::Careless).await,
        ["help" | "-h" | "--help"] => show(HELP),
        // What the story starts: this program again, as a member.
        ["member", dir, id, address, ref known @ ..] => {
            member::run(dir, id, address, known.first().copied()).await
        }
        _ => Err("it takes no arguments, or `careless`, or `--help`".into()),
    };
    match told {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has enough, as `head` has.
        Err(error) if error.is::<Unread>() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a line.
fn show(line: &str) -> Anyhow<()> {
    let mut out = io::stdout();
    let shown = writeln!(out, "{line}").and_then(|()| out.flush());
    shown.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Unread.into(),
        _ => error.into(),
    })
}

/// Whoever reads the output has gone.
#[derive(Debug)]
struct Unread;

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads the output")
    }
}

impl Error for Unread {}

const HELP: &str = "\
Starts three members of a replicated lessor, grants leases, kills the leader, and shows that every lease that is
kept alive survives and that every abandoned one goes in time. It takes about ten seconds.

cargo run -p lease-raft --example cluster
cargo run -p lease-raft --example cluster -- careless    keeps nothing alive, which it has to find";
