use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::GUIDE;
use crate::sim;
use crate::workspace::Workspace;

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

/// What a page shows of a run: the file, and the words of the command.
const SHOWN: [(&str, &str); 2] = [
    ("failing_seed", "--seed 1 --bug renew-expiring"),
    (
        "failing_trace",
        "replay docs/guide/timelines/failing.json --trace --bug renew-expiring",
    ),
];

/// Runs what the pages show: each line that is shown must come, in this order.
///
/// # Errors
///
/// If the simulation does not run or a line does not come; and if a plan of a timeline fails that has no
/// planted bug.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    for (name, line) in SHOWN {
        let file = format!("{GUIDE}/src/output/{name}.txt");
        let shown = std::fs::read_to_string(workspace.root.join(&file))
            .with_context(|| format!("cannot read {file}"))?;
        let output = sim::output(workspace, line.split(' '))?;
        if let Some(missing) = first_missing(&shown, &output) {
            anyhow::bail!("{file}: `cargo xtask sim {line}` does not say {missing:?}");
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
