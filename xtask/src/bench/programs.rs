use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Peer;
use super::rows::{Measurements, System};
use crate::go;
use crate::invocation::Invocation;
use crate::workspace::Workspace;

/// The programs that run the workloads.
pub(crate) struct Programs {
    ours: PathBuf,
    peer: Option<PathBuf>,
}

const OURS: &str = "build --profile bench --package lease-bench --bin workloads";

const PEER_FOLDER: &str = "lease-bench/peers/etcd";

impl Programs {
    /// # Errors
    ///
    /// If one of them does not build, or Go is missing.
    pub(crate) fn build(workspace: &Workspace, peer: Option<Peer>) -> Result<Self> {
        let target = workspace.target_folder()?;
        Invocation::cargo_line(OURS).run(&workspace.root)?;
        let peer = match peer {
            None => None,
            Some(Peer::Etcd) => Some(build_etcd(workspace, &target)?),
        };
        Ok(Self {
            ours: target.join("release/workloads"),
            peer,
        })
    }

    /// Runs each of them once.
    ///
    /// # Errors
    ///
    /// If one of them fails.
    pub(crate) fn run(&self, n: u64, measurements: &mut Measurements) -> Result<()> {
        measure(&self.ours, n, System::Ours, measurements)?;
        if let Some(peer) = &self.peer {
            measure(peer, n, System::Peer, measurements)?;
        }
        Ok(())
    }
}

fn measure(program: &Path, n: u64, system: System, measurements: &mut Measurements) -> Result<()> {
    let output = Command::new(program)
        .args(["-n", &n.to_string()])
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        bail!("{} ended with {}: {text}", program.display(), output.status);
    }
    let text = String::from_utf8(output.stdout).context("the program prints text")?;
    text.lines()
        .try_for_each(|line| measurements.add(system, line))
}

fn build_etcd(workspace: &Workspace, target: &Path) -> Result<PathBuf> {
    go::build(workspace, PEER_FOLDER, target.join("bench/etcd-peer"))
}
