//! The adapter of redb, and the only module whose public functions name redb's types.
//!
//! [`RedbBackend`] owns its file. A host with tables of its own types in that file works in
//! [`RedbBackend::write`] and [`RedbBackend::read`]. A host that has a redb database of its own calls
//! [`prepare`], [`apply`] and [`load`] inside its own transactions instead.
//!
//! # Tables
//!
//! | table | key | value |
//! |---|---|---|
//! | `lease` | the id, eight bytes big-endian | `leasepb.Lease` |
//! | `lease_meta` | `format`, `epoch`, `store_high`, `store_low` | a number |
//! | the host's, by name | bytes | bytes |
//!
//! # Why no checksum over the leases?
//!
//! redb has one over each page. What it cannot tell is a last commit that was damaged from one that
//! a crash has torn, see [`IntegrityCheck`]; a checksum in the file would be of the commit before
//! then, and right. Kept anyway, it costs another page in each commit, 6 % of a commit of one row,
//! and the format would be one that earlier versions of this crate must not write to.

mod apply;
mod backend;
mod claim;
mod failure;
mod file;
mod gate;
mod host;
mod open;
mod options;
mod place;
mod read;
mod store_id;
mod tables;
mod undo;
mod unfinished;
mod whole;

pub use apply::apply;
pub use backend::RedbBackend;
pub use claim::prepare;
pub use failure::Failure;
pub use host::RedbView;
pub use options::{IntegrityCheck, RedbOptions, RepairMode};
pub use read::load;
pub use whole::{Refill, VisitRow, visit};
