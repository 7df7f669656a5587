use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};

use crate::invocation::Invocation;
use crate::workspace::{Member, Workspace};

/// Write the lists of public items, or check them.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write nothing, and fail if a list is not up to date.
    #[arg(long)]
    check: bool,
}

/// Writes or checks the lists.
///
/// # Errors
///
/// If the documentation does not build, or if a list is checked and not up to date.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    if args.check {
        check(workspace)?;
    } else {
        for (path, text) in lists(workspace)?.unwrap_or_default() {
            fs::create_dir_all(path.parent().context("a list has a folder")?)?;
            fs::write(path, text)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Checks that the list of each published crate is what the crate has.
///
/// # Errors
///
/// If the documentation does not build or a list is not up to date.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let mut stale = 0;
    for (path, text) in lists(workspace)?.unwrap_or_default() {
        let listed = fs::read_to_string(&path).unwrap_or_default();
        for (mark, line) in differences(&listed, &text) {
            println!("   {mark} {line}");
            stale += 1;
        }
    }
    ensure!(
        stale == 0,
        "{stale} public items changed: write them with `cargo xtask api`"
    );
    Ok(())
}

/// The text of each list and the file that it belongs into; none if this compiler describes crates in
/// another form than the one that is read here.
fn lists(workspace: &Workspace) -> Result<Option<Vec<(PathBuf, String)>>> {
    describe(workspace)?;
    let folder = workspace.target_folder()?.join("doc");
    let mut lists = Vec::new();
    for member in workspace.published() {
        let json = folder.join(format!("{}.json", member.name.replace('-', "_")));
        let version = format_version(&json)?;
        if version != FORMAT {
            println!(
                "   skipped: this compiler's form is {version}, and the lists are made of {FORMAT}"
            );
            return Ok(None);
        }
        lists.push((path(workspace, member), list(&json)?));
    }
    Ok(Some(lists))
}

fn path(workspace: &Workspace, member: &Member) -> PathBuf {
    let name = format!("docs/api/{}.txt", member.name);
    workspace.root.join(name)
}

/// Lets rustdoc write what it knows of each crate, with the dependencies that the step `doc` has built.
fn describe(workspace: &Workspace) -> Result<()> {
    let this = env::current_exe()?.display().to_string();
    Invocation::cargo_line("doc --quiet --workspace --lib --no-deps --all-features")
        .env("RUSTDOC", this)
        .env("RUSTDOCFLAGS", "-Zunstable-options --output-format json")
        .env(
            STAND_IN,
            env::var("RUSTDOC").unwrap_or_else(|_| "rustdoc".to_owned()),
        )
        .run(&workspace.root)
}

/// Stands in for rustdoc, if that is what this process was started for: JSON is unstable, and the
/// variable that admits it must not reach the compiler, whose build scripts it would run again.
pub(crate) fn stand_in_for_rustdoc() -> Option<ExitCode> {
    let rustdoc = env::var_os(STAND_IN)?;
    let status = Command::new(rustdoc)
        .args(env::args_os().skip(1))
        .env("RUSTC_BOOTSTRAP", "1")
        .status();
    let is_fine = status.is_ok_and(|status| status.success());
    Some(if is_fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

const STAND_IN: &str = "XTASK_STANDS_IN_FOR";

// Of Rust 1.95. The package `public-api` reads one form; a newer one comes with a newer package, and
// the lists may change with it.
const FORMAT: u64 = 57;

fn format_version(json: &Path) -> Result<u64> {
    let text = fs::read_to_string(json).with_context(|| format!("cannot read {json:?}"))?;
    // The number stands at the end of megabytes.
    let (_, rest) = text
        .rsplit_once("\"format_version\":")
        .context("no version of the form")?;
    let digits = rest.trim_end_matches(|c: char| !c.is_ascii_digit());
    digits
        .parse()
        .context("the version of the form is no number")
}

fn list(json: &Path) -> Result<String> {
    let api = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .build()?;
    let texts = api.items().map(|item| item.to_string());
    let mut lines: Vec<_> = texts.filter(|line| !is_expected(line)).collect();
    if lines.is_empty() {
        bail!("{json:?} has no public item");
    }
    lines.sort();
    lines.dedup();
    Ok(lines.join("\n") + "\n")
}

// Whether a line says what is so for nearly every type: a type that can no longer be sent to another
// thread has a line that says so, and the others have none.
fn is_expected(line: &str) -> bool {
    let of_all = ["Send", "Sync"].map(|name| format!("impl core::marker::{name} for "));
    let unheeded = [
        "marker::Freeze",
        "marker::Unpin",
        "marker::UnsafeUnpin",
        "UnwindSafe",
    ];
    let unheeded = unheeded.map(|name| format!("{name} for "));
    let mut unheeded = unheeded.iter();
    of_all.iter().any(|start| line.starts_with(start)) || unheeded.any(|part| line.contains(part))
}

/// The lines of one text alone, marked with the side that has them.
fn differences<'a>(old: &'a str, new: &'a str) -> Vec<(char, &'a str)> {
    let only = |of: &'a str, other: &'a str, mark| {
        let known: BTreeSet<_> = other.lines().collect();
        let lines = of.lines().filter(move |line| !known.contains(line));
        lines.map(move |line| (mark, line))
    };
    only(old, new, '-').chain(only(new, old, '+')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_side_has_is_told() {
        assert_eq!(differences("a\nb\n", "a\nb\n"), []);
        assert_eq!(differences("a\nb\n", "b\nc\n"), [('-', "a"), ('+', "c")]);
        assert_eq!(differences("", "a\n"), [('+', "a")]);
    }

    #[test]
    fn a_type_that_stays_on_its_thread_is_listed() {
        assert!(is_expected("impl core::marker::Send for a::B"));
        assert!(!is_expected("impl !core::marker::Send for a::B"));
        assert!(!is_expected(
            "impl<T> core::marker::Sync for a::B<T> where T: core::marker::Sync"
        ));
        assert!(is_expected("impl !core::marker::Unpin for a::B"));
        assert!(is_expected(
            "impl core::panic::unwind_safe::UnwindSafe for a::B"
        ));
        assert!(!is_expected("pub fn a::b()"));
    }

    #[test]
    fn the_form_is_read_off_the_end() {
        let dir = tempfile::tempdir().expect("a folder");
        let json = dir.path().join("x.json");
        fs::write(&json, r#"{"root":1,"format_version":57}"#).expect("it writes");
        assert_eq!(format_version(&json).expect("a number"), 57);
    }
}
