use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::GUIDE;

/// What is wrong with the sources of the pages, as sentences.
///
/// # Errors
///
/// If a source cannot be read.
pub(super) fn problems(root: &Path) -> Result<Vec<String>> {
    let src = root.join(GUIDE).join("src");
    let summary = read(&src.join("SUMMARY.md"))?;
    let tests = read(&root.join(TESTS))?;
    let mut problems = Vec::new();
    let mut entries: Vec<_> = fs::read_dir(&src)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(".md") || name == "SUMMARY.md" {
            continue;
        }
        let page = Page {
            text: read(&entry.path())?,
            folder: src.clone(),
        };
        let mut found = page.problems(&tests);
        if !summary.contains(&format!("({name})")) {
            found.push("is not in SUMMARY.md".to_owned());
        }
        problems.extend(found.into_iter().map(|text| format!("{name}: {text}")));
    }
    Ok(problems)
}

/// The test that runs the programs.
const TESTS: &str = "lease/tests/guide.rs";

/// Where the programs are, which are built, linted and run.
const PROGRAMS: &str = "/lease/examples/";

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

struct Page {
    text: String,
    folder: std::path::PathBuf,
}

/// A block of code: what stands behind the fence, and its lines.
struct Block<'a> {
    language: &'a str,
    lines: Vec<&'a str>,
}

impl Page {
    fn problems(&self, tests: &str) -> Vec<String> {
        let mut problems: Vec<_> = includes(&self.text)
            .filter_map(|include| self.complaint(include, tests))
            .collect();
        let blocks = blocks(&self.text);
        for block in &blocks {
            let is_copied = block.lines.iter().any(|line| !line.starts_with("{{#"));
            if block.language.starts_with("rust") && is_copied {
                problems.push(format!(
                    "code that nobody compiles: {}",
                    block.lines.join(" ")
                ));
            }
        }
        let opens_with_a_program = blocks.first().is_some_and(Block::is_a_program);
        if !opens_with_a_program {
            problems.push("does not open with a program that runs".to_owned());
        }
        problems
    }

    fn complaint(&self, include: &str, tests: &str) -> Option<String> {
        let (path, anchor) = include
            .split_once(':')
            .map_or((include, None), |(path, anchor)| (path, Some(anchor)));
        let Ok(text) = fs::read_to_string(self.folder.join(path)) else {
            return Some(format!("no file {path}"));
        };
        if let Some(anchor) = anchor {
            let has = |mark: &str| {
                let mark = format!("{mark}: {anchor}");
                text.lines().any(|line| line.trim_end().ends_with(&mark))
            };
            if !has("ANCHOR") || !has("ANCHOR_END") {
                return Some(format!("{path} has no anchor {anchor}"));
            }
        }
        let name = Path::new(path).file_stem()?.to_str()?;
        let is_program = path.ends_with(".rs");
        if is_program && !path.contains(PROGRAMS) {
            return Some(format!("{path} is no example of the crate lease"));
        }
        let is_run = tests.contains(&format!("\"{name}\"")) || !path.contains("/guide/");
        (is_program && !is_run).then(|| format!("{TESTS} does not run {path}"))
    }
}

impl Block<'_> {
    /// A whole program, or a command that runs one.
    fn is_a_program(&self) -> bool {
        let is_included = self.lines.iter().any(|line| line.starts_with("{{#include"));
        is_included && self.language.starts_with("rust") || self.language == "console"
    }
}

/// What is included, with the anchor.
fn includes(text: &str) -> impl Iterator<Item = &str> {
    let after = text.split("{{#include ").skip(1);
    after.filter_map(|rest| Some(rest.split_once("}}")?.0.trim()))
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(language), None) => {
                open = Some(Block {
                    language,
                    lines: Vec::new(),
                });
            }
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some(mut block)) => {
                block.lines.push(line);
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(text: &str) -> Vec<String> {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("docs/src");
        let programs = root.path().join("lease/examples/guide");
        fs::create_dir_all(&folder).expect("a folder");
        fs::create_dir_all(&programs).expect("a folder");
        let program = "// ANCHOR: all\nfn main() {}\n// ANCHOR_END: all\n";
        fs::write(programs.join("run.rs"), program).expect("a file");
        fs::write(programs.join("not_run.rs"), program).expect("a file");
        fs::write(folder.join("loose.rs"), program).expect("a file");
        let text = text.replace("EXAMPLES", "../../lease/examples/guide");
        Page { text, folder }.problems("says(\"run\")")
    }

    #[test]
    fn included_programs_are_fine() {
        for text in [
            "```rust\n{{#include EXAMPLES/run.rs:all}}\n```\ntext\n```text\nanything\n```\n",
            "```rust,no_run\n{{#include EXAMPLES/run.rs}}\n```\n",
            "```console\n$ cargo xtask sim\n```\n",
        ] {
            assert_eq!(problems_of(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn what_nobody_compiles_or_runs_is_told() {
        let first = "```console\n$ ls\n```\n";
        for (text, problem) in [
            ("```rust\nfn main() {}\n```", "code that nobody compiles"),
            (
                "```rust\n{{#include EXAMPLES/gone.rs}}\n```",
                "no file ../../lease/examples/guide/gone.rs",
            ),
            (
                "```rust\n{{#include EXAMPLES/run.rs:some}}\n```",
                "no anchor some",
            ),
            ("```rust\n{{#include loose.rs}}\n```", "is no example"),
            (
                "```rust\n{{#include EXAMPLES/not_run.rs}}\n```",
                "does not run",
            ),
            ("{{#include gone.txt}}", "no file gone.txt"),
        ] {
            let found = problems_of(&format!("{first}{text}"));
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].contains(problem), "{text}: {found:?}");
        }
    }

    #[test]
    fn a_page_opens_with_a_program() {
        for text in ["", "text\n", "```text\na\n```\n```console\n$ ls\n```\n"] {
            assert_eq!(problems_of(text).len(), 1, "{text}");
        }
    }
}
