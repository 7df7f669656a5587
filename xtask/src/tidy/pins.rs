use toml::Value;

use super::Problem;
use crate::workspace::Workspace;

/// Dependencies with an exact version. Where two crates of a user's tree name two of them, the tree
/// does not resolve; that a build is repeatable is the lock file's business.
pub(super) fn exact(workspace: &Workspace) -> Vec<Problem> {
    workspace
        .dependencies()
        .filter(|(name, declaration)| is_exact(declaration) && reason(name).is_none())
        .map(|(name, _)| {
            let text = format!("{name} has an exact version: a range, and the lock file, do");
            Problem::new("Cargo.toml", text)
        })
        .collect()
}

/// Exceptions to [`exact`] that excuse nothing.
pub(super) fn stale_exceptions(workspace: &Workspace) -> Vec<Problem> {
    let used = |name: &str| {
        let mut dependencies = workspace.dependencies();
        dependencies.any(|(other, declaration)| other == name && is_exact(declaration))
    };
    EXACT
        .iter()
        .filter(|(name, _)| !used(name))
        .map(|(name, _)| {
            let text = format!("{name} in xtask's EXACT excuses nothing");
            Problem::new("Cargo.toml", text)
        })
        .collect()
}

/// Dependencies that have an exact version, and why.
const EXACT: &[(&str, &str)] = &[
    (
        "openraft",
        "what it asks of its storage changes from one alpha to the next, and it is no version 0.10 yet",
    ),
    ("openraft-rt-tokio", "it is of one version with openraft"),
    (
        "public-api",
        "it reads the form in which one compiler describes crates; no library depends on it",
    ),
    (
        "shuttle",
        "what a schedule does changes with it; no library depends on it but in its tests",
    ),
];

fn reason(name: &str) -> Option<&'static str> {
    let entry = EXACT.iter().find(|(exact, _)| *exact == name);
    entry.map(|(_, reason)| *reason)
}

fn is_exact(declaration: &Value) -> bool {
    let version = declaration
        .as_str()
        .or_else(|| declaration.get("version")?.as_str());
    version.is_some_and(|version| version.trim_start().starts_with('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(dependencies: &str) -> Workspace {
        let manifest = format!("[workspace.dependencies]\n{dependencies}\n");
        Workspace {
            root: "".into(),
            manifest: manifest.parse().expect("a manifest that parses"),
            members: Vec::new(),
        }
    }

    #[test]
    fn versions_are_ranges() {
        let cases = [
            ("a = '0.8.1'", true),
            ("a = '^0.8'", true),
            ("a = '0'", true),
            ("a = { version = '>= 0.3', features = ['x'] }", true),
            ("a = '=0.8.1'", false),
            ("a = { version = ' =0.8.1' }", false),
            ("a = { path = 'a', version = '0.1.0' }", true),
            ("shuttle = '=0.9.10'", true),
        ];
        for (line, fine) in cases {
            let found = exact(&workspace(line));
            assert_eq!(found.is_empty(), fine, "{line}: {found:?}");
        }
    }

    #[test]
    fn an_exception_without_a_use_is_told() {
        let used = "openraft = '=0.10.0-alpha.37'\nopenraft-rt-tokio = '=0.10.0-alpha.37'\n\
                    public-api = '=0.52.1'\nshuttle = '=0.9.10'";
        assert_eq!(stale_exceptions(&workspace(used)), []);
        let loose = used.replace("'=0.9.10'", "'0.9.10'");
        assert_eq!(stale_exceptions(&workspace(&loose)).len(), 1);
        assert_eq!(stale_exceptions(&workspace("")).len(), EXACT.len());
    }
}
