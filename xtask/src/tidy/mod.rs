mod arrows;
mod citations;
mod links;
mod manifests;
mod parity;
mod pins;
mod text;
mod tree;

use std::fmt;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use tree::{SourceFile, read_tree};

/// Check manifests, text, links and citations against the project's rules.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Prints every problem and fails if there is one.
///
/// # Errors
///
/// If a file cannot be read or a rule is broken.
pub(crate) fn run(workspace: &Workspace, _args: &Args) -> Result<ExitCode> {
    check(workspace)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints every problem and fails if there is one.
///
/// # Errors
///
/// As for [`run`].
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let problems = find_problems(workspace)?;
    for problem in &problems {
        println!("{problem}");
    }
    match problems.len() {
        0 => Ok(()),
        1 => bail!("1 rule is broken"),
        many => bail!("{many} rules are broken"),
    }
}

/// A broken rule.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    /// A file, with the number of the line if there is one.
    place: String,
    text: String,
}

impl Problem {
    fn new(place: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            text: text.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// Looks at something and answers which rules it breaks.
type Check<T> = fn(&T) -> Vec<Problem>;

/// What is checked on the manifests.
const WORKSPACE_CHECKS: &[Check<Workspace>] = &[
    arrows::known_crates,
    arrows::forbidden_arrows,
    manifests::not_inherited,
    manifests::without_description,
    manifests::dependencies_of_their_own,
    manifests::unfit_to_publish,
    pins::exact,
    pins::stale_exceptions,
];

/// What is checked on each file.
const FILE_CHECKS: &[Check<SourceFile>] = &[
    text::too_long,
    text::unkempt_lines,
    text::open_end,
    text::unexplained_marks,
    text::machine_paths,
];

/// What is checked on all files together.
const TREE_CHECKS: &[Check<[SourceFile]>] =
    &[citations::stale, parity::missing_rows, parity::empty_claims];

fn find_problems(workspace: &Workspace) -> Result<Vec<Problem>> {
    let files = read_tree(&workspace.root)?;
    let of_workspace = WORKSPACE_CHECKS.iter().flat_map(|check| check(workspace));
    let of_files = files
        .iter()
        .flat_map(|file| FILE_CHECKS.iter().flat_map(|check| check(file)));
    let of_tree = TREE_CHECKS.iter().flat_map(|check| check(&files));
    let of_links = files
        .iter()
        .flat_map(|file| links::dangling(&workspace.root, file));
    let of_text = of_files.chain(of_tree).chain(of_links);
    Ok(of_workspace.chain(of_text).collect())
}
