use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::rows::{Measurements, System};
use super::{Part, Peer};
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

    /// Runs each of them once, all of it or a part.
    ///
    /// # Errors
    ///
    /// If one of them fails.
    pub(crate) fn run(
        &self,
        n: u64,
        part: Option<Part>,
        measurements: &mut Measurements,
    ) -> Result<()> {
        let mut args = vec!["-n".to_owned(), n.to_string()];
        args.extend(part.map(|part| format!("--part={}", part.name())));
        measure(&self.ours, &args, System::Ours, measurements)?;
        if let Some(peer) = &self.peer {
            measure(peer, &args, System::Peer, measurements)?;
        }
        Ok(())
    }
}

fn measure(
    program: &Path,
    args: &[String],
    system: System,
    measurements: &mut Measurements,
) -> Result<()> {
    let output = Command::new(program)
        .args(args)
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
