use toml::Value;

use super::Problem;
use crate::workspace::{Member, Workspace};

/// Keys that a manifest does not take from the workspace.
pub(super) fn not_inherited(workspace: &Workspace) -> Vec<Problem> {
    let of_member = |member: &Member| {
        INHERITED
            .iter()
            .filter(|path| !is_true(member.get(path)))
            .map(|path| {
                let text = format!("{} = true is missing", path.join("."));
                Problem::new(&member.manifest_path, text)
            })
            .collect::<Vec<_>>()
    };
    workspace.members.iter().flat_map(of_member).collect()
}

/// Crates that do not say what they are.
pub(super) fn without_description(workspace: &Workspace) -> Vec<Problem> {
    let described = |member: &&Member| {
        let text = member.get(&["package", "description"]);
        text.and_then(Value::as_str)
            .is_some_and(|text| !text.trim().is_empty())
    };
    workspace
        .members
        .iter()
        .filter(|member| !described(member))
        .map(|member| Problem::new(&member.manifest_path, "has no description"))
        .collect()
}

/// Crates for others that lack what a registry shows or a reader needs. That licence and readme are in
/// a package is checked when it is made.
pub(super) fn unfit_to_publish(workspace: &Workspace) -> Vec<Problem> {
    let of_member = |member: &Member| {
        let unlisted = LISTED.iter().filter(|key| !is_list(member, key));
        let mut texts: Vec<_> = unlisted
            .map(|key| format!("no {key}, or more than 5"))
            .collect();
        if member.get(&["package", "readme"]).and_then(Value::as_str) != Some("README.md") {
            texts.push("its readme is not README.md".to_owned());
        }
        let pages = member.get(&["package", "documentation"]);
        let expected = format!("https://docs.rs/{}", member.name);
        if pages.and_then(Value::as_str) != Some(&*expected) {
            texts.push(format!("its documentation is not {expected}"));
        }
        if !is_true(member.get(ALL_FEATURES)) {
            texts.push(format!("{} = true is missing", ALL_FEATURES.join(".")));
        }
        let problem = |text| Problem::new(&member.manifest_path, text);
        texts.into_iter().map(problem).collect::<Vec<_>>()
    };
    workspace.published().flat_map(of_member).collect()
}

/// Dependencies that pick a version of their own, past the one place where versions are pinned.
pub(super) fn dependencies_of_their_own(workspace: &Workspace) -> Vec<Problem> {
    let of_member = |member: &Member| {
        member
            .dependencies()
            .into_iter()
            .filter(|dependency| !is_true(dependency.declaration.get("workspace")))
            .map(|dependency| {
                let text = format!("{} is not inherited", dependency.package);
                Problem::new(&member.manifest_path, text)
            })
            .collect::<Vec<_>>()
    };
    workspace.members.iter().flat_map(of_member).collect()
}

const INHERITED: &[&[&str]] = &[
    &["package", "version", "workspace"],
    &["package", "edition", "workspace"],
    &["package", "rust-version", "workspace"],
    &["package", "license", "workspace"],
    &["lints", "workspace"],
];

const LISTED: [&str; 2] = ["categories", "keywords"];

const ALL_FEATURES: &[&str] = &["package", "metadata", "docs", "rs", "all-features"];

fn is_list(member: &Member, key: &str) -> bool {
    let list = member.get(&["package", key]).and_then(Value::as_array);
    list.is_some_and(|list| (1..=5).contains(&list.len()))
}

fn is_true(value: Option<&Value>) -> bool {
    value.and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[package]
name = 'x'
description = 'An x.'
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
documentation = 'https://docs.rs/x'
readme = 'README.md'
keywords = ['x']
categories = ['concurrency']
[package.metadata.docs.rs]
all-features = true
[dependencies]
a = { workspace = true }
[lints]
workspace = true
";

    fn workspace(manifest: &str) -> Workspace {
        Workspace {
            root: "".into(),
            manifest: toml::Table::new(),
            members: vec![Member::parse(manifest)],
        }
    }

    #[test]
    fn a_good_manifest_has_no_problem() {
        let good = workspace(GOOD);
        assert_eq!(not_inherited(&good), []);
        assert_eq!(without_description(&good), []);
        assert_eq!(dependencies_of_their_own(&good), []);
        assert_eq!(unfit_to_publish(&good), []);
    }

    #[test]
    fn what_is_published_says_more() {
        for (line, instead) in [
            ("readme = 'README.md'", "readme = '../README.md'"),
            (
                "keywords = ['x']",
                "keywords = ['a', 'b', 'c', 'd', 'e', 'f']",
            ),
            ("categories = ['concurrency']", ""),
            ("documentation = 'https://docs.rs/x'", ""),
            ("docs.rs/x", "docs.rs/y"),
            ("all-features = true", ""),
        ] {
            let bad = GOOD.replace(line, instead);
            assert_eq!(unfit_to_publish(&workspace(&bad)).len(), 1, "{bad}");
            let kept = bad.replace("name = 'x'", "name = 'x'\npublish = false");
            assert_eq!(unfit_to_publish(&workspace(&kept)), []);
        }
    }

    #[test]
    fn every_key_must_be_inherited() {
        for (line, instead) in [
            ("\nversion.workspace = true", "\nversion = '1.0.0'"),
            ("edition.workspace = true", ""),
            ("rust-version.workspace = true", ""),
            ("license.workspace = true", "license = 'MIT'"),
            ("[lints]\nworkspace = true", ""),
        ] {
            let bad = GOOD.replace(line, instead);
            assert_eq!(not_inherited(&workspace(&bad)).len(), 1, "{bad}");
        }
    }

    #[test]
    fn a_description_must_say_something() {
        for description in ["description = ' '", ""] {
            let bad = GOOD.replace("description = 'An x.'", description);
            assert_eq!(without_description(&workspace(&bad)).len(), 1);
        }
    }

    #[test]
    fn a_version_of_its_own_is_told() {
        for own in ["a = '1'", "a = { path = '../a' }"] {
            let bad = GOOD.replace("a = { workspace = true }", own);
            assert_eq!(dependencies_of_their_own(&workspace(&bad)).len(), 1);
        }
    }
}
