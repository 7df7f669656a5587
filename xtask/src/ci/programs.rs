//! The programs of the tests, several at a time: most of them wait more than they work, and cargo runs one after
//! the other.

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use crate::invocation::Invocation;
use crate::process;
use crate::workspace::Workspace;

/// A program with tests.
#[derive(Debug, PartialEq, Eq)]
struct Program {
    path: PathBuf,
    folder: PathBuf,
    package: String,
    /// What cargo has to be told to build it alone.
    target: Vec<String>,
}

/// How long one of them may take.
const PATIENCE: Duration = Duration::from_secs(600);

// Without `--tests` it builds the examples too, which some tests run as programs.
const BUILD: &str =
    "test --workspace --all-features --no-run --message-format json-render-diagnostics";

// Those that have tests themselves are built for these by the other line.
const BUILD_EXAMPLES: &str = "build --workspace --all-features --examples";

/// Builds all tests and runs their programs.
///
/// # Errors
///
/// If they cannot be built, or a test fails.
pub(super) fn run_tests(workspace: &Workspace) -> Result<()> {
    let messages = Invocation::cargo_line(BUILD).output(&workspace.root)?;
    Invocation::cargo_line(BUILD_EXAMPLES).run(&workspace.root)?;
    let programs: VecDeque<_> = messages.lines().filter_map(program).collect();
    ensure!(!programs.is_empty(), "cargo names no program with tests");
    let (queue, failed) = (Mutex::new(programs), Mutex::new(Vec::new()));
    let work = || -> Result<()> {
        loop {
            let next = queue.lock().expect("no panic").pop_front();
            let Some(program) = next else {
                return Ok(());
            };
            if !run(&program)? {
                failed.lock().expect("no panic").push(program.to_string());
            }
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(work)).collect();
        let mut ends = workers.into_iter().map(|worker| worker.join());
        ends.try_for_each(|end| end.expect("a worker does not panic"))
    })?;
    let failed = failed.into_inner().expect("no panic");
    if !failed.is_empty() {
        bail!("to repeat what has failed:\n    {}", failed.join("\n    "));
    }
    Ok(())
}

/// Tests of real time have to bear others beside them, but not any number.
const AT_A_TIME: usize = 2;

/// Whether its tests pass.
fn run(program: &Program) -> Result<bool> {
    let start = Instant::now();
    let mut command = Command::new(&program.path);
    command.current_dir(&program.folder);
    command.env("CARGO_MANIFEST_DIR", &program.folder);
    let ended = process::run(&mut command, PATIENCE)?;
    let passes = ended.code == Some(0);
    let counts = ended
        .stdout
        .lines()
        .rev()
        .find(|line| line.starts_with("test result:"));
    let seconds = start.elapsed().as_secs_f64();
    let what = match (ended.is_late, counts) {
        (true, _) => "takes too long",
        (false, Some(counts)) => counts,
        (false, None) if passes => "ok",
        (false, None) => "died",
    };
    // In one piece: another one may end at the same time.
    match passes {
        true => println!("   {program}, {seconds:.1} s: {what}"),
        false => println!(
            "{}{}   {program}, {seconds:.1} s: {what}",
            ended.stdout, ended.stderr
        ),
    }
    Ok(passes)
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = ["test", "--all-features", "--package", &self.package].into_iter();
        let target = self.target.iter().map(String::as_str);
        Invocation::cargo(words.chain(target)).fmt(f)
    }
}

// What a message of cargo's says that was built, if it has tests.
fn program(line: &str) -> Option<Program> {
    let message: Value = serde_json::from_str(line).ok()?;
    let path = PathBuf::from(message["executable"].as_str()?);
    if message["profile"]["test"] != true {
        return None;
    }
    let manifest = PathBuf::from(message["manifest_path"].as_str()?);
    let folder = manifest.parent()?.to_owned();
    let package = folder.file_name()?.to_str()?.to_owned();
    let (kind, name) = (
        message["target"]["kind"][0].as_str()?,
        &message["target"]["name"],
    );
    let target = match kind {
        "bin" | "test" | "example" | "bench" => {
            vec![format!("--{kind}"), name.as_str()?.to_owned()]
        }
        _ => vec!["--lib".to_owned()],
    };
    Some(Program {
        path,
        folder,
        package,
        target,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_names_the_programs_with_tests() {
        let message = |kind: &str, is_test: bool| {
            serde_json::json!({
                "reason": "compiler-artifact",
                "manifest_path": "/lease-pb/Cargo.toml",
                "executable": "/target/debug/deps/golden-1",
                "profile": { "test": is_test },
                "target": { "kind": [kind], "name": "golden" },
            })
            .to_string()
        };
        let line = |kind: &str| {
            program(&message(kind, true))
                .expect("it has tests")
                .to_string()
        };
        assert_eq!(
            line("test"),
            "cargo test --all-features --package lease-pb --test golden"
        );
        assert_eq!(
            line("lib"),
            "cargo test --all-features --package lease-pb --lib"
        );
        assert_eq!(program(&message("example", false)), None);
        assert_eq!(program("no message"), None);
    }

    #[test]
    fn a_program_that_fails_is_told_from_one_that_passes() {
        let sh = |code: &str| {
            let folder = std::env::temp_dir();
            let path = PathBuf::from(code);
            run(&Program {
                path,
                folder,
                package: String::new(),
                target: Vec::new(),
            })
        };
        assert!(sh("true").expect("it starts"));
        assert!(!sh("false").expect("it starts"));
        assert!(sh("no-such-program-as-this").is_err());
    }
}
