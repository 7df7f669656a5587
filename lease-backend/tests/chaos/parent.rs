use std::io::Read;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lease_backend::RedbBackend;
use lease_backend::testing::Prng;

use crate::model::{self, State, THREADS};
use crate::op::Op;

/// What a thread of a child has said.
#[derive(Default)]
struct Said {
    // In the order in which they were begun; of each whether it was acknowledged.
    ops: Vec<(Op, bool)>,
}

/// What all rounds have come to.
#[derive(Default)]
struct Total {
    rounds: u64,
    acknowledged: u64,
    cut: u64,
}

/// Rounds that a plain test run takes.
const FEW: u64 = 12;

/// In so many rounds a planted bug must be found.
const MOST_BLIND: u64 = 100;

pub(crate) fn run(args: &[String]) -> ExitCode {
    let (rounds, seed) = settings(args);
    println!("chaos: {rounds} rounds of seed {seed}");
    let mut prng = Prng::new(seed);
    for mode in ["durable", "batched"] {
        let start = Instant::now();
        let mut total = Total::default();
        if let Err(problem) = rounds_of(mode, rounds.div_ceil(2), &mut prng, &mut total) {
            println!("chaos: {mode}, round {}: {problem}", total.rounds);
            println!("repeat with: cargo xtask chaos --local --rounds {rounds} --seed {seed}");
            return ExitCode::FAILURE;
        }
        println!(
            "chaos: {mode}: {} kills in {:.0?}, {} acknowledged commands, {} cut in the middle, none lost, none half-done",
            total.rounds,
            start.elapsed(),
            total.acknowledged,
            total.cut,
        );
    }
    let mut total = Total::default();
    if rounds_of("planted", MOST_BLIND, &mut prng, &mut total).is_ok() {
        println!("chaos: two transactions instead of one were not found: it is blind");
        return ExitCode::FAILURE;
    }
    println!("chaos: planted: found after {} kills", total.rounds);
    println!("3 passed, 0 failed");
    ExitCode::SUCCESS
}

fn rounds_of(mode: &str, rounds: u64, prng: &mut Prng, total: &mut Total) -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|error| format!("no room for a directory: {error}"))?;
    let path = dir.path().join("leases.redb");
    for _ in 0..rounds {
        let found = round_of(&path, mode, prng.next_u64(), prng, total);
        if let Err(problem) = found {
            if mode != "planted" {
                println!("the file is {}", dir.keep().display());
            }
            return Err(problem);
        }
    }
    Ok(())
}

fn settings(args: &[String]) -> (u64, u64) {
    let value = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1)?.parse().ok()
    };
    let drawn = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or(0, |now| now.subsec_nanos().into())
    };
    (
        value("--rounds").unwrap_or(FEW),
        value("--seed").unwrap_or_else(drawn),
    )
}

/// Starts a child, kills it, and looks at what it has left.
fn round_of(
    path: &Path,
    mode: &str,
    seed: u64,
    prng: &mut Prng,
    total: &mut Total,
) -> Result<(), String> {
    let before = match RedbBackend::open(path) {
        Ok(backend) => model::read(&backend),
        Err(error) => Err(error),
    };
    let before = before.map_err(|error| format!("before it: {error}"))?;
    let said = live_and_die(path, mode, seed, prng)?;
    let backend = RedbBackend::open(path).map_err(|error| format!("after it: {error}"))?;
    let after = model::read(&backend).map_err(|error| format!("after it: {error}"))?;
    total.rounds += 1;
    for (thread, said) in said.iter().enumerate() {
        total.acknowledged += said
            .ops
            .iter()
            .filter(|(_, acknowledged)| *acknowledged)
            .count() as u64;
        total.cut += said
            .ops
            .iter()
            .filter(|(_, acknowledged)| !acknowledged)
            .count() as u64;
        check(mode, &before[thread], said, &after[thread])
            .map_err(|problem| format!("thread {thread}: {problem}"))?;
    }
    Ok(())
}

fn live_and_die(path: &Path, mode: &str, seed: u64, prng: &mut Prng) -> Result<Vec<Said>, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut child = Command::new(program)
        .arg("--child")
        .arg(path)
        .arg(seed.to_string())
        .arg(mode)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("the child does not start: {error}"))?;
    let mut pipe = child.stdout.take().ok_or("there is no pipe")?;
    // From the middle of the start to well into the work.
    let killer = std::thread::spawn({
        let life = Duration::from_micros(2_000 + prng.below(70_000));
        move || {
            std::thread::sleep(life);
            let _ = child.kill();
            let _ = child.wait();
        }
    });
    let mut text = String::new();
    pipe.read_to_string(&mut text)
        .map_err(|error| error.to_string())?;
    // The file is free only when the process is gone.
    killer.join().map_err(|_| "the child cannot be killed")?;
    parse(&text)
}

fn parse(text: &str) -> Result<Vec<Said>, String> {
    let mut said: Vec<_> = (0..THREADS).map(|_| Said::default()).collect();
    for line in text.lines() {
        let mut words = line.splitn(3, ' ');
        let (Some(mark), Some(thread), Some(op)) = (words.next(), words.next(), words.next())
        else {
            return Err(format!("the child said {line:?}"));
        };
        let op: Op = op.parse()?;
        let thread: usize = thread.parse().map_err(|_| format!("thread {thread:?}"))?;
        let ops = &mut said[thread].ops;
        match mark {
            "?" => ops.push((op, false)),
            _ => match ops.last_mut() {
                Some(last) => last.1 = true,
                None => return Err(format!("{op} is acknowledged and was never begun")),
            },
        }
    }
    Ok(said)
}

/// A thread does one thing after the other, so that only the last one can have been cut. What is in
/// the file is what was there after one of its commands: durable, after the last acknowledged one or
/// the one that was cut; batched, after any since the last flush that was acknowledged.
fn check(mode: &str, before: &State, said: &Said, after: &State) -> Result<(), String> {
    let mut state = before.clone();
    let safe = match mode {
        "durable" | "planted" => said
            .ops
            .iter()
            .filter(|(_, acknowledged)| *acknowledged)
            .count(),
        _ => {
            let is_flush = |(op, acknowledged): &(Op, bool)| *op == Op::Flush && *acknowledged;
            said.ops.iter().rposition(is_flush).map_or(0, |at| at + 1)
        }
    };
    if safe == 0 && state == *after {
        return Ok(());
    }
    for (count, (op, _)) in said.ops.iter().enumerate() {
        state.apply(*op);
        if count + 1 >= safe && state == *after {
            return Ok(());
        }
    }
    let last: Vec<_> = said.ops.iter().rev().take(4).collect();
    Err(format!(
        "{safe} of {} commands are safe, and nothing from there on explains {after:?}; the last ones, backwards: {last:?}; after all it would be {state:?}",
        said.ops.len()
    ))
}
