//! A lessor on a real file whose process is killed at random moments, under several threads: nothing
//! that was acknowledged is lost, and nothing half-done is there.
//!
//! `cargo xtask chaos --local` runs it five hundred times; `cargo test` a few times. The program runs
//! itself as the process to be killed, which tells over a pipe what it begins and what was
//! acknowledged.
#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "it kills a process in real time, and says what came of it"
)]

mod child;
mod model;
mod op;
mod parent;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("--child") => child::run(&args[1..]),
        // As the test harness is asked by tools that look for tests.
        Some("--list") => ExitCode::SUCCESS,
        _ => parent::run(&args),
    }
}
