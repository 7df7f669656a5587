//! The rounds, and what they have come to.

use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::join_all;
use lease_backend::testing::Prng;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use crate::cluster::{Cluster, MEMBERS, Quorum};
use crate::fault::{Fault, Step};
use crate::judge::Dump;
use crate::load::Load;
use crate::settings::{ELECTION, EXTEND, MAX_TTL, PATIENCE, Planted, SLACK};

/// What is to be run.
struct Plan {
    rounds: u64,
    seed: u64,
    planted: Option<Planted>,
    /// Whether each round is told.
    is_told: bool,
}

/// How far it is.
#[derive(Default)]
struct Progress {
    rounds: u64,
    kills: u64,
    pauses: u64,
}

/// Rounds that a plain test run takes.
const FEW: u64 = 3;

/// In so many rounds a planted bug must be found.
const MOST_BLIND: u64 = 10;

pub(crate) fn run(args: &[String]) -> ExitCode {
    let value = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1)?.parse().ok()
    };
    let seed = value("--seed").unwrap_or_else(drawn);
    let is_plain = value("--rounds").is_none();
    let is_proof = args.iter().any(|arg| arg == "--prove");
    let plan = Plan {
        rounds: value("--rounds").unwrap_or(FEW),
        seed,
        planted: None,
        is_told: true,
    };
    if !is_proof && !finds_nothing(&plan) {
        return ExitCode::FAILURE;
    }
    let bugs = match (is_proof, is_plain) {
        (true, _) => &Planted::ALL[..],
        (false, true) => &[Planted::OwnTable],
        (false, false) => &[],
    };
    for planted in bugs {
        if !finds(*planted, seed) {
            return ExitCode::FAILURE;
        }
    }
    println!("{} passed, 0 failed", bugs.len() + usize::from(!is_proof));
    ExitCode::SUCCESS
}

fn finds_nothing(plan: &Plan) -> bool {
    let (rounds, seed) = (plan.rounds, plan.seed);
    println!("chaos: {rounds} rounds of seed {seed}, on three processes");
    match play(plan) {
        Ok(_) => true,
        Err((problem, progress)) => {
            println!("chaos: round {}: {problem}", progress.rounds + 1);
            println!("try again with: cargo xtask chaos --rounds {rounds} --seed {seed}");
            false
        }
    }
}

fn finds(planted: Planted, seed: u64) -> bool {
    let plan = Plan {
        rounds: MOST_BLIND,
        seed,
        planted: Some(planted),
        is_told: false,
    };
    match play(&plan) {
        Ok(_) => {
            println!("chaos: {} was not found: it is blind", planted.name());
            false
        }
        Err((problem, progress)) => {
            let round = progress.rounds + 1;
            println!(
                "chaos: {}: found in round {round}: {problem}",
                planted.name()
            );
            // An interruption is none.
            problem != INTERRUPTED
        }
    }
}

fn drawn() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.subsec_nanos().into())
}

/// Starts a cluster, and lets all the rounds happen to it. What is wrong comes with the round.
fn play(plan: &Plan) -> Result<Progress, (String, Progress)> {
    let mut progress = Progress::default();
    let played = play_in(plan, &mut progress);
    match played {
        Ok(()) => Ok(progress),
        Err(problem) => Err((problem, progress)),
    }
}

fn play_in(plan: &Plan, progress: &mut Progress) -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    // Of one thread: that which starts the processes, and whose end ends them.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let played = LocalSet::new().block_on(&runtime, async {
        let plays = play_rounds(plan, dir.path(), progress);
        tokio::select! {
            played = plays => played,
            _ = tokio::signal::ctrl_c() => Err(INTERRUPTED.to_owned()),
        }
    });
    // No process is left that could write.
    drop(runtime);
    let is_problem = played.as_ref().is_err_and(|problem| problem != INTERRUPTED);
    if is_problem && plan.planted.is_none() {
        println!(
            "chaos: the files and what has happened are in {}",
            dir.keep().display()
        );
    }
    played
}

async fn play_rounds(plan: &Plan, dir: &Path, progress: &mut Progress) -> Result<(), String> {
    let begun = Instant::now();
    let mut prng = Prng::new(plan.seed);
    let cluster = Cluster::start(dir, &mut prng, plan.planted).await?;
    let (load, _tasks) = Load::start(Rc::clone(&cluster), &mut prng);
    let played = tokio::select! {
        played = rounds(plan, &load, &mut prng, progress) => played,
        violation = watch(&load) => Err(violation),
    };
    for id in 1..=MEMBERS {
        cluster.kill(id).await;
    }
    let model = load.model.borrow();
    // It may be of use, but it changes nothing.
    let _ = std::fs::write(dir.join("history.txt"), model.history());
    if played.is_ok() && plan.is_told {
        let totals = &model.totals;
        println!(
            "chaos: {} rounds in {:.0?}, {} kills, {} pauses, {} leaders",
            progress.rounds,
            begun.elapsed(),
            progress.kills,
            progress.pauses,
            model.promotions.len(),
        );
        println!(
            "chaos: acknowledged: {} grants, {} renewals, {} revokes, {} attaches and detaches; {} outcomes were not known",
            totals.grants, totals.renewals, totals.revokes, totals.attaches, totals.unknown,
        );
        println!(
            "chaos: {} reads; {} leases have expired, the latest {:.2?} after its time, elections included; no leader for {:.1?} at most; the machine has held this program up for {:.2?} at most",
            totals.reads,
            totals.expired,
            totals.longest_lateness,
            totals.longest_gap,
            totals.longest_stall,
        );
        println!(
            "chaos: nothing lost, nothing kept alive gone, nothing abandoned left, all members agree"
        );
    }
    played
}

/// Waits for a check that fails.
async fn watch(load: &Load) -> String {
    loop {
        sleep(Duration::from_millis(20)).await;
        let dead = load.cluster.check_alive();
        let mut model = load.model.borrow_mut();
        if let Some(violation) = model.violation.take() {
            return violation;
        }
        if let Err(dead) = dead {
            return dead;
        }
        let silence = match load.cluster.quorum() {
            Quorum::There(since) => model.last_answer.max(since).elapsed(),
            Quorum::Lost => Duration::ZERO,
        };
        if silence > PATIENCE {
            model.note("nothing is answered");
            return format!("there is a quorum, and nothing is answered for {silence:.1?}");
        }
    }
}

async fn rounds(
    plan: &Plan,
    load: &Rc<Load>,
    prng: &mut Prng,
    progress: &mut Progress,
) -> Result<(), String> {
    sleep(Duration::from_secs(1)).await;
    for round in 1..=plan.rounds {
        let fault = Fault::draw(prng, load.leader.get());
        load.model
            .borrow_mut()
            .note(&format!("round {round}: {fault}"));
        fault.happen(&load.cluster).await?;
        let happened = Instant::now();
        progress.kills += fault.count(|step| matches!(step, Step::Kill(_)));
        progress.pauses += fault.count(|step| matches!(step, Step::Pause(_)));
        // Whoever watches ends it if no answer comes.
        while load.model.borrow().last_answer <= happened {
            sleep(Duration::from_millis(20)).await;
        }
        // Each change of the leader gives the leases their time again: now and then there is none.
        match round % CALM_ROUNDS {
            2 => sleep(CALM).await,
            _ => sleep(Duration::from_millis(100 + prng.below(600))).await,
        }
        agree(load).await?;
        progress.rounds = round;
        if plan.is_told && (round % 10 == 0 || round == plan.rounds) {
            let model = load.model.borrow();
            let (grants, renewals) = (model.totals.grants, model.totals.renewals);
            println!("chaos: round {round}: {grants} grants, {renewals} renewals; {fault}");
        }
    }
    settle(load).await
}

/// Nothing new is asked for: all members come to the same.
async fn agree(load: &Load) -> Result<(), String> {
    load.is_quiet.set(true);
    let begun = Instant::now();
    let mut differences = 0;
    while begun.elapsed() < PATIENCE {
        let dumps = join_all((1..=MEMBERS).map(|id| dump(load, id))).await;
        let dumps: Option<Vec<_>> = dumps.into_iter().collect();
        let Some(dumps) = dumps else {
            return Err("a member does not answer".to_owned());
        };
        let applied = dumps[0].applied;
        let is_still = applied.0 == applied.1 && dumps.iter().all(|dump| dump.applied == applied);
        if is_still && dumps.iter().all(|dump| dump.leases == dumps[0].leases) {
            load.is_quiet.set(false);
            return Ok(());
        }
        // A lease may go just before the index is told.
        differences = if is_still { differences + 1 } else { 0 };
        if differences == 5 {
            return Err(format!("the members do not agree: {}", difference(&dumps)));
        }
        sleep(Duration::from_millis(50)).await;
    }
    Err(format!(
        "the members have not come to the same in {PATIENCE:?}"
    ))
}

async fn dump(load: &Load, id: usize) -> Option<Dump> {
    let process = load.cluster.member(id)?;
    Dump::parse(&process.ask("local").await?)
}

/// The first lease that is not the same everywhere.
fn difference(dumps: &[Dump]) -> String {
    let ids = dumps.iter().flat_map(|dump| dump.leases.keys());
    let differs = |id: &&i64| {
        dumps
            .iter()
            .any(|dump| dump.leases.get(id) != dumps[0].leases.get(id))
    };
    let shown = ids.clone().find(differs).map(|id| {
        let shown: Vec<_> = dumps.iter().map(|dump| dump.leases.get(id)).collect();
        format!("lease {id}: {shown:?}")
    });
    shown.unwrap_or_default()
}

/// In the end all that is abandoned goes, and what is kept alive stays.
async fn settle(load: &Rc<Load>) -> Result<(), String> {
    load.is_quiet.set(true);
    let left = || {
        let model = load.model.borrow();
        let known = model.leases.values().filter(|entry| entry.known.is_some());
        known.filter(|entry| !entry.is_kept).count()
    };
    // The longest TTL, and all that may come on top.
    let longest = MAX_TTL + EXTEND + ELECTION + SLACK + PATIENCE;
    let begun = Instant::now();
    while left() > 0 {
        if begun.elapsed() > longest {
            return Err(format!("{} abandoned leases do not go", left()));
        }
        sleep(Duration::from_millis(100)).await;
    }
    let kept = load
        .model
        .borrow()
        .leases
        .values()
        .filter(|entry| entry.is_kept)
        .count();
    match kept {
        0 => Err("no lease is kept alive: there is nothing to prove".to_owned()),
        _ => Ok(()),
    }
}

/// One of so many rounds ends with a calm in which what is not kept alive has to go.
const CALM_ROUNDS: u64 = 12;
const CALM: Duration = Duration::from_millis(9_500);
const INTERRUPTED: &str = "it was interrupted";
