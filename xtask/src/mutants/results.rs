use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::means::Means;

/// What came of a mutant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Outcome {
    /// The mutant, as it is printed.
    pub(super) mutant: String,
    /// What has noticed it, and how.
    pub(super) noticed: Option<(Means, String)>,
    /// What has come by, of those that were tried.
    pub(super) reached: Vec<Means>,
    pub(super) seconds: f64,
}

/// A file with an outcome a line, so that a run that was stopped goes on.
pub(super) struct Results {
    known: BTreeMap<String, Outcome>,
    file: File,
}

impl Results {
    /// # Errors
    ///
    /// If the file cannot be written, or holds something else.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).unwrap_or_default();
        let mut known = BTreeMap::new();
        for line in text.lines() {
            let outcome: Outcome = serde_json::from_str(line)?;
            known.insert(outcome.mutant.clone(), outcome);
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { known, file })
    }

    pub(super) fn get(&self, mutant: &str) -> Option<&Outcome> {
        self.known.get(mutant)
    }

    /// Writes an outcome down.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub(super) fn add(&mut self, outcome: Outcome) -> Result<()> {
        let line = serde_json::to_string(&outcome)? + "\n";
        self.file.write_all(line.as_bytes())?;
        self.known.insert(outcome.mutant.clone(), outcome);
        Ok(())
    }
}
