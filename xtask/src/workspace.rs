use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use toml::{Table, Value};

/// The cargo workspace as its manifests describe it.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) manifest: Table,
    pub(crate) members: Vec<Member>,
}

/// A crate of the workspace.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// The path of its manifest from the root.
    pub(crate) manifest_path: String,
    pub(crate) manifest: Table,
}

/// A dependency as a manifest declares it.
#[derive(Debug, PartialEq)]
pub(crate) struct Dependency<'a> {
    /// The name of the package, renaming undone.
    pub(crate) package: String,
    pub(crate) kind: Kind,
    pub(crate) declaration: &'a Value,
}

/// What a dependency is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

impl Workspace {
    /// The workspace that this tool is a member of.
    ///
    /// # Errors
    ///
    /// If a manifest is missing or does not parse.
    pub(crate) fn load() -> Result<Self> {
        // As cargo says now: with one target folder for two clones the program may be of the other one.
        let now = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let here = now.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = here.parent().context("the tool's folder has no parent")?;
        Self::load_from(root)
    }

    fn load_from(root: &Path) -> Result<Self> {
        let manifest = read_manifest(&root.join("Cargo.toml"))?;
        let members = member_dirs(&manifest)
            .map(|dir| Member::load(root, dir))
            .collect::<Result<_>>()?;
        Ok(Self {
            root: root.to_owned(),
            manifest,
            members,
        })
    }

    /// Where cargo builds into, as cargo itself says.
    ///
    /// # Errors
    ///
    /// If cargo cannot be asked.
    pub(crate) fn target_folder(&self) -> Result<PathBuf> {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
            .current_dir(&self.root)
            .output()
            .context("cannot start cargo")?;
        let metadata: serde_json::Value =
            serde_json::from_slice(&output.stdout).context("cargo prints its metadata")?;
        let folder = metadata["target_directory"].as_str();
        Ok(folder.context("cargo knows its target folder")?.into())
    }

    /// The entries of `[workspace.dependencies]`.
    pub(crate) fn dependencies(&self) -> impl Iterator<Item = (&String, &Value)> {
        lookup(&self.manifest, &["workspace", "dependencies"])
            .and_then(Value::as_table)
            .into_iter()
            .flatten()
    }

    /// The oldest compiler that is promised to do.
    ///
    /// # Errors
    ///
    /// If the manifest names none.
    pub(crate) fn rust_version(&self) -> Result<&str> {
        lookup(&self.manifest, &["workspace", "package", "rust-version"])
            .and_then(Value::as_str)
            .context("the workspace has no rust-version")
    }

    /// The members that people outside take from a registry.
    pub(crate) fn published(&self) -> impl Iterator<Item = &Member> {
        let members = self.members.iter();
        members.filter(|member| member.is_published())
    }

    /// Whether a crate of this name is a member.
    pub(crate) fn has_member(&self, name: &str) -> bool {
        self.members.iter().any(|member| member.name == name)
    }
}

impl Member {
    fn load(root: &Path, dir: &str) -> Result<Self> {
        let manifest_path = format!("{dir}/Cargo.toml");
        let manifest = read_manifest(&root.join(&manifest_path))?;
        Self::new(manifest_path, manifest)
    }

    fn new(manifest_path: String, manifest: Table) -> Result<Self> {
        let name = lookup(&manifest, &["package", "name"])
            .and_then(Value::as_str)
            .with_context(|| format!("{manifest_path} names no package"))?
            .to_owned();
        Ok(Self {
            name,
            manifest_path,
            manifest,
        })
    }

    /// A member with this manifest, for tests.
    #[cfg(test)]
    pub(crate) fn parse(manifest: &str) -> Self {
        let manifest = manifest.parse().expect("a manifest that parses");
        Self::new("some/Cargo.toml".to_owned(), manifest).expect("a package with a name")
    }

    /// Whether people outside take it from a registry.
    pub(crate) fn is_published(&self) -> bool {
        self.get(&["package", "publish"]).and_then(Value::as_bool) != Some(false)
    }

    /// The value at a path of keys in the manifest.
    pub(crate) fn get(&self, path: &[&str]) -> Option<&Value> {
        lookup(&self.manifest, path)
    }

    /// Every dependency of every kind, those of single targets included.
    pub(crate) fn dependencies(&self) -> Vec<Dependency<'_>> {
        let targets = self
            .get(&["target"])
            .and_then(Value::as_table)
            .into_iter()
            .flat_map(Table::values)
            .filter_map(Value::as_table);
        std::iter::once(&self.manifest)
            .chain(targets)
            .flat_map(dependencies_in)
            .collect()
    }
}

fn dependencies_in(table: &Table) -> impl Iterator<Item = Dependency<'_>> {
    let kinds = [
        ("dependencies", Kind::Normal),
        ("build-dependencies", Kind::Build),
        ("dev-dependencies", Kind::Dev),
    ];
    kinds.into_iter().flat_map(move |(key, kind)| {
        let entries = table.get(key).and_then(Value::as_table);
        let dependency = move |(name, declaration): (&String, _)| Dependency {
            package: package_name(name, declaration),
            kind,
            declaration,
        };
        entries.into_iter().flatten().map(dependency)
    })
}

fn package_name(key: &str, declaration: &Value) -> String {
    let renamed = declaration.get("package").and_then(Value::as_str);
    renamed.unwrap_or(key).to_owned()
}

fn member_dirs(manifest: &Table) -> impl Iterator<Item = &str> {
    lookup(manifest, &["workspace", "members"])
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// The value at a path of keys.
pub(crate) fn lookup<'a>(table: &'a Table, path: &[&str]) -> Option<&'a Value> {
    let (last, parents) = path.split_last()?;
    let mut table = table;
    for key in parents {
        table = table.get(*key)?.as_table()?;
    }
    table.get(*last)
}

fn read_manifest(path: &Path) -> Result<Table> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path:?}"))?;
    text.parse()
        .with_context(|| format!("{path:?} does not parse"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_workspace_loads() {
        let workspace = Workspace::load().expect("the manifests parse");
        assert!(workspace.has_member("xtask"));
        assert!(workspace.dependencies().any(|(name, _)| name == "clap"));
    }

    #[test]
    fn dependencies_of_all_kinds_and_targets_are_found() {
        let member = Member::parse(
            "[package]\nname = 'x'\n[dependencies]\na = '1'\nb = { package = 'bee', version = '1' }\n\
             [dev-dependencies]\nc = '1'\n[target.'cfg(unix)'.build-dependencies]\nd = '1'\n",
        );
        let found: Vec<_> = member
            .dependencies()
            .into_iter()
            .map(|dependency| (dependency.package, dependency.kind))
            .collect();
        let expected = [
            ("a", Kind::Normal),
            ("bee", Kind::Normal),
            ("c", Kind::Dev),
            ("d", Kind::Build),
        ];
        assert_eq!(found, expected.map(|(name, kind)| (name.to_owned(), kind)));
    }
}
