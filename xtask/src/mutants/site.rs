use std::fmt;

/// A place in the sources that can be changed at run time, or is only watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Site {
    /// The number that the switch knows it by.
    pub(super) number: u32,
    /// The path from the root of the tree.
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) column: usize,
    /// The function that it is in, behind its type.
    pub(super) function: String,
    pub(super) kind: Kind,
    /// What is changed, or watched.
    pub(super) what: String,
}

/// Whether a site is a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Mutant,
    /// The start of a function, watched.
    Function,
    /// A block, an arm or a way around them, watched.
    Branch,
}

impl Site {
    pub(super) fn is_mutant(&self) -> bool {
        self.kind == Kind::Mutant
    }

    /// What it is called, wherever in its file it stands.
    pub(super) fn name(&self) -> String {
        format!("{}: {}: {}", self.file, self.function, self.what)
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = (self.line, self.column);
        write!(
            f,
            "{}:{line}:{column}: {}: {}",
            self.file, self.function, self.what
        )
    }
}
