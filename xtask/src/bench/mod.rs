mod plot;
mod programs;
mod rows;

use std::fs;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::workspace::Workspace;
use programs::Programs;
use rows::{Measurements, Row};

/// Run the same workloads on our lessor and on a peer, in turns, and compare.
///
/// `cargo bench -p lease-bench` runs the criterion benches, which need no peer.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to compare with; etcd needs Go.
    #[arg(long)]
    peer: Option<Peer>,
    /// Of what; of everything if it is not said.
    #[arg(long)]
    part: Option<Part>,
    /// End with one line of JSON.
    #[arg(long)]
    json: bool,
    /// How many leases, as powers of ten.
    #[arg(long, value_delimiter = ',', default_value = "4,5,6")]
    sizes: Vec<u32>,
    /// How often each program runs at each size.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Draw the cost of each operation against the number of leases into docs/plots.
    #[arg(long)]
    plots: bool,
}

/// Another lessor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Peer {
    /// etcd's own, from its Go module.
    Etcd,
}

/// What the workloads are of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Part {
    /// The lessor's operations.
    Lessor,
    /// Renewals through HTTP.
    Http,
}

impl Part {
    /// Its name among the arguments of the programs.
    const fn name(self) -> &'static str {
        match self {
            Self::Lessor => "lessor",
            Self::Http => "http",
        }
    }
}

/// Builds the programs, runs them in turns and prints the table.
///
/// # Errors
///
/// If a program cannot be built or fails, or the sizes make no sense.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    if args.rounds == 0 {
        bail!("--rounds must be at least 1");
    }
    if args.sizes.iter().any(|size| !(2..=8).contains(size)) {
        bail!("--sizes are powers of ten from 2 to 8");
    }
    let programs = Programs::build(workspace, args.peer)?;
    let mut measurements = Measurements::default();
    for size in &args.sizes {
        let n = 10_u64.pow(*size);
        for round in 1..=args.rounds {
            eprintln!("{n} leases, round {round} of {}", args.rounds);
            programs.run(n, args.part, &mut measurements)?;
        }
    }
    let rows = measurements.rows();
    print_table(&rows, args.peer.is_some());
    if args.plots {
        let folder = workspace.root.join("docs/plots");
        fs::create_dir_all(&folder)?;
        for (op, svg) in plot::plots(&rows) {
            fs::write(folder.join(format!("{op}.svg")), svg)?;
        }
    }
    if args.json {
        println!("{}", rows::json(&rows));
    }
    Ok(ExitCode::SUCCESS)
}

fn print_table(rows: &[Row], has_peer: bool) {
    if has_peer {
        println!("| operation | leases | ours | etcd | ratio | spread | floor |");
        println!("|---|--:|--:|--:|--:|--:|--:|");
    } else {
        println!("| operation | leases | ours | floor |");
        println!("|---|--:|--:|--:|");
    }
    for row in rows {
        println!("{}", row.line(has_peer));
    }
}
