use std::path::{Path, PathBuf};

use anyhow::Result;

use super::compare::{Difference, compare};
use crate::ours::{self, MemoryStore, RedbStore, Store};
use crate::peer::Peer;
use crate::trace::Trace;

/// Both lessors.
pub(crate) struct Pair {
    program: PathBuf,
    peer: Peer,
}

impl Pair {
    /// # Errors
    ///
    /// If the peer cannot be started.
    pub(crate) fn start(program: &Path) -> Result<Self> {
        Ok(Self {
            program: program.to_owned(),
            peer: Peer::start(program)?,
        })
    }

    /// Runs a trace on both, ours over every store, and returns the first difference.
    ///
    /// # Errors
    ///
    /// If ours cannot be run.
    pub(crate) fn run(&mut self, shims: &[&str], trace: &Trace) -> Result<Option<Difference>> {
        self.peer.begin(shims, trace)?;
        let mut stores: [Box<dyn Store>; 2] = [
            Box::new(MemoryStore::default()),
            Box::new(RedbStore::new()?),
        ];
        let mut ours = Vec::new();
        for store in &mut stores {
            ours.push((store.name(), ours::run(trace, &mut **store)?));
        }
        let etcds = match self.peer.finish() {
            Ok(etcds) => etcds,
            Err(error) => {
                self.peer = Peer::start(&self.program)?;
                vec![format!("{error:#}")]
            }
        };
        let mut differences = ours
            .iter()
            .map(|(store, ours)| compare(trace, store, ours, &etcds));
        Ok(differences.find_map(|difference| difference))
    }
}
