use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use toml::{Table, Value};

use crate::invocation::Invocation;
use crate::workspace::{Member, Workspace, lookup};

/// Make the packages that would be published, and build a project outside of the workspace with them.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Makes the packages and builds with them.
///
/// # Errors
///
/// As for [`check`].
pub(crate) fn run(workspace: &Workspace, _args: &Args) -> Result<ExitCode> {
    check(workspace)?;
    Ok(ExitCode::SUCCESS)
}

/// Makes the packages and builds, from what is in them alone, a project that has other versions of some
/// dependencies than the workspace: the lowest that the manifests allow.
///
/// Its build takes the place of the one that `cargo package` makes of each package, which generates
/// code for all dependencies anew.
///
/// # Errors
///
/// If a package cannot be made or lacks a file, or if the project does not build.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let packages: Vec<_> = workspace.published().collect();
    let target = workspace.target_folder()?;
    let outside = target.join("outside");
    if outside.exists() {
        fs::remove_dir_all(&outside).with_context(|| format!("cannot empty {outside:?}"))?;
    }
    fs::create_dir_all(outside.join("src"))?;
    make(&packages).run(&workspace.root)?;
    for member in &packages {
        unpack(workspace, member, &target.join("package"), &outside)?;
    }
    fs::write(outside.join("src/main.rs"), PROGRAM)?;
    fs::write(
        outside.join("Cargo.toml"),
        manifest(workspace, &packages)?.to_string(),
    )?;
    fs::copy(
        workspace.root.join("Cargo.lock"),
        outside.join("Cargo.lock"),
    )?;
    Invocation::cargo(["check", "--quiet"])
        .env("CARGO_TARGET_DIR", target.display().to_string())
        .run(&outside)?;
    has_other_versions(workspace, &outside.join("Cargo.lock"))?;
    println!(
        "   {} packages build outside of the workspace",
        packages.len()
    );
    Ok(())
}

const PROGRAM: &str = include_str!("../outside/main.rs");

/// Dependencies that the project outside has in another version than the workspace.
const OTHERS: [&str; 2] = ["metrics", "tracing"];

// What a package has beside its code.
const FILES: [&str; 2] = ["LICENSE", "README.md"];

fn make(packages: &[&Member]) -> Invocation {
    let flags = ["package", "--quiet", "--no-verify", "--allow-dirty"].map(str::to_owned);
    let names = packages
        .iter()
        .flat_map(|member| ["--package".to_owned(), member.name.clone()]);
    Invocation::cargo(flags.into_iter().chain(names))
}

fn unpack(workspace: &Workspace, member: &Member, from: &Path, to: &Path) -> Result<()> {
    let folder = folder(workspace, member)?;
    let archive = from.join(format!("{folder}.crate"));
    Invocation::tar(["-xzf".to_owned(), archive.display().to_string()]).run(to)?;
    for file in FILES {
        let path = to.join(&folder).join(file);
        ensure!(path.is_file(), "the package {folder} has no {file}");
    }
    Ok(())
}

// The folder of a package in its archive.
fn folder(workspace: &Workspace, member: &Member) -> Result<String> {
    let version = lookup(&workspace.manifest, &["workspace", "package", "version"]);
    let version = version.and_then(Value::as_str).context("no version")?;
    Ok(format!("{}-{version}", member.name))
}

/// The manifest of the project: all packages with all their features, found by path for each other too,
/// and other versions of [`OTHERS`].
fn manifest(workspace: &Workspace, packages: &[&Member]) -> Result<Table> {
    let mut dependencies = Table::new();
    let mut patches = Table::new();
    for member in packages {
        let mut at = Table::new();
        at.insert("path".to_owned(), folder(workspace, member)?.into());
        if is_needed(&member.name, packages) {
            patches.insert(member.name.clone(), at.clone().into());
        }
        at.insert("features".to_owned(), features(member).into());
        dependencies.insert(member.name.clone(), at.into());
    }
    for name in OTHERS {
        let lowest = format!("={}", lowest_version(workspace, name)?);
        dependencies.insert(name.to_owned(), lowest.into());
    }
    let mut manifest: Table = HEAD.parse()?;
    manifest.insert("dependencies".to_owned(), dependencies.into());
    let patch = Table::from_iter([("crates-io".to_owned(), Value::from(patches))]);
    manifest.insert("patch".to_owned(), patch.into());
    // With the profiles of the workspace, what is built for one is built for the other.
    if let Some(profile) = workspace.manifest.get("profile") {
        manifest.insert("profile".to_owned(), profile.clone());
    }
    Ok(manifest)
}

const HEAD: &str = "[package]\nname = 'outside'\nedition = '2024'\npublish = false\n[workspace]\n";

// Whether another package has it as a dependency, from the registry.
fn is_needed(name: &str, packages: &[&Member]) -> bool {
    let mut all = packages.iter().flat_map(|member| member.dependencies());
    all.any(|dependency| dependency.package == name)
}

fn features(member: &Member) -> Vec<String> {
    let table = member.get(&["features"]).and_then(Value::as_table);
    table
        .into_iter()
        .flat_map(|features| features.keys().cloned())
        .collect()
}

/// The lowest version that the workspace's range has.
fn lowest_version<'a>(workspace: &'a Workspace, name: &str) -> Result<&'a str> {
    let mut dependencies = workspace.dependencies();
    let entry = dependencies.find(|(other, _)| *other == name);
    let (_, declaration) = entry.with_context(|| format!("nothing depends on {name}"))?;
    let version = declaration
        .as_str()
        .or_else(|| declaration.get("version")?.as_str());
    version.with_context(|| format!("{name} has no version"))
}

// A project that has the versions of the workspace proves nothing.
fn has_other_versions(workspace: &Workspace, lock: &Path) -> Result<()> {
    let ours = fs::read_to_string(workspace.root.join("Cargo.lock"))?.parse()?;
    let theirs = fs::read_to_string(lock)?.parse()?;
    for name in OTHERS {
        let (here, there) = (locked(&ours, name), locked(&theirs, name));
        ensure!(
            there.is_some() && here != there,
            "{name} is {here:?} in the workspace and {there:?} outside: lower its range"
        );
    }
    Ok(())
}

/// The version of a package in a lock file.
fn locked<'a>(lock: &'a Table, name: &str) -> Option<&'a str> {
    let packages = lock.get("package")?.as_array()?;
    let is_it = |package: &&Value| package.get("name").and_then(Value::as_str) == Some(name);
    packages.iter().find(is_it)?.get("version")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_has_all_packages_and_the_lowest_of_others() {
        let workspace = Workspace::load().expect("the manifests parse");
        let packages: Vec<_> = workspace.published().collect();
        let manifest = manifest(&workspace, &packages).expect("a manifest");
        let get = |path: &[&str]| lookup(&manifest, path).and_then(Value::as_str);
        for member in packages {
            let path = get(&["dependencies", &member.name, "path"]).expect("a path");
            assert!(path.starts_with(&format!("{}-", member.name)), "{path}");
            let patched = get(&["patch", "crates-io", &member.name, "path"]);
            assert_eq!(patched.is_some(), member.name != "lease", "{path}");
        }
        for name in OTHERS {
            let version = get(&["dependencies", name]).expect("a version");
            assert!(version.starts_with('='), "{version}");
        }
    }

    #[test]
    fn a_lock_file_tells_versions() {
        let lock = "[[package]]\nname = 'a'\nversion = '1.2.3'\n"
            .parse()
            .expect("it parses");
        assert_eq!(locked(&lock, "a"), Some("1.2.3"));
        assert_eq!(locked(&lock, "b"), None);
    }
}
