mod features;
mod programs;
mod steps;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::builder::PossibleValuesParser;

use crate::workspace::Workspace;
use steps::{STEPS, Step, Task};

/// Run every check of the project, the fastest first.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// List the steps and run none.
    #[arg(long, conflicts_with = "step")]
    list: bool,
    /// Run this step only.
    #[arg(long, value_name = "NAME", value_parser = step_names())]
    step: Option<String>,
}

/// Runs the steps up to the first that fails, or lists them.
///
/// # Errors
///
/// If a step's tasks cannot be drawn up. A step that fails is told on standard output and is the
/// exit code.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let wanted = |step: &&Step| args.step.as_ref().is_none_or(|name| name == step.name);
    let chosen: Vec<_> = STEPS.iter().filter(wanted).collect();
    if args.list {
        list(&chosen);
        return Ok(ExitCode::SUCCESS);
    }
    run_steps(workspace, &chosen)
}

fn step_names() -> PossibleValuesParser {
    STEPS
        .iter()
        .map(|step| step.name)
        .collect::<Vec<_>>()
        .into()
}

fn list(steps: &[&Step]) {
    for step in steps {
        println!("{:9} {}", step.name, step.about);
    }
}

fn run_steps(workspace: &Workspace, steps: &[&Step]) -> Result<ExitCode> {
    for (passed, step) in steps.iter().enumerate() {
        println!("== {}: {}", step.name, step.about);
        let start = Instant::now();
        if let Some(failure) = first_failure(workspace, (step.tasks)(workspace)?) {
            println!("   {} failed: {:#}", step.name, failure.error);
            println!("{passed} steps passed, 1 failed; to repeat it:");
            println!("    {}", failure.line);
            return Ok(ExitCode::FAILURE);
        }
        println!(
            "   {} passed in {:.1} s",
            step.name,
            start.elapsed().as_secs_f64()
        );
    }
    println!("{} steps passed, 0 failed", steps.len());
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug)]
struct Failure {
    error: anyhow::Error,
    /// The line that repeats what failed.
    line: String,
}

fn first_failure(workspace: &Workspace, tasks: Vec<Task>) -> Option<Failure> {
    tasks.into_iter().find_map(|task| {
        let (line, outcome) = match task {
            Task::Run(invocation) => {
                println!("   {invocation}");
                (invocation.to_string(), invocation.run(&workspace.root))
            }
            Task::Own { line, run } => (line.to_owned(), run(workspace)),
            Task::Note(text) => {
                println!("   {text}");
                return None;
            }
        };
        outcome.err().map(|error| Failure { error, line })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use anyhow::bail;

    use super::*;

    #[test]
    fn steps_have_names_of_their_own() {
        let names: BTreeSet<_> = STEPS.iter().map(|step| step.name).collect();
        assert_eq!(names.len(), STEPS.len());
    }

    #[test]
    fn every_step_has_tasks() {
        let workspace = Workspace::load().expect("the manifests parse");
        for step in STEPS {
            let tasks = (step.tasks)(&workspace).expect("tasks");
            assert!(!tasks.is_empty(), "{}", step.name);
        }
    }

    #[test]
    fn the_first_task_that_fails_is_told_with_its_line() {
        let workspace = Workspace::load().expect("the manifests parse");
        let tasks = vec![
            Task::Note("nothing".to_owned()),
            Task::Own {
                line: "good",
                run: |_| Ok(()),
            },
            Task::Own {
                line: "bad",
                run: |_| bail!("broken"),
            },
            Task::Own {
                line: "never run",
                run: |_| panic!("ran on"),
            },
        ];
        let failure = first_failure(&workspace, tasks).expect("one fails");
        assert_eq!(failure.line, "bad");
        assert_eq!(failure.error.to_string(), "broken");
    }
}
