mod book;
mod pages;
mod runs;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};

use crate::invocation::Invocation;
use crate::workspace::Workspace;

/// Build the guide, with the mdbook that this command installs for itself.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Look at the pages' sources only, and build nothing.
    #[arg(long)]
    check: bool,
}

/// Builds the guide, or looks at its sources.
///
/// # Errors
///
/// As for [`check`].
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    if args.check {
        check_pages(workspace)?;
    } else {
        check(workspace)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Checks the pages' sources, builds the book, lets the simulation draw its timelines and show what the
/// pages show, and checks the links of the book.
///
/// # Errors
///
/// If a page shows code that nobody compiles, a run does not say what a page shows, mdbook cannot be
/// installed or fails, or a link of the book leads nowhere.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    check_pages(workspace)?;
    let out = workspace.target_folder()?.join("guide");
    let mdbook = installed(workspace)?.display().to_string();
    let guide = workspace.root.join(GUIDE).display().to_string();
    let build = ["build".to_owned(), "--dest-dir".to_owned()];
    Invocation::tool(mdbook, build)
        .arg(out.display().to_string())
        .arg(guide)
        .run(&workspace.root)?;
    // The simulation takes minutes to build, and the pages can be read meanwhile.
    println!(
        "   {}, but for the timelines",
        out.join("index.html").display()
    );
    runs::draw(workspace, &out)?;
    runs::check(workspace)?;
    let problems = book::dangling(&out)?;
    report(&problems, "links lead nowhere")?;
    println!("   the timelines are drawn, and every link leads somewhere");
    Ok(())
}

/// Where the guide's sources are.
const GUIDE: &str = "docs/guide";

// The newest of these days; `--locked` takes what it was tested with.
const MDBOOK: &str = "0.5.4";

fn check_pages(workspace: &Workspace) -> Result<()> {
    let problems = pages::problems(&workspace.root)?;
    report(&problems, "rules of the guide are broken")
}

fn report(problems: &[String], what: &str) -> Result<()> {
    problems.iter().for_each(|problem| println!("   {problem}"));
    ensure!(problems.is_empty(), "{} {what}", problems.len());
    Ok(())
}

/// The program mdbook, built if it is not there.
fn installed(workspace: &Workspace) -> Result<PathBuf> {
    let root = workspace.target_folder()?.join("tools");
    let program = root.join(format!("bin/mdbook{}", std::env::consts::EXE_SUFFIX));
    let root = root.to_str().context("the target folder is no text")?;
    // It does nothing if this very version is there. A debug build takes half the time, and is quick
    // enough for a dozen pages.
    let line = format!("install mdbook --quiet --version ={MDBOOK} --locked --debug");
    let features = ["--no-default-features", "--features", "search", "--root"];
    features
        .into_iter()
        .chain([root])
        .fold(Invocation::cargo_line(&line), Invocation::arg)
        .run(&workspace.root)?;
    Ok(program)
}
