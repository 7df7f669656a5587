use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use toml::{Table, Value};

use crate::workspace::{Kind, Member, Workspace, lookup};

/// What is wrong with the lines for `Cargo.toml` that a page shows before a program: who copies both
/// should have a project that builds.
pub(super) fn problems(shown: Option<&str>, program: &str, workspace: &Workspace) -> Vec<String> {
    let Some(shown) = shown else {
        return vec![format!("no lines for Cargo.toml before {program}")];
    };
    let table = match shown.parse::<Table>() {
        Ok(table) => table,
        Err(error) => return vec![format!("lines for Cargo.toml: {error}")],
    };
    let Some(lease) = workspace.members.iter().find(|it| it.name == FACADE) else {
        return vec![format!("no crate {FACADE}")];
    };
    let shown = dependencies(&table);
    let name = example(program);
    let mut problems = Vec::new();

    let names: BTreeSet<_> = shown.keys().map(|name| (*name).to_owned()).collect();
    let wanted = used(lease, &workspace.root, program);
    if names != wanted {
        problems.push(format!("{name} depends on {wanted:?}, not {names:?}"));
    }

    let of_lease = shown.get(FACADE).into_iter().flatten();
    let features: BTreeSet<_> = of_lease.flat_map(|it| texts(it.get("features"))).collect();
    let default = texts(lease.get(&["features", "default"]));
    let wanted = &required_features(lease, "example", name) - &default;
    if features != wanted {
        problems.push(format!(
            "{name} needs the features {wanted:?}, not {features:?}"
        ));
    }

    let all = shown.iter();
    let all = all.flat_map(|(name, all)| all.iter().map(move |declared| (name, declared)));
    problems.extend(all.filter_map(|(name, declared)| elsewhere(name, declared, workspace)));
    problems
}

/// The name of the example that a program is a part of.
pub(super) fn example(program: &str) -> &str {
    let stem = Path::new(file(program)).file_stem();
    stem.and_then(|stem| stem.to_str()).unwrap_or_default()
}

/// The features that cargo wants for a target of this kind and name.
pub(super) fn required_features<'a>(
    member: &'a Member,
    kind: &str,
    name: &str,
) -> BTreeSet<&'a str> {
    let targets = member.get(&[kind]).and_then(Value::as_array);
    let target = targets
        .into_iter()
        .flatten()
        .find(|target| target.get("name").and_then(Value::as_str) == Some(name));
    texts(target.and_then(|target| target.get("required-features")))
}

/// The crate that the programs use.
pub(super) const FACADE: &str = "lease";

/// What the pages call it: in a checkout that is a folder beside the reader's project.
const CHECKOUT: &str = "../lease/lease";

fn file(program: &str) -> &str {
    program.split(':').next().unwrap_or_default()
}

/// What is declared, by name, for programs and for tests.
fn dependencies(table: &Table) -> BTreeMap<&str, Vec<&Value>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for kind in ["dependencies", "dev-dependencies"] {
        let of_kind = table.get(kind).and_then(Value::as_table);
        for (name, declared) in of_kind.into_iter().flatten() {
            all.entry(name.as_str()).or_default().push(declared);
        }
    }
    all
}

/// The crates whose names are in the program's file.
fn used(lease: &Member, root: &Path, program: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root.join(file(program))).unwrap_or_default();
    let is_used = |name: &String| text.contains(&format!("{}::", name.replace('-', "_")));
    let dev = lease.dependencies().into_iter();
    dev.filter(|dependency| dependency.kind == Kind::Dev)
        .map(|dependency| dependency.package)
        .filter(is_used)
        .chain([FACADE.to_owned()])
        .collect()
}

/// Another version than the one that the program is built with here, or another path.
fn elsewhere(name: &str, declared: &Value, workspace: &Workspace) -> Option<String> {
    if name == FACADE {
        let path = declared.get("path").and_then(Value::as_str);
        return (path != Some(CHECKOUT)).then(|| format!("the path of {name} is not {CHECKOUT}"));
    }
    let version = |value: &Value| {
        let version = value.get("version").unwrap_or(value).as_str();
        version.unwrap_or_default().to_owned()
    };
    let ours = lookup(&workspace.manifest, &["workspace", "dependencies", name]);
    let ours = ours.map(version).unwrap_or_default();
    let shown = version(declared);
    let is_ours = format!("{ours}.").starts_with(&format!("{shown}."));
    (!is_ours).then(|| format!("{name} is {ours} here, not {shown}"))
}

fn texts(list: Option<&Value>) -> BTreeSet<&str> {
    let list = list.and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(shown: &str) -> Vec<String> {
        let root = tempfile::tempdir().expect("a folder");
        let text = "use lease::prelude::*;\nserde_json::from_str(\"\")";
        fs::write(root.path().join("a.rs"), text).expect("a file");
        let manifest = "[workspace.dependencies]\nserde_json = '1.0.154'\ntokio = '1.54'\n";
        let lease = "[package]\nname = 'lease'\n[features]\ndefault = ['redb']\n[dev-dependencies]\n\
                     serde_json = { workspace = true }\ntokio = { workspace = true }\n\
                     [[example]]\nname = 'a'\nrequired-features = ['redb', 'serde']\n";
        let workspace = Workspace {
            root: root.path().to_owned(),
            manifest: manifest.parse().expect("it parses"),
            members: vec![Member::parse(lease)],
        };
        problems(Some(shown), "a.rs:program", &workspace)
    }

    #[test]
    fn lines_that_build_the_program() {
        let lease = "lease = { path = '../lease/lease', features = ['serde'] }";
        for shown in [
            format!("[dependencies]\n{lease}\nserde_json = '1'\n"),
            format!("[dependencies]\n{lease}\n[dev-dependencies]\nserde_json = '1.0'\n"),
            format!("[dependencies]\n{lease}\nserde_json = {{ version = '1.0.154' }}\n"),
        ] {
            assert_eq!(problems_of(&shown), [""; 0], "{shown}");
        }
    }

    #[test]
    fn lines_that_do_not() {
        let good = "[dependencies]\nserde_json = '1'\n\
                    lease = { path = '../lease/lease', features = ['serde'] }\n";
        for (line, instead, problem) in [
            ("serde_json = '1'\n", "", "depends on"),
            ("serde_json", "tokio = '1'\nserde_json", "depends on"),
            ("'serde'", "", "needs the features"),
            ("'serde'", "'async', 'serde'", "needs the features"),
            ("../lease/lease", "../lease", "the path of lease"),
            ("'1'", "'1.1'", "serde_json is 1.0.154 here, not 1.1"),
            ("'1'", "'", "lines for Cargo.toml"),
        ] {
            let found = problems_of(&good.replace(line, instead));
            assert_eq!(found.len(), 1, "{instead}: {found:?}");
            assert!(found[0].contains(problem), "{instead}: {found:?}");
        }
    }
}
