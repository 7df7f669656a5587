//! `cargo xtask sim`: looks for plans that go wrong, makes them small, and proves that it can.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
