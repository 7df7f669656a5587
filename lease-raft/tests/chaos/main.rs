//! Three members of a replicated lessor, each a process with a real file, that are killed and paused at random
//! moments under load: nothing that was acknowledged is lost, what is kept alive survives, and what is
//! abandoned goes in time.
//!
//! `cargo xtask chaos` runs two hundred rounds; `cargo test` a few. `cargo xtask chaos --prove` plants bugs in
//! the members, each of which has to be found. The program runs itself as the processes.
#![forbid(unsafe_code)]
#![cfg_attr(
    unix,
    expect(
        clippy::disallowed_methods,
        clippy::print_stdout,
        reason = "it draws a seed, and says what came of it"
    )
)]

#[cfg(unix)]
mod cluster;
#[cfg(unix)]
mod driver;
#[cfg(unix)]
mod fault;
#[cfg(unix)]
mod judge;
#[cfg(unix)]
mod load;
#[cfg(unix)]
mod member;
#[cfg(unix)]
mod model;
#[cfg(unix)]
mod process;
#[cfg(unix)]
mod settings;

/// Processes can be paused where there are signals.
#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("--member") => member::run(&args[1..]),
        // As the test harness is asked by tools that look for tests.
        Some("--list") => std::process::ExitCode::SUCCESS,
        _ => driver::run(&args),
    }
}
