use toml::Value;

use super::Problem;
use crate::workspace::Workspace;

/// Dependencies before 1.0 that are not pinned: there any new version may break.
pub(super) fn loose(workspace: &Workspace) -> Vec<Problem> {
    workspace
        .dependencies()
        .filter(|(name, declaration)| is_loose(declaration) && reason(name).is_none())
        .map(|(name, _)| {
            let text = format!("{name} is before 1.0: pin it with =");
            Problem::new("Cargo.toml", text)
        })
        .collect()
}

/// Exceptions to [`loose`] that excuse nothing.
pub(super) fn stale_exceptions(workspace: &Workspace) -> Vec<Problem> {
    let used = |name: &str| {
        workspace
            .dependencies()
            .any(|(n, d)| n == name && is_loose(d))
    };
    LOOSE
        .iter()
        .filter(|(name, _)| !used(name))
        .map(|(name, _)| {
            let text = format!("{name} in xtask's LOOSE excuses nothing");
            Problem::new("Cargo.toml", text)
        })
        .collect()
}

/// Dependencies before 1.0 that are better not pinned, and why.
const LOOSE: &[(&str, &str)] = &[
    (
        "crossbeam-channel",
        "in the library's API: a pin would shut out hosts that have another 0.5",
    ),
    (
        "slab",
        "in most dependency trees, stable as 0.4 since 2017: a pin would clash with its other users",
    ),
];

fn reason(name: &str) -> Option<&'static str> {
    let entry = LOOSE.iter().find(|(loose, _)| *loose == name);
    entry.map(|(_, reason)| *reason)
}

// Whether a version before 1.0 may move. A crate of the workspace may: it moves with the others.
fn is_loose(declaration: &Value) -> bool {
    let own = declaration.get("path").is_some();
    let version = declaration
        .as_str()
        .or_else(|| declaration.get("version")?.as_str());
    !own && version.is_some_and(|version| is_before_one(version) && !version.starts_with('='))
}

fn is_before_one(version: &str) -> bool {
    let number = version.trim_start_matches(|c: char| !c.is_ascii_digit());
    number == "0" || number.starts_with("0.")
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
    fn versions_before_one_are_pinned() {
        let cases = [
            ("a = '0.8.1'", false),
            ("a = '^0.8'", false),
            ("a = '0'", false),
            ("a = { version = '>= 0.3', features = ['x'] }", false),
            ("a = '=0.8.1'", true),
            ("a = { version = '=0.8.1' }", true),
            ("a = '1.0.4'", true),
            ("a = '10.2'", true),
            ("a = { path = 'a', version = '0.1.0' }", true),
            ("slab = '0.4.12'", true),
        ];
        for (line, fine) in cases {
            let found = loose(&workspace(line));
            assert_eq!(found.is_empty(), fine, "{line}: {found:?}");
        }
    }

    #[test]
    fn an_exception_without_a_use_is_told() {
        let used = "crossbeam-channel = '0.5.17'\nslab = '0.4.12'";
        assert_eq!(stale_exceptions(&workspace(used)), []);
        let pinned = used.replace("'0.4.12'", "'=0.4.12'");
        assert_eq!(stale_exceptions(&workspace(&pinned)).len(), 1);
        assert_eq!(stale_exceptions(&workspace("")).len(), LOOSE.len());
    }
}
