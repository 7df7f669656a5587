//! The project's own commands, run as `cargo xtask COMMAND`.
//!
//! A command is a file with its `Args` and a `run`; to add one, write the file and a line in each
//! of the two lists below.
#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    reason = "a command-line tool reads the environment and measures seconds; the bans are for the libraries"
)]
#![expect(
    clippy::print_stdout,
    reason = "what a command-line tool has to say goes to standard output"
)]

mod api;
mod bench;
mod chaos;
mod ci;
mod codegen;
mod copied;
mod deps;
mod go;
mod guide;
mod interop;
mod invocation;
mod mutants;
mod package;
mod process;
mod sim;
mod threads;
mod tidy;
mod tools;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "The project's own commands")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Api(api::Args),
    Bench(bench::Args),
    Chaos(chaos::Args),
    Ci(ci::Args),
    Codegen(codegen::Args),
    Deps(deps::Args),
    Guide(guide::Args),
    Interop(interop::Args),
    Package(package::Args),
    Sim(sim::Args),
    Threads(threads::Args),
    Tidy(tidy::Args),
}

fn main() -> ExitCode {
    if let Some(code) = api::stand_in_for_rustdoc() {
        return code;
    }
    let cli = Cli::parse();
    run(cli.command).unwrap_or_else(|error| {
        // Without the stack trace that anyhow takes: the text is for whoever broke a rule.
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::load()?;
    match command {
        Command::Api(args) => api::run(&workspace, &args),
        Command::Bench(args) => bench::run(&workspace, &args),
        Command::Chaos(args) => chaos::run(&workspace, &args),
        Command::Ci(args) => ci::run(&workspace, &args),
        Command::Codegen(args) => codegen::run(&workspace, &args),
        Command::Deps(args) => deps::run(&workspace, &args),
        Command::Guide(args) => guide::run(&workspace, &args),
        Command::Interop(args) => interop::run(&workspace, &args),
        Command::Package(args) => package::run(&workspace, &args),
        Command::Sim(args) => sim::run(&workspace, &args),
        Command::Threads(args) => threads::run(&workspace, &args),
        Command::Tidy(args) => tidy::run(&workspace, &args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sim_takes_every_argument_behind_it() {
        let cli = Cli::parse_from(["xtask", "sim", "--seed", "7", "--help", "--", "-x"]);
        let Command::Sim(args) = cli.command else {
            panic!("not the sim command");
        };
        assert_eq!(args.args, ["--seed", "7", "--help", "--", "-x"]);
    }
}
