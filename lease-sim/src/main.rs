//! `cargo xtask sim`: looks for plans that go wrong, makes them small, and proves that it can.
#![forbid(unsafe_code)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
