use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::GUIDE;
use super::cargo_lines::{FACADE, required_features};
use super::page::{Page, blocks};
use crate::invocation::Invocation;
use crate::sim;
use crate::workspace::Workspace;

/// Builds the programs and runs them: what each prints is what its page shows, or is written there.
///
/// # Errors
///
/// If one does not build, does not end as it should, or prints something else.
pub(super) fn programs(workspace: &Workspace, write: bool) -> Result<()> {
    let lease = workspace.members.iter().find(|it| it.name == FACADE);
    let features = required_features(lease.context("there is the facade")?, "test", "guide");
    let features: Vec<_> = features.into_iter().collect();
    let of_it = format!("--package {FACADE} --features {}", features.join(","));
    // The test runs the programs, and cargo does not build them for it.
    Invocation::cargo_line(&format!("build {of_it} --examples")).run(&workspace.root)?;
    let test = Invocation::cargo_line(&format!("test {of_it} --test guide"));
    let test = if write {
        test.env("UPDATE_EXPECT", "1")
    } else {
        test
    };
    test.run(&workspace.root)
}

/// The plans that are drawn, and the bug that is planted in them.
const DRAWN: [(&str, &[&str]); 3] = [
    ("promotion", &[]),
    ("takeover", &[]),
    ("failing", &["--bug", "renew-expiring"]),
];

/// Lets the simulation's viewer draw the timelines into the book.
///
/// # Errors
///
/// If the simulation does not build or run.
pub(super) fn draw(workspace: &Workspace, book: &Path) -> Result<()> {
    for (name, bug) in DRAWN {
        let plan = plan(name);
        let page = book.join(format!("timelines/{name}.html"));
        let page = page.display().to_string();
        let words = ["view", &plan, "--shrink-time", "0", "--output", &page];
        sim::output(workspace, words.iter().chain(bug))?;
    }
    Ok(())
}

fn plan(name: &str) -> String {
    format!("{GUIDE}/timelines/{name}.json")
}

/// Runs what the pages show of the simulation: each line that is shown must come, in this order.
///
/// # Errors
///
/// If the simulation does not run or a line does not come; and if a plan of a timeline fails that has no
/// planted bug.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    for Page { name, text, .. } in Page::all(&workspace.root)? {
        for block in blocks(&text) {
            let Some(command) = block.command() else {
                continue;
            };
            let words = command.strip_prefix("cargo xtask sim ");
            let words = words.with_context(|| format!("{name}: {command} is no simulation"))?;
            let output = sim::output(workspace, words.split(' '))?;
            if let Some(missing) = first_missing(block.text, &output) {
                anyhow::bail!("{name}: `{command}` does not say {missing:?}");
            }
        }
    }
    for (name, bug) in DRAWN {
        let plan = plan(name);
        let output = sim::output(workspace, ["replay", &plan].iter().chain(bug))?;
        let is_fine = output.contains("\n0 violations, ");
        ensure!(is_fine == bug.is_empty(), "{plan} goes on differently");
    }
    Ok(())
}

/// The first line of one text that the other does not have behind the line before.
fn first_missing<'a>(shown: &'a str, output: &str) -> Option<&'a str> {
    let mut said = output.lines();
    shown
        .lines()
        .find(|line| !said.any(|other| other.trim() == line.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_in_their_order() {
        let output = "a\n  b\nc\nd\n";
        assert_eq!(first_missing("a\nb\nd\n", output), None);
        assert_eq!(first_missing("a\nd\nb\n", output), Some("b"));
        assert_eq!(first_missing("a\ne\n", output), Some("e"));
    }
}
