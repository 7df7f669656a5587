//! What a lessor asks of its host.

pub(crate) mod backend;
pub(crate) mod checkpointer;
pub(crate) mod range_deleter;
