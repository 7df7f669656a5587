use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use spdx::{Expression, ParseMode};
use toml::{Table, Value};

use crate::invocation::Invocation;
use crate::tools::Tool;
use crate::workspace::{Workspace, lookup};

/// Check the licences, sources and compiler versions of all dependencies.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Have cargo-deny check licences, bans and sources, which this command installs for itself
    #[arg(long)]
    deny: bool,
}

/// Prints every dependency that may not be there and fails if there is one.
///
/// # Errors
///
/// As for [`check`] and [`deny`].
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    if args.deny {
        deny(workspace)?;
    } else {
        check(workspace)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints every dependency that may not be there, by the lists of `deny.toml`, and fails if there is one.
///
/// It is the part of `cargo deny check` that needs neither the network nor a tool of its own.
///
/// # Errors
///
/// If cargo or `deny.toml` cannot be read or a dependency may not be there.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let rules = Rules::load(workspace)?;
    let command = "metadata --format-version=1 --all-features --locked";
    let metadata = Invocation::cargo_line(command).output(&workspace.root)?;
    let metadata: Metadata = serde_json::from_str(&metadata).context("cargo's metadata")?;
    let problems: Vec<_> = metadata
        .packages
        .iter()
        .flat_map(|package| rules.problems(package))
        .collect();
    for problem in &problems {
        println!("   {problem}");
    }
    if !problems.is_empty() {
        bail!("{} dependencies may not be there", problems.len());
    }
    println!("   {} packages are fine", metadata.packages.len());
    Ok(())
}

/// Has cargo-deny check licences, bans and sources. Known vulnerabilities are left to whoever releases: their
/// list is in no registry.
///
/// # Errors
///
/// If it cannot be installed, or objects.
pub(crate) fn deny(workspace: &Workspace) -> Result<()> {
    let program = CARGO_DENY.installed(workspace)?.display().to_string();
    let words = "--offline --log-level error check --hide-inclusion-graph licenses bans sources";
    Invocation::tool(program, words.split_whitespace()).run(&workspace.root)
}

const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
    features: &[],
};

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// A package as cargo describes it.
#[derive(Clone, Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// Absent for what is on this disk.
    source: Option<String>,
    rust_version: Option<String>,
}

/// What a dependency has to be.
struct Rules {
    licences: Vec<String>,
    registries: Vec<String>,
    rust_version: String,
}

impl Rules {
    fn load(workspace: &Workspace) -> Result<Self> {
        let text = fs::read_to_string(workspace.root.join("deny.toml"))?;
        let deny: Table = text.parse().context("deny.toml does not parse")?;
        Ok(Self {
            licences: texts(&deny, &["licenses", "allow"])?,
            registries: texts(&deny, &["sources", "allow-registry"])?,
            rust_version: workspace.rust_version()?.to_owned(),
        })
    }

    fn problems(&self, package: &Package) -> Vec<String> {
        let complaints = [
            self.licence(package),
            self.source(package),
            self.compiler(package),
        ];
        let of_package = |text| format!("{} {}: {text}", package.name, package.version);
        complaints.into_iter().flatten().map(of_package).collect()
    }

    fn licence(&self, package: &Package) -> Option<String> {
        let Some(text) = &package.license else {
            return Some("names no licence".to_owned());
        };
        let is_allowed = |wanted: &spdx::LicenseReq| self.licences.contains(&wanted.to_string());
        match Expression::parse_mode(text, ParseMode::LAX) {
            Ok(licence) if licence.evaluate(is_allowed) => None,
            Ok(_) => Some(format!("the licence {text} is not allowed")),
            Err(_) => Some(format!("the licence {text} is not understood")),
        }
    }

    fn source(&self, package: &Package) -> Option<String> {
        let source = package.source.as_ref()?;
        let registry = source.strip_prefix("registry+");
        let is_known = registry.is_some_and(|it| self.registries.iter().any(|known| known == it));
        (!is_known).then(|| format!("comes from {source}"))
    }

    fn compiler(&self, package: &Package) -> Option<String> {
        let wanted = package.rust_version.as_ref()?;
        (numbers(wanted) > numbers(&self.rust_version))
            .then(|| format!("needs Rust {wanted}, more than our {}", self.rust_version))
    }
}

fn texts(table: &Table, path: &[&str]) -> Result<Vec<String>> {
    let list = lookup(table, path).and_then(Value::as_array);
    let list = list.with_context(|| format!("deny.toml has no {}", path.join(".")))?;
    let texts = list.iter().filter_map(Value::as_str);
    Ok(texts.map(str::to_owned).collect())
}

// The numbers of a version, as many as three: 1.90 is 1.90.0.
fn numbers(version: &str) -> [u32; 3] {
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTRY: &str = "https://example.org/index";

    fn complaints(change: impl FnOnce(&mut Package)) -> Vec<String> {
        let rules = Rules {
            licences: ["MIT", "Apache-2.0 WITH LLVM-exception", "Zlib"]
                .map(str::to_owned)
                .into(),
            registries: vec![REGISTRY.to_owned()],
            rust_version: "1.90".to_owned(),
        };
        let mut package = Package {
            name: "a".to_owned(),
            version: "1.0.0".to_owned(),
            license: Some("MIT".to_owned()),
            source: Some(format!("registry+{REGISTRY}")),
            rust_version: Some("1.90.0".to_owned()),
        };
        change(&mut package);
        rules.problems(&package)
    }

    #[test]
    fn licences_are_expressions() {
        for (licence, fine) in [
            ("MIT", true),
            ("GPL-2.0-only OR MIT", true),
            ("GPL-2.0-only/MIT", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("MIT AND Zlib", true),
            ("MIT AND GPL-2.0-only", false),
            ("Apache-2.0", false),
            ("no licence at all", false),
        ] {
            let found = complaints(|package| package.license = Some(licence.to_owned()));
            assert_eq!(found.is_empty(), fine, "{licence}: {found:?}");
        }
        assert_eq!(complaints(|package| package.license = None).len(), 1);
    }

    #[test]
    fn sources_are_known() {
        assert_eq!(complaints(|package| package.source = None), [""; 0]);
        for source in [
            "registry+https://example.com/index",
            "git+https://example.org/index",
        ] {
            assert_eq!(
                complaints(|package| package.source = Some(source.to_owned())).len(),
                1
            );
        }
    }

    #[test]
    fn no_dependency_needs_a_newer_compiler() {
        for (version, fine) in [
            ("1.9", true),
            ("1.90", true),
            ("1.90.1", false),
            ("1.100", false),
        ] {
            let found = complaints(|package| package.rust_version = Some(version.to_owned()));
            assert_eq!(found.is_empty(), fine, "{version}: {found:?}");
        }
    }
}
