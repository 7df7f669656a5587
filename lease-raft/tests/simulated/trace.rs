use std::hash::{DefaultHasher, Hash, Hasher};

use madsim::time::TimeHandle;

/// What has happened, each with its time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace(Vec<String>);

impl Trace {
    pub(crate) fn note(&mut self, what: &str) {
        let now = TimeHandle::current().elapsed();
        self.0.push(format!("{now:?} {what}"));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether something has happened that is told in these words.
    pub(crate) fn has(&self, words: &str) -> bool {
        self.0.iter().any(|line| line.contains(words))
    }

    pub(crate) fn last(&self, lines: usize) -> String {
        let from = self.len().saturating_sub(lines);
        self.0[from..].join("\n")
    }

    pub(crate) fn hash(&self) -> u64 {
        hash(&self.0)
    }

    /// Where two of them part.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let longer = self.len().max(other.len());
        let at = (0..longer).find(|at| self.0.get(*at) != other.0.get(*at))?;
        let around = |trace: &Self| {
            let from = at.saturating_sub(5);
            let to = (at + 3).min(trace.len());
            trace.0.get(from..to).unwrap_or_default().join("\n")
        };
        Some(format!(
            "line {at} differs:\n{}\n---\n{}",
            around(self),
            around(other)
        ))
    }
}

/// The same in each process.
pub(crate) fn hash(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}
