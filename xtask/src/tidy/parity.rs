use std::collections::BTreeSet;

use super::Problem;
use super::tree::SourceFile;

const PAGE: &str = "docs/etcd-parity.md";
const API: &str = "docs/etcd-lease-api-v3.6.10.txt";

/// Declarations of etcd's that the parity page has no row for.
pub(super) fn missing_rows(files: &[SourceFile]) -> Vec<Problem> {
    let (Some(page), Some(api)) = (find(files, PAGE), find(files, API)) else {
        return Vec::new();
    };
    let rows: BTreeSet<_> = page
        .lines()
        .filter_map(|(_, line)| Some(cells(line)?.first()?.trim_matches('`').to_owned()))
        .collect();
    let is_declaration = |line: &str| !line.is_empty() && !line.starts_with('#');
    api.lines()
        .filter(|(_, line)| is_declaration(line) && !rows.contains(*line))
        .map(|(number, line)| Problem::new(api.at(number), format!("no row in {PAGE} for {line}")))
        .collect()
}

/// Rows of the parity page that claim something and show nothing: a status that is none, no test
/// beside "works", a difference that is not told.
pub(super) fn empty_claims(files: &[SourceFile]) -> Vec<Problem> {
    let Some(page) = find(files, PAGE) else {
        return Vec::new();
    };
    let mut has_status = false;
    page.lines()
        .filter_map(|(number, line)| {
            let Some(cells) = cells(line) else {
                has_status = false;
                return None;
            };
            let is_claim =
                has_status && !cells.iter().all(|cell| cell.trim_matches('-').is_empty());
            has_status |= cells.last() == Some(&"status");
            let complaint = is_claim.then(|| claim_complaint(&page.text, &cells))?;
            Some(Problem::new(page.at(number), complaint?))
        })
        .collect()
}

fn find<'a>(files: &'a [SourceFile], path: &str) -> Option<&'a SourceFile> {
    files.iter().find(|file| file.path == path)
}

/// The cells of a row of a table.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

fn claim_complaint(page: &str, cells: &[&str]) -> Option<String> {
    let [_, here, test, status] = cells else {
        return Some("a row has four cells".to_owned());
    };
    let difference = status
        .strip_prefix("[different](#")
        .and_then(|rest| rest.strip_suffix(')'));
    match (*status, difference) {
        ("planned", _) => None,
        (_, Some(anchor)) if !page.contains(&format!("id=\"{anchor}\"")) => {
            Some(format!("no difference is called {anchor}"))
        }
        ("works", _) | (_, Some(_)) => {
            let shows = !here.is_empty() && test.contains(".rs::");
            (!shows).then(|| "no item or no test beside a status that claims one".to_owned())
        }
        _ => Some(format!("{status} is no status")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "| etcd | here | test | status |\n|---|---|---|---|\n";

    fn files(page: &str, api: &str) -> [SourceFile; 2] {
        [SourceFile::new(PAGE, page), SourceFile::new(API, api)]
    }

    fn claims(row: &str) -> usize {
        let page = format!("{HEAD}{row}\n\n| other | table |\n|---|---|\n<a id=\"x\"></a>\n");
        empty_claims(&files(&page, "")).len()
    }

    #[test]
    fn every_declaration_needs_a_row() {
        let page = "| `func A()` | here |\n| `type B struct` | here |\n";
        assert_eq!(missing_rows(&files(page, "# A\n\nfunc A()\n")), []);
        let problems = missing_rows(&files(page, "func A()\nfunc C()\n"));
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].place, format!("{API}:2"));
    }

    #[test]
    fn a_claim_shows_something() {
        for fine in [
            "| a | `b` | `c.rs::d` | works |",
            "| a | `b` | `c.rs::d` | [different](#x) |",
            "| a |  |  | planned |",
        ] {
            assert_eq!(claims(fine), 0, "{fine}");
        }
        for empty in [
            "| a | `b` |  | works |",
            "| a |  | `c.rs::d` | works |",
            "| a | `b` | `c.rs` | [different](#x) |",
            "| a | `b` | `c.rs::d` | [different](#y) |",
            "| a | `b` | `c.rs::d` | maybe |",
            "| a | `b` | works |",
        ] {
            assert_eq!(claims(empty), 1, "{empty}");
        }
    }

    #[test]
    fn a_tree_without_the_page_has_no_problem() {
        assert_eq!(missing_rows(&[]), []);
        assert_eq!(empty_claims(&[]), []);
    }
}
