use super::Problem;
use super::tree::SourceFile;

/// A Rust file past the length where a second noun is hiding.
pub(super) fn too_long(file: &SourceFile) -> Vec<Problem> {
    let lines = file.text.lines().count();
    if file.extension() != "rs" || file.is_generated() || lines <= MAX_LINES {
        return Vec::new();
    }
    let text = format!("{lines} lines, more than {MAX_LINES}");
    vec![Problem::new(&file.path, text)]
}

/// Lines with a tab, a carriage return or a space at the end.
pub(super) fn unkempt_lines(file: &SourceFile) -> Vec<Problem> {
    file.lines()
        .filter_map(|(number, line)| Some(Problem::new(file.at(number), unkempt(line)?)))
        .collect()
}

/// A file that does not end with one line feed.
pub(super) fn open_end(file: &SourceFile) -> Vec<Problem> {
    let one = file.text.ends_with('\n') && !file.text.ends_with("\n\n");
    if one || file.text.is_empty() {
        return Vec::new();
    }
    vec![Problem::new(&file.path, "does not end with one line feed")]
}

/// Marks of unfinished work that do not say in parentheses what they wait for.
pub(super) fn unexplained_marks(file: &SourceFile) -> Vec<Problem> {
    if file.extension() == "md" {
        return Vec::new();
    }
    let unexplained = |line: &str| MARKS.into_iter().find(|mark| is_unexplained(line, mark));
    file.lines()
        .filter_map(|(number, line)| {
            let text = format!("{} without a reason in parentheses", unexplained(line)?);
            Some(Problem::new(file.at(number), text))
        })
        .collect()
}

/// Paths that exist on one machine only.
pub(super) fn machine_paths(file: &SourceFile) -> Vec<Problem> {
    file.lines()
        .filter_map(|(number, line)| {
            let text = format!("a path of one machine: {}", machine_path(line)?);
            Some(Problem::new(file.at(number), text))
        })
        .collect()
}

const MAX_LINES: usize = 600;

// In two parts, so that this file passes its own check.
const MARKS: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

const MACHINE_DIRS: [&str; 5] = ["work", "root", "tmp", "home", "Users"];

fn unkempt(line: &str) -> Option<&'static str> {
    if line.ends_with('\r') {
        Some("a carriage return")
    } else if line.contains('\t') {
        Some("a tab")
    } else if line.ends_with(' ') {
        Some("a space at the end")
    } else {
        None
    }
}

fn is_unexplained(line: &str, mark: &str) -> bool {
    line.match_indices(mark).any(|(at, _)| {
        let inside_word =
            line[..at].ends_with(is_word) || line[at + mark.len()..].starts_with(is_word);
        !inside_word && !has_reason(&line[at + mark.len()..])
    })
}

fn has_reason(rest: &str) -> bool {
    let inner = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'));
    inner.is_some_and(|(reason, _)| !reason.trim().is_empty())
}

fn machine_path(line: &str) -> Option<String> {
    MACHINE_DIRS
        .into_iter()
        .map(|dir| format!("/{dir}/"))
        .find(|path| {
            // Behind a word or a dot it is a part of a relative path or of an address.
            let mut places = line.match_indices(path);
            places.any(|(at, _)| !line[..at].ends_with(|c| is_word(c) || ".-/*}".contains(c)))
        })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rust(text: &str) -> SourceFile {
        SourceFile::new("a/src/x.rs", text)
    }

    #[test]
    fn long_files_are_told_unless_generated() {
        let text = "x\n".repeat(MAX_LINES);
        assert_eq!(too_long(&rust(&text)), []);
        let longer = text + "x\n";
        assert_eq!(too_long(&rust(&longer)).len(), 1);
        assert_eq!(too_long(&SourceFile::new("a/src/gen/x.rs", &longer)), []);
        assert_eq!(too_long(&SourceFile::new("x.md", &longer)), []);
    }

    #[test]
    fn unkempt_lines_are_told_by_number() {
        let file = rust("good\nbad \nba\td\nbad\r\ngood\n");
        let places: Vec<_> = unkempt_lines(&file).into_iter().map(|p| p.place).collect();
        assert_eq!(places, ["a/src/x.rs:2", "a/src/x.rs:3", "a/src/x.rs:4"]);
    }

    #[test]
    fn a_file_ends_with_one_line_feed() {
        for (text, fine) in [("a\n", true), ("", true), ("a", false), ("a\n\n", false)] {
            assert_eq!(open_end(&rust(text)).is_empty(), fine, "{text:?}");
        }
    }

    #[test]
    fn marks_need_a_reason() {
        for mark in MARKS {
            let cases = [
                (format!("// {mark}: later"), false),
                (format!("// {mark}() later"), false),
                (format!("// {mark}(later"), false),
                (format!("// {mark}(waits for redb 5): later"), true),
                (format!("// {mark}S {mark}_LIST"), true),
                (format!("// {mark}(a): b, {mark}: c"), false),
            ];
            for (line, fine) in cases {
                assert_eq!(unexplained_marks(&rust(&line)).is_empty(), fine, "{line}");
            }
        }
    }

    #[test]
    fn paths_of_one_machine_are_told() {
        for dir in MACHINE_DIRS {
            let cases = [
                (format!("see /{dir}/x"), false),
                (format!("`/{dir}/x`"), false),
                (format!("\"/{dir}/x\""), false),
                (format!("see ../{dir}/x and a/{dir}/x"), true),
                (format!("https://example.org/{dir}/x"), true),
                (format!("see /{dir}"), true),
            ];
            for (line, fine) in cases {
                assert_eq!(machine_paths(&rust(&line)).is_empty(), fine, "{line}");
            }
        }
    }
}
