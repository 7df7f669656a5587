use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::GUIDE;

/// A page of the guide.
pub(super) struct Page {
    /// The name of its file.
    pub(super) name: String,
    pub(super) text: String,
    path: PathBuf,
}

/// A block of code.
pub(super) struct Block<'a> {
    /// Where it comes from, as the comment before it says: a kind, and what of that kind.
    mark: Option<(&'a str, &'a str)>,
    /// What stands behind the fence.
    pub(super) language: &'a str,
    /// Its lines.
    pub(super) text: &'a str,
    range: Range<usize>,
}

impl Page {
    /// All pages, by name.
    ///
    /// # Errors
    ///
    /// If a page cannot be read.
    pub(super) fn all(root: &Path) -> Result<Vec<Self>> {
        let folder = root.join(GUIDE).join("src");
        let mut pages = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.ends_with(".md") && name != SUMMARY {
                let name = name.into_owned();
                let text = read(&path)?;
                pages.push(Self { name, text, path });
            }
        }
        pages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(pages)
    }

    /// Takes each program from its source, and writes the page if that changes it.
    ///
    /// # Errors
    ///
    /// If a source is not there, or the page cannot be written.
    pub(super) fn take_programs(&self, root: &Path) -> Result<()> {
        let mut text = self.text.clone();
        // From the end, so that what stands before keeps its place.
        for block in blocks(&self.text).iter().rev() {
            if let Some(program) = block.program() {
                let source = source(root, program).map_err(anyhow::Error::msg)?;
                text.replace_range(block.range.clone(), &source);
            }
        }
        if text != self.text {
            fs::write(&self.path, text)
                .with_context(|| format!("cannot write {}", self.path.display()))?;
            println!("   {} is written", self.name);
        }
        Ok(())
    }
}

/// The page that lists the others.
pub(super) const SUMMARY: &str = "SUMMARY.md";

pub(super) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

impl<'a> Block<'a> {
    /// The file of the program that it shows, and the part of it: `FILE:PART`.
    pub(super) fn program(&self) -> Option<&'a str> {
        self.marked("program")
    }

    /// The command that says these lines, among others.
    pub(super) fn command(&self) -> Option<&'a str> {
        self.marked("lines")
    }

    fn marked(&self, kind: &str) -> Option<&'a str> {
        let (marked, what) = self.mark?;
        (marked == kind).then_some(what)
    }
}

/// The blocks of code of a page.
pub(super) fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut open: Option<(Option<_>, &str, usize)> = None;
    let (mut at, mut before) = (0, "");
    for line in page.split_inclusive('\n') {
        if let Some(language) = line.strip_prefix("```") {
            open = match open {
                None => Some((mark(before), language.trim_end(), at + line.len())),
                Some((mark, language, start)) => {
                    blocks.push(Block {
                        mark,
                        language,
                        text: &page[start..at],
                        range: start..at,
                    });
                    None
                }
            };
        }
        at += line.len();
        before = line;
    }
    blocks
}

/// Marks that stand before no block, so that nothing is compared.
pub(super) fn loose_marks(page: &str) -> Vec<&str> {
    let lines: Vec<_> = page.lines().chain([""]).collect();
    let is_loose = |pair: &&[&str]| mark(pair[0]).is_some() && !pair[1].starts_with("```");
    lines
        .windows(2)
        .filter(is_loose)
        .map(|pair| pair[0])
        .collect()
}

/// What a comment says of the block behind it. A reader of the rendered page does not see it.
fn mark(line: &str) -> Option<(&str, &str)> {
    let words = line
        .trim_end()
        .strip_prefix("<!-- ")?
        .strip_suffix(" -->")?;
    words
        .split_once(": ")
        .filter(|(kind, _)| KINDS.contains(kind))
}

// The outputs are compared by the test that runs the programs.
const KINDS: [&str; 3] = ["program", "output", "lines"];

/// The part of a source that a page shows.
///
/// # Errors
///
/// If there is no such file or part, as a sentence.
pub(super) fn source(root: &Path, program: &str) -> Result<String, String> {
    let (file, part) = program
        .split_once(':')
        .ok_or_else(|| format!("{program} names no part of a file"))?;
    let text = fs::read_to_string(root.join(file)).map_err(|_| format!("no file {file}"))?;
    let is = |line: &str, mark: &str| line.trim() == format!("// {mark}: {part}");
    let mut lines = text.split_inclusive('\n');
    let begins = lines.any(|line| is(line, "ANCHOR"));
    let mut shown = String::new();
    for line in lines {
        if is(line, "ANCHOR_END") && begins {
            return Ok(shown);
        }
        shown += line;
    }
    Err(format!("{file} has no part {part}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "// ANCHOR: all\nfn main() {}\n// ANCHOR_END: all\n// ANCHOR: open\n";

    #[test]
    fn a_page_takes_its_programs() {
        let root = tempfile::tempdir().expect("a folder");
        fs::write(root.path().join("a.rs"), TEXT).expect("a file");
        let path = root.path().join("page.md");
        let page = |program: &str| {
            format!("<!-- program: a.rs:all -->\n```rust\n{program}```\ntext\n```rust\nkept\n```\n")
        };
        for old in ["", "fn old() {}\n\n", "fn main() {}\n"] {
            let old = Page {
                name: "page.md".to_owned(),
                text: [page(old), page(old)].concat(),
                path: path.clone(),
            };
            fs::write(&path, &old.text).expect("a file");
            old.take_programs(root.path()).expect("it is written");
            let new = page("fn main() {}\n");
            assert_eq!(read(&path).expect("a file"), [new.clone(), new].concat());
        }
    }

    #[test]
    fn parts_of_a_source() {
        let root = tempfile::tempdir().expect("a folder");
        fs::write(root.path().join("a.rs"), TEXT).expect("a file");
        for (program, expected) in [
            ("a.rs:all", Ok("fn main() {}\n")),
            ("a.rs:open", Err("a.rs has no part open")),
            ("a.rs:none", Err("a.rs has no part none")),
            ("a.rs", Err("a.rs names no part of a file")),
            ("b.rs:all", Err("no file b.rs")),
        ] {
            let found = source(root.path(), program);
            assert_eq!(found.as_deref().map_err(String::as_str), expected);
        }
    }

    #[test]
    fn a_mark_stands_right_before_its_block() {
        let marked = "<!-- lines: a -->\n```text\nb\n```\n";
        let loose =
            "<!-- output: a -->\n\n```text\nb\n```\n<!-- a note: b -->\n<!-- program: c -->";
        assert_eq!(loose_marks(marked), [""; 0]);
        assert_eq!(
            loose_marks(loose),
            ["<!-- output: a -->", "<!-- program: c -->"]
        );
        let blocks = blocks(marked);
        assert_eq!((blocks[0].command(), blocks[0].text), (Some("a"), "b\n"));
        assert_eq!(blocks[0].program(), None);
    }
}
