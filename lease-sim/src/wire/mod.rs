//! What crosses the simulated network, as bytes.

mod entry;
mod message;

pub(crate) use entry::{Entry, Request};
#[cfg(madsim)]
pub(crate) use message::{Ask, HttpAnswer, Message, Reply, Snapshot};
