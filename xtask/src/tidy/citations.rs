use std::collections::BTreeMap;

use super::Problem;
use super::links::prose;
use super::tree::SourceFile;

/// What Markdown files name in code spans and what is not there: tests as `path.rs::test_name`,
/// files and folders of a crate as `crate/path`, items as `crate_name::Type::method`.
pub(super) fn stale(files: &[SourceFile]) -> Vec<Problem> {
    let tree = Tree::new(files);
    let pages = files.iter().filter(|file| file.extension() == "md");
    pages
        .flat_map(|page| {
            let spans = prose(page).flat_map(|(number, line)| {
                let spans = code_spans(line);
                spans.map(move |span| (number, span))
            });
            let tree = &tree;
            spans.filter_map(move |(number, span)| {
                Some(Problem::new(page.at(number), tree.complaint(span)?))
            })
        })
        .collect()
}

/// The text between each pair of backticks on a line.
fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

struct Tree<'a> {
    files: BTreeMap<&'a str, &'a SourceFile>,
    crates: Vec<&'a str>,
}

impl<'a> Tree<'a> {
    fn new(files: &'a [SourceFile]) -> Self {
        let manifests = files
            .iter()
            .filter_map(|file| file.path.strip_suffix("/Cargo.toml"));
        Self {
            files: files.iter().map(|file| (&*file.path, file)).collect(),
            crates: manifests.collect(),
        }
    }

    /// What is wrong with a span of code, if it names anything of this tree.
    fn complaint(&self, span: &str) -> Option<String> {
        if let Some((path, name)) = span.split_once(".rs::") {
            return self.test_complaint(&format!("{path}.rs"), name);
        }
        let is_inside = |dir: &&&str| span.strip_prefix(**dir).is_some_and(|r| r.starts_with('/'));
        if self.crates.iter().find(is_inside).is_some() {
            let is_there = self.is_path(span.trim_end_matches('/'));
            return (!is_there).then(|| format!("no file or folder {span}"));
        }
        let (crate_name, item) = span.split_once("::")?;
        let dir = crate_name.replace('_', "-");
        self.crates.contains(&&*dir).then_some(())?;
        let missing = item.split("::").find(|name| !self.has_word(&dir, name))?;
        Some(format!("{dir} has no {missing}"))
    }

    fn test_complaint(&self, path: &str, name: &str) -> Option<String> {
        let Some(file) = self.files.get(path) else {
            return Some(format!("no file {path}"));
        };
        let name = name.rsplit("::").next().unwrap_or_default();
        (!has_test(&file.text, name)).then(|| format!("{path} has no test {name}"))
    }

    fn is_path(&self, path: &str) -> bool {
        let below = format!("{path}/");
        let mut from = self.files.range(path..);
        from.any(|(other, _)| *other == path || other.starts_with(&below))
    }

    fn has_word(&self, dir: &str, word: &str) -> bool {
        let src = format!("{dir}/src/");
        let sources = self.files.range(&*src..);
        sources
            .take_while(|(path, _)| path.starts_with(&src))
            .any(|(_, file)| contains_word(&file.text, word))
    }
}

/// `#[test]`, or another one that has arguments: `#[tokio::test(start_paused = true)]`.
fn is_test_attribute(line: &&str) -> bool {
    let inside = line.trim_start_matches("#[").trim_end_matches(']');
    let path = inside.split_once('(').map_or(inside, |(path, _)| path);
    path == "test" || path.ends_with("::test")
}

/// Whether there is a function of this name right below an attribute that makes it a test.
fn has_test(text: &str, name: &str) -> bool {
    let head = format!("fn {name}(");
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(at, line)| {
        let is_function = line.trim_start_matches("async ").starts_with(&head);
        let mut attributes = lines[..at]
            .iter()
            .rev()
            .take_while(|line| line.starts_with("#["));
        is_function && attributes.any(is_test_attribute)
    })
}

fn contains_word(text: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(is_word) && !text[at + word.len()..].starts_with(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(span: &str) -> Vec<String> {
        let files = [
            SourceFile::new("lease-core/Cargo.toml", ""),
            SourceFile::new(
                "lease-core/src/lessor.rs",
                "pub fn grant() {}\n    #[test]\n    #[should_panic]\n    fn it_panics() {}\n",
            ),
            SourceFile::new(
                "lease-core/tests/a/b.rs",
                "fn helper() {}\n\n#[test]\nfn it_works() {}\n\n#[tokio::test(flavor = \"x\")]\n\
                 async fn it_waits() {}\n\n#[latest]\nfn it_is_late() {}\n",
            ),
            SourceFile::new("docs/page.md", &format!("text `{span}` text\n")),
        ];
        let problems = stale(&files);
        problems.into_iter().map(|problem| problem.text).collect()
    }

    #[test]
    fn what_is_there_is_fine() {
        for span in [
            "lease-core/tests/a/b.rs::it_works",
            "lease-core/tests/a/b.rs::it_waits",
            "lease-core/src/lessor.rs::tests::it_panics",
            "lease-core/tests/a/b.rs",
            "lease-core/tests/a/",
            "lease-core/tests",
            "lease_core::grant",
        ] {
            assert_eq!(complaints(span), [""; 0], "{span}");
        }
    }

    #[test]
    fn what_is_not_there_is_told() {
        for span in [
            "lease-core/tests/a/b.rs::it_work",
            "lease-core/tests/a/b.rs::helper",
            "lease-core/tests/a/b.rs::it_is_late",
            "lease-core/tests/a/c.rs::it_works",
            "lease-core/tests/a/c.rs",
            "lease-core/test",
            "lease_core::gran",
            "lease_core::Gone::grant",
        ] {
            assert_eq!(complaints(span).len(), 1, "{span}");
        }
    }

    #[test]
    fn other_code_is_left_alone() {
        for span in [
            "cargo xtask tidy",
            "std::sync::Arc",
            "lease-http/src/gone.rs",
            "lease_http::Gone",
            "etcd_debugging_lease_ttl_total",
        ] {
            assert_eq!(complaints(span), [""; 0], "{span}");
        }
    }
}
