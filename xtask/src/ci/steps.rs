use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::features::feature_sets;
use super::programs;
use crate::invocation::Invocation;
use crate::workspace::Workspace;
use crate::{api, codegen, deps, guide, package, sim, threads, tidy};

/// A step of `ci`.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// What is to be done, in this order.
    pub(super) tasks: fn(&Workspace) -> Result<Vec<Task>>,
}

/// A part of a step.
#[derive(Debug)]
pub(super) enum Task {
    /// Run a program.
    Run(Invocation),
    /// Run code of this tool; `line` repeats it.
    Own {
        line: &'static str,
        run: fn(&Workspace) -> Result<()>,
    },
    /// Say why there is nothing to do.
    Note(String),
}

/// The steps, the fastest first.
pub(super) const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        about: "the code is formatted",
        tasks: |_| cargo("fmt --all -- --check"),
    },
    Step {
        name: "tidy",
        about: "manifests, text and links keep the rules",
        tasks: |_| own("cargo xtask tidy", tidy::check),
    },
    Step {
        name: "codegen",
        about: "generated files are up to date",
        tasks: |_| own("cargo xtask codegen --check", codegen::check),
    },
    Step {
        name: "deps",
        about: "licences, sources and compiler versions of all dependencies",
        tasks: |_| own("cargo xtask deps", deps::check),
    },
    Step {
        name: "clippy",
        about: "no warning in any target",
        tasks: |_| {
            let mut tasks =
                cargo("clippy --workspace --all-targets --all-features -- -D warnings")?;
            tasks.extend(own(sim::LINT_LINE, sim::lint)?);
            tasks.extend(own(sim::RAFT_LINT_LINE, sim::lint_raft)?);
            tasks.extend(own(threads::LINT_LINE, threads::lint)?);
            Ok(tasks)
        },
    },
    Step {
        name: "features",
        about: "each crate builds alone, with few features and with many",
        tasks: |workspace| Ok(features(workspace)),
    },
    Step {
        name: "msrv",
        about: "the crates build with the oldest compiler that they promise",
        tasks: |workspace| oldest_compiler(workspace),
    },
    Step {
        name: "no-std",
        about: "the core builds where there is no std",
        tasks: |workspace| no_std(&workspace.root),
    },
    Step {
        name: "test",
        about: "unit and integration tests",
        tasks: |_| {
            own(
                "cargo test --workspace --all-features --tests",
                programs::run_tests,
            )
        },
    },
    Step {
        name: "doctest",
        about: "the examples of the documentation",
        tasks: |_| cargo("test --workspace --all-features --doc"),
    },
    Step {
        name: "doc",
        about: "the documentation builds without a warning",
        tasks: |_| {
            let doc = Invocation::cargo_line("doc --workspace --no-deps --all-features");
            Ok(vec![Task::Run(doc.env("RUSTDOCFLAGS", "-D warnings"))])
        },
    },
    Step {
        name: "api",
        about: "the lists of public items are up to date",
        tasks: |_| own("cargo xtask api --check", api::check),
    },
    Step {
        name: "package",
        about: "the packages are whole, and a project outside builds with them",
        tasks: |_| own("cargo xtask package", package::check),
    },
    Step {
        name: "threads",
        about: "the handle under many schedules of its threads",
        tasks: |_| {
            let mut tasks = own(threads::RACES_LINE, threads::check_races)?;
            tasks.extend(own(threads::SHORT_RUN_LINE, threads::run_short)?);
            Ok(tasks)
        },
    },
    Step {
        name: "sim",
        about: "openraft in virtual time, past failures, a planted bug and a short simulation",
        tasks: |_| {
            let mut tasks = own(sim::TESTS_LINE, sim::run_tests)?;
            tasks.extend(own(sim::CORPUS_LINE, sim::run_corpus)?);
            tasks.extend(own(sim::CANARY_LINE, sim::run_canary)?);
            tasks.extend(own(sim::SHORT_RUN_LINE, sim::run_short)?);
            Ok(tasks)
        },
    },
    Step {
        name: "guide",
        about: "the guide builds, and shows what happens",
        tasks: |_| own("cargo xtask guide", guide::check),
    },
    Step {
        name: "deny",
        about: "licences, bans and sources of all dependencies, as cargo-deny sees them",
        tasks: |_| own("cargo xtask deps --deny", deps::deny),
    },
];

fn cargo(line: &str) -> Result<Vec<Task>> {
    Ok(vec![Task::Run(Invocation::cargo_line(line))])
}

fn own(line: &'static str, run: fn(&Workspace) -> Result<()>) -> Result<Vec<Task>> {
    Ok(vec![Task::Own { line, run }])
}

// Clippy does what `cargo check` does and can fail on what is unused with few features. A tool is used as it
// is: of those, `xtask` is built alone by each of its calls, and `lease-sim` by the step `sim`.
fn features(workspace: &Workspace) -> Vec<Task> {
    let of_member = |name: &str, flags: &[&str]| {
        let words = ["clippy", "--package", name].into_iter();
        let denied = ["--", "-D", "warnings"];
        Task::Run(Invocation::cargo(
            words.chain(flags.iter().copied()).chain(denied),
        ))
    };
    workspace
        .members
        .iter()
        .filter(|member| !BUILT_ALONE.contains(&&*member.name))
        .flat_map(|member| {
            let sets = match member.is_published() {
                true => feature_sets(member),
                false => vec![&[][..]],
            };
            let sets = sets.into_iter();
            sets.map(move |flags| of_member(&member.name, flags))
        })
        .collect()
}

const BUILT_ALONE: [&str; 2] = ["lease-sim", "xtask"];

// The lint `incompatible_msrv` of the step `clippy`, and the step `deps`, need no other toolchain.
fn oldest_compiler(workspace: &Workspace) -> Result<Vec<Task>> {
    let version = workspace.rust_version()?;
    let with_it = |words: &str| {
        let run = ["run", version].into_iter();
        Invocation::rustup(run.chain(words.split_whitespace()))
    };
    if !with_it("rustc --version").succeeds(&workspace.root) {
        let text = format!("skipped: Rust {version} is not installed");
        return Ok(vec![Task::Note(text)]);
    }
    let check = "cargo check --package lease --all-features --target-dir";
    let target = workspace.target_folder()?.join("msrv");
    Ok(vec![Task::Run(
        with_it(check).arg(target.display().to_string()),
    )])
}

fn no_std(root: &Path) -> Result<Vec<Task>> {
    let mut tasks = Vec::new();
    for target in NO_STD_TARGETS {
        if is_installed(root, target)? {
            let packages = "--package lease-queue --package lease-core --package lease-pb";
            tasks.extend(cargo(&format!(
                "check {packages} --no-default-features --target {target}"
            ))?);
        }
    }
    if tasks.is_empty() {
        let targets = NO_STD_TARGETS.join(", ");
        tasks.push(Task::Note(format!(
            "skipped: none of these targets is installed: {targets}"
        )));
    }
    Ok(tasks)
}

// All of them can compare and swap pointers, as `Arc` needs. The first and the last have no atomics of
// 64 bits.
const NO_STD_TARGETS: [&str; 4] = [
    "thumbv7em-none-eabihf",
    "x86_64-unknown-none",
    "aarch64-unknown-none",
    "riscv32imac-unknown-none-elf",
];

fn is_installed(root: &Path, target: &str) -> Result<bool> {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .current_dir(root)
        .output()
        .context("cannot start rustc")?;
    let folder = String::from_utf8(output.stdout)?;
    Ok(output.status.success() && Path::new(folder.trim()).is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_rustc_has_a_library_for_is_installed() {
        let here = Path::new(".");
        assert!(!is_installed(here, "no-such-target").expect("rustc starts"));
    }

    #[test]
    fn every_member_is_built_alone_and_what_is_published_with_few_features_and_many() {
        let workspace = Workspace::load().expect("the manifests parse");
        let lines: Vec<_> = features(&workspace)
            .iter()
            .map(|task| match task {
                Task::Run(invocation) => invocation.to_string(),
                other => panic!("{other:?}"),
            })
            .collect();
        for member in &workspace.members {
            let alone = format!("cargo clippy --package {} ", member.name);
            let count = lines.iter().filter(|line| line.starts_with(&alone)).count();
            let expected = match (member.is_published(), &*member.name) {
                (_, "lease-sim" | "xtask") => 0,
                (true, _) => feature_sets(member).len(),
                (false, _) => 1,
            };
            assert_eq!(count, expected, "{}", member.name);
        }
    }
}
