mod compare;
mod pair;
mod shrink;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::shims::{self, SHIMS};
use crate::trace::generate;
use pair::Pair;

/// How many traces are run if nobody says.
const TRACES: u64 = 1_000;

/// Run the same traces on etcd's lessor and on ours, and compare.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// etcd's half.
    #[arg(long)]
    peer: PathBuf,
    /// How many traces; 1,000 if it is not said, nor a seed.
    #[arg(long)]
    traces: Option<u64>,
    /// The seed of the first trace; alone, that trace and no other.
    #[arg(long)]
    seed: Option<u64>,
    /// Turn this shim off; something must differ then.
    #[arg(long, value_name = "SHIM")]
    without: Vec<String>,
    /// Turn each shim off in turn, and see that something differs.
    #[arg(long)]
    prove: bool,
    /// Say which shims there are.
    #[arg(long)]
    list: bool,
}

/// # Errors
///
/// If a half of the comparison fails as such, or the arguments make no sense.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    for name in &args.without {
        let is_known = SHIMS.iter().any(|shim| shim.name == name);
        ensure!(
            is_known,
            "there is no shim {name}; --list says which there are"
        );
    }
    if args.list {
        for shim in SHIMS {
            println!("{:16} {}", shim.name, shim.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut pair = Pair::start(&args.peer)?;
    if args.prove {
        return prove(&mut pair, args);
    }
    let on = shims::all_without(&args.without);
    let first = args.seed.unwrap_or(1);
    let count = args
        .traces
        .unwrap_or(if args.seed.is_some() { 1 } else { TRACES });
    let start = Instant::now();
    let mut commands = 0;
    for seed in first..first + count {
        let trace = generate(seed);
        commands += trace.commands.len();
        if let Some(difference) = pair.run(&on, &trace)? {
            let small = shrink::shrink(&mut pair, &on, difference)?;
            println!("{small}");
            let off: String = args
                .without
                .iter()
                .map(|name| format!(" --without {name}"))
                .collect();
            println!("repeat it: cargo xtask interop lessor --seed {seed}{off}");
            return Ok(if off.is_empty() {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            });
        }
    }
    let secs = start.elapsed().as_secs_f64();
    println!("{count} traces, {commands} commands, nothing differs; {secs:.1} s");
    Ok(if args.without.is_empty() {
        ExitCode::SUCCESS
    } else {
        println!("without {} something should have", args.without.join(", "));
        ExitCode::FAILURE
    })
}

fn prove(pair: &mut Pair, args: &Args) -> Result<ExitCode> {
    let traces = args.traces.unwrap_or(TRACES);
    let mut unproved = 0;
    for shim in SHIMS {
        let on = shims::all_without(&[shim.name.to_owned()]);
        let differs = |seed: u64| Ok::<_, anyhow::Error>(pair.run(&on, &generate(seed))?.is_some());
        match find(1..=traces, differs)? {
            Some(seed) => println!("{:16} needed by trace {seed}", shim.name),
            None => {
                unproved += 1;
                println!("{:16} NOT NEEDED by {traces} traces", shim.name);
            }
        }
    }
    println!(
        "{} of {} shims are needed",
        SHIMS.len() - unproved,
        SHIMS.len()
    );
    Ok(if unproved == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn find(
    seeds: impl IntoIterator<Item = u64>,
    mut differs: impl FnMut(u64) -> Result<bool>,
) -> Result<Option<u64>> {
    for seed in seeds {
        if differs(seed)? {
            return Ok(Some(seed));
        }
    }
    Ok(None)
}
