use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

/// Builds the Go program in a folder of the workspace. Returns where it is.
///
/// # Errors
///
/// If Go is not installed, or the build fails.
pub(crate) fn build(workspace: &Workspace, folder: &str, program: PathBuf) -> Result<PathBuf> {
    let status = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(workspace.root.join(folder))
        .status();
    match status {
        Ok(status) if status.success() => Ok(program),
        Ok(status) => bail!("go build in {folder} ended with {status}"),
        Err(error) => Err(error).context(
            "etcd's half is a Go program: install Go 1.25 or later, so that `go` can be run",
        ),
    }
}
