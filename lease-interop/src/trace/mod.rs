mod command;
mod generate;
mod rows;
mod settings;

pub(crate) use command::{Command, Row, hex, hex_all};
pub(crate) use generate::generate;
pub(crate) use settings::{Checkpoints, Settings};

use std::fmt;

/// What both lessors are made with and asked to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Trace {
    pub(crate) settings: Settings,
    pub(crate) commands: Vec<Command>,
}

/// As the peer reads it, a command a line.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.settings)?;
        for command in &self.commands {
            writeln!(f, "{command}")?;
        }
        Ok(())
    }
}
