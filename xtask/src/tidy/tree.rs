use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// A file whose text is checked.
#[derive(Debug)]
pub(super) struct SourceFile {
    /// The path from the root, with `/` between its parts.
    pub(super) path: String,
    pub(super) text: String,
}

impl SourceFile {
    /// The part of the name behind the last dot.
    pub(super) fn extension(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(_, end)| end)
    }

    /// Whether `cargo xtask codegen` wrote it.
    pub(super) fn is_generated(&self) -> bool {
        self.path.contains("/src/gen/")
    }

    /// The lines with their numbers, from 1, and without the line feed.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.split('\n'))
    }

    /// The place of a line, as compilers write it.
    pub(super) fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path)
    }

    /// A file for tests.
    #[cfg(test)]
    pub(super) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }
}

/// The files whose text is checked, sorted by path.
///
/// # Errors
///
/// If a folder or file cannot be read, or is not UTF-8.
pub(super) fn read_tree(root: &Path) -> Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    read_dir(root, "", &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

const EXTENSIONS: [&str; 5] = ["md", "proto", "rs", "toml", "txt"];

// What cargo and its helpers write.
const SKIPPED_DIRS: [&str; 4] = ["target", "target-sim", "target-threads", "mutants.out"];

fn read_dir(dir: &Path, prefix: &str, files: &mut Vec<SourceFile>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {dir:?}"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        if kind.is_dir() && !name.starts_with('.') && !SKIPPED_DIRS.contains(&&*name) {
            read_dir(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file() && has_text(&name) {
            let text = fs::read_to_string(entry.path())
                .with_context(|| format!("cannot read {path} as text"))?;
            files.push(SourceFile { path, text });
        }
    }
    Ok(())
}

fn has_text(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, end)| end);
    extension.is_some_and(|end| EXTENSIONS.contains(&end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_and_build_folders_are_not() {
        let root = tempfile::tempdir().expect("a folder");
        for path in ["b/src/x.rs", "a.md", "target/c.rs", ".git/d.md", "e.bin"] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, "text").expect("a file");
        }
        let files = read_tree(root.path()).expect("a tree");
        let paths: Vec<_> = files.iter().map(|file| &*file.path).collect();
        assert_eq!(paths, ["a.md", "b/src/x.rs"]);
    }
}
