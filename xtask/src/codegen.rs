use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use prost_build::{Config, Module};

use crate::workspace::Workspace;

/// Generate the message types of lease-pb from its .proto files.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail if the generated files are not up to date.
    #[arg(long)]
    check: bool,
}

/// Generates the files, or compares them with what is there.
///
/// # Errors
///
/// If the .proto files do not compile, or a file cannot be read, formatted or written, or the
/// comparison finds a difference.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    if args.check {
        check(workspace)?;
    } else {
        write(workspace)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Compares the generated files with what is there.
///
/// # Errors
///
/// As for [`run`].
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let generated = generate(&workspace.root)?;
    let found = read_dir(&workspace.root.join(OUT_DIR), "rs")?;
    let differing = differing(&generated, &found);
    if !differing.is_empty() {
        bail!(
            "not up to date in {OUT_DIR}: {}; run cargo xtask codegen",
            differing.join(", ")
        );
    }
    Ok(())
}

const PROTO_DIR: &str = "lease-pb/proto";
const OUT_DIR: &str = "lease-pb/src/gen";
const HEADER: &str = "// Written by `cargo xtask codegen`; change the .proto file instead.\n";

type Files = BTreeMap<String, String>;

fn write(workspace: &Workspace) -> Result<()> {
    let dir = workspace.root.join(OUT_DIR);
    fs::create_dir_all(&dir)?;
    let generated = generate(&workspace.root)?;
    let found = read_dir(&dir, "rs")?;
    for name in differing(&generated, &found) {
        let path = dir.join(&name);
        match generated.get(&name) {
            Some(text) => fs::write(&path, text),
            None => fs::remove_file(&path),
        }
        .with_context(|| format!("cannot change {path:?}"))?;
        println!("{OUT_DIR}/{name}");
    }
    Ok(())
}

// The generated files by name. Equal .proto files give equal bytes.
fn generate(root: &Path) -> Result<Files> {
    let protos = read_dir(&root.join(PROTO_DIR), "proto")?;
    let descriptors = protox::compile(protos.keys(), [root.join(PROTO_DIR)])
        .context("the .proto files do not compile")?;
    let requests = descriptors
        .file
        .into_iter()
        .map(|file| (Module::from_protobuf_package_name(file.package()), file))
        .collect();
    Config::new()
        .generate(requests)
        .context("no Rust from the .proto files")?
        .into_iter()
        .map(|(module, text)| {
            let name = module.to_file_name_or("root");
            Ok((name, formatted(root, &format!("{HEADER}{text}"))?))
        })
        .collect()
}

// As `cargo fmt` has it, because `cargo fmt --check` looks at the generated files too.
fn formatted(root: &Path, text: &str) -> Result<String> {
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(root.join("rustfmt.toml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start rustfmt")?;
    // Rustfmt reads all of its input before it writes, so that neither waits for the other.
    let mut stdin = rustfmt.stdin.take().context("rustfmt has no input")?;
    stdin.write_all(text.as_bytes())?;
    drop(stdin);
    let output = rustfmt.wait_with_output()?;
    if !output.status.success() {
        bail!("rustfmt ended with {}", output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn read_dir(dir: &Path, extension: &str) -> Result<Files> {
    let mut files = Files::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {dir:?}"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            files.insert(name.into_owned(), fs::read_to_string(&path)?);
        }
    }
    Ok(files)
}

// The names whose text differs or that only one side has, sorted.
fn differing(generated: &Files, found: &Files) -> Vec<String> {
    let names: BTreeSet<_> = generated.keys().chain(found.keys()).collect();
    names
        .into_iter()
        .filter(|name| generated.get(*name) != found.get(*name))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> Files {
        files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect()
    }

    #[test]
    fn changed_missing_and_left_over_files_differ() {
        let generated = files(&[("a.rs", "1"), ("b.rs", "2"), ("c.rs", "3")]);
        let found = files(&[("a.rs", "1"), ("b.rs", "9"), ("d.rs", "4")]);
        assert_eq!(differing(&generated, &found), ["b.rs", "c.rs", "d.rs"]);
        assert!(differing(&generated, &generated).is_empty());
    }

    #[test]
    fn a_changed_proto_file_changes_what_is_generated() {
        let root = tempfile::tempdir().expect("a folder");
        let dir = root.path().join(PROTO_DIR);
        fs::create_dir_all(&dir).expect("a folder in it");
        fs::write(root.path().join("rustfmt.toml"), "").expect("a file");
        let generate_from = |text: &str| {
            let proto = format!("syntax = \"proto3\"; package p; message M {{ {text} }}");
            fs::write(dir.join("p.proto"), proto).expect("a file");
            generate(root.path())
        };
        let one = generate_from("int64 ID = 1;").expect("it compiles");
        let two = generate_from("int64 ID = 2;").expect("it compiles");
        assert!(one["p.rs"].starts_with(HEADER));
        assert_eq!(differing(&one, &two), ["p.rs"]);
        assert!(generate_from("nonsense").is_err());
    }
}
