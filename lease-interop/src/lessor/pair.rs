use std::path::{Path, PathBuf};

use anyhow::Result;

use super::compare::{Difference, compare};
use crate::ours::{self, MemoryStore, RedbStore, Store};
use crate::peer::Peer;
use crate::trace::{Command, Row, Trace};

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
            peer: Peer::start(program, "lessor")?,
        })
    }

    /// Runs a trace on both, ours over every store, and then has each read the rows that it leaves.
    /// Returns the first difference.
    ///
    /// # Errors
    ///
    /// If ours cannot be run.
    pub(crate) fn run(&mut self, shims: &[&str], trace: &Trace) -> Result<Option<Difference>> {
        let (difference, rows) = self.run_one(shims, trace)?;
        if difference.is_some() || rows.is_empty() {
            return Ok(difference);
        }
        let exchange = Trace {
            settings: trace.settings.clone(),
            commands: vec![Command::Load { rows }],
        };
        Ok(self.run_one(shims, &exchange)?.0)
    }

    /// Also returns the rows that it leaves. They are of both lessors, if nothing differs.
    fn run_one(&mut self, shims: &[&str], trace: &Trace) -> Result<(Option<Difference>, Vec<Row>)> {
        self.peer.begin(shims, trace)?;
        let (mut memory, mut redb) = (MemoryStore::default(), RedbStore::new()?);
        let stores: [&mut dyn Store; 2] = [&mut memory, &mut redb];
        let mut ours = Vec::new();
        for store in stores {
            ours.push((store.name(), ours::run(trace, store)?));
        }
        let etcds = match self.peer.finish() {
            Ok(etcds) => etcds,
            Err(error) => {
                self.peer = Peer::start(&self.program, "lessor")?;
                vec![format!("{error:#}")]
            }
        };
        let differs =
            |(store, ours): &(&'static str, Vec<String>)| compare(trace, store, ours, &etcds);
        Ok((ours.iter().find_map(differs), memory.rows()?))
    }
}
