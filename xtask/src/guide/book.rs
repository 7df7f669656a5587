use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::page::read;

/// Links of the book's pages to files or places that are not in it.
///
/// # Errors
///
/// If the book cannot be read.
pub(super) fn dangling(book: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for page in pages(book)? {
        let text = read(&page)?;
        let name = page.file_name().unwrap_or_default().to_string_lossy();
        for target in targets(&text) {
            if !is_there(&page, target) {
                problems.push(format!("{name}: {target}"));
            }
        }
    }
    Ok(problems)
}

/// Pages that mdbook makes of others, with links that are right only there.
const MADE: [&str; 3] = ["404.html", "print.html", "toc.html"];

/// The pages that have a source.
pub(super) fn pages(book: &Path) -> Result<Vec<PathBuf>> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(book).with_context(|| format!("cannot read {}", book.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".html") && !MADE.contains(&&*name) {
            pages.push(path);
        }
    }
    pages.sort();
    Ok(pages)
}

fn targets(html: &str) -> impl Iterator<Item = &str> {
    ["href=\"", "src=\"", "data=\""]
        .into_iter()
        .flat_map(|attribute| {
            let after = html.split(attribute).skip(1);
            after.filter_map(|rest| Some(rest.split_once('"')?.0))
        })
}

fn is_there(page: &Path, target: &str) -> bool {
    let (path, place) = target.split_once('#').unwrap_or((target, ""));
    if path.contains(':') {
        return true;
    }
    let file = if path.is_empty() {
        page.to_owned()
    } else {
        page.with_file_name("").join(path)
    };
    // Behind the mark of a timeline stands how it is to be shown.
    if place.is_empty() || place == "picture" {
        return file.exists();
    }
    let text = fs::read_to_string(file).unwrap_or_default();
    text.contains(&format!("id=\"{place}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_lead_nowhere_are_told() {
        let book = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| fs::write(book.path().join(name), text);
        write("a.html", "<h2 id=\"here\">").expect("a file");
        let links = [
            ("a.html", true),
            ("a.html#here", true),
            ("a.html#picture", true),
            ("https://example.org/gone.html", true),
            ("a.html#there", false),
            ("gone.html", false),
            ("#here", false),
        ];
        let page = links.map(|(target, _)| format!("<a href=\"{target}\">"));
        write("b.html", &page.concat()).expect("a file");
        write("print.html", "<a href=\"gone.html\">").expect("a file");
        let wrong = links.iter().filter(|(_, is_fine)| !is_fine);
        let expected: Vec<_> = wrong
            .map(|(target, _)| format!("b.html: {target}"))
            .collect();
        assert_eq!(dangling(book.path()).expect("it is read"), expected);
    }
}
