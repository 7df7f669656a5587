mod book;
mod cargo_lines;
mod page;
mod pages;
mod pictures;
mod runs;

use std::process::ExitCode;

use anyhow::{Result, ensure};

use crate::invocation::Invocation;
use crate::tools::Tool;
use crate::workspace::Workspace;

/// Build the guide as a book, with the mdbook that this command installs for itself. To read the guide
/// nobody needs it: all is in the pages in docs/guide/src, but for the timelines.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build no book: compare the pages with their programs, and with what these print.
    #[arg(long, conflicts_with = "write")]
    check: bool,
    /// Build no book: write the programs into the pages, and what they print.
    #[arg(long)]
    write: bool,
}

/// Builds the guide, compares its pages, or writes into them.
///
/// # Errors
///
/// As for [`check`]; and if a program does not build, or prints something else than its page shows.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    if args.write {
        for page in page::Page::all(&workspace.root)? {
            page.take_programs(&workspace.root)?;
        }
        runs::programs(workspace, true)?;
        check_pages(workspace)?;
    } else if args.check {
        check_pages(workspace)?;
        runs::programs(workspace, false)?;
    } else {
        check(workspace)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Checks the pages' sources, builds the book, lets the simulation draw its timelines and show what the
/// pages show, and checks the links of the book.
///
/// What the programs print is left to their test, which `ci` has run before.
///
/// # Errors
///
/// If a page shows another program than the one in its file, a run does not say what a page shows, mdbook
/// cannot be installed or fails, or a link of the book leads nowhere.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    check_pages(workspace)?;
    let out = workspace.target_folder()?.join("guide");
    let mdbook = MDBOOK.installed(workspace)?.display().to_string();
    let guide = workspace.root.join(GUIDE).display().to_string();
    let build = ["build".to_owned(), "--dest-dir".to_owned()];
    Invocation::tool(mdbook, build)
        .arg(out.display().to_string())
        .arg(guide)
        .run(&workspace.root)?;
    pictures::inline(&out)?;
    println!(
        "   {}, but for the timelines: the simulation draws them, whose first build takes minutes",
        out.join("index.html").display()
    );
    runs::draw(workspace, &out)?;
    runs::check(workspace)?;
    let problems = book::dangling(&out)?;
    report(&problems, "links that lead nowhere")?;
    println!("   the timelines are drawn, and every link leads somewhere");
    Ok(())
}

/// Where the guide's sources are.
const GUIDE: &str = "docs/guide";

const MDBOOK: Tool = Tool {
    name: "mdbook",
    version: "0.5.4",
    features: &["--no-default-features", "--features", "search"],
};

fn check_pages(workspace: &Workspace) -> Result<()> {
    let problems = pages::problems(workspace)?;
    report(&problems, "broken rules of the guide")
}

fn report(problems: &[String], what: &str) -> Result<()> {
    problems.iter().for_each(|problem| println!("   {problem}"));
    ensure!(problems.is_empty(), "{what}: {}", problems.len());
    Ok(())
}
