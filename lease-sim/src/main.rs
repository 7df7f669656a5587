//! `cargo xtask sim`: looks for plans that go wrong, makes them small, and proves that it can.
#![forbid(unsafe_code)]

mod cli;

// A tenth of what a world costs is memory that is taken and given back.
#[cfg(madsim)]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
