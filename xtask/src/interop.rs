use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::go;
use crate::invocation::Invocation;
use crate::workspace::Workspace;

/// Run etcd's lease code and ours side by side; needs Go 1.25 or later.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to compare, and its own arguments: `http`, or `lessor`, whose `--help` says which. All of it if left out.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

const KINDS: [&str; 2] = ["http", "lessor"];

const BUILD_LINE: &str = "build --release --package lease-interop";

const PEER_FOLDER: &str = "lease-interop/peers/etcd";

/// Builds both halves and runs them.
///
/// # Errors
///
/// If one of them does not build, Go is missing, or the program cannot be started.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let target = workspace.target_folder()?;
    let peer = go::build(workspace, PEER_FOLDER, target.join("interop/etcd-interop"))?;
    Invocation::cargo_line(BUILD_LINE).run(&workspace.root)?;
    let program = target.join("release/lease-interop");
    let lines: Vec<Vec<String>> = if args.args.is_empty() {
        KINDS.iter().map(|kind| vec![(*kind).to_owned()]).collect()
    } else {
        vec![args.args.clone()]
    };
    for line in lines {
        let status = Command::new(&program)
            .args(&line)
            .arg("--peer")
            .arg(&peer)
            .current_dir(&workspace.root)
            .status()
            .with_context(|| format!("cannot start {}", program.display()))?;
        if !status.success() {
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}
