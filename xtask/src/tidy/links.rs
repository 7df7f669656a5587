use std::path::Path;

use super::Problem;
use super::tree::SourceFile;

/// Relative links of a Markdown file to what does not exist.
pub(super) fn dangling(root: &Path, file: &SourceFile) -> Vec<Problem> {
    if file.extension() != "md" {
        return Vec::new();
    }
    prose(file)
        .flat_map(|(number, line)| {
            let targets = link_targets(&without_code(line)).into_iter();
            targets.map(move |target| (number, target))
        })
        .filter(|(_, target)| is_dangling(root, &file.path, target))
        .map(|(number, target)| {
            Problem::new(file.at(number), format!("no file for the link {target}"))
        })
        .collect()
}

// The lines outside of code blocks.
pub(super) fn prose(file: &SourceFile) -> impl Iterator<Item = (usize, &str)> {
    let mut fence = None;
    file.lines().filter(move |(_, line)| {
        let start = line.trim_start();
        let mark = ["```", "~~~"]
            .into_iter()
            .find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(_)) => fence = mark,
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) => return true,
            _ => {}
        }
        false
    })
}

// The line without its spans of code. Every second part between backticks is code.
fn without_code(line: &str) -> String {
    let parts = line.split('`').step_by(2);
    parts.collect::<Vec<_>>().join("`")
}

// What `[text](target "title")` and `[name]: target` on this line point to.
fn link_targets(line: &str) -> Vec<String> {
    let inline = line
        .match_indices("](")
        .filter_map(|(at, mark)| line[at + mark.len()..].split_once(')'))
        .map(|(target, _)| target);
    let reference = line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]: "))
        .map(|(_, target)| target);
    inline
        .chain(reference)
        .filter_map(|target| target.split_whitespace().next())
        .map(|target| target.trim_matches(['<', '>']).to_owned())
        .collect()
}

fn is_dangling(root: &Path, from: &str, target: &str) -> bool {
    let path = target.split('#').next().unwrap_or_default();
    if path.is_empty() || has_scheme(path) {
        return false;
    }
    let resolved = match path.strip_prefix('/') {
        Some(path) => root.join(path),
        None => root.join(from).with_file_name("").join(path),
    };
    !resolved.exists()
}

fn has_scheme(target: &str) -> bool {
    let scheme = target.split_once(':').map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| scheme.chars().all(|c| c.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn dangling_in(text: &str) -> Vec<String> {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(root.path().join("docs")).expect("a folder");
        fs::write(root.path().join("docs/there.md"), "").expect("a file");
        fs::write(root.path().join("top.md"), "").expect("a file");
        let file = SourceFile::new("docs/page.md", text);
        let problems = dangling(root.path(), &file);
        problems.into_iter().map(|problem| problem.place).collect()
    }

    #[test]
    fn links_to_files_that_exist_are_fine() {
        for text in [
            "[a](there.md), [b](../top.md#part), [c](#here)",
            "[a](/docs/there.md \"title\") [b](../docs)",
            "[a](https://example.org/gone.md) [b](mailto:a@example.org)",
            "[a]: there.md",
            "[a]: <../top.md>",
            "code: `[a](gone.md)` and an array [1] (see above)",
            "```\n[a](gone.md)\n~~~\n```",
        ] {
            assert!(dangling_in(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn links_to_nothing_are_told_by_line() {
        for text in [
            "\n[a](gone.md)",
            "\n[a](there.md) [b](gone.md#part)",
            "\n[a](/there.md)",
            "\n[a]: gone.md",
            "\n`code` [a](gone.md) `code`",
        ] {
            assert_eq!(dangling_in(text), ["docs/page.md:2"], "{text}");
        }
        assert_eq!(dangling_in("```\n```\n[a](gone.md)"), ["docs/page.md:3"]);
    }

    #[test]
    fn other_files_have_no_links() {
        let file = SourceFile::new("x.rs", "// [a](gone.md)\n");
        assert_eq!(dangling(Path::new("."), &file), []);
    }
}
