use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::invocation::Invocation;

/// Copies the files that git knows into the folder `tree`, each changed by `change`, which gets its
/// path and its bytes, and those that are `added`. What stays the same there keeps its time, so that it
/// is not built again; what is gone goes there too.
///
/// The copy is a repository of its own, or git would apply nothing under an ignored folder.
///
/// # Errors
///
/// If git does not list the files, or one cannot be written.
pub(crate) fn copy_tree(
    root: &Path,
    tree: &Path,
    added: &[(PathBuf, &str)],
    change: impl Fn(&str, Vec<u8>) -> Vec<u8>,
) -> Result<()> {
    fs::create_dir_all(tree)?;
    Invocation::git(["init", "--quiet"]).run(tree)?;
    let listed = Invocation::git(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let mut copied = BTreeSet::new();
    for (file, text) in added {
        write(&tree.join(file), text.as_bytes())?;
        copied.insert(file.clone());
    }
    for file in listed.output(root)?.lines() {
        let Ok(text) = fs::read(root.join(file)) else {
            continue;
        };
        write(&tree.join(file), &change(file, text))?;
        copied.insert(file.into());
    }
    for file in listed.output(tree)?.lines() {
        if !copied.contains(Path::new(file)) {
            fs::remove_file(tree.join(file))?;
        }
    }
    Ok(())
}

/// Writes a file, unless it holds that already, and makes its folder.
///
/// # Errors
///
/// If it cannot be written.
pub(crate) fn write(path: &Path, text: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
    fs::write(path, text)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_what_is_there_and_no_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let (root, tree) = (folder.path().join("root"), folder.path().join("tree"));
        let text = |name: &str| fs::read_to_string(tree.join(name)).ok();
        fs::create_dir_all(&root).expect("a folder");
        Invocation::git(["init", "--quiet"])
            .run(&root)
            .expect("git");
        let copy = || {
            let added = [(PathBuf::from("new"), "more")];
            copy_tree(&root, &tree, &added, |file, text| match file {
                "a" => b"changed".to_vec(),
                _ => text,
            })
        };
        fs::write(root.join("a"), "a").expect("written");
        fs::write(root.join("b"), "b").expect("written");
        copy().expect("copied");
        assert_eq!(text("a").as_deref(), Some("changed"));
        assert_eq!(text("b").as_deref(), Some("b"));
        assert_eq!(text("new").as_deref(), Some("more"));
        fs::remove_file(root.join("b")).expect("removed");
        copy().expect("copied");
        assert_eq!(text("b"), None);
        assert_eq!(text("new").as_deref(), Some("more"));
    }
}
