mod alone;
mod lessor;
mod raft;

use std::sync::LazyLock;

use crate::plan::Engines;

/// A bug that can be planted, to prove that the checkers can fail and the worlds reach it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bug {
    /// How the code and the command line call it.
    pub name: &'static str,
    /// What is wrong.
    pub what: &'static str,
}

/// All bugs that can be planted, by where they are.
pub static BUGS: LazyLock<Vec<Bug>> =
    LazyLock::new(|| [lessor::BUGS, alone::BUGS, raft::BUGS].concat());

/// Bugs that only a lessor shows that stands alone, or a machine beside it much sooner: the engine of a replica is
/// stopped before its lessor, so that nobody waits any more.
const ALONE: [&str; 7] = [
    "checkpoints-always-stored",
    "failed-commit-ends-waits",
    "page-skips-a-lease",
    "renewals-of-many-not-counted",
    "reserved-rows-are-written",
    "second-chunk-not-revoked",
    "stop-forgets-waiters",
];

const fn bug(name: &'static str, what: &'static str) -> Bug {
    Bug { name, what }
}

impl Bug {
    /// The bug of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        BUGS.iter().find(|bug| bug.name == name)
    }

    /// The engines with which it can be found.
    #[must_use]
    pub fn engines(&self) -> Engines {
        if self.name.starts_with("openraft-") {
            Engines::Raft
        } else if self.name.starts_with("alone-") || ALONE.contains(&self.name) {
            Engines::Alone
        } else {
            Engines::Log
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = BUGS.iter().map(|bug| bug.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), BUGS.len());
        assert!(BUGS.len() >= 101);
    }
}
