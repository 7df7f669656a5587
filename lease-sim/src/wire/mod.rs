//! What crosses the simulated network, as bytes.

mod entry;
mod message;

pub(crate) use entry::{Entry, Request, Stamp};
#[cfg(madsim)]
pub(crate) use entry::{put_command, read_put};
#[cfg(madsim)]
pub(crate) use message::{Ask, HttpAnswer, Message, Reply};
