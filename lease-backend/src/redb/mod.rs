//! The adapter of redb, and the only module whose public functions name redb's types.
//!
//! [`RedbBackend`] owns its file. A host that has a redb database of its own calls [`prepare`],
//! [`apply`] and [`load`] inside its own transactions instead.
//!
//! # Tables
//!
//! | table | key | value |
//! |---|---|---|
//! | `lease` | the id, eight bytes big-endian | `leasepb.Lease` |
//! | `lease_meta` | `format`, `epoch` | a number |
//! | the host's, by name | bytes | bytes |

mod apply;
mod backend;
mod failure;
mod open;
mod options;
mod read;
mod tables;
mod undo;

pub use apply::apply;
pub use backend::RedbBackend;
pub use open::prepare;
pub use options::{IntegrityCheck, RedbOptions, RepairMode};
pub use read::load;
