use std::path::Path;

use anyhow::Result;

use super::GUIDE;
use super::cargo_lines;
use super::page::{Block, Page, SUMMARY, blocks, loose_marks, read, source};
use crate::workspace::Workspace;

/// What is wrong with the sources of the pages, as sentences.
///
/// # Errors
///
/// If a source cannot be read.
pub(super) fn problems(workspace: &Workspace) -> Result<Vec<String>> {
    let root = &workspace.root;
    let summary = read(&root.join(GUIDE).join("src").join(SUMMARY))?;
    let tests = read(&root.join(TESTS))?;
    let mut problems = Vec::new();
    for Page { name, text, .. } in Page::all(root)? {
        let mut found = problems_of(&text, workspace, &tests);
        if !summary.contains(&format!("({name})")) {
            found.push(format!("is not in {SUMMARY}"));
        }
        problems.extend(found.into_iter().map(|text| format!("{name}: {text}")));
    }
    Ok(problems)
}

/// The test that runs the programs.
const TESTS: &str = "lease/tests/guide.rs";

/// Where the programs are, which are built, linted and run.
const PROGRAMS: &str = "lease/examples/";

fn problems_of(page: &str, workspace: &Workspace, tests: &str) -> Vec<String> {
    let mut problems: Vec<_> = loose_marks(page)
        .into_iter()
        .map(|mark| format!("no block of code right behind {mark}"))
        .collect();
    if page.contains("{{#") {
        problems.push("mdbook fills something in, which its source does not show".to_owned());
    }
    let blocks = blocks(page);
    let mut cargo_lines = None;
    for block in &blocks {
        if block.language == "toml" {
            cargo_lines = Some(block.text);
        }
        match block.program() {
            Some(program) => {
                problems.extend(complaint(block, program, &workspace.root, tests));
                problems.extend(cargo_lines::problems(cargo_lines, program, workspace));
            }
            None if block.language.starts_with("rust") => {
                problems.push(format!("code that nobody compiles: {}", block.text));
            }
            None => {}
        }
    }
    let first = blocks.iter().find(|block| block.language != "toml");
    if !first.is_some_and(|block| block.program().is_some() || block.language == "console") {
        problems.push("does not open with a program that runs".to_owned());
    }
    problems
}

fn complaint(block: &Block<'_>, program: &str, root: &Path, tests: &str) -> Option<String> {
    let source = match source(root, program) {
        Ok(source) => source,
        Err(text) => return Some(text),
    };
    if source != block.text {
        return Some(format!(
            "does not show {program} as it is; `{WRITE_LINE}` writes it"
        ));
    }
    if !program.starts_with(PROGRAMS) {
        return Some(format!("{program} is no example of the crate lease"));
    }
    let name = cargo_lines::example(program);
    let is_run = tests.contains(&format!("\"{name}\"")) || !program.contains("/guide/");
    (!is_run).then(|| format!("{TESTS} does not run {program}"))
}

/// The line that mends what differs.
const WRITE_LINE: &str = "cargo xtask guide --write";

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::workspace::Member;

    const CARGO: &str = "```toml\n[dependencies]\nlease = { path = \"../lease/lease\" }\n```\n";

    fn problems_of(page: &str) -> Vec<String> {
        let root = tempfile::tempdir().expect("a folder");
        let programs = root.path().join("lease/examples/guide");
        fs::create_dir_all(&programs).expect("a folder");
        let program = "// ANCHOR: all\nfn main() {}\n// ANCHOR_END: all\n";
        fs::write(programs.join("run.rs"), program).expect("a file");
        fs::write(programs.join("not_run.rs"), program).expect("a file");
        fs::write(root.path().join("loose.rs"), program).expect("a file");
        let workspace = Workspace {
            root: root.path().to_owned(),
            manifest: toml::Table::new(),
            members: vec![Member::parse("[package]\nname = 'lease'")],
        };
        let page = page.replace("EXAMPLES", "lease/examples/guide");
        super::problems_of(&page, &workspace, "shows(\"run\")")
    }

    fn program(mark: &str, text: &str) -> String {
        format!("{CARGO}<!-- program: {mark} -->\n```rust\n{text}```\n")
    }

    #[test]
    fn programs_as_they_are_in_their_files_are_fine() {
        let good = program("EXAMPLES/run.rs:all", "fn main() {}\n");
        for page in [
            &*format!("{good}text\n```text\nanything\n```\n"),
            "```console\n$ cargo xtask sim\n```\n",
        ] {
            assert_eq!(problems_of(page), [""; 0], "{page}");
        }
    }

    #[test]
    fn what_nobody_compiles_or_runs_is_told() {
        let main = "fn main() {}\n";
        for (page, problem) in [
            (
                program("EXAMPLES/run.rs:all", "fn main() { }\n"),
                "does not show",
            ),
            (program("EXAMPLES/run.rs:all", ""), "does not show"),
            (program("EXAMPLES/gone.rs:all", main), "no file"),
            (program("EXAMPLES/run.rs:some", main), "no part some"),
            (program("loose.rs:all", main), "is no example"),
            (program("EXAMPLES/not_run.rs:all", main), "does not run"),
            (
                program("EXAMPLES/run.rs:all", main).replace(CARGO, ""),
                "no lines for Cargo.toml",
            ),
            (
                "```rust\nfn main() {}\n```\n".to_owned(),
                "nobody compiles: fn main",
            ),
            ("{{#include a.txt}}\n".to_owned(), "mdbook fills"),
            (
                "<!-- program: EXAMPLES/run.rs:all -->\n".to_owned(),
                "no block of code right",
            ),
        ] {
            let found = problems_of(&format!("```console\n$ ls\n```\n{page}"));
            assert_eq!(found.len(), 1, "{page}: {found:?}");
            assert!(found[0].contains(problem), "{page}: {found:?}");
        }
    }

    #[test]
    fn a_page_opens_with_a_program() {
        for page in ["", "text\n", "```text\na\n```\n```console\n$ ls\n```\n"] {
            assert_eq!(problems_of(page).len(), 1, "{page}");
        }
    }
}
